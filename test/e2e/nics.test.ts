/** vNICs come and go on machines that run, and nobody's connection notices. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { exec, inside, meshOf, refused, show, succeeded, until } from './world.ts'

const lab = await meshOf('here', 'there')
after(() => lab[Symbol.asyncDispose]())
const [here, there] = [lab.host('here'), lab.host('there')]

const topology = `
name: net
lans:
  lan1: { subnet: 10.0.1.0/24 }
  lan2: { subnet: 10.0.2.0/24 }
  lan3: { subnet: 10.0.3.0/24 }
hosts:
  a: { lan: lan1, on: here }
  b: { lan: lan2, on: there, driver: netns }
  c: { lan: lan3, on: there, driver: netns }
routers:
  r: { nics: [{ lan: lan1 }, { lan: lan2 }], on: here }
`

/** A TCP connection from a through r to b, on which a line comes every 20 ms. */
class Flow implements AsyncDisposable {
  readonly #listener
  readonly #sender
  lines = 0

  constructor() {
    this.#listener = here.spawn(here.command('exec', 'net/b', '--', 'nc', '-l', '-p', '5000'))
    this.#listener.stdout?.on(
      'data',
      (chunk: Buffer) => (this.lines += chunk.toString().split('\n').length - 1)
    )
    const script = 'until (while echo tick; do usleep 20000; done) | nc 10.0.2.1 5000; do :; done'
    this.#sender = here.spawn(here.command('exec', 'net/a', '--', 'sh', '-c', script))
  }

  /** Resolves when so many more lines came. Throws when the connection ended. */
  async goesOn(more = 50): Promise<void> {
    const wanted = this.lines + more
    await until(
      `${wanted} lines`,
      () => new Promise((resolve) => setImmediate(() => resolve(this.lines))),
      (lines) => (lines as number) >= wanted || this.#listener.exitCode !== null
    )
    assert.equal(this.#listener.exitCode, null, 'the connection ended')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of [this.#sender, this.#listener]) {
      if (child.exitCode !== null) continue
      child.kill('SIGTERM')
      await new Promise((resolve) => child.once('close', resolve))
    }
  }
}

const bootId = (entity: string): Promise<string> =>
  inside(here, `net/${entity}`, 'cat', '/proc/sys/kernel/random/boot_id')
const reaches = async (): Promise<boolean> =>
  (await exec(here, 'net/c', 'ping', '-c', '1', '-W', '2', '10.0.1.1')).status === 0
const namesOf = async (entity: string): Promise<(string | undefined)[]> => {
  const found = (await show(here, 'net')).entities.find(({ name }) => name === entity)
  return (found?.nics ?? []).map(({ name, lan, ips, up }) => `${name} ${lan} ${ips.join()} ${up}`)
}

test('a vLAN is grafted on a router that runs, and taken off, while a connection through it goes on', async () => {
  succeeded(await here.try(['apply', '-'], { input: topology }))
  const before = await bootId('r')
  await using flow = new Flow()
  await flow.goesOn(5)
  assert.equal(await reaches(), false)
  const added = succeeded(await here.try(['nic', 'add', 'net/r', '--lan', 'lan3', '--ip', '10.0.3.9/24']))
  assert.match(added.stderr, /r has eth2 on lan3: 10\.0\.3\.9\/24/)
  await flow.goesOn()
  assert.deepEqual(await namesOf('r'), [
    'eth0 lan1 10.0.1.2/24 true',
    'eth1 lan2 10.0.2.2/24 true',
    'eth2 lan3 10.0.3.9/24 true'
  ])
  // All others were told the way.
  await until('c reaches a', reaches, (does) => does)
  await flow.goesOn()
  succeeded(await here.try(['nic', 'remove', 'net/r', 'eth2']))
  assert.equal(await reaches(), false)
  assert.doesNotMatch(await inside(here, 'net/r', 'ip', 'link'), /eth2/)
  await flow.goesOn()
  // As often as one likes: what was taken out is free again.
  for (let turn = 0; turn < 5; turn++) {
    succeeded(await here.try(['nic', 'add', 'net/r', '--lan', 'lan3']))
    await until('c reaches a', reaches, (does) => does)
    succeeded(await here.try(['nic', 'remove', 'net/r', 'eth2']))
  }
  await flow.goesOn()
  assert.equal(await bootId('r'), before)
})

test('a namespace takes a vNIC on as well, and lets it go', async () => {
  succeeded(await here.try(['nic', 'add', 'net/b', '--lan', 'lan3']))
  assert.deepEqual(await namesOf('b'), ['eth0 lan2 10.0.2.1/24 true', 'eth1 lan3 10.0.3.2/24 true'])
  succeeded(await exec(here, 'net/b', 'ping', '-c', '1', '-W', '5', 'c'))
  succeeded(await here.try(['nic', 'remove', 'net/b', 'eth0']))
  assert.deepEqual(await namesOf('b'), ['eth1 lan3 10.0.3.2/24 true'])
  succeeded(await exec(here, 'net/b', 'ping', '-c', '1', '-W', '5', 'c'))
})

test('what cannot be is refused in words', async () => {
  refused(await here.try(['nic', 'add', 'net/r', '--lan', 'lan9']), /no vLAN lan9/)
  refused(await here.try(['nic', 'add', 'net/x', '--lan', 'lan1']), /no entity x/)
  refused(await here.try(['nic', 'add', 'net/a', '--lan', 'lan2', '--ip', '10.9.9.9']), /10\.9\.9\.9/)
  refused(await here.try(['nic', 'remove', 'net/a', 'eth7']), /no vNIC eth7/)
  refused(await there.try(['nic', 'remove', 'net/a', 'eth0']), /belongs to here/)
})

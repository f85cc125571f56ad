/** vNICs come and go on machines that run, and nobody's connection notices. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { giveRouterImage } from '../images/router-image.ts'
import { exec, inside, meshOf, refused, remove, show, succeeded, until } from './world.ts'

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

/** A TCP connection between two entities, on which a line comes every 20 ms. */
class Flow implements AsyncDisposable {
  readonly #listener
  readonly #sender
  lines = 0

  constructor(from: string, to: string, address: string) {
    this.#listener = here.spawn(here.command('exec', to, '--', 'nc', '-l', '-p', '5000'))
    this.#listener.stdout?.on(
      'data',
      (chunk: Buffer) => (this.lines += chunk.toString().split('\n').length - 1)
    )
    const script = `until (while echo tick; do usleep 20000; done) | nc ${address} 5000; do :; done`
    this.#sender = here.spawn(here.command('exec', from, '--', 'sh', '-c', script))
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
  await using flow = new Flow('net/a', 'net/b', '10.0.2.1')
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
  for (let turn = 0; turn < 2; turn++) {
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

const spoken = `
name: spoken
defaults: { driver: netns, image: router }
lans:
  left: { subnet: 10.1.0.0/24 }
  wide: { subnet: 10.2.0.0/24 }
  right: { subnet: 10.3.0.0/24 }
  far: { subnet: 10.4.0.0/24 }
hosts:
  a: { lan: left, on: here }
  b: { lan: right, on: here }
  c: { lan: far, on: here }
routers:
  r: { nics: [{ lan: left }, { lan: wide }], on: here, routing: ospf, driver: uml }
  s: { nics: [{ lan: wide }, { lan: right }], on: here, routing: ospf }
  t: { lan: far, on: here, routing: ospf }
`

test('routers that speak OSPF tell of a vLAN that is grafted, and meet one that joins them', async () => {
  await giveRouterImage(here.folder)
  succeeded(await here.try(['apply', '-'], { input: spoken }))
  const reaches = async (to: string): Promise<boolean> =>
    (await exec(here, 'spoken/a', 'ping', '-c', '1', '-W', '2', to)).status === 0
  await until(
    'a reaches b',
    () => reaches('10.3.0.1'),
    (does) => does
  )
  const pids = (): Promise<string> => inside(here, 'spoken/r', 'sh', '-c', 'cat /var/run/frr/*.pid')
  const before = await pids()
  await using flow = new Flow('spoken/a', 'spoken/b', '10.3.0.1')
  await flow.goesOn(5)
  succeeded(await here.try(['nic', 'add', 'spoken/r', '--lan', 'far']))
  await until(
    'a reaches c',
    () => reaches('10.4.0.1'),
    (does) => does
  )
  await flow.goesOn()
  // On a vLAN of three they cannot go on as two did.
  assert.match(await inside(here, 'spoken/s', 'vtysh', '-c', 'show ip ospf interface eth0'), /POINTOPOINT/)
  succeeded(await here.try(['nic', 'add', 'spoken/t', '--lan', 'wide']))
  const neighbours = (): Promise<string> => inside(here, 'spoken/t', 'vtysh', '-c', 'show ip ospf neighbor')
  await until('t has three adjacencies', neighbours, (text) => text.match(/Full\//g)?.length === 3)
  assert.match(await inside(here, 'spoken/s', 'vtysh', '-c', 'show ip ospf interface eth0'), /BROADCAST/)
  await flow.goesOn()
  succeeded(await here.try(['nic', 'remove', 'spoken/r', 'eth2']))
  // The other way is left.
  await until(
    'a reaches c',
    () => reaches('10.4.0.1'),
    (does) => does
  )
  await flow.goesOn()
  assert.equal(await pids(), before)
  await remove(here, 'spoken')
})

const served = `
name: served
driver: netns
lans:
  lan1: { subnet: 10.5.1.0/24, dhcp: true, dns: true }
  lan2: { subnet: 10.5.2.0/24, dhcp: s, gateway: r }
  lan3: { subnet: 10.5.3.0/24 }
hosts:
  a: { lan: lan1, on: here }
  b: { lan: lan3, on: there }
  c: { lan: lan3, on: there }
  m: { lan: lan1, ip: 10.5.1.5, on: there, driver: uml }
routers:
  r: { nics: [{ lan: lan1, ip: 10.5.1.9 }, { lan: lan2 }], on: here, driver: uml }
  s: { nics: [{ lan: lan2 }, { lan: lan3 }], on: here }
`

test('a connection through routers that serve their vLANs goes on when others come there, who are known at once', async () => {
  await giveRouterImage(here.folder)
  succeeded(await here.try(['apply', '-'], { input: served }))
  const bootOfR = (): Promise<string> => inside(here, 'served/r', 'cat', '/proc/sys/kernel/random/boot_id')
  const before = await bootOfR()
  for (const name of ['s', 'c']) await inside(here, `served/${name}`, 'touch', '/tmp/here')
  const address = (name: string): Promise<string> =>
    until(
      `the address of ${name}`,
      () => exec(here, 'served/a', 'nslookup', name).then(({ stdout }) => stdout),
      (text) => /\nName:\s+\S+\nAddress/.test(text)
    )
  assert.match(await address('r'), /\nName:\s+r\.served\nAddress: 10\.5\.1\.9\n\n/)
  await using flow = new Flow('served/a', 'served/b', '10.5.3.1')
  await flow.goesOn(5)
  succeeded(await here.try(['nic', 'add', 'served/c', '--lan', 'lan1', '--ip', '10.5.1.200']))
  succeeded(await here.try(['nic', 'add', 'served/c', '--lan', 'lan2']))
  await address('c')
  await flow.goesOn()
  await here.violin('offer', 'served/lan1', '--to', 'there')
  await there.violin('attach', 'served/lan1', '--vhost', 'web', '--driver', 'netns')
  assert.match(await address('web'), /10\.5\.1\.2\n/)
  await flow.goesOn()
  const attached = there.spawn(there.command('attach', 'served/lan1', '--ip', 'dhcp'))
  assert.match(await address('there'), /10\.5\.1\.(1[5-9]\d|2\d\d)\n/)
  // No file of theirs has its name.
  for (const name of ['m', 'web'])
    succeeded(await exec(there, `served/${name}`, 'ping', '-c', '1', '-W', '5', 'there'))
  attached.kill('SIGINT')
  await new Promise((resolve) => attached.once('close', resolve))
  await there.violin('detach', 'served/web')
  await flow.goesOn()
  assert.equal(await bootOfR(), before)
  await inside(here, 'served/s', 'ls', '/tmp/here')
  // A machine that comes later asks, and has what it was given in the record.
  const asked = await inside(here, 'served/c', 'sh', '-c', 'udhcpc -i eth1 -n -q -f -s /bin/true 2>&1')
  assert.match(asked, /10\.5\.1\.200/)
  // It was told whom it asks for names when it came there.
  await inside(here, 'served/c', 'ping', '-c', '1', '-W', '5', 'm.served')
  await inside(there, 'served/c', 'ls', '/tmp/here')
  await remove(here, 'served')
})

test('what cannot be is refused in words', async () => {
  refused(await here.try(['nic', 'add', 'net/r', '--lan', 'lan9']), /no vLAN lan9/)
  refused(await here.try(['nic', 'add', 'net/x', '--lan', 'lan1']), /no entity x/)
  refused(await here.try(['nic', 'add', 'net/a', '--lan', 'lan2', '--ip', '10.9.9.9']), /10\.9\.9\.9/)
  refused(await here.try(['nic', 'remove', 'net/a', 'eth7']), /no vNIC eth7/)
  refused(await there.try(['nic', 'remove', 'net/a', 'eth0']), /belongs to here/)
})

/** Whatever has an Ethernet frame passes a vLAN, in both directions, between hosts and between drivers, as it was sent. */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { after, test } from 'node:test'
import type { Outcome } from '#lab/host.ts'
import { giveRouterImage } from '../images/router-image.ts'
import { apply, exec, inside, meshOf, succeeded } from './world.ts'

/** Frames that did not arrive by then are lost, on a busy machine, too. */
const arrivalMs = 30_000
/** Bytes of an Ethernet header, of a vLAN's largest payload, and of the longest frame of all, which needs a larger MTU. */
const header = 14
const mtu = 1_500
const longest = 9_216

const lab = await meshOf('p1', 'p2')
after(() => lab[Symbol.asyncDispose]())
const home = lab.host('p1')
for (const host of lab.hosts) await giveRouterImage(host.folder)
await apply(
  home,
  `
name: net
defaults: { image: router }
lans: { lan1: { subnet: 10.0.0.0/24 } }
hosts:
  a: { lan: lan1, on: p1, driver: netns }
  b: { lan: lan1, on: p2, driver: uml }
  c: { lan: lan1, on: p1, driver: uml }
`
)

async function macOf(name: string): Promise<string> {
  const [, mac] =
    /link\/ether (\S+)/.exec(await inside(home, `net/${name}`, 'ip', 'link', 'show', 'eth0')) ?? []
  return (mac ?? assert.fail(`${name} has no MAC`)).replaceAll(':', '')
}
const macs = { a: await macOf('a'), b: await macOf('b') }

/** A frame of hexadecimal parts; `bytes` of it in all. */
function frame(to: string, from: string, rest: string, bytes = 64): Buffer {
  const said = Buffer.from(to + from + rest, 'hex')
  return Buffer.concat([said, Buffer.alloc(bytes - said.length, rest.slice(-8), 'hex')])
}

/** Puts a frame on the wire as it is, by a packet socket. */
function send(from: string, bytes: Buffer): Promise<Outcome> {
  return home.try(['exec', `net/${from}`, '--', 'socat', '-u', '-b', '20000', '-', 'INTERFACE:eth0'], {
    input: bytes
  })
}

/** All that a packet socket of an entity gets, in hexadecimal. */
class Listening implements AsyncDisposable {
  readonly #child: ChildProcess
  #heard = ''
  #more: (() => void) | null = null

  constructor(at: string) {
    const socat = ['socat', '-u', '-d', '-d', '-x', '-b', '20000', 'INTERFACE:eth0', 'OPEN:/dev/null']
    this.#child = home.spawn(home.command('exec', `net/${at}`, '--', ...socat))
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#heard += chunk.toString()
      this.#more?.()
    })
  }

  /** Resolves when it was heard. */
  async hears(what: string, isHeard: (text: string) => boolean): Promise<void> {
    const end = AbortSignal.timeout(arrivalMs)
    while (!isHeard(this.#heard)) {
      assert.ok(!end.aborted, `${what} did not arrive`)
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#more = resolve
      end.addEventListener('abort', () => resolve(), { once: true })
      await promise
    }
  }

  ready(): Promise<void> {
    return this.hears('its first word', (text) => text.includes('starting data transfer loop'))
  }

  /** Its lines of hexadecimal begin with a blank each. */
  frame(what: string, bytes: Buffer): Promise<void> {
    return this.hears(what, (text) => text.replaceAll(/\s/g, '').includes(bytes.toString('hex')))
  }

  has(bytes: Buffer): boolean {
    return this.#heard.replaceAll(/\s/g, '').includes(bytes.toString('hex'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return
    this.#child.kill('SIGTERM')
    await new Promise((resolve) => this.#child.once('close', resolve))
  }
}

const broadcast = 'ffffffffffff'
for (const [from, to] of [
  ['a', 'b'],
  ['b', 'a']
] as const)
  test(`frames of every kind pass from ${from} to ${to} as they are`, async () => {
    await using listening = new Listening(to)
    await listening.ready()
    const kinds: readonly (readonly [what: string, Buffer])[] = [
      ['MPLS, two labels', frame(macs[to], macs[from], `8847${'00064040'}${'000c8140'}${'c0ffee01'}`)],
      ['MPLS as long as may be', frame(macs[to], macs[from], `8847${'00064140'}${'c0ffee02'}`, header + mtu)],
      // A length in place of a type, and the access points of OSI behind it; to all level 2 systems.
      ['IS-IS', frame('0180c2000015', macs[from], `0032fefe03${'83'}${'c0ffee03'}`)],
      ['the user’s own type', frame(broadcast, macs[from], `88b5${'c0ffee04'}`)],
      ['a type that nobody has', frame(macs[to], macs[from], `fffe${'c0ffee05'}`)],
      ['what bridges keep to themselves', frame('0180c2000000', macs[from], `0026424203${'c0ffee06'}`)]
    ]
    for (const [what, bytes] of kinds) {
      succeeded(await send(from, bytes))
      await listening.frame(what, bytes)
    }
  })

test('frames with VLAN tags pass, as long as those without', async () => {
  for (const [name, address] of [
    ['b', '10.5.0.2'],
    ['c', '10.5.0.3']
  ]) {
    const script = `ip link add link eth0 name tagged type vlan id 5
ip addr add ${address}/24 dev tagged; ip link set tagged up`
    await inside(home, `net/${name}`, 'sh', '-ec', script)
  }
  const size = String(mtu - 28)
  await inside(home, 'net/b', 'ping', '-c', '2', '-W', '10', '-M', 'do', '-s', size, '10.5.0.3')
})

test('a frame that is too long for the vLAN is refused to who sends it, or is nobody’s', async () => {
  await using listening = new Listening('b')
  await listening.ready()
  const jumbo = frame(macs.b, macs.a, `88b5${'deadbe01'}`, header + mtu + 1)
  const refused = await send('a', jumbo)
  assert.notEqual(refused.status, 0)
  assert.match(refused.stderr, /Message too long/)
  // With a larger MTU of its own it is at the vLAN to refuse.
  await inside(home, 'net/a', 'ip', 'link', 'set', 'eth0', 'mtu', '16000')
  const huge = frame(macs.b, macs.a, `88b5${'deadbe02'}`, longest + 1)
  succeeded(await send('a', huge))
  const small = frame(macs.b, macs.a, `88b5${'c0ffee07'}`)
  succeeded(await send('a', small))
  await listening.frame('a small one behind it', small)
  assert.ok(!listening.has(huge.subarray(0, 64)))
  await exec(home, 'net/a', 'ip', 'link', 'set', 'eth0', 'mtu', String(mtu))
})

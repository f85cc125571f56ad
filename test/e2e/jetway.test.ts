/** Doors to the real network: shut at first, open by leave of the host's operator, and shut means shut. */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface, type Interface } from 'node:readline'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { ShowJetway } from '#api/contract.ts'
import type { LabHost } from '#lab/host.ts'
import { argumentsOf, identify, kill } from '#lab/processes.ts'
import { giveRouterImage, routerImage } from '../images/router-image.ts'
import { Outside, serverAddress, serverPort } from './outside.ts'
import { apply, exec, inside, meshOf, refused, remove, show, succeeded, until } from './world.ts'

const lab = await meshOf('h1', 'h2')
const outside = await Outside.create()
after(async () => {
  await lab[Symbol.asyncDispose]()
  await outside[Symbol.asyncDispose]()
})
const [h1, h2] = [lab.host('h1'), lab.host('h2')]
const wan = outside.connect(h2)
outside.bridge(h2, 'br0', '10.8.1.200/24')
const clean = await traces()

const topology = (name: string, more = '', hosts = ''): string => `
name: ${name}
driver: netns
lans:
  lan1: { subnet: 10.8.0.0/24 }
  lan2: { subnet: 10.8.1.0/24 }
hosts:
  a: { lan: lan1, on: h2 }
  b: { lan: lan2, on: h1 }
${hosts}routers:
  r: { nics: [{ lan: lan1 }, { lan: lan2 }], on: h1 }
jetways:
  out: { lan: lan1, on: h2, mode: nat }
  door: { lan: lan2, on: h2, mode: bridge, bridge: br0 }
  spare: { lan: lan2, on: h2, mode: bridge, bridge: br0 }
${more}`

/** A virtual machine, on the host without the door. */
const machine = '  m: { lan: lan1, ip: 10.8.0.50, on: h1, driver: uml }\n'

/** All of doors that is on h2: interfaces, rules, flows through jetways, keepers. */
async function traces(): Promise<string> {
  const script = `ip -brief link | cut -d ' ' -f 1 | cut -d @ -f 1; nft list ruleset
conntrack -L 2>/dev/null | grep -E '(src|dst)=169\\.254\\.' ; bridge -brief link 2>/dev/null | wc -l; :`
  const { stdout } = succeeded(await h2.run(['sh', '-c', script]))
  const keepers = h2.processes().filter(({ pid }) => isKeeper(pid)).length
  return `${stdout}${keepers} keepers`
}

function isKeeper(pid: number): boolean {
  const argv = argumentsOf(pid).join(' ')
  return argv.includes('nft -i') || argv.includes('monitor route') || argv.includes('monitor link')
}

const shut = (): Promise<string> => until('nothing of doors left', traces, (now) => now === clean)
const jetwayOf = async (name: string, jetway: string): Promise<ShowJetway> => {
  const found = (await show(h1, name)).jetways.find((one) => one.name === jetway)
  return found ?? assert.fail(`no jetway ${jetway}`)
}
const reaches = async (target: string, address: string): Promise<boolean> =>
  (await exec(h1, target, 'ping', '-c', '1', '-W', '1', address)).status === 0
const allow = (...args: readonly string[]): Promise<string> => h2.violin('jetway', 'allow', 'h1', ...args)

/** A TCP connection from inside to the server outside, held open: each line comes back. */
class Flow {
  readonly #child: ChildProcess
  readonly #lines: Interface
  readonly #heard: string[] = []

  constructor(host: LabHost, target: string, ...options: readonly string[]) {
    const nc = ['nc', ...options, serverAddress, String(serverPort)]
    this.#child = host.spawn(host.command('exec', target, '--', ...nc))
    this.#lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })
    this.#lines.on('line', (line) => this.#heard.push(line))
  }

  /** The server's greeting: the address that it sees. */
  async greeting(): Promise<string> {
    if (this.#heard.length === 0) await once(this.#lines, 'line', { signal: AbortSignal.timeout(30_000) })
    return this.#heard[0] as string
  }

  /** Whether a line comes back within a second. */
  async echoes(text: string): Promise<boolean> {
    this.#child.stdin?.write(`${text}\n`)
    const back = (): boolean => this.#heard.includes(text)
    const signal = AbortSignal.timeout(1_000)
    while (!back() && !signal.aborted) await once(this.#lines, 'line', { signal }).catch(() => undefined)
    return back()
  }

  get heard(): readonly string[] {
    return this.#heard
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    process.kill(-(this.#child.pid as number), 'SIGKILL')
    await once(this.#child, 'exit')
  }
}

test('a jetway is shut at first, and opens for whom the host’s operator names', async () => {
  await apply(h1, topology('net', '', machine))
  const { enabled, state, mode, ip, host } = await jetwayOf('net', 'out')
  assert.deepEqual([enabled, state, mode, ip, host], [false, 'shut', 'nat', '10.8.0.3/24', 'h2'])
  assert.equal(await reaches('net/a', serverAddress), false)
  refused(
    await h1.try(['jetway', 'on', 'net/out']),
    /allows its owner no jetway; .*on h2: violin jetway allow [0-9a-f]{64}/
  )
  refused(await h1.try(['jetway', 'on', 'net/door']), /violin jetway allow [0-9a-f]{64} --bridge br0 /)
  refused(await h2.try(['jetway', 'on', 'net/out']), /belongs to h1/)
  refused(await h1.try(['jetway', 'on', 'net/wrong']), /no jetway wrong; it has out, door, spare/)
  assert.deepEqual(await jetwayOf('net', 'out').then(({ enabled: wanted }) => wanted), false)
  await allow()
  refused(await h1.try(['jetway', 'on', 'net/out']), /passes nothing on \(wan0\); .*ip_forward=1/)
  succeeded(await h2.run(['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']))
  assert.equal(await traces(), clean)
})

test('by translation those inside reach the outside, but not the host nor its networks', async () => {
  await h1.violin('jetway', 'on', 'net/out')
  assert.equal((await jetwayOf('net', 'out')).state, 'open')
  for (const target of ['net/a', 'net/b', 'net/m']) {
    await inside(h1, target, 'ping', '-c', '2', '-W', '5', serverAddress)
    const flow = new Flow(h1, target)
    assert.equal(await flow.greeting(), `hello ${wan.host}`)
    assert.ok(await flow.echoes('there and back'))
    await flow.end()
  }
  for (const address of [wan.host, wan.gateway, h1.address, h2.address, '10.8.1.200', '169.254.169.254'])
    assert.equal(await reaches('net/a', address), false, address)
  const port = await exec(h1, 'net/a', 'nc', '-w', '1', h2.address, '4780')
  assert.notEqual(port.status, 0)
  // Nor does anybody outside reach in, though it knows the way.
  outside.ip('route', 'add', '10.8.0.0/24', 'via', wan.host)
  assert.notEqual((await outside.run(['ping', '-c', '1', '-W', '1', '10.8.0.1'])).status, 0)
  outside.ip('route', 'del', '10.8.0.0/24')
})

test('a network of the host that comes later is its own, too', async () => {
  succeeded(
    await h2.run([
      'sh',
      '-c',
      `ip link add own0 type bridge; ip link set own0 up; ip address add ${serverAddress}/32 dev own0; ip route add 203.0.113.0/24 dev own0`
    ])
  )
  await until(
    'its own',
    () => reaches('net/a', serverAddress),
    (answers) => !answers
  )
  succeeded(await h2.run(['ip', 'link', 'del', 'own0']))
  await until(
    'outside',
    () => reaches('net/a', serverAddress),
    (answers) => answers
  )
})

test('what the operator names of the host’s own is reached', async () => {
  await allow('--reach', `${h1.address}/32`, '--reach', 'host')
  await until(
    'the named',
    () => reaches('net/a', h1.address),
    (answers) => answers
  )
  await until(
    'the host',
    () => reaches('net/a', wan.host),
    (answers) => answers
  )
  await h2.violin('jetway', 'forbid', 'h1')
  await allow()
  await until(
    'no longer',
    () => reaches('net/a', wan.host),
    (answers) => !answers
  )
  await until(
    'open',
    () => reaches('net/a', serverAddress),
    (answers) => answers
  )
  assert.equal(await reaches('net/a', h1.address), false)
})

test('shut means shut: flows end, and nothing of it is left', async () => {
  const flow = new Flow(h1, 'net/a')
  assert.equal(await flow.greeting(), `hello ${wan.host}`)
  assert.ok(await flow.echoes('before'))
  await h1.violin('jetway', 'off', 'net/out')
  assert.equal(await traces(), clean)
  assert.equal(await flow.echoes('after'), false)
  assert.equal(await reaches('net/a', serverAddress), false)
  assert.equal((await jetwayOf('net', 'out')).state, 'shut')
  // A flow of before does not come back with the door.
  await h1.violin('jetway', 'on', 'net/out')
  await until(
    'open',
    () => reaches('net/a', serverAddress),
    (answers) => answers
  )
  await flow.end()
  await h2.violin('jetway', 'forbid', 'h1')
  await shut()
  await until(
    'refused',
    () => jetwayOf('net', 'out'),
    ({ state }) => state === 'refused'
  )
  assert.match(
    await allow('--reach', '192.0.2.99/32'),
    /may have jetways on this host; reach: 192\.0\.2\.99\/32$/m
  )
  // What was allowed before stays.
  assert.match(await allow('--bridge', 'br0'), /; bridges: br0; reach: 192\.0\.2\.99\/32$/m)
  await until(
    'open',
    () => jetwayOf('net', 'out'),
    ({ state }) => state === 'open'
  )
})

test('two VIOLINs with one address plan each have a jetway on one host, and do not mix', async () => {
  await apply(h1, topology('twin'))
  await h1.violin('jetway', 'on', 'twin/out')
  const flows = ['net/a', 'twin/a'].map((target) => new Flow(h1, target, '-p', '5555'))
  for (const [place, flow] of flows.entries()) {
    assert.equal(await flow.greeting(), `hello ${wan.host}`)
    assert.ok(await flow.echoes(`for ${place}`))
  }
  assert.deepEqual(
    flows.map(({ heard }) => heard.slice(1)),
    [['for 0'], ['for 1']]
  )
  await h1.violin('jetway', 'off', 'twin/out')
  assert.ok(await flows[0]?.echoes('still here'))
  assert.equal(await flows[1]?.echoes('not here'), false)
  for (const flow of flows) await flow.end()
  await remove(h1, 'twin')
})

test('nothing is left where the daemon, the keeper or the slice is killed, and each comes back', async () => {
  const open = (): Promise<boolean> =>
    until(
      'open',
      () => reaches('net/a', serverAddress),
      (answers) => answers
    )
  await open()
  await h2.killDaemon()
  await shut()
  assert.equal(
    await exec(h1, 'net/b', 'ping', '-c', '1', '-W', '1', serverAddress).then(({ status }) => status),
    1
  )
  await h2.startDaemon()
  await open()
  for (const { pid } of h2.processes()) {
    const id = isKeeper(pid) ? identify(pid) : null
    if (id !== null) kill(id, 'SIGKILL')
  }
  await until(
    'keepers',
    () => Promise.resolve(h2.processes().filter(({ pid }) => isKeeper(pid)).length),
    (n) => n === 0
  )
  await open()
  for (const { pid } of h2.processes()) {
    const id = argumentsOf(pid).some((word) => word.includes('/slice/main') || word.endsWith('slice.js'))
      ? identify(pid)
      : null
    if (id !== null) kill(id, 'SIGKILL')
  }
  await shut()
  await open()
  await h1.violin('jetway', 'off', 'net/out')
  assert.equal(await traces(), clean)
})

test('by a bridge the vLAN and the real network are one, without the host; a second one would make a loop', async () => {
  assert.equal(await reaches('net/b', '10.8.1.200'), false)
  await h1.violin('jetway', 'on', 'net/door')
  await inside(h1, 'net/b', 'ping', '-c', '2', '-W', '5', '10.8.1.200')
  const b = (await show(h1, 'net')).entities.find(({ name }) => name === 'b')?.nics[0]?.ips[0]?.split('/')[0]
  const back = await outside.run(['ping', '-c', '2', '-W', '5', b as string])
  assert.equal(back.status, 0)
  // The host has an address on that bridge.
  assert.equal(await reaches('net/b', '10.8.1.250'), false)
  refused(
    await h1.try(['jetway', 'on', 'net/spare']),
    /live bridge already, door: two would make a loop; .*jetway off net\/door/
  )
  await h1.violin('jetway', 'off', 'net/door')
  assert.equal(await traces(), clean)
  assert.equal(await reaches('net/b', '10.8.1.200'), false)
  await remove(h1, 'net')
  assert.equal(await traces(), clean)
})

test('a bridge that is deleted is told of, and joined again when it is made anew', async () => {
  outside.bridge(h2, 'br1', '10.8.3.200/24')
  const { stdout } = succeeded(await h2.run(['ip', '-oneline', 'link', 'show', 'master', 'br1']))
  const port = /^\d+: (\w+)@/.exec(stdout)?.[1] ?? assert.fail(stdout)
  await h2.violin('jetway', 'allow', 'h1', '--bridge', 'br1')
  await apply(
    h1,
    `
name: again
driver: netns
lans: { lan1: { subnet: 10.8.3.0/24 } }
hosts: { a: { lan: lan1, on: h1 } }
jetways: { door: { lan: lan1, on: h2, mode: bridge, bridge: br1, enabled: true } }
`
  )
  const state = (): Promise<ShowJetway> => jetwayOf('again', 'door')
  await inside(h1, 'again/a', 'ping', '-c', '2', '-W', '5', '10.8.3.200')
  succeeded(await h2.run(['ip', 'link', 'del', 'br1']))
  const gone = await until('told of', state, (now) => now.state === 'failed')
  assert.match(gone.reason, /this host has no bridge br1/)
  const script = `ip link add br1 type bridge; ip link set br1 up; ip link set ${port} master br1`
  succeeded(await h2.run(['sh', '-c', script]))
  await until('open', state, (now) => now.state === 'open')
  await inside(h1, 'again/a', 'ping', '-c', '2', '-W', '5', '10.8.3.200')
  // Between two looks nobody sees that it was away.
  succeeded(await h2.run(['sh', '-c', `ip link del br1; ${script}`]))
  await until(
    'through again',
    () => reaches('again/a', '10.8.3.200'),
    (answers) => answers
  )
  const told = await h2.violin('events', 'again')
  assert.match(told, /nothing passes by door: this host has no bridge br1[\s\S]*door is open again/)
  await remove(h1, 'again')
  succeeded(await h2.run(['sh', '-c', `ip link del br1; ip link del ${port}`]))
  assert.equal(await traces(), clean)
})

/** What only the router outside knows the way to. */
const beyond = '198.51.100.1'
/** Adjacencies, and what follows from them, on a busy machine. */
const convergedMs = 60_000

test('a router outside and one inside tell each other their ways through a bridge, and lose them when it shuts', async (t) => {
  await giveRouterImage(h1.folder)
  const { folder, hash } = await routerImage()
  outside.ip('address', 'add', `${beyond}/32`, 'dev', 'lo')
  const spoken = ['ip ospf hello-interval 1', 'ip ospf dead-interval 4', 'ip ospf area 0']
  const blocks = [
    ['router ospf', 'ospf router-id 198.51.100.1'],
    ['interface lan1', ...spoken],
    ['interface lo', 'ip ospf area 0']
  ].map(([head, ...lines]) => `${head}\n ${lines.join('\n ')}\nexit\n`)
  await outside.router(join(folder, 'images', hash, 'root'), ['zebra', 'ospfd'], blocks.join(''))
  await apply(
    h1,
    `
name: spoken
driver: netns
lans: { inner: { subnet: 10.8.0.0/24 }, lan2: { subnet: 10.8.1.0/24 } }
hosts: { a: { lan: inner, on: h1 } }
routers: { r: { nics: [{ lan: inner }, { lan: lan2 }], on: h1, routing: ospf } }
jetways: { door: { lan: lan2, on: h2, mode: bridge, bridge: br0 } }
`
  )
  const waysOutside = async (): Promise<string> =>
    (await outside.run(['ip', 'route', 'show', 'proto', 'ospf'])).stdout
  const waysInside = (): Promise<string> => inside(h1, 'spoken/r', 'ip', 'route', 'show', 'proto', 'ospf')
  const both = async (): Promise<[string, string]> => [await waysOutside(), await waysInside()]
  assert.deepEqual(await both(), ['', ''])
  await h1.violin('jetway', 'on', 'spoken/door')
  await until(
    'the ways of each other',
    both,
    ([out, own]) => /^10\.8\.0\.0\/24 .*via 10\.8\.1\.1 /m.test(out) && own.includes(beyond),
    convergedMs
  )
  await inside(h1, 'spoken/a', 'ping', '-c', '2', '-W', '5', beyond)
  await h1.violin('jetway', 'off', 'spoken/door')
  const shutAt = performance.now()
  await until('no ways of each other', both, (ways) => ways.join('') === '', convergedMs)
  t.diagnostic(`lost ${Math.round(performance.now() - shutAt)} ms after it shut`)
  await remove(h1, 'spoken')
  assert.equal(await traces(), clean)
})

for (const routing of ['ospf', 'rip', 'isis', 'bgp'] as const)
  test(`by ${routing} those behind two routers are told of the open jetway, while they run`, async () => {
    await apply(
      h1,
      `
name: far
defaults: { driver: netns, routing: ${routing} }
lans: { near: { subnet: 10.8.0.0/24 }, between: { subnet: 10.8.1.0/24 }, far: { subnet: 10.8.2.0/24 } }
hosts: { x: { lan: far, on: h1 } }
routers:
  r: { nics: [{ lan: near }, { lan: between }], on: h1 }
  s: { nics: [{ lan: between }, { lan: far }], on: h1 }
jetways:
  unused: { lan: between, on: h2, mode: nat }
  out: { lan: near, on: h2, mode: nat, enabled: true }
`
    )
    const outsideIsReached = (): Promise<unknown> =>
      until(
        'outside',
        () => reaches('far/x', serverAddress),
        (answers) => answers,
        convergedMs
      )
    const wayOut = (): Promise<string> => inside(h1, 'far/s', 'ip', 'route', 'show', 'default')
    await outsideIsReached()
    assert.match(await wayOut(), /^default .*via 10\.8\.1\.\d+ .*proto /)
    const daemons = (): Promise<string> => inside(h1, 'far/r', 'pidof', 'zebra')
    const first = await daemons()
    await h1.violin('jetway', 'off', 'far/out')
    await until('no way out', wayOut, (way) => way === '', convergedMs)
    await h1.violin('jetway', 'on', 'far/out')
    await outsideIsReached()
    assert.equal(await daemons(), first)
    await remove(h1, 'far')
    assert.equal(await traces(), clean)
  })

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ViolinError } from '#core/errors.ts'
import type { HostId, ViolinId } from '#core/ids.ts'
import { buildTiny } from '#images/tiny.ts'
import { encodeSessionFrame, SessionDecoder, sessionFrame } from '#core/session.ts'
import { ownProgram, type SliceProgram } from '#daemon/slices/jail.ts'
import { identify, waitGone } from '#daemon/slices/process.ts'
import type { SliceTold } from '#daemon/slices/connection.ts'
import type { Slice } from '#daemon/slices/slice.ts'
import { Slices, type SlicesEvent } from '#daemon/slices/slices.ts'
import type { EntityStatus, SliceEntity, SliceWish, TrunkHalf } from '#slice/contract.ts'
import { specEntity } from '../core/topologies.ts'

const root = process.getuid?.() === 0
const tools = ['/usr/bin/bwrap', '/usr/bin/busybox'].every((path) => existsSync(path))
const jails = tools && spawnSync('bwrap', ['--unshare-all', '--ro-bind', '/', '/', '/bin/true']).status === 0
const needs = {
  jails: { skip: jails ? false : 'needs bubblewrap and busybox', timeout: 60_000 },
  root: {
    skip: root && jails && existsSync('/dev/net/tun') ? false : 'needs root, /dev/net/tun and bubblewrap',
    timeout: 90_000
  }
}
const uml = {
  skip: existsSync('/usr/bin/linux.uml') ? needs.root.skip : 'needs linux.uml',
  timeout: 180_000
}
const self = '12D3KooWSelf' as HostId
const peer = '12D3KooWPeer' as HostId
const first = 'a1'.repeat(32) as ViolinId
const second = 'b2'.repeat(32) as ViolinId

/** A daemon's part of this: a folder, its slices, and what they told. */
class Host {
  readonly folder: string
  readonly id: HostId
  readonly events: SlicesEvent[] = []
  slices: Slices
  readonly #program: SliceProgram | undefined
  #generation = 0
  readonly #waiting = new Set<() => void>()

  constructor(folder: string, id: HostId, program?: SliceProgram) {
    this.folder = folder
    this.id = id
    this.#program = program
    this.slices = this.#make()
  }

  static async make(context: TestContext, id = self, program?: SliceProgram): Promise<Host> {
    const host = new Host(await mkdtemp(join(tmpdir(), 'vs-')), id, program)
    context.after(async () => {
      await host.restart()
      for (const { violin } of host.slices.all()) await host.slices.remove(violin)
      host.slices.close()
      await rm(host.folder, { recursive: true, force: true })
    })
    return host
  }

  /** As a daemon that was killed and started again. */
  async restart(): Promise<readonly Slice[]> {
    this.slices.close()
    this.slices = this.#make()
    return this.slices.adopt()
  }

  async until(what: string, done: () => boolean, despiteFailure = false): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    const look = (): void => {
      const last = this.events.at(-1)
      const failed =
        last?.kind === 'slice' && last.event.kind === 'entity' && last.event.entity.state === 'failed'
      if (done()) resolve(undefined)
      else if (failed && !despiteFailure) reject(new Error(`instead of ${what}: ${JSON.stringify(last)}`))
    }
    const timer = setTimeout(
      () => reject(new Error(`${what} did not come: ${JSON.stringify(this.events.slice(-3))}`)),
      30_000
    )
    this.#waiting.add(look)
    look()
    await promise.finally(() => {
      clearTimeout(timer)
      this.#waiting.delete(look)
    })
  }

  /** The last that was told of an entity. */
  entity(name: string): EntityStatus | undefined {
    return this.events
      .flatMap((told) => (told.kind === 'slice' && told.event.kind === 'entity' ? [told.event.entity] : []))
      .findLast((status) => status.name === name)
  }

  #make(): Slices {
    return new Slices({
      folder: join(this.folder, 'slices'),
      self: this.id,
      ports: { first: 24_790, last: 24_889 },
      images: join(this.folder, 'images'),
      generation: ++this.#generation,
      ...(this.#program === undefined ? {} : { program: this.#program }),
      log: () => undefined,
      onEvent: (event) => {
        this.events.push(event)
        for (const look of this.#waiting) look()
      }
    })
  }
}

function entity(name: string, number: number, more: Partial<SliceEntity> = {}): SliceEntity {
  const nics = [{ name: 'eth0', lan: 'lan1', ips: [`192.168.5.${number}/24`] }]
  return { ...specEntity(name, { memoryMiB: 32, nics, hosts: [self] }), claim: 1, ...more }
}

function wish(version: number, entities: readonly SliceEntity[]): SliceWish {
  const lans = [{ name: 'lan1', subnet: '192.168.5.0/24', hosts: [self] }]
  const names = entities.map(({ name }, index) => ({ name, ip: `192.168.5.${index + 1}` }))
  return { name: 'demo', version, lans, entities, names, peers: [] }
}

interface Result {
  readonly stdout: string
  readonly stderr: string
  readonly status: number
}

/** Runs a program in an entity to its end. */
async function exec(slice: Slice, name: string, argv: readonly string[], input = ''): Promise<Result> {
  const stream = await slice.session({ violin: slice.violin, entity: name, argv })
  if (input !== '') stream.write(encodeSessionFrame(sessionFrame.stdin, Buffer.from(input)))
  stream.write(encodeSessionFrame(sessionFrame.stdinEnd, new Uint8Array(0)))
  const decoder = new SessionDecoder()
  let stdout = ''
  let stderr = ''
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    for (const { type, payload } of decoder.push(chunk)) {
      if (type === sessionFrame.stdout) stdout += Buffer.from(payload).toString()
      if (type === sessionFrame.stderr) stderr += Buffer.from(payload).toString()
      if (type === sessionFrame.exit) return { stdout, stderr, status: Buffer.from(payload).readInt32BE(0) }
      if (type === sessionFrame.failed) throw new Error(Buffer.from(payload).toString())
    }
  }
  throw new Error('the session ended without a status')
}

test(
  'two namespace entities on one vLAN reach each other, by name too, and leave nothing',
  needs.root,
  async (context) => {
    const host = await Host.make(context)
    const slice = await host.slices.ensure(first)
    const data = Buffer.from('a file')
    const files = [{ path: '/srv/note', mode: 0o640, data }]
    const run = 'echo "$COLOUR" > /tmp/colour'
    const entities = [entity('a', 1, { files, run, env: { COLOUR: 'green' } }), entity('b', 2)]
    await slice.call('configure', wish(1, entities))
    await host.until('both run', () => ['a', 'b'].every((name) => host.entity(name)?.state === 'running'))
    await host.until('a switch', () =>
      host.events.some(
        (told) => told.kind === 'slice' && told.event.kind === 'switch' && told.event.status.active === self
      )
    )
    const ping = await exec(slice, 'a', ['ping', '-c', '3', '-W', '5', 'b'])
    assert.equal(ping.status, 0, ping.stdout + ping.stderr)
    const files1 = await exec(slice, 'a', [
      'sh',
      '-c',
      'cat /srv/note /tmp/colour; stat -c %a /srv/note; echo $COLOUR'
    ])
    assert.equal(files1.stdout, 'a filegreen\n640\ngreen\n')
    const apart = await exec(slice, 'b', ['sh', '-c', 'cat; echo oops >&2; exit 7'], 'typed')
    assert.deepEqual(apart, { stdout: 'typed', stderr: 'oops\n', status: 7 })
    const { entities: told, switches } = await slice.call('status', {})
    assert.deepEqual(
      told.map(({ name, state, nics }) => [name, state, nics[0]?.up]),
      [
        ['a', 'running', true],
        ['b', 'running', true]
      ]
    )
    assert.equal(switches[0]?.active, self)
    const { pid, user } = slice
    await host.slices.remove(first)
    assert.equal(identify(pid), null)
    assert.deepEqual(await readdir(join(host.folder, 'slices')), [])
    assert.deepEqual(await processesOf(user as number), [])
  }
)

test('a slice outlives its daemon, and the next one has it again', needs.root, async (context) => {
  const host = await Host.make(context)
  const { pid } = await host.slices.ensure(first)
  await host.slices.get(first)?.call('configure', wish(4, [entity('a', 1)]))
  await host.until('a runs', () => host.entity('a')?.state === 'running')
  const adopted = await host.restart()
  assert.deepEqual(
    adopted.map((slice) => [slice.violin, slice.pid, slice.hello.version, slice.hello.entities[0]?.state]),
    [[first, pid, 4, 'running']]
  )
  // TAPs come from the new daemon.
  await adopted[0]?.call('configure', wish(5, [entity('a', 1), entity('b', 2)]))
  await host.until('b runs', () => host.entity('b')?.state === 'running')
  assert.equal(host.slices.get(first)?.pid, pid)
})

test('a daemon that is killed leaves its slices running', needs.root, async (context) => {
  const host = await Host.make(context)
  const program = fileURLToPath(new URL('./slices-killed.ts', import.meta.url))
  // It kills itself once its slice serves.
  const killed = spawnSync(process.execPath, [program, join(host.folder, 'slices')], { encoding: 'utf8' })
  assert.equal(killed.signal, 'SIGKILL', killed.stderr)
  const adopted = await host.restart()
  assert.deepEqual(
    adopted.map(({ violin, pid }) => [violin, String(pid)]),
    [['c3'.repeat(32), killed.stdout]]
  )
})

test(
  'a router passes frames between two vLANs, and a changed wish changes what runs',
  needs.root,
  async (context) => {
    const host = await Host.make(context)
    const slice = await host.slices.ensure(first)
    const routes = (via: string): Partial<SliceEntity> => ({ routes: [{ to: 'default', via }] })
    const far = { nics: [{ name: 'eth0', lan: 'lan2', ips: ['192.168.6.1/24'] }], ...routes('192.168.6.254') }
    const router: Partial<SliceEntity> = {
      kind: 'router',
      nics: [
        { name: 'eth0', lan: 'lan1', ips: ['192.168.5.254/24'] },
        { name: 'eth1', lan: 'lan2', ips: ['192.168.6.254/24'] }
      ]
    }
    const entities = [entity('a', 1, routes('192.168.5.254')), entity('r', 254, router), entity('b', 1, far)]
    const both = wish(1, entities)
    const lans = [...both.lans, { name: 'lan2', subnet: '192.168.6.0/24', hosts: [self] }]
    await slice.call('configure', { ...both, lans })
    await host.until('all run', () => ['a', 'r', 'b'].every((name) => host.entity(name)?.state === 'running'))
    const ping = await exec(slice, 'a', ['ping', '-c', '2', '-W', '10', '192.168.6.1'])
    assert.match(ping.stdout, /ttl=63/)
    await exec(slice, 'a', ['touch', '/tmp/kept'])
    // Another order of hosts is nothing to a machine; other names are, but not enough to start it again.
    const again = entities.slice(0, 2).map((old) => ({ ...old, hosts: [...old.hosts, 'other' as HostId] }))
    await slice.call('configure', {
      ...both,
      lans,
      version: 2,
      entities: again,
      names: [{ name: 'n', ip: '192.168.5.9' }]
    })
    await host.until(
      'b stops',
      () => host.entity('b')?.state === 'stopped' && host.entity('b')?.reason === ''
    )
    const kept = await exec(slice, 'a', [
      'sh',
      '-c',
      'ls /tmp; until grep -q 192.168.5.9 /etc/hosts; do usleep 10000; done'
    ])
    assert.equal(kept.stdout, 'kept\n')
    await slice.call('configure', {
      ...both,
      lans,
      version: 3,
      entities: [entity('a', 7, { env: { A: 'b' } })]
    })
    await host.until('a is another', () => host.entity('a')?.state === 'booting')
    await host.until('a runs again', () => host.entity('a')?.state === 'running')
    const fresh = await exec(slice, 'a', ['sh', '-c', 'ls /tmp; ip -4 -o addr show eth0'])
    assert.match(fresh.stdout, /^\d+: eth0 +inet 192\.168\.5\.7\/24/)
  }
)

test(
  'entities on two hosts reach each other through a trunk that their daemons agreed',
  needs.root,
  async (context) => {
    const [left, right] = [await Host.make(context, self), await Host.make(context, peer)]
    const [one, other] = [await left.slices.ensure(first), await right.slices.ensure(first)]
    const lans = [{ name: 'lan1', subnet: '192.168.5.0/24', hosts: [peer, self] }]
    const part = { name: 'demo', version: 1, lans, names: [] }
    await one.call('configure', { ...part, entities: [entity('a', 1)], peers: [peer] })
    await other.call('configure', { ...part, entities: [entity('b', 2)], peers: [self] })
    const { half, otherHalf } = await joinTrunk(left, one, other)
    await left.until('a runs', () => left.entity('a')?.state === 'running')
    await right.until('b runs', () => right.entity('b')?.state === 'running')
    const ping = await exec(one, 'a', ['sh', '-c', 'until ping -c 1 -W 1 192.168.5.2; do :; done'])
    assert.equal(ping.status, 0)
    await assert.rejects(
      one.call('trunkJoin', { peer, ownIndex: half.index, half: otherHalf, authUntilMs: 1_000 }),
      {
        code: 'refused'
      }
    )
    const { trunks, switches } = await one.call('status', {})
    assert.ok(trunks[0]?.peer === peer && trunks[0].up && trunks[0].rxFrames > 0)
    const active = switches[0]?.active as HostId
    assert.ok([self, peer].includes(active))
    // The active alone hands over, and then the other is it.
    const [from, to] = active === self ? [one, peer] : [other, self]
    await assert.rejects((from === one ? other : one).call('handoff', { lan: 'lan1', to: active }), {
      code: 'refused'
    })
    const term = switches[0]?.term ?? 0
    const moved = await from.call('handoff', { lan: 'lan1', to })
    assert.ok(moved.active === to && moved.term > term)
  }
)

/** Agrees a trunk between the slices of `self` (left) and `peer`, as their daemons would. */
async function joinTrunk(
  left: Host,
  one: Slice,
  other: Slice
): Promise<{ readonly half: TrunkHalf; readonly otherHalf: TrunkHalf }> {
  const told = (look: (event: SliceTold) => boolean): boolean =>
    left.events.some((event) => event.kind === 'slice' && look(event.event))
  await left.until('a wish for a trunk', () =>
    told((event) => event.kind === 'trunk-wanted' && event.peer === peer)
  )
  const half = await one.call('trunkOffer', { peer })
  const otherHalf = await other.call('trunkOffer', { peer: self })
  const authUntilMs = 3_600_000
  await one.call('trunkJoin', { peer, ownIndex: half.index, half: otherHalf, authUntilMs })
  await other.call('trunkJoin', { peer: self, ownIndex: otherHalf.index, half, authUntilMs })
  await left.until('the trunk', () => told((event) => event.kind === 'trunk' && event.up))
  return { half, otherHalf }
}

test(
  'of one entity on two hosts the port of the lower claim is shut, and opened again by a higher one',
  needs.root,
  async (context) => {
    const [left, right] = [await Host.make(context, self), await Host.make(context, peer)]
    const [one, other] = [await left.slices.ensure(first), await right.slices.ensure(first)]
    const hosts = [self, peer]
    const ports = [
      { entity: 'a', nic: 'eth0', hosts },
      { entity: 'b', nic: 'eth0', hosts: [peer] }
    ]
    const lans = [{ name: 'lan1', subnet: '192.168.5.0/24', hosts, ports }]
    const wishOf = (version: number, entities: SliceEntity[], peers: HostId[]): SliceWish => ({
      name: 'demo',
      version,
      lans,
      names: [],
      entities,
      peers
    })
    const a = (claim: number): SliceEntity => entity('a', 1, { claim })
    await one.call('configure', wishOf(1, [a(1)], [peer]))
    await other.call('configure', wishOf(1, [a(2), entity('b', 2)], [self]))
    await right.until('both run', () => ['a', 'b'].every((name) => right.entity(name)?.state === 'running'))
    await left.until('a runs there, too', () => left.entity('a')?.state === 'running')
    await joinTrunk(left, one, other)
    await left.until('its port is shut', () => left.entity('a')?.superseded?.by === peer)
    assert.deepEqual(left.entity('a')?.superseded, { claim: 2, by: peer })
    assert.equal(right.entity('a')?.superseded, null)
    const once = ['ping', '-c', '1', '-W', '1', '192.168.5.2']
    const reach = ['sh', '-c', `until ${once.join(' ')}; do :; done`]
    assert.equal((await exec(other, 'a', reach)).status, 0)
    assert.notEqual((await exec(one, 'a', once)).status, 0)
    await one.call('configure', wishOf(2, [a(3)], [peer]))
    await right.until('the other is shut', () => right.entity('a')?.superseded?.claim === 3)
    assert.equal((await exec(one, 'a', reach)).status, 0)
    assert.notEqual((await exec(other, 'a', once)).status, 0)
  }
)

test('a virtual machine and a namespace reach each other on one vLAN', uml, async (context) => {
  const host = await Host.make(context)
  await buildTiny(join(host.folder, 'images', 'tiny'))
  const slice = await host.slices.ensure(first)
  const vm = entity('vm', 2, {
    driver: 'uml',
    memoryMiB: 64,
    run: 'echo "$COLOUR" > /tmp/colour',
    env: { COLOUR: 'blue' }
  })
  await slice.call('configure', wish(1, [entity('a', 1), vm]))
  await host.until('both run', () => ['a', 'vm'].every((name) => host.entity(name)?.state === 'running'))
  const ping = ['sh', '-c', 'until ping -c 1 -W 1 "$0"; do :; done']
  assert.equal((await exec(slice, 'a', [...ping, 'vm'])).status, 0)
  assert.equal((await exec(slice, 'vm', [...ping, 'a'])).status, 0)
  const apart = await exec(slice, 'vm', ['sh', '-c', 'cat /tmp/colour -; echo oops >&2; exit 7'], 'typed')
  assert.deepEqual(apart, { stdout: 'blue\ntyped', stderr: 'oops\n', status: 7 })
  const { user } = slice
  await host.slices.remove(first)
  assert.deepEqual(await processesOf(user as number), [])
})

test('an entity that dies after it ran is started again, by itself', needs.root, async (context) => {
  const host = await Host.make(context)
  const slice = await host.slices.ensure(first)
  await slice.call('configure', wish(1, [entity('a', 1)]))
  await host.until('a runs', () => host.entity('a')?.state === 'running')
  const told = host.events.length
  for (const pid of await processesOf(slice.user as number))
    if ((await readFile(`/proc/${pid}/comm`, 'utf8')) === 'cat\n') process.kill(Number(pid), 'SIGKILL')
  const since = (): EntityStatus[] =>
    host.events
      .slice(told)
      .flatMap((event) =>
        event.kind === 'slice' && event.event.kind === 'entity' ? [event.event.entity] : []
      )
  await host.until('its end and its new life', () => since().at(-1)?.state === 'running', true)
  assert.match(
    since().find(({ state }) => state === 'failed')?.reason ?? '',
    /its namespaces ended \(it is started again soon\)/
  )
  assert.equal((await exec(slice, 'a', ['hostname'])).stdout, 'a\n')
})

test(
  'a forwarding worker that throws is replaced over the same TAPs, and nothing else stops',
  needs.root,
  async (context) => {
    const own = ownProgram()
    const crashing = { ...own, parts: [...own.parts, 'test/slice'], main: 'test/slice/crashing-slice.ts' }
    const host = await Host.make(context, self, crashing)
    const slice = await host.slices.ensure(first)
    const spare = { name: 'spare', subnet: '192.168.6.0/24', hosts: [self] }
    const both = wish(1, [entity('a', 1), entity('b', 2)])
    await slice.call('configure', { ...both, lans: [...both.lans, spare], peers: [peer] })
    await host.until('both run', () => ['a', 'b'].every((name) => host.entity(name)?.state === 'running'))
    const reach = ['sh', '-c', 'until ping -c 1 -W 1 b; do :; done']
    assert.equal((await exec(slice, 'a', reach)).status, 0)
    const wishes = (): number =>
      host.events.filter((told) => told.kind === 'slice' && told.event.kind === 'trunk-wanted').length
    const before = wishes()
    await slice.call('configure', { ...both, peers: [peer] })
    // The sessions of the old worker are gone.
    await host.until('a wish for a trunk', () => wishes() > before)
    assert.equal((await exec(slice, 'a', reach)).status, 0)
    const { entities, memoryBytes } = await slice.call('status', {})
    assert.deepEqual(
      entities.map(({ state }) => state),
      ['running', 'running']
    )
    assert.ok(memoryBytes > 1_000_000)
    const log = await readFile(join(host.folder, 'slices', first.slice(0, 16), 'slice.log'), 'utf8')
    assert.match(log, /forwarding worker replaced/)
  }
)

test('an ordinary user has slices too, but no TAPs', needs.jails, async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'vu-'))
  context.after(() => rm(folder, { recursive: true, force: true }))
  const script = fileURLToPath(new URL('./slices-user.ts', import.meta.url))
  let command = [process.execPath, script, folder]
  if (root) {
    const nobody = ['--reuid', '65534', '--regid', '65534', '--clear-groups']
    // A checkout in root's home is closed to others.
    if (spawnSync('setpriv', [...nobody, 'test', '-r', script]).status !== 0)
      return context.skip('not readable')
    await chown(folder, 65_534, 65_534)
    command = ['setpriv', ...nobody, ...command]
  }
  const { stdout, stderr } = spawnSync(command[0] as string, command.slice(1), { encoding: 'utf8' })
  assert.notEqual(stdout, '', stderr)
  const { user, reason } = JSON.parse(stdout) as { user: number | null; reason: string }
  assert.equal(user, null)
  assert.match(reason, /root/)
  assert.deepEqual(await readdir(join(folder, 'slices')), [])
})

test('a slice sees neither the identity of its host nor another slice', needs.root, async (context) => {
  const host = await Host.make(context)
  await mkdir(join(host.folder, 'identity'))
  const key = join(host.folder, 'identity', 'host.key')
  await writeFile(key, 'secret', { mode: 0o644 })
  const [one, other] = [await host.slices.ensure(first), await host.slices.ensure(second)]
  assert.notEqual(one.user, other.user)
  const at = (slice: Slice, path: string): string => join(`/proc/${slice.pid}/root`, path)
  assert.ok(existsSync(at(one, '/slice/control.sock')))
  for (const path of [key, join(host.folder, 'slices'), host.folder, '/root', '/etc/shadow', '/home'])
    assert.ok(!existsSync(at(one, path)), path)
  const status = await readFile(`/proc/${await childOf(one.pid)}/status`, 'utf8')
  assert.match(status, new RegExp(`^Uid:\\s+${one.user}\\s+${one.user}\\s+${one.user}\\s+${one.user}$`, 'm'))
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    assert.match(status, new RegExp(`^${set}:\\s+0+$`, 'm'))
  // As the slice's user, on the host's own file system.
  const tried = spawnSync('setpriv', [
    '--reuid',
    String(one.user),
    '--regid',
    String(one.user),
    '--clear-groups',
    'ls',
    join(host.folder, 'slices', second.slice(0, 16))
  ])
  assert.notEqual(tried.status, 0)
})

test('a slice that dies is told of, and started again it is another process', needs.root, async (context) => {
  const host = await Host.make(context)
  const slice = await host.slices.ensure(first)
  await slice.call('configure', wish(1, [entity('a', 1)]))
  await host.until('a runs', () => host.entity('a')?.state === 'running')
  process.kill(slice.pid, 'SIGKILL')
  await host.until('its end', () => host.events.some(({ kind }) => kind === 'died'))
  assert.deepEqual(await processesOf(slice.user as number), [])
  const again = await host.slices.ensure(first)
  assert.notEqual(again.pid, slice.pid)
  assert.equal(again.hello.version, 0)
})

test('a slice whose folder is gone ends by itself', needs.jails, async (context) => {
  const host = await Host.make(context)
  const slice = await host.slices.ensure(first)
  const id = identify(slice.pid)
  await rm(join(host.folder, 'slices', first.slice(0, 16)), { recursive: true })
  await host.until('its end', () => host.events.some(({ kind }) => kind === 'died'))
  assert.ok(id !== null && (await waitGone(id, 20_000)))
})

test('a daemon of a lower generation is refused', needs.jails, async (context) => {
  const host = await Host.make(context)
  await host.slices.ensure(first)
  const old = new Slices({
    folder: join(host.folder, 'slices'),
    self,
    ports: { first: 24_790, last: 24_889 },
    images: '',
    generation: 0,
    log: () => undefined,
    onEvent: () => undefined
  })
  assert.deepEqual(await old.adopt(), [])
  old.close()
  assert.equal((await host.slices.get(first)?.call('status', {}))?.version, 0)
})

test('an entity that does not run cannot be entered', needs.jails, async (context) => {
  const host = await Host.make(context)
  const slice = await host.slices.ensure(first)
  await assert.rejects(
    slice.session({ violin: first, entity: 'nobody', argv: [] }),
    (error) => error instanceof ViolinError && error.code === 'not-running-here'
  )
})

async function childOf(pid: number): Promise<number> {
  return Number((await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ')[0])
}

async function processesOf(user: number): Promise<string[]> {
  const found = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const status = await readFile(`/proc/${name}/status`, 'utf8').catch(() => '')
    // Dead, and not yet reaped by this machine's init.
    if (/^State:\s+Z/m.test(status)) continue
    if (Number(/^Uid:\s+(\d+)/m.exec(status)?.[1]) === user) found.push(name)
  }
  return found
}

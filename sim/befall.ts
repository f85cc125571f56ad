/** What each fault does to a world, and what ends it. */
import type { Chain } from '#core/admission/chain.ts'
import { type Fault, describeFault } from './faults.ts'
import type { Host } from './host.ts'
import { lie } from './liars.ts'
import type { World } from './world.ts'

/** Stalls of at most this length are weather. */
export const weatherStallMs = 300

type StallingPart = 'worker' | 'main' | 'daemon'
export const allParts: readonly StallingPart[] = ['worker', 'main', 'daemon']

/** Lets a fault happen now, and end when its time is over. */
export function befall(world: World, fault: Fault): void {
  world.log(describeFault(fault))
  world.see({ kind: 'fault', fault, began: true })
  const end = begin(world, fault)
  if (end === null) return
  world.clock.after('forMs' in fault ? fault.forMs : 0, () => {
    end()
    world.log(`over: ${describeFault(fault)}`)
    world.see({ kind: 'fault', fault, began: false })
  })
}

/** Gives what ends it; null: it is over, or could not begin. */
function begin(world: World, fault: Fault): (() => void) | null {
  switch (fault.kind) {
    case 'kill':
    case 'power':
      return fell(world, world.resolve(fault.host), fault.kind === 'kill' ? 'dead' : 'off')
    case 'suspend':
      return suspend(world, world.resolve(fault.host), fault.forMs)
    case 'stall':
      return stallParts(world, world.resolve(fault.host), fault)
    case 'churn':
      return churn(world, fault)
    case 'cut':
      return cut(world, fault)
    case 'partition': {
      const groups = new Int16Array(world.hosts.length)
      for (const place of fault.hosts) groups[place] = 1
      return whileChanged(world, world.network.partition(groups))
    }
    case 'nat':
      return whileChanged(world, world.network.nat(fault.hosts))
    case 'skew': {
      const host = world.host(fault.host)
      host.clockAheadMs += fault.byMs
      return () => void (host.clockAheadMs -= fault.byMs)
    }
    case 'disk-full': {
      const { disk } = world.host(fault.host).records
      disk.fill()
      return () => disk.free()
    }
    case 'disk-lost':
      return fell(world, world.host(fault.host), 'dead', (host) => host.records.restore([]))
    case 'backup': {
      const host = world.host(fault.host)
      const saved = host.records.backup()
      return () => {
        const rise = fell(world, host, 'dead')
        host.records.restore(saved)
        rise?.()
      }
    }
    case 'handoff':
      handoff(world, fault.to)
      return null
    case 'no-gossip':
      return world.silence()
    case 'publish': {
      const host = world.host(fault.host)
      if (host.running) host.daemon.do('command', () => host.records.publish())
      return null
    }
    case 'change': {
      const owner = fault.by === undefined ? world.violin(fault.violin).owner : world.host(fault.by)
      const hosts = fault.hosts.map((place) => world.host(place).id)
      if (owner.running) owner.daemon.do('command', () => owner.records.owner.change(fault.violin, hosts))
      return null
    }
    case 'migrate': {
      const { owner } = world.violin(fault.violin)
      if (owner.running)
        owner.daemon.do('command', () =>
          owner.records.owner.migrate(fault.violin, fault.entity, world.host(fault.to))
        )
      return null
    }
    case 'stop':
      return stop(world, fault)
    case 'drain':
      return drain(world, world.resolve(fault.host))
    case 'join': {
      const host = world.host(fault.host)
      const token = world.tokens[fault.invite]
      if (token !== undefined && host.records.chain === null) host.records.joining.join(token, fault.via)
      return null
    }
    case 'revoke':
      shutOut(world, world.host(fault.host).records.chain)
      return null
    case 'refuse':
      shutOut(world, world.violin(fault.violin).owner.records.owner.chain)
      return null
    case 'lie':
      lie(world, world.host(fault.host), fault.lie)
      return null
  }
}

/** The ways between hosts are others now, and again when it ends. */
function whileChanged(world: World, end: () => void): () => void {
  world.changed(null)
  return () => {
    end()
    world.changed(null)
  }
}

/** A host's processes end; what is given starts them again. `lost` runs in between. */
function fell(
  world: World,
  host: Host | null,
  presence: 'dead' | 'off',
  lost: (host: Host) => void = () => {}
): (() => void) | null {
  if (host?.running !== true) return null
  host.end(presence)
  world.log(presence === 'dead' ? 'dies' : 'loses its power', host.place)
  lost(host)
  for (const trunk of world.trunksOf(host)) trunk.ended(host)
  world.changed(host)
  return () => {
    world.log('starts', host.place)
    host.start()
    world.changed(host)
  }
}

/** How often somebody asks a daemon again that did not do what it was asked. */
const askAgainMs = 1_000

function stop(world: World, { violin, entity }: Extract<Fault, { kind: 'stop' }>): (() => void) | null {
  const { owner } = world.violin(violin)
  if (!owner.running) return null
  const turn = (on: boolean): void =>
    owner.daemon.do('command', () => owner.records.owner.power(violin, entity, on))
  turn(false)
  return untilDone(
    world,
    () => owner.running && turn(true),
    () => !owner.records.owner.isStopped(violin, entity)
  )
}

function drain(world: World, host: Host | null): (() => void) | null {
  if (host?.running !== true || host.records.chain === null) return null
  const turn = (on: boolean): void => host.daemon.do('command', () => host.records.drain(on))
  turn(true)
  return untilDone(
    world,
    () => host.running && turn(false),
    () => !host.records.draining
  )
}

/** Asks, and asks again as long as it is not done: a daemon that died meanwhile forgot it. */
function untilDone(world: World, ask: () => void, isDone: () => boolean): () => void {
  const turn = (): void => {
    ask()
    world.clock.after(askAgainMs, () => isDone() || turn())
  }
  return turn
}

function suspend(world: World, host: Host | null, forMs: number): (() => void) | null {
  if (host?.presence !== 'running') return null
  const { life } = host
  host.presence = 'suspended'
  // Before the threads wake: what they send first shall come through.
  world.clock.after(forMs, () => {
    if (host.life === life && host.presence === 'suspended') host.presence = 'running'
  })
  stall(world, host, allParts, forMs)
  world.changed(host)
  return () => world.changed(host)
}

function stallParts(
  world: World,
  host: Host | null,
  fault: Extract<Fault, { kind: 'stall' }>
): (() => void) | null {
  if (host?.running !== true) return null
  stall(world, host, fault.part === 'all' ? allParts : [fault.part], fault.forMs)
  return () => {}
}

/** Some threads of a host do not run for a while. */
export function stall(world: World, host: Host, parts: readonly StallingPart[], forMs: number): void {
  const what = parts.length === 1 ? `${parts[0]} stalls` : 'stalls'
  // Weather would push all else out of what is kept.
  if (world.drawn || forMs > weatherStallMs) world.log(`${what} for ${Math.round(forMs)} ms`, host.place)
  for (const part of parts) stallOne(world, host, part, forMs)
}

function stallOne(world: World, host: Host, part: StallingPart, forMs: number): void {
  host[part].stall(forMs, (stalledMs, readWaiting) => {
    if (part === 'worker') host.slice.resumed(stalledMs, readWaiting)
    else readWaiting()
    // One that began in another is as long as both.
    if (stalledMs > weatherStallMs) world.changed(host)
  })
  if (forMs <= weatherStallMs) return
  world.changed(host)
  world.clock.after(Math.min(forMs, 2 * weatherStallMs), () => world.changed(host))
}

function churn(world: World, fault: Extract<Fault, { kind: 'churn' }>): () => void {
  const random = world.random.fault(`churn ${fault.everyMs} ${fault.awayMs} ${fault.forMs}`)
  let over = false
  const turn = (): void => {
    if (over) return
    const host = random.pick(world.hosts)
    const awayMs = Math.min(random.exponential(fault.awayMs), 2 * fault.awayMs)
    const rise = fell(world, host, random.chance(0.5) ? 'dead' : 'off')
    if (rise !== null) {
      world.clock.after(awayMs, rise)
    }
    world.clock.after(random.exponential(fault.everyMs), turn)
  }
  turn()
  return () => void (over = true)
}

function cut(world: World, fault: Extract<Fault, { kind: 'cut' }>): () => void {
  const from = fault.from.map((ref) => world.resolve(ref)).filter((host) => host !== null)
  const to =
    fault.to === null
      ? world.hosts.filter((host) => !from.includes(host))
      : fault.to.map((ref) => world.resolve(ref)).filter((host) => host !== null)
  const ways: [number, number][] = []
  for (const a of from) {
    for (const b of to) {
      if (a === b) continue
      ways.push([a.place, b.place])
      if (fault.both) ways.push([b.place, a.place])
    }
  }
  for (const [a, b] of ways) world.network.cut(a, b)
  return whileChanged(world, () => {
    for (const [a, b] of ways) world.network.mend(a, b)
  })
}

/** The founder, who let all in, puts out what this chain shows. */
function shutOut(world: World, chain: Chain | null): void {
  const founder = world.host(0)
  if (chain !== null && founder.running) founder.daemon.do('command', () => founder.records.revoke(chain))
}

function handoff(world: World, to: number | null): void {
  for (const host of world.hosts) {
    const lan = host.running ? host.slice.lans.get(0) : undefined
    if (lan?.role.kind !== 'active') continue
    const key = to === null ? null : world.host(to).key
    host.worker.do('command', () => host.slice.handoff(0, key))
  }
}

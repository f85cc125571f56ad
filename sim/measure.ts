/**
 * Figures of a run: how long frames stayed away after each fault, how fast news was, what hosts sent.
 */
import { hostsIn } from '#core/records/view.ts'
import { type Deaths, watchDeaths } from './deaths.ts'
import { watchMoves } from './moves.ts'
import type { Outcome } from './run.ts'
import type { Scenario } from './scenario.ts'
import type { Seen } from './seen.ts'
import type { World } from './world.ts'

/** Frames that stay away for less are no gap: two lost ones. */
const noticedMs = 45
/** A gap belongs to the fault that it overlaps, begun at most so long before. */
const afterMs = 4_000

/** Hosts that followed one switch for so long after a partition are one vLAN again. */
const heldMs = 500

/** Frames of the first and the last moments are not counted. */
const beginMs = 5_000
const endMs = 1_000

export interface Figure {
  readonly name: string
  readonly unit: string
  readonly values: readonly number[]
}

/** What a run took, once its mesh had settled: of the processor, which others may use as well, and of the day. */
export interface Took {
  readonly cpuMs: number
  readonly realMs: number
}

export interface Measuring {
  readonly prepare: (world: World) => void
  readonly add: (outcome: Outcome, took: Took) => void
  readonly rows: () => readonly Figure[]
}

interface Gap {
  readonly from: number
  readonly to: number
  readonly endMs: number
  readonly ms: number
}

/** Measures what a scenario is about. */
export function measured(scenario: Scenario): Measuring {
  const gaps: Gap[] = []
  const faults: { readonly atMs: number; readonly hosts: readonly number[] }[] = []
  const news = new Map<string, { readonly at: number; readonly reached: number[] }>()
  const figures: Figure[] = []
  const versions = new Map<string, { readonly hosts: number; readonly reached: number[] }>()
  const healed: number[] = []
  let deaths: Deaths | null = null
  let moves: ReturnType<typeof watchMoves> | null = null
  let changes = 0
  let sent = 0
  let arrived = 0
  return {
    prepare(world) {
      world.watch((seen) => {
        // Before the first switch stands, and while the world ends, frames are on no way.
        const frame = seen.kind === 'sent' || seen.kind === 'delivered' ? seen.frame : null
        const counts = frame !== null && frame.sentAt >= beginMs && frame.sentAt < world.endsAt - endMs
        if (counts && seen.kind === 'sent') sent++
        else if (counts && frame.target === frame.reached.at(-1)) arrived++
        if (seen.kind === 'view' && world.clock.now >= beginMs && isTakeover(world, seen)) changes++
      })
      if (scenario.violins.some(({ entities }) => entities !== undefined)) moves = watchMoves(world)
      else if (scenario.liveness) deaths = watchDeaths(world)
      if (scenario.traffic?.kind === 'ring') watchGaps(world, scenario.traffic.everyMs, gaps, faults)
      if (scenario.steps.some(({ fault }) => fault.kind === 'publish')) watchNews(world, news)
      if (scenario.steps.some(({ fault }) => fault.kind === 'change')) watchVersions(world, versions)
      if (scenario.steps.some(({ fault }) => fault.kind === 'partition')) watchHealing(world, healed)
    },
    add({ world, ms, settledMs, violation }, took) {
      figures.push({ name: 'simulated', unit: 's', values: [ms / 1_000] })
      figures.push({ name: 'simulated time over CPU time', unit: '×', values: [settledMs / took.cpuMs] })
      figures.push({ name: 'simulated time over real time', unit: '×', values: [settledMs / took.realMs] })
      if (violation !== null) return
      if (moves !== null) figures.push(...moves.figures())
      if (deaths !== null) figures.push(...deaths.figures(ms))
      if (faults.length > 0) figures.push(...gapFigures(gaps, faults))
      figures.push(...newsFigures(news, scenario.hosts))
      figures.push(...versionFigures(versions))
      if (healed.length > 0) figures.push({ name: 'one switch after healing', unit: 'ms', values: healed })
      if (scenario.traffic?.kind === 'ring') {
        figures.push({ name: 'frames that did not arrive', unit: '', values: [sent - arrived] })
      }
      figures.push({ name: 'switches that changed', unit: '', values: [changes] })
      const passedMs = ms + world.leftOutMs
      figures.push({
        name: 'switch-hours',
        unit: 'h',
        values: [(scenario.lans.length * passedMs) / 3_600_000]
      })
      if (scenario.stalls !== null) {
        figures.push({ name: 'stalls of workers', unit: '', values: [world.weatheredStalls] })
      }
      figures.push(...costFigures(world, ms))
    },
    rows: () => figures
  }
}

/** Whether somebody became the switch who was not sent: the former one does not follow it. */
function isTakeover(world: World, seen: Extract<Seen, { kind: 'view' }>): boolean {
  if (seen.view.role !== 'active' || seen.before.role === 'active') return false
  const former = seen.before.active === null ? undefined : world.byKey(seen.before.active)
  return former?.slice.lans.get(seen.lan)?.view.active !== world.host(seen.host).key
}

function watchGaps(
  world: World,
  everyMs: number,
  gaps: Gap[],
  faults: { atMs: number; hosts: readonly number[] }[]
): void {
  const last = new Map<string, number>()
  world.watch((seen) => {
    if (seen.kind === 'fault' && seen.began && 'host' in seen.fault) {
      const host = world.resolve(seen.fault.host)
      if (host !== null) faults.push({ atMs: world.clock.now, hosts: [host.place] })
    } else if (seen.kind === 'fault' && seen.began) {
      const refs = seen.fault.kind === 'cut' ? [...seen.fault.from, ...(seen.fault.to ?? [])] : []
      const places = refs.map((ref) => world.resolve(ref)?.place ?? -1)
      const befallen = places.length > world.hosts.length / 2 ? places.slice(-1) : places
      faults.push({ atMs: world.clock.now, hosts: befallen })
    }
    // A flood brings frames to others as well.
    if (seen.kind !== 'delivered' || seen.frame.target !== seen.host) return
    const flow = `${seen.lan} ${seen.frame.source} ${seen.host}`
    const ms = world.clock.now - (last.get(flow) ?? world.clock.now) - everyMs
    last.set(flow, world.clock.now)
    if (ms > noticedMs) gaps.push({ from: seen.frame.source, to: seen.host, endMs: world.clock.now, ms })
  })
}

/** For each moment at which something befell: the longest time without frames between two others. */
function gapFigures(
  gaps: readonly Gap[],
  faults: readonly { readonly atMs: number; readonly hosts: readonly number[] }[]
): Figure[] {
  const moments = new Map<number, number[]>()
  for (const { atMs, hosts } of faults) moments.set(atMs, [...(moments.get(atMs) ?? []), ...hosts])
  const longest = [...moments].map(([atMs, hosts]) => {
    const own = gaps.filter(
      (gap) =>
        !hosts.includes(gap.from) &&
        !hosts.includes(gap.to) &&
        gap.endMs > atMs &&
        gap.endMs - gap.ms < atMs + afterMs
    )
    return Math.max(0, ...own.map((gap) => gap.ms))
  })
  const sorted = longest.toSorted((a, b) => a - b)
  return [
    { name: 'longest gap between two others', unit: 'ms', values: longest },
    { name: 'its p99', unit: 'ms', values: [sorted[Math.ceil(0.99 * sorted.length) - 1] ?? 0] }
  ]
}

/**
 * How long after each partition of the first vLAN until all its hosts follow one switch, and go on to. A planned
 * handoff after that is another matter.
 */
function watchHealing(world: World, healed: number[]): void {
  let healsAt = Infinity
  let oneSince = Infinity
  const settle = (): void => {
    if (healsAt !== Infinity) healed.push(Math.max(0, oneSince - healsAt))
    healsAt = Infinity
  }
  const look = (): void => {
    const lans = world.hosts.flatMap((host) => (host.running ? (host.slice.lans.get(0) ?? []) : []))
    const actives = lans.filter(({ view }) => view.role === 'active')
    const one = actives.length === 1 && lans.every(({ view }) => view.active === actives[0]?.view.active)
    if (!one && world.clock.now - Math.max(oneSince, healsAt) >= heldMs) settle()
    oneSince = one ? Math.min(oneSince, world.clock.now) : Infinity
  }
  world.watch((seen) => {
    if (seen.kind === 'view') look()
    else if (seen.kind === 'fault' && seen.fault.kind === 'partition') {
      settle()
      if (!seen.began) healsAt = world.clock.now
    }
  })
  world.clock.at(world.endsAt, settle)
}

function watchNews(
  world: World,
  news: Map<string, { readonly at: number; readonly reached: number[] }>
): void {
  world.watch((seen) => {
    if (seen.kind !== 'record') return
    const { hash } = seen.record
    const known = news.get(hash)
    if (known === undefined) news.set(hash, { at: world.clock.now, reached: [0] })
    else known.reached.push(world.clock.now - known.at)
  })
}

/** When each host that a version of a VIOLIN names had it. */
function watchVersions(
  world: World,
  versions: Map<string, { readonly hosts: number; readonly reached: number[] }>
): void {
  const signed = new Map<string, number>()
  world.watch((seen) => {
    if (seen.kind !== 'record' || seen.record.kind !== 'violin' || world.clock.now === 0) return
    const { hash, body } = seen.record
    const hosts = body.spec === null ? new Set(body.ended.hosts) : hostsIn(body.spec)
    const from = signed.get(hash) ?? world.clock.now
    signed.set(hash, from)
    const known = versions.get(hash) ?? { hosts: hosts.size, reached: [] }
    versions.set(hash, known)
    if (hosts.has(world.host(seen.host).id)) known.reached.push(world.clock.now - from)
  })
}

function versionFigures(
  versions: ReadonlyMap<string, { readonly hosts: number; readonly reached: readonly number[] }>
): Figure[] {
  const all = [...versions.values()]
  if (all.length === 0) return []
  const at99 = all.map(({ hosts, reached }) => reached[Math.ceil(0.99 * hosts) - 1] ?? Infinity)
  return [{ name: 'a version of a VIOLIN is seen by 99 % of its hosts after', unit: 'ms', values: at99 }]
}

/** When each host, when 99 % and when all had a record that reached all. */
function newsFigures(
  news: ReadonlyMap<string, { readonly at: number; readonly reached: readonly number[] }>,
  hosts: number
): Figure[] {
  const whole = [...news.values()].filter((one) => one.at > 0 && one.reached.length >= hosts)
  if (whole.length === 0) return []
  return [
    { name: 'a host has a record after', unit: 'ms', values: whole.flatMap((one) => one.reached.slice(1)) },
    {
      name: 'a record is seen by 99 % of hosts after',
      unit: 'ms',
      values: whole.map((one) => one.reached[Math.ceil(0.99 * hosts) - 1] as number)
    },
    {
      name: 'a record is seen by all after',
      unit: 'ms',
      values: whole.map((one) => one.reached.at(-1) as number)
    }
  ]
}

function costFigures(world: World, ms: number): Figure[] {
  const perSecond = (read: (host: World['hosts'][number]) => number): number =>
    world.hosts.reduce((sum, host) => sum + read(host), 0) / world.hosts.length / (ms / 1_000)
  return [
    { name: 'elections’ bytes per host', unit: 'B/s', values: [perSecond((host) => host.sent.trunkBytes)] },
    { name: 'gossip’s bytes per host', unit: 'B/s', values: [perSecond((host) => host.sent.gossipBytes)] },
    { name: 'repair’s bytes per host', unit: 'B/s', values: [perSecond((host) => host.sent.syncBytes)] },
    { name: 'events', unit: '1/s', values: [world.clock.count / (ms / 1_000)] }
  ]
}

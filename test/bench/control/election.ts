/**
 * What befalls the switch of one vLAN of real forwarding workers, each a process with a socket and a machine in
 * namespaces of their own, and what two machines notice that are not on the hosts befallen.
 */
import { type Cluster, type ClusterHost, machineOf } from '../../slice/forwarder/cluster.ts'
import { type Row, row } from '../report.ts'
import { Flow, type FlowEnd, type Noticed } from '../../slice/forwarder/flow.ts'

/** Goals of the control plane, ms. */
export const killedGoal = { atMost: 150, p99AtMost: 300 }
const silentGoal = { p99AtMost: 700 }
const bothGoal = { p99AtMost: 3_000 }
const healedGoal = { p99AtMost: 1_000 }
const none = { p99AtMost: 0 }
/** Longer than any silence that is taken for death. */
const patienceMs = 2_000
/** A cut lasts so long beyond the time in which frames come through again. */
const settledMs = 60_000

/** How a fault begins and ends. */
interface Fault {
  readonly begin: (hosts: readonly ClusterHost[]) => void | Promise<void>
  readonly end: (hosts: readonly ClusterHost[]) => void | Promise<void>
}

/** Faults of the hosts named, by what they do to them. */
function faults(cluster: Cluster): Record<'kill' | 'freeze' | 'cut' | 'power' | 'mute' | 'deaf', Fault> {
  const block = (from: readonly ClusterHost[], to: readonly ClusterHost[], blocked: boolean): void => {
    for (const one of from) for (const other of to) if (one !== other) cluster.block(one, other, blocked)
  }
  const each =
    (act: (host: ClusterHost) => void | Promise<void>) => async (hosts: readonly ClusterHost[]) => {
      await Promise.all(hosts.map(async (host) => act(host)))
    }
  return {
    kill: { begin: each((host) => cluster.kill(host)), end: each((host) => cluster.revive(host)) },
    freeze: {
      begin: each((host) => cluster.freeze(host, true)),
      end: each((host) => cluster.freeze(host, false))
    },
    cut: { begin: each((host) => cluster.cut(host)), end: each((host) => cluster.mend(host)) },
    power: {
      begin: each(async (host) => {
        cluster.cut(host)
        await cluster.kill(host)
      }),
      end: each(async (host) => {
        cluster.mend(host)
        await cluster.revive(host)
      })
    },
    mute: {
      begin: (hosts) => block(hosts, cluster.hosts, true),
      end: (hosts) => block(hosts, cluster.hosts, false)
    },
    deaf: {
      begin: (hosts) => block(cluster.hosts, hosts, true),
      end: (hosts) => block(cluster.hosts, hosts, false)
    }
  }
}

/** Gap between two others while the active is killed, `runs` times; adds them to those of all sizes, which the goal is for. */
export async function killed(cluster: Cluster, runs: number, ofAllSizes: number[]): Promise<Row[]> {
  const what = `${cluster.hosts.length} hosts, active killed`
  const all = await befall(cluster, faults(cluster).kill, runs, 'active')
  ofAllSizes.push(...gaps(all))
  return [row(`${what}: gap`, 'ms', gaps(all)), doubled(what, all)]
}

/** All else that may befall the active, and both. */
export async function befallen(cluster: Cluster, runs: number): Promise<Row[]> {
  const rows: Row[] = []
  const kinds = faults(cluster)
  for (const [kind, what] of [
    ['freeze', 'active frozen (SIGSTOP)'],
    ['cut', 'active cut off'],
    ['power', 'active without power'],
    ['mute', 'nobody hears the active'],
    ['deaf', 'the active hears nobody']
  ] as const) {
    const all = await befall(cluster, kinds[kind], runs, 'active')
    rows.push(row(`${what}: gap`, 'ms', gaps(all), silentGoal), doubled(what, all))
  }
  const both = await befall(cluster, kinds.kill, runs, 'both')
  rows.push(row('active and standby killed: gap', 'ms', gaps(both), bothGoal))
  rows.push(doubled('active and standby killed', both))
  return rows
}

/** The switch moves as planned. */
export async function handedOff(cluster: Cluster, runs: number): Promise<Row[]> {
  const all: Noticed[] = []
  for (let round = 0; round < runs; round++) {
    const [active, others] = parts(cluster)
    const [from, to] = pair(others, round)
    await using flow = await Flow.start(machineOf(from), machineOf(to))
    const next = others.find((host) => host.key === active.report?.standby) ?? from
    cluster.handoff(next)
    await cluster.until('the new active', () => cluster.active === next)
    await flow.through()
    all.push(await flow.stop())
    await whole(cluster)
  }
  return [
    row(
      'planned handoff: frames lost',
      '',
      all.map(({ lost }) => lost),
      none
    ),
    doubled('planned handoff', all)
  ]
}

/** Only the way between active and standby is cut, or one direction of it: nobody may take over. */
export async function linkCut(cluster: Cluster, runs: number): Promise<Row[]> {
  const takeovers: number[] = []
  const all: Noticed[] = []
  for (let round = 0; round < runs; round++) {
    const [active, others] = parts(cluster)
    const standby = others.find((host) => host.key === active.report?.standby) as ClusterHost
    const [from, to] = pair(
      others.filter((host) => host !== standby),
      round
    )
    const ways = waysOf(active, standby, round)
    await using flow = await Flow.start(machineOf(from), machineOf(to))
    for (const way of ways) cluster.block(...way, true)
    try {
      takeovers.push(await moved(cluster, active, patienceMs))
    } finally {
      for (const way of ways) cluster.block(...way, false)
    }
    all.push(await flow.stop())
    await whole(cluster)
  }
  return [
    row('way from active to standby cut: takeovers', '', takeovers, none),
    row(
      'way from active to standby cut: frames lost',
      '',
      all.map(({ lost }) => lost),
      none
    )
  ]
}

/** Only the way between the active and an edge is cut, or one direction of it: others pass on what those two send. */
export async function edgeCut(cluster: Cluster, runs: number): Promise<Row[]> {
  const takeovers: number[] = []
  const all: Noticed[] = []
  for (let round = 0; round < runs; round++) {
    const [active, others] = parts(cluster)
    const [edge, other] = pair(others, round)
    const ways = waysOf(active, edge, round)
    await using flow = await Flow.start(machineOf(edge), machineOf(other))
    for (const way of ways) cluster.block(...way, true)
    try {
      takeovers.push(await moved(cluster, active, 2 * patienceMs))
      await flow.through()
    } finally {
      for (const way of ways) cluster.block(...way, false)
    }
    all.push(await flow.stop())
    await whole(cluster)
  }
  return [
    row('way from active to an edge cut: gap', 'ms', gaps(all)),
    row('way from active to an edge cut: takeovers', '', takeovers, none),
    doubled('way from active to an edge cut', all)
  ]
}

/** The hosts fall into halves, each with a switch that works, and come together again. */
export async function partitioned(cluster: Cluster, runs: number): Promise<Row[]> {
  const apart: number[] = []
  const healed: number[] = []
  for (let round = 0; round < runs; round++) {
    const [active, others] = parts(cluster)
    const far = others.slice(0, cluster.hosts.length >> 1)
    const near = [active, ...others.slice(cluster.hosts.length >> 1)]
    await using farFlow = await Flow.start(...pairOf(far))
    await using nearFlow = await Flow.start(...pairOf(near))
    cluster.part(far, true)
    await Promise.all([farFlow.through(), nearFlow.through()])
    const split = await Promise.all([farFlow.stop(), nearFlow.stop()])
    apart.push(Math.max(...gaps(split)))
    // Trunks give a lost path up first: they are found again from nothing.
    await cluster.until(
      'trunks across are lost',
      () => far.every((host) => !host.trunks.has(active.key)),
      settledMs
    )
    const from = performance.now()
    cluster.part(far, false)
    await cluster.until('one active', () => cluster.active !== null, settledMs)
    healed.push(performance.now() - from)
    await whole(cluster)
  }
  return [
    row('partition: gap in both halves', 'ms', apart, silentGoal),
    row('partition healed: one vSwitch after', 'ms', healed, healedGoal)
  ]
}

async function befall(
  cluster: Cluster,
  fault: Fault,
  runs: number,
  whom: 'active' | 'both'
): Promise<Noticed[]> {
  const all: Noticed[] = []
  for (let round = 0; round < runs; round++) {
    const [active, others] = parts(cluster)
    const struck = [
      active,
      ...others.filter((host) => whom === 'both' && host.key === active.report?.standby)
    ]
    const [from, to] = pair(
      others.filter((host) => !struck.includes(host)),
      round
    )
    await using flow = await Flow.start(machineOf(from), machineOf(to))
    await fault.begin(struck)
    try {
      await flow.through()
    } catch (error: unknown) {
      throw new Error(`frames stay away: ${JSON.stringify(cluster.hosts.map(({ report }) => report))}`, {
        cause: error
      })
    } finally {
      await fault.end(struck)
    }
    const noticed = await flow.stop()
    all.push(noticed)
    process.stderr.write(
      `${struck.map(hostName).join()} struck: ${hostName(from)} and ${hostName(to)} lost each other for ${Math.round(noticed.gapMs)} ms\n`
    )
    await whole(cluster)
  }
  return all
}

/** 1 when another than `active` switches within so long, 0 when none does. */
async function moved(cluster: Cluster, active: ClusterHost, withinMs: number): Promise<number> {
  const other = (): boolean =>
    cluster.living.some((host) => host !== active && host.report?.role === 'active')
  return cluster.until('another active', other, withinMs).then(
    () => 1,
    () => 0
  )
}

/** The active, and all others that live. */
function parts(cluster: Cluster): [ClusterHost, ClusterHost[]] {
  const { active } = cluster
  if (active === null) throw new Error('no active')
  return [active, cluster.living.filter((host) => host !== active)]
}

/** Both ways between two hosts, and in other rounds the one or the other. */
function waysOf(one: ClusterHost, other: ClusterHost, round: number): [ClusterHost, ClusterHost][] {
  const ways: [ClusterHost, ClusterHost][] = [
    [one, other],
    [other, one]
  ]
  return ways.filter((_, way) => round % 3 === 0 || round % 3 === way + 1)
}

/** Another pair in every round. */
function pair(hosts: readonly ClusterHost[], round: number): [ClusterHost, ClusterHost] {
  const from = hosts[round % hosts.length]
  const to = hosts[(round + 1 + (round % (hosts.length - 1))) % hosts.length]
  if (from === undefined || to === undefined || from === to) throw new Error('too few hosts')
  return [from, to]
}

/** The machines of the first two. */
function pairOf(hosts: readonly ClusterHost[]): [FlowEnd, FlowEnd] {
  return [machineOf(hosts[0] as ClusterHost), machineOf(hosts[1] as ClusterHost)]
}

function hostName(host: ClusterHost): string {
  return `host ${host.site.number}`
}

function whole(cluster: Cluster): Promise<void> {
  return cluster.until('one active and all trunks', () => cluster.whole, settledMs)
}

function gaps(all: readonly Noticed[]): number[] {
  return all.map(({ gapMs }) => gapMs)
}

function doubled(what: string, all: readonly Noticed[]): Row {
  return row(
    `${what}: frames doubled`,
    '',
    all.map((one) => one.doubled),
    none
  )
}

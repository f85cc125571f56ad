/** The same with whole hosts: daemons of one mesh, their slices, and namespace entities as machines. */
import { readFileSync, statSync } from 'node:fs'
import { connectApi } from '#api/client.ts'
import type { HostRow, ListRow, Show } from '#api/contract.ts'
import type { LabHost } from '#lab/host.ts'
import { Lab } from '#lab/lab.ts'
import { type Row, row } from '../report.ts'
import { Flow, type FlowEnd, type OneWay } from '../../slice/forwarder/flow.ts'

const names = ['h1', 'h2', 'h3', 'h4', 'h5', 'h6']
/** One way at each host's port: a millisecond of round trip. */
const delayMs = 0.25
const patienceMs = 60_000
const seenGoal = { p99AtMost: 250 }
const diedGoal = { p99AtMost: 4_000 }
const revokedGoal = { p99AtMost: 2_000 }
const killedGoal = { atMost: 150, p99AtMost: 300 }

/** What a mesh of six hosts does, `runs` times each; two of them are shut out at the end. */
export async function measureMesh(runs: number): Promise<Row[]> {
  await using lab = await Lab.create(names.map((name) => ({ name, delayMs })))
  await lab.found()
  const rows = [...(await news(lab, runs)), ...(await deaths(lab, runs))]
  return [...rows, await revocations(lab)]
}

/** How long after its owner's host the others have a VIOLIN, new and changed. */
async function news(lab: Lab, runs: number): Promise<Row[]> {
  const [owner, ...others] = lab.hosts as [LabHost, ...LabHost[]]
  const created: number[] = []
  const changed: number[] = []
  for (let run = 0; run < runs; run++) {
    const name = `news${run}`
    for (const [times, entities] of [
      [created, 4],
      [changed, 5]
    ] as const) {
      const applying = apply(owner, topology(name, entities))
      const has = (rows: readonly ListRow[]): boolean =>
        rows.some((one) => one.name === name && one.entities === entities)
      const at = await Promise.all(
        [owner, ...others.slice(0, 4)].map((host) => when(() => connectApi(host.api).list({}), has))
      )
      times.push(Math.max(...at) - (at[0] as number))
      await applying
    }
    await owner.violin('delete', name, '--yes')
  }
  return [
    row('6 daemons: a VIOLIN created is seen by its hosts after', 'ms', created, seenGoal),
    row('6 daemons: a VIOLIN changed is seen by its hosts after', 'ms', changed, seenGoal)
  ]
}

/** The host of the active dies with all on it: gap in frames, and when all others know. */
async function deaths(lab: Lab, runs: number): Promise<Row[]> {
  const [owner] = lab.hosts as [LabHost]
  await apply(owner, topology('net', 5))
  const gaps: number[] = []
  const seen: number[] = []
  for (let run = 0; run < runs; run++) {
    const victim = await activeOf(lab, owner)
    const others = lab.hosts.filter((host) => host !== victim)
    const [from, to] = [0, 1, 2, 3, 4].filter((place) => lab.hosts[place + 1] !== victim).slice(run % 2)
    await using flow = await Flow.start(machine(lab, from as number), machine(lab, to as number))
    await victim.kill9()
    const diedAt = performance.now()
    const known = Promise.all(
      others.map((host) =>
        when(
          () => connectApi(host.api).hosts({}),
          (rows: readonly HostRow[]) => rows.some((one) => one.name === victim.name && one.state === 'dead')
        )
      )
    )
    await flow.through()
    gaps.push((await flow.stop()).gapMs)
    seen.push(Math.max(...(await known)) - diedAt)
    await victim.startDaemon()
    await owner.violin('wait', 'net', '--for', 'running', '--timeout', '60s')
  }
  return [
    row('6 daemons: all on the active’s host killed, gap', 'ms', gaps, killedGoal),
    row('6 daemons: a death is known to all others after', 'ms', seen, diedGoal)
  ]
}

/** A host is shut out: when its last frame arrives, in either direction. */
async function revocations(lab: Lab): Promise<Row> {
  const [owner] = lab.hosts as [LabHost]
  const took: number[] = []
  for (const place of [4, 3]) {
    const victim = lab.hosts[place + 1] as LabHost
    await using flow = await Flow.start(machine(lab, 0), machine(lab, place))
    const from = performance.timeOrigin + performance.now()
    await connectApi(owner.api).revoke({ host: victim.name })
    const cut = (rows: readonly HostRow[]): boolean =>
      !rows.some((one) => one.name === victim.name && one.state === 'alive')
    await Promise.all(
      lab.hosts.slice(0, place + 1).map((host) => when(() => connectApi(host.api).hosts({}), cut))
    )
    // Well beyond the goal: whatever still comes by then is counted.
    await new Promise((resolve) => setTimeout(resolve, 2 * revokedGoal.p99AtMost))
    const { ways } = await flow.stop()
    took.push(Math.max(...ways.map((way) => lastCame(way))) - from)
  }
  return row('6 daemons: a revoked host’s last frame comes after', 'ms', took, revokedGoal)
}

function lastCame({ cameMs }: OneWay): number {
  return Math.max(...cameMs.filter((at) => at !== null))
}

/** The host that switches the vLAN of `net`, once it has a standby. */
async function activeOf(lab: Lab, at: LabHost): Promise<LabHost> {
  let shown: Show | null = null
  await when(
    async () => (shown = await connectApi(at.api).show({ name: 'net' })),
    ({ lans, entities }) =>
      lans.every(({ vswitch }) => vswitch.active !== null && vswitch.standby !== null) &&
      entities.every(({ state }) => state === 'running')
  )
  return lab.host((shown as unknown as Show).lans[0]?.vswitch.active as string)
}

/** When an answer is as wanted, ms; asks again and again. */
async function when<T>(ask: () => Promise<T>, good: (answer: T) => boolean): Promise<number> {
  const end = performance.now() + patienceMs
  for (;;) {
    const answer = await ask()
    const at = performance.now()
    if (good(answer)) return at
    if (at > end) throw new Error(`it did not come: ${JSON.stringify(answer)}`)
  }
}

async function apply(host: LabHost, input: string): Promise<void> {
  const { status, stderr } = await host.try(['apply', '-'], { input })
  if (status !== 0) throw new Error(stderr)
}

/** One vLAN; machine n is on host n + 1, the first host owns it and runs none. */
function topology(name: string, machines: number): string {
  const hosts = Array.from(
    { length: machines },
    (_, place) =>
      `  m${place}: { lan: lan1, on: ${names[place + 1]}, ip: ${addressOf(place)}, driver: netns }`
  )
  return `name: ${name}\nlans:\n  lan1: { subnet: 10.7.0.0/24 }\nhosts:\n${hosts.join('\n')}\n`
}

function addressOf(place: number): string {
  return `10.7.0.${place + 1}`
}

/** A machine's namespace, found by its address among those of the processes of its host. */
function machine(lab: Lab, place: number): FlowEnd {
  const host = lab.hosts[place + 1] as LabHost
  const ip = addressOf(place)
  const seen = new Set([statSync(`/run/netns/${host.namespace}`).ino])
  for (const { pid } of host.processes()) {
    const namespace = `/proc/${pid}/ns/net`
    const { ino } = statSync(namespace, { throwIfNoEntry: false }) ?? { ino: 0 }
    if (ino === 0 || seen.has(ino)) continue
    seen.add(ino)
    const routes = readFileSync(`/proc/${pid}/net/fib_trie`, 'utf8')
    if (routes.includes(`|-- ${ip}\n`)) return { namespace, ip }
  }
  throw new Error(`no machine with ${ip} on ${host.name}`)
}

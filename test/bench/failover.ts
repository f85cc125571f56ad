/**
 * How long machines do not reach each other when their vLAN's switch goes: pings at 10 ms between the machines
 * of two hosts that are not the active, whose process is killed, or whose link is cut in silence.
 *
 *     bin/run test/bench/failover.ts [--json] [--runs N] [--hosts N]
 *
 * Needs root. A gap is the longest time between two answers.
 */
import { parseArgs } from 'node:util'
import { Cluster, type ClusterHost, pinged } from '../slice/forwarder/cluster.ts'
import { printReport, row } from './report.ts'

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    runs: { type: 'string', default: '20' },
    hosts: { type: 'string', default: '3' }
  }
})

await using cluster = await Cluster.start('bf-', Number(values.hosts))
const killed: number[] = []
const cut: number[] = []
const lost: number[] = []
for (let i = 0; i < Number(values.runs); i++) {
  const [active, from, to] = parts()
  killed.push((await pinged(from, to, 800, () => cluster.kill(active))).gapMs)
  await cluster.revive(active)
  await settled()
}
for (let i = 0; i < Math.ceil(Number(values.runs) / 4); i++) {
  const [active, from, to] = parts()
  cut.push((await pinged(from, to, 1_500, () => cluster.cut(active))).gapMs)
  cluster.mend(active)
  await settled()
}
for (let i = 0; i < Math.ceil(Number(values.runs) / 4); i++) {
  const [, from, to] = parts()
  const handed = await pinged(from, to, 800, async () => {
    cluster.handoff(to)
    await cluster.until('the new active', () => cluster.active === to)
  })
  lost.push(handed.lost)
}

printReport(
  [
    row('active killed, gap', 'ms', killed, { atMost: 150 }),
    row('active killed, worst gap', 'ms', [Math.max(...killed)], { atMost: 500 }),
    row('active cut off, gap', 'ms', cut, { atMost: 1_000 }),
    row('active cut off, worst gap', 'ms', [Math.max(...cut)], { atMost: 1_000 }),
    row('planned handoff, lost pings', 'frames', lost, { atMost: 0 })
  ],
  values.json
)

/** The active, and two others. */
function parts(): [ClusterHost, ClusterHost, ClusterHost] {
  const { active } = cluster
  const [from, to] = cluster.living.filter((host) => host !== active)
  if (active === null || from === undefined || to === undefined) throw new Error('no active')
  return [active, from, to]
}

async function settled(): Promise<void> {
  await cluster.until('one active', () => cluster.whole)
}

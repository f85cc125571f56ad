/**
 * The control plane's figures on real hosts in network namespaces of this machine.
 *
 *     npm run bench:control -- --help
 *
 * Parts: `kills` (each size of vLAN), `faults`, `handoff`, `links`, `partition`: hosts are processes with the
 * forwarding worker of a slice, its UDP socket and a machine's TAP, without a daemon, for fifty daemons are too much
 * for two cores. `mesh`: six whole hosts (`npm run build` first). Needs root. Frames are counted: 200 a second each
 * way between two machines.
 */
import { setPriority } from 'node:os'
import { Cluster } from '../slice/forwarder/cluster.ts'
import { befallen, edgeCut, handedOff, killed, killedGoal, linkCut, partitioned } from './control/election.ts'
import { measureMesh } from './control/mesh.ts'
import { printReport, type Row, row } from './report.ts'
import { asked, json, nice, whole, wholes, words } from './usage.ts'

const parts = ['mesh', 'kills', 'faults', 'handoff', 'links', 'partition'] as const
const values = asked({
  command: 'npm run bench:control --',
  measures: "The control plane's figures on real hosts in network namespaces of this machine. Needs root.",
  options: {
    json,
    kills: whole('deaths of the active, in each size of vLAN', 20),
    runs: whole('runs of everything else', 5),
    hosts: wholes('sizes of vLANs whose active is killed', [3, 10, 30, 50], 3),
    only: words('what is measured', parts),
    nice
  }
})
const { runs, kills, hosts: sizes } = values
// What is started from here has the same.
if (values.nice !== 0) setPriority(values.nice)
const rows: Row[] = []

for (const part of values.only) {
  switch (part) {
    case 'mesh':
      rows.push(...(await measureMesh(runs)))
      break
    case 'kills': {
      const gaps: number[] = []
      for (const hosts of sizes) {
        await on(hosts, (cluster) => killed(cluster, kills, gaps))
      }
      rows.push(row(`${sizes.join(',')} hosts, active killed: gap`, 'ms', gaps, killedGoal))
      break
    }
    case 'faults':
      await on(6, (cluster) => befallen(cluster, runs))
      break
    case 'handoff':
      await on(5, (cluster) => handedOff(cluster, runs))
      break
    case 'links':
      await on(5, async (cluster) => [...(await linkCut(cluster, runs)), ...(await edgeCut(cluster, runs))])
      break
    case 'partition':
      await on(8, (cluster) => partitioned(cluster, runs))
      break
  }
}
printReport(rows, values.json)

async function on(hosts: number, measure: (cluster: Cluster) => Promise<Row[]>): Promise<void> {
  await using cluster = await Cluster.start('bc-', hosts)
  rows.push(...(await measure(cluster)))
}

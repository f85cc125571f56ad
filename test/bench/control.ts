/**
 * The control plane's figures on real hosts in network namespaces of this machine.
 *
 *     npm run bench:control -- [--json] [--kills N] [--runs N] [--hosts 3,10,30,50] [--only PART,…] [--nice=N]
 *
 * Parts: `kills` (each size of vLAN), `faults`, `handoff`, `links`, `partition`: hosts are processes with the
 * forwarding worker of a slice, its UDP socket and a machine's TAP, without a daemon, for fifty daemons are too much
 * for two cores. `mesh`: six whole hosts (`npm run build` first). Needs root. Frames are counted: 200 a second each
 * way between two machines. `--nice=-10` keeps others on this machine from being measured too.
 */
import { setPriority } from 'node:os'
import { parseArgs } from 'node:util'
import { Cluster } from '../slice/forwarder/cluster.ts'
import { befallen, handedOff, killed, killedGoal, linkCut, partitioned } from './control/election.ts'
import { measureMesh } from './control/mesh.ts'
import { printReport, type Row, row } from './report.ts'

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    kills: { type: 'string', default: '20' },
    runs: { type: 'string', default: '5' },
    hosts: { type: 'string', default: '3,10,30,50' },
    nice: { type: 'string', default: '0' },
    only: { type: 'string', default: 'mesh,kills,faults,handoff,links,partition' }
  }
})
const runs = Number(values.runs)
// What is started from here has the same.
if (values.nice !== '0') setPriority(Number(values.nice))
const rows: Row[] = []

for (const part of values.only.split(',')) {
  switch (part) {
    case 'mesh':
      rows.push(...(await measureMesh(runs)))
      break
    case 'kills': {
      const gaps: number[] = []
      for (const hosts of values.hosts.split(',').map(Number)) {
        await on(hosts, (cluster) => killed(cluster, Number(values.kills), gaps))
      }
      rows.push(row(`${values.hosts} hosts, active killed: gap`, 'ms', gaps, killedGoal))
      break
    }
    case 'faults':
      await on(6, (cluster) => befallen(cluster, runs))
      break
    case 'handoff':
      await on(5, (cluster) => handedOff(cluster, runs))
      break
    case 'links':
      await on(5, (cluster) => linkCut(cluster, runs))
      break
    case 'partition':
      await on(8, (cluster) => partitioned(cluster, runs))
      break
    default:
      throw new RangeError(`no part ${part}`)
  }
}
printReport(rows, values.json)

async function on(hosts: number, measure: (cluster: Cluster) => Promise<Row[]>): Promise<void> {
  await using cluster = await Cluster.start('bc-', hosts)
  rows.push(...(await measure(cluster)))
}

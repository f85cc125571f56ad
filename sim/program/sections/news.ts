/** How fast a record that one host publishes is at all others, with gossip and without. */
import type { Row } from '../rows.ts'
import { commandOf, runSome, valuesOf } from './runs.ts'
import type { Point, Series } from '#plot/plot.ts'
import { type Section, cdf } from './section.ts'

/** Hosts, and how soon 99 % of them are to know. */
const sizes = [
  { hosts: 100, goalMs: 250 },
  { hosts: 1_000, goalMs: 400 },
  { hosts: 10_000, goalMs: 700 }
] as const
const silentHosts = 50

export const news: Section = {
  name: 'news',
  title: 'Propagation of records',
  about:
    'From the moment at which a host publishes a record until other hosts have it; underlay of about 1 ms RTT.',
  measure: (long) => {
    const rows: Row[] = []
    const curves: Series[] = []
    const median: Point[] = []
    const p99: Point[] = []
    const goals: Point[] = []
    for (const { hosts, goalMs } of sizes) {
      const runs = long ? 10 : 1
      const figures = runSome('news', hosts, runs)
      const seen = valuesOf(figures, 'a record is seen by 99 % of hosts after')
      const about = { runs, seed: 1, command: commandOf('news', hosts, 1, runs) }
      rows.push({
        name: `${hosts.toLocaleString('en')} hosts: 99 % have a record after`,
        unit: 'ms',
        values: seen,
        goal: { of: 'max', atMost: goalMs },
        ...about
      })
      const all = valuesOf(figures, 'a host has a record after')
      const one = cdf(`${hosts.toLocaleString('en')} hosts`, all)
      curves.push(one)
      median.push([hosts, one.points.find(([, share]) => share >= 0.5)?.[0] ?? 0])
      p99.push([hosts, seen.toSorted((a, b) => a - b).at(-1) as number])
      goals.push([hosts, goalMs])
    }
    const runs = long ? 10 : 2
    const silent = valuesOf(runSome('silence', silentHosts, runs), 'a record is seen by all after')
    rows.push({
      name: `${silentHosts} hosts, gossip delivers nothing: all have a record after`,
      unit: 'ms',
      values: silent,
      runs,
      seed: 1,
      command: commandOf('silence', silentHosts, 1, runs)
    })
    return {
      rows,
      plots: [
        {
          kind: 'cdf',
          title: 'A record reaches a host after …',
          x: { label: 'time since it was published, ms' },
          y: { label: 'share of hosts' },
          series: curves
        },
        {
          kind: 'lines',
          title: 'Propagation against the size of the mesh',
          x: { label: 'hosts', log: true },
          y: { label: 'ms', log: true },
          series: [
            { name: 'half of the hosts', points: median },
            { name: '99 %, worst record', points: p99 },
            { name: 'goal', points: goals }
          ]
        },
        {
          kind: 'cdf',
          title: 'Convergence by repair alone: gossip delivers nothing, 50 hosts',
          x: { label: 'time until all have a record, ms' },
          y: { label: 'share of records' },
          series: [cdf('repair alone', silent)]
        }
      ]
    }
  }
}

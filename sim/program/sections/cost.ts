/** What a host costs, in bytes and CPU a second, and what a world of many costs the simulator. */
import { type Figure } from '../../measure.ts'
import type { Row } from '../rows.ts'
import { commandOf, keptBytes, runOne, valuesOf } from './runs.ts'
import type { Point } from '#plot/plot.ts'
import { type Section, exponent } from './section.ts'

const sizes = [100, 1_000, 10_000] as const
const traffic = ['elections’ bytes per host', 'gossip’s bytes per host', 'repair’s bytes per host'] as const
/** A power of N that is no steeper than a logarithm from 100 to 10,000: log 10,000 / log 100 is 2 = 100^0.15. */
const flat = 0.15

export const cost: Section = {
  name: 'cost',
  title: 'Cost per host against the size of the mesh',
  about:
    'Nothing happens but what always does: repair, beats, renewal. Flat or logarithmic, or it would not scale.',
  measure: (long) => {
    const figures = new Map<number, readonly Figure[]>()
    const cpu: Point[] = []
    for (const hosts of sizes) {
      const { figures: own, outcome, took } = runOne('quiet', hosts, 1, long ? { restMs: 300_000 } : {})
      figures.set(hosts, own)
      cpu.push([hosts, (1_000 * took.cpuMs) / hosts / (outcome.settledMs / 1_000)])
    }
    const series = traffic
      .map((name) => ({
        name: name.replace('’s bytes per host', '').replace('’ bytes per host', ''),
        points: sizes.map((hosts): Point => [hosts, valuesOf(figures.get(hosts) ?? [], name)[0] ?? 0])
      }))
      .filter(({ points }) => points.some(([, bytes]) => bytes > 0))
    const rows: Row[] = [
      ...series.map((one) => ({ ...one, unit: 'B/s' })),
      { name: 'CPU', unit: 'µs/s', points: cpu }
    ].flatMap(({ name, unit, points }) => [
      ...points.map(([hosts, value]) => ({
        name: `${name} per host, ${hosts.toLocaleString('en')} hosts`,
        unit,
        values: [value],
        seed: 1,
        command: commandOf('quiet', hosts, 1)
      })),
      {
        name: `${name} per host ~ N^b: b`,
        unit: '',
        values: [exponent(points)],
        goal: { atMost: flat },
        note: `least squares over N = ${sizes.join(', ')}; ${flat} is as steep as a logarithm there`,
        command: 'npm run sim:report -- --only cost'
      }
    ])
    return {
      rows,
      plots: [
        {
          kind: 'lines',
          title: 'Traffic per host, nothing happening',
          x: { label: 'hosts', log: true },
          y: { label: 'bytes a second sent by a host', log: true },
          series
        },
        {
          kind: 'lines',
          title: 'CPU per host, nothing happening',
          x: { label: 'hosts', log: true },
          y: { label: 'µs of CPU for a second of a host' },
          series: [{ name: 'records and repair', points: cpu }]
        }
      ]
    }
  }
}

export const size: Section = {
  name: 'size',
  title: 'Size and speed of the simulation',
  about:
    'A calm mesh with records, gossip, repair, liveness and elections: memory per host, and simulated time over the time ' +
    'it takes once all have met, which is five seconds after its beginning.',
  measure: () => {
    const rows: Row[] = []
    for (const { hosts, times } of [
      { hosts: 1_000, times: 20 },
      { hosts: 10_000, times: 2 }
    ] as const) {
      const shown = hosts.toLocaleString('en')
      const { made, bytes } = keptBytes(() => runOne('calm', hosts, 1))
      const about = { seed: 1, command: commandOf('calm', hosts, 1) }
      rows.push(
        {
          name: `${shown} hosts: memory per host`,
          unit: 'MB',
          values: [bytes / made.outcome.world.hosts.length / 1e6],
          goal: { atMost: 1 },
          ...about
        },
        {
          name: `${shown} hosts, calm: simulated time over CPU time`,
          unit: '×',
          values: [made.outcome.settledMs / made.took.cpuMs],
          goal: { atLeast: times },
          ...about
        },
        {
          name: `${shown} hosts, calm: simulated time over real time`,
          unit: '×',
          values: [made.outcome.settledMs / made.took.realMs],
          note: 'beside whatever else the machine does',
          ...about
        }
      )
    }
    return { rows, plots: [] }
  }
}

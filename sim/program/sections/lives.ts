/** How soon a death is seen, that weather kills nobody, and what watching costs a host. */
import type { Row } from '../rows.ts'
import type { Point } from '#plot/plot.ts'
import { commandOf, runOne, runSome, sum, upperBound, valuesOf } from './runs.ts'
import { type Section, exponent } from './section.ts'

const usualSizes = [100, 1_000] as const
/** Some minutes of CPU. */
const longSizes = [100, 1_000, 10_000] as const
/** An hour of so many hosts each: 1,000 host-hours, and 10,000. */
const weatherHosts = 100
const usualRuns = 10
const longRuns = 100
const seenWithinMs = 4_000
/** As steep as a logarithm from 100 to 10,000. */
const flat = 0.15

export const lives: Section = {
  name: 'lives',
  title: 'Deaths of hosts',
  about: 'One host is killed, one loses its power, one is cut off; and weather of which nobody may die.',
  measure(long) {
    const sizes = long ? longSizes : usualSizes
    const points: Point[] = []
    const bytes: Point[] = []
    const rows: Row[] = sizes.map((hosts) => {
      const { figures } = runOne('death', hosts, 1)
      const values = valuesOf(figures, 'a death is seen by 99 % of hosts after')
      points.push([hosts, Math.max(...values)])
      bytes.push([hosts, sum(valuesOf(figures, 'liveness’ bytes per host'))])
      const name = `a death is seen by 99 % of ${hosts.toLocaleString('en')} hosts`
      const goal = { of: 'max', atMost: seenWithinMs } as const
      return { name, unit: 'ms', values, goal, seed: 1, command: commandOf('death', hosts, 1) }
    })
    rows.push(...weatherRows(long), {
      name: 'liveness per host ~ N^b: b',
      unit: '',
      values: [exponent(bytes)],
      goal: { atMost: flat },
      note: `${Math.round(bytes[0]?.[1] ?? 0)} B/s at ${sizes[0]} hosts`,
      command: 'npm run sim:report -- --only lives'
    })
    return {
      rows,
      plots: [
        {
          kind: 'lines',
          title: 'A death is seen by 99 % of hosts after',
          x: { label: 'hosts', log: true },
          y: { label: 'ms' },
          series: [{ name: 'the slowest of three', points }],
          goals: [{ axis: 'y', at: seenWithinMs, label: '4 s' }]
        }
      ]
    }
  }
}

function weatherRows(long: boolean): Row[] {
  const runs = long ? longRuns : usualRuns
  const figures = runSome('lives', weatherHosts, runs)
  const hours = sum(valuesOf(figures, 'host-hours'))
  const about = { runs, seed: 1, command: commandOf('lives', weatherHosts, 1, runs) }
  return [
    { name: 'weather for watchers', unit: 'host-hours', values: [hours], ...about },
    {
      name: 'false deaths',
      unit: '',
      values: [sum(valuesOf(figures, 'false deaths'))],
      goal: { atMost: 0 },
      ...about
    },
    {
      name: 'false deaths: upper bound at 95 %',
      unit: 'per 1,000 host-hours',
      values: [(1_000 * upperBound(sum(valuesOf(figures, 'false deaths')))) / hours],
      note: 'Poisson: none in n hours bounds the rate by 3 / n, one by 4.7 / n',
      ...about
    }
  ]
}

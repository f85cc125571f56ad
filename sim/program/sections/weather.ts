/** Loss of 5 % and stalls of 300 ms: nobody may take a vSwitch over from an active that forwards. */
import { denser, lanHosts, stallsPerHour } from '../../scenarios/elections.ts'
import type { Row } from '../rows.ts'
import { commandOf, runSome, sum, upperBound, valuesOf } from './runs.ts'
import type { Section } from './section.ts'

/** What a world of so many touches stays in the processor's cache: an hour of a switch costs less than in a larger one. */
const hosts = 60
const usualRuns = 10
/** Dense weather then has the stalls of 10,000 plain switch-hours. */
const longRuns = 320
/** Of the shortened weather each has more than eight switch-hours: 10,000, or 100,000. */
const usualShortened = 1_200
const longShortened = 12_000
const bound = 'Poisson: none in n bounds the rate by 3 / n, one by 4.7 / n'

export const takeovers: Section = {
  name: 'takeovers',
  title: 'False takeovers',
  about:
    'Loss of 5 %, and each process stalls for 300 ms once a minute: no vSwitch may change hands. Of each calm two seconds are ' +
    'played, after which an election remembers no stall, and a part of one beat; the rest is left out until the next stall.',
  measure: (long) => ({
    rows: plain('weathers-shortened', lanHosts, long ? longShortened : usualShortened, ''),
    plots: []
  })
}

export const weather: Section = {
  name: 'weather',
  title: 'False takeovers, every moment played',
  about:
    'The same weather with nothing left out, and a dense one in which ' +
    `stalls come ${denser} times as often: its hours are not counted as those of the plain one.`,
  measure: (long) => {
    const runs = long ? longRuns : usualRuns
    return { rows: [...plain('weathers', hosts, runs, ' with nothing left out'), ...dense(runs)], plots: [] }
  }
}

function plain(name: string, count: number, runs: number, which: string): Row[] {
  const figures = runSome(name, count, runs)
  const hours = sum(valuesOf(figures, 'switch-hours'))
  const changed = valuesOf(figures, 'switches that changed')
  const about = { runs, seed: 1, command: commandOf(name, count, 1, runs) }
  return [
    { name: `weather${which}`, unit: 'switch-hours', values: [hours], ...about },
    falseTakeovers(`false takeovers${which}`, changed, about),
    {
      name: `upper bound at 95 %${which}`,
      unit: 'per 1,000 switch-hours',
      values: [(1_000 * upperBound(sum(changed))) / hours],
      note: bound,
      ...about
    }
  ]
}

/** What endangers an active is a stall, with losses about it: so many were survived. */
function dense(runs: number): Row[] {
  const figures = runSome('weathers-dense', hosts, runs)
  const hours = sum(valuesOf(figures, 'switch-hours'))
  const stalls = sum(valuesOf(figures, 'stalls of workers'))
  const about = { runs, seed: 1, command: commandOf('weathers-dense', hosts, 1, runs) }
  return [
    {
      name: 'dense weather: stalls of workers',
      unit: '',
      values: [stalls],
      note: `in ${hours.toFixed(0)} switch-hours; stalls as in ${(stalls / stallsPerHour).toFixed(0)} switch-hours`,
      ...about
    },
    falseTakeovers('dense weather: false takeovers', valuesOf(figures, 'switches that changed'), about),
    {
      name: 'dense weather: upper bound at 95 %',
      unit: 'per million stalls',
      values: [(1_000_000 * upperBound(sum(valuesOf(figures, 'switches that changed')))) / stalls],
      note: bound,
      ...about
    }
  ]
}

function falseTakeovers(name: string, values: readonly number[], about: Partial<Row>): Row {
  return { name, unit: '', values: [sum(values)], goal: { atMost: 0 }, ...about }
}

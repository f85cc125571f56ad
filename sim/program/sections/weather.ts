/** Loss of 5 % and stalls of 300 ms: nobody may take a vSwitch over from an active that forwards. */
import { commandOf, runSome, sum, valuesOf } from './runs.ts'
import type { Section } from './section.ts'

const hosts = 8
const usualRuns = 6
const longRuns = 300
/** Rule of three: none seen in n hours bounds the rate, at 95 % confidence, by 3 / n. */
const ruleOfThree = 3

export const weather: Section = {
  name: 'weather',
  title: 'False takeovers',
  about: 'Loss of 5 % and stalls of up to 300 ms of any thread are weather: no vSwitch may change hands.',
  measure: (long) => {
    const runs = long ? longRuns : usualRuns
    const figures = runSome('weather', hosts, runs)
    const hours = sum(valuesOf(figures, 'switch-hours'))
    const about = { runs, seed: 1, command: commandOf('weather', hosts, 1, runs) }
    return {
      rows: [
        { name: 'weather simulated', unit: 'switch-hours', values: [hours], ...about },
        {
          name: 'false takeovers',
          unit: '',
          values: [sum(valuesOf(figures, 'switches that changed'))],
          goal: { atMost: 0 },
          ...about
        },
        {
          name: 'false takeovers: upper bound at 95 %',
          unit: 'per 1,000 switch-hours',
          values: [(1_000 * ruleOfThree) / hours],
          note: 'rule of three: none in n hours bounds the rate by 3 / n',
          ...about
        }
      ],
      plots: []
    }
  }
}

/** How long frames between two others stay away when something befalls the vSwitch. */
import type { Row } from '../rows.ts'
import { commandOf, runSome, sum, valuesOf } from './runs.ts'
import { type Section, cdf } from './section.ts'

const hosts = 8
/** Runs of twenty faults each. */
const usualRuns = 5
const longRuns = 50

const cases = [
  { name: 'kill-active', what: 'killed, its kernel answers', p50Ms: 150, p99Ms: 300 },
  { name: 'freeze-active', what: 'frozen', p99Ms: 700 },
  { name: 'power-active', what: 'without power', p99Ms: 700 },
  { name: 'cut-active', what: 'cut off', p99Ms: 700 },
  { name: 'mute-active', what: 'heard by nobody', p99Ms: 700 },
  { name: 'deaf-active', what: 'hearing nobody', p99Ms: 700 },
  { name: 'kill-both', what: 'killed together with the standby', p99Ms: 3_000 }
] as const

export const failover: Section = {
  name: 'failover',
  title: 'Failover of a vSwitch',
  about:
    'The longest time without frames between two other hosts, after each fault of the active; vLAN of 8 hosts.',
  measure: (long) => {
    const runs = long ? longRuns : usualRuns
    const rows: Row[] = []
    const curves = cases.map((one) => {
      const values = valuesOf(runSome(one.name, hosts, runs), 'longest gap between two others')
      const about = { unit: 'ms', values, runs, seed: 1, command: commandOf(one.name, hosts, 1, runs) }
      if ('p50Ms' in one) {
        rows.push({
          name: `gap, active ${one.what}: p50`,
          ...about,
          goal: { of: 'median', atMost: one.p50Ms }
        })
      }
      rows.push({ name: `gap, active ${one.what}: p99`, ...about, goal: { of: 'p99', atMost: one.p99Ms } })
      return cdf(one.what, values)
    })
    const moved = runSome('handoff', hosts, runs)
    const healed = runSome('partition', hosts, runs)
    rows.push(
      {
        name: 'planned handoff: frames lost',
        unit: '',
        values: [sum(valuesOf(moved, 'frames that did not arrive'))],
        goal: { atMost: 0 },
        runs,
        seed: 1,
        command: commandOf('handoff', hosts, 1, runs),
        note: 'none comes twice: the invariant no-loop watches it'
      },
      {
        name: 'one vSwitch after a partition heals',
        unit: 'ms',
        values: valuesOf(healed, 'one switch after healing'),
        goal: { of: 'max', atMost: 1_000 },
        runs,
        seed: 1,
        command: commandOf('partition', hosts, 1, runs)
      }
    )
    return {
      rows,
      plots: [
        {
          kind: 'cdf',
          title: 'Gap in frames when the active’s host is …',
          x: { label: 'gap, ms' },
          y: { label: 'share of faults' },
          series: curves,
          goals: [
            { axis: 'x', at: 300, label: '300 ms' },
            { axis: 'x', at: 700, label: '700 ms' }
          ]
        }
      ]
    }
  }
}

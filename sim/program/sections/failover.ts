/** How long frames between two others stay away when something befalls the vSwitch. */
import type { Row } from '../rows.ts'
import { commandOf, runSome, sum, valuesOf } from './runs.ts'
import { type Section, cdf } from './section.ts'

const hosts = 8
/** Runs of twenty faults each. */
const usualRuns = 5
const longRuns = 50

interface Case {
  readonly name: string
  readonly what: string
  readonly p50Ms?: number
  readonly p99Ms: number
}

const cases: readonly Case[] = [
  { name: 'kill-active', what: 'killed, its kernel answers', p50Ms: 150, p99Ms: 300 },
  { name: 'freeze-active', what: 'frozen', p99Ms: 700 },
  { name: 'power-active', what: 'without power', p99Ms: 700 },
  { name: 'cut-active', what: 'cut off', p99Ms: 700 },
  { name: 'mute-active', what: 'heard by nobody', p99Ms: 700 },
  { name: 'deaf-active', what: 'hearing nobody', p99Ms: 700 },
  { name: 'kill-both', what: 'killed together with the standby', p99Ms: 3_000 }
]

/** The least vLAN with a witness, and one that is not meshed in full: what its kernel answers for, and silence. */
const otherSizes = [
  { hosts: 3, usualRuns: 5, longRuns: 50 },
  { hosts: 50, usualRuns: 2, longRuns: 10 }
] as const
const otherCases = cases.filter(({ name }) => name === 'kill-active' || name === 'power-active')

export const failover: Section = {
  name: 'failover',
  title: 'Failover of a vSwitch',
  about:
    `The longest time without frames between two other hosts, after each fault of the active; vLAN of ${hosts} hosts ` +
    'where no other number is named.',
  measure: (long) => {
    const runs = long ? longRuns : usualRuns
    const rows: Row[] = []
    const curves = cases.map((one) => {
      const { values, shown } = gaps(one, hosts, runs, 'gap')
      rows.push(...shown)
      return cdf(one.what, values)
    })
    for (const size of otherSizes) {
      const times = long ? size.longRuns : size.usualRuns
      for (const one of otherCases)
        rows.push(...gaps(one, size.hosts, times, `vLAN of ${size.hosts}: gap`).shown)
    }
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

/** The gaps of one case, and their rows. */
function gaps(
  { name, what, p50Ms, p99Ms }: Case,
  size: number,
  runs: number,
  title: string
): { readonly values: readonly number[]; readonly shown: readonly Row[] } {
  const values = valuesOf(runSome(name, size, runs), 'longest gap between two others')
  const about = { unit: 'ms', values, runs, seed: 1, command: commandOf(name, size, 1, runs) }
  const p99: Row = { name: `${title}, active ${what}: p99`, ...about, goal: { of: 'p99', atMost: p99Ms } }
  if (p50Ms === undefined) return { values, shown: [p99] }
  const goal = { of: 'median', atMost: p50Ms } as const
  return { values, shown: [{ name: `${title}, active ${what}: p50`, ...about, goal }, p99] }
}

/** Runs of scenarios for the report: figures of several seeds, and what was violated. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type Figure, type Took, measured } from '../../measure.ts'
import { Random } from '../../random.ts'
import { type Outcome, lastEvents, runScenario } from '../../run.ts'
import type { Scenario } from '../../scenario.ts'
import { families } from '../../scenarios/list.ts'
import { stopwatch } from '../rows.ts'

export interface Ran {
  readonly figures: readonly Figure[]
  readonly outcome: Outcome
  readonly scenario: Scenario
  readonly took: Took
}

/** Runs one scenario of a family. A violated invariant ends the section: its figures mean nothing. */
export function runOne(name: string, hosts: number, seed: number, change: Partial<Scenario> = {}): Ran {
  const family = families.find((one) => one.name === name)
  if (family === undefined) throw new Error(`no scenario ${name}`)
  const scenario = { ...family.make(hosts, new Random(seed, 'scenario')), ...change }
  const measuring = measured(scenario)
  let took = stopwatch()
  const outcome = runScenario(scenario, {
    seed,
    prepare: measuring.prepare,
    settled: () => (took = stopwatch())
  })
  const spent = took()
  measuring.add(outcome, spent)
  if (outcome.violation !== null) {
    const { invariant, what } = outcome.violation
    const events = lastEvents(outcome.world).join('\n')
    throw new Error(`${invariant} violated: ${what}; ${commandOf(name, hosts, seed)}\n${events}`)
  }
  return { figures: measuring.rows(), outcome, scenario, took: spent }
}

/** Figures of `count` runs, seeds from 1. */
export function runSome(
  name: string,
  hosts: number,
  count: number,
  change: Partial<Scenario> = {}
): Figure[] {
  return Array.from({ length: count }, (_, turn) => runOne(name, hosts, turn + 1, change).figures).flat()
}

/** The command that runs it again. */
export function commandOf(name: string, hosts: number, seed: number, runs = 1): string {
  return `npm run sim -- ${name} --hosts ${hosts} --seed ${seed}${runs > 1 ? ` --runs ${runs}` : ''}`
}

/** All values of one figure. */
export function valuesOf(figures: readonly Figure[], name: string): number[] {
  return figures.filter((one) => one.name === name).flatMap((one) => one.values)
}

/** Of something seen so often as many are expected at most, at 95 %: of what was never seen three (Poisson). */
export function upperBound(seen: number): number {
  const chance = (expected: number): number => {
    let term = Math.exp(-expected)
    let total = term
    for (let count = 1; count <= seen; count++) total += term *= expected / count
    return total
  }
  let [low, high] = [seen, 4 * seen + 4]
  while (high - low > 1e-6) {
    const middle = (low + high) / 2
    if (chance(middle) > 0.05) low = middle
    else high = middle
  }
  return high
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, one) => total + one, 0)
}

/** What `make` keeps, in bytes of the heap and of buffers beside it. */
export function keptBytes<T>(make: () => T): { readonly made: T; readonly bytes: number } {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const used = (): number => {
    collect()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    return heapUsed + arrayBuffers
  }
  const before = used()
  const made = make()
  return { made, bytes: used() - before }
}

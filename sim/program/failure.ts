/** What is told of a violated invariant: what, how to see it again, the least scenario that does it, its end drawn. */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Bug } from '../bugs.ts'
import { describeFault } from '../faults.ts'
import { invariants } from '../invariants/list.ts'
import { runScenario } from '../run.ts'
import type { Scenario } from '../scenario.ts'
import type { Found } from '../swarm.ts'
import { diagram, focusOf } from './diagram.ts'

/** Where no terminal says how wide it is. */
const usualWidth = 100

/** A violation as data, and as text for people. */
export interface Failure {
  readonly data: {
    readonly invariant: string
    readonly what: string
    readonly atMs: number
    readonly seed: number
    readonly replay: string
    readonly replayShrunk: string
    readonly scenario: Scenario
  }
  readonly text: string
}

/** What is typed to run the simulator with these words and planted bugs. */
export function commandOf(words: string, bugs: ReadonlySet<Bug>): string {
  return `npm run sim -- ${words}${[...bugs].map((bug) => ` --plant ${bug}`).join('')}`
}

/** `replay` is the command that finds it again as it was found. */
export function failureOf(found: Found, bugs: ReadonlySet<Bug>, replay: string): Failure {
  const { seed, scenario } = found
  const { violation } = found.outcome
  if (violation === null) throw new Error('nothing was violated')
  const file = join(mkdtempSync(join(tmpdir(), 'violin-sim-')), 'scenario.json')
  writeFileSync(file, `${JSON.stringify(scenario, null, 1)}\n`)
  const replayShrunk = commandOf(`${file} --seed ${seed}`, bugs)
  const { invariant, what, atMs } = violation
  const why = invariants.find((one) => one.name === invariant)?.why ?? ''
  const { world } = runScenario(scenario, { seed, bugs, drawn: true })
  const width = process.stderr.columns ?? usualWidth
  const text = [
    `VIOLATED ${invariant} at ${(atMs / 1_000).toFixed(3)} s, seed ${seed}: ${what}`,
    `  (${why})`,
    `replay: ${replay}`,
    `shrunk: ${replayShrunk}`,
    `  ${scenario.hosts} hosts; ${scenario.steps.length === 0 ? 'nothing befell them' : 'what befell them:'}`,
    ...scenario.steps.map(
      ({ atMs, fault }) => `  ${(atMs / 1_000).toFixed(3).padStart(8)} s  ${describeFault(fault)}`
    ),
    '',
    ...diagram(world.events, width, focusOf(what)),
    ''
  ].join('\n')
  return { data: { invariant, what, atMs, seed, replay, replayShrunk, scenario }, text }
}

/** On standard error: standard output is for figures. */
export function tell(failure: Failure): void {
  process.stderr.write(`${failure.text}\n`)
}

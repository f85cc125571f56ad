/** `violin-sim SCENARIO`: runs one scenario, with one seed or several. */
import { readFileSync } from 'node:fs'
import { type Figure, measured } from '../measure.ts'
import { Random } from '../random.ts'
import { runScenario } from '../run.ts'
import type { Scenario } from '../scenario.ts'
import { families } from '../scenarios/list.ts'
import { type Failure, commandOf, failureOf, tell } from './failure.ts'
import { type Row, lineOf, machine, stopwatch, table } from './rows.ts'
import { ScenarioError, readScenario } from './scenario-file.ts'
import { shrink } from './shrink.ts'
import { type Options, UsageError } from './usage.ts'

/** A run that took longer is not repeated to shrink its scenario. */
const maxShrunkMs = 10_000

export function play(options: Options): number {
  const figures: Figure[] = []
  const first = options.seed ?? freshSeed()
  let failure: Failure | null = null
  for (let seed = first; seed < first + options.runs && failure === null; seed++) {
    const made = scenarioOf(options.scenario, options.hosts, seed)
    const measuring = measured(made)
    let took = stopwatch()
    const outcome = runScenario(made, {
      seed,
      bugs: options.bugs,
      prepare: measuring.prepare,
      settled: () => (took = stopwatch())
    })
    const spent = took()
    measuring.add(outcome, spent)
    figures.push(...measuring.rows())
    if (outcome.violation === null) continue
    const found = { seed, scenario: made, outcome }
    const hosts = options.hosts === null ? '' : ` --hosts ${options.hosts}`
    failure = failureOf(
      spent.cpuMs > maxShrunkMs ? found : shrink(found, options.bugs),
      options.bugs,
      commandOf(`${options.scenario} --seed ${seed}${hosts}`, options.bugs)
    )
  }
  print(options, rowsOf(figures, first, failure), failure)
  return failure === null ? 0 : 1
}

/** Prints rows, and what was violated. */
export function print(options: Options, rows: readonly Row[], failure: Failure | null): void {
  const lines = rows.map(lineOf)
  if (failure !== null) tell(failure)
  if (!options.json) return void process.stdout.write(table(lines))
  const violation = failure === null ? {} : { violation: failure.data }
  process.stdout.write(`${JSON.stringify({ rows: lines, machine: machine(), ...violation })}\n`)
}

/** A number to begin with that nobody chose. */
export function freshSeed(): number {
  return Math.floor(Math.random() * 2 ** 31)
}

function scenarioOf(name: string, hosts: number | null, seed: number): Scenario {
  const family = families.find((one) => one.name === name)
  if (family === undefined) return scenarioIn(name, hosts)
  const { least = 2 } = family
  if (hosts !== null && hosts < least)
    throw new UsageError(`${name} needs ${least} hosts, not ${hosts}`, `write --hosts ${least} or more`)
  return family.make(hosts ?? family.hosts, new Random(seed, 'scenario'))
}

/** Reads a file. Throws UsageError, which names it and the place in it. */
function scenarioIn(file: string, hosts: number | null): Scenario {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error: unknown) {
    throw new UsageError(`${file} cannot be read: ${(error as Error).message}`, 'name a file that is there')
  }
  try {
    return readScenario(text, file, hosts)
  } catch (error: unknown) {
    if (!(error instanceof ScenarioError)) throw error
    const at = error.path === '' ? file : `${file}: ${error.path}`
    throw new UsageError(`${at} ${error.message}`, error.remedy)
  }
}

/** Figures of one name are one row, over all runs. */
function rowsOf(figures: readonly Figure[], seed: number, failure: Failure | null): Row[] {
  const names = [...new Set(figures.map((figure) => figure.name))]
  const rows = names.map((name): Row => {
    const same = figures.filter((figure) => figure.name === name)
    return {
      name,
      unit: (same[0] as Figure).unit,
      values: same.flatMap((figure) => figure.values),
      runs: same.length,
      seed
    }
  })
  return [
    ...rows,
    { name: 'invariants violated', unit: '', values: [failure === null ? 0 : 1], goal: { atMost: 0 }, seed }
  ]
}

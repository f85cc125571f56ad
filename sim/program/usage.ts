/** What the program is asked: words and options, checked, or one line that says what is wrong with them. */
import { parseArgs } from 'node:util'
import { nearest } from '#core/nearest.ts'
import { type Bug, bugs, isBug } from '../bugs.ts'
import { families } from '../scenarios/list.ts'
import { maxHosts } from './scenario-file.ts'
import { sectionNames } from './sections/list.ts'

/** Largest number that an option takes. */
const maxNumber = 2 ** 31

/** Wrong usage: one line, exit status 2. */
export class UsageError extends Error {
  readonly remedy: string

  constructor(message: string, remedy = 'see violin-sim --help') {
    super(message)
    this.remedy = remedy
  }
}

export interface Options {
  readonly verb: 'run' | 'swarm' | 'report' | 'list' | 'help'
  /** A scenario's name or its file, for `run`. */
  readonly scenario: string
  /** Null: a fresh one. */
  readonly seed: number | null
  readonly seeds: number | null
  readonly seconds: number | null
  readonly runs: number
  readonly hosts: number | null
  readonly bugs: ReadonlySet<Bug>
  readonly only: readonly string[]
  readonly long: boolean
  readonly html: string | null
  readonly json: boolean
}

/** Options that each verb takes, beside `--json`. */
const taken: Record<Options['verb'], readonly string[]> = {
  run: ['hosts', 'seed', 'runs', 'plant'],
  swarm: ['hosts', 'seed', 'seeds', 'seconds', 'plant'],
  report: ['only', 'long', 'html'],
  list: [],
  help: []
}

/** Reads the command line. Throws UsageError. */
export function optionsOf(args: readonly string[]): Options {
  const { positionals, values } = parsed(args)
  const [word, ...more] = positionals
  const isVerb = word === 'swarm' || word === 'report' || word === 'list' || word === 'help'
  const verb = values.help === true || word === undefined ? 'help' : isVerb ? word : 'run'
  if (word === undefined && values.help !== true) throw new UsageError('which scenario?')
  if (more.length > 0) throw new UsageError(`one scenario at a time, not also "${more[0]}"`)
  const foreign = Object.keys(values).find(
    (option) => verb !== 'help' && option !== 'json' && !taken[verb].includes(option)
  )
  if (foreign !== undefined) throw new UsageError(`--${foreign} means nothing to ${verb}`)
  if (values.seeds !== undefined && values.seconds !== undefined)
    throw new UsageError('either --seeds or --seconds')
  if (verb === 'run') checkScenario(word as string)
  return {
    verb,
    scenario: word ?? '',
    seed: values.seed === 'random' ? null : numberOf('seed', values.seed ?? '1', 0),
    seeds: values.seeds === undefined ? null : numberOf('seeds', values.seeds),
    seconds: values.seconds === undefined ? null : numberOf('seconds', values.seconds),
    runs: numberOf('runs', values.runs ?? '1'),
    hosts: values.hosts === undefined ? null : numberOf('hosts', values.hosts, 2, maxHosts),
    bugs: new Set((values.plant ?? []).map(bugOf)),
    only: (values.only ?? []).map(sectionOf),
    long: values.long ?? false,
    html: values.html ?? null,
    json: values.json ?? false
  }
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        seed: { type: 'string' },
        seeds: { type: 'string' },
        seconds: { type: 'string' },
        runs: { type: 'string' },
        hosts: { type: 'string' },
        plant: { type: 'string', multiple: true },
        only: { type: 'string', multiple: true },
        long: { type: 'boolean' },
        html: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' }
      }
    })
  } catch (error: unknown) {
    throw new UsageError((error as Error).message.split(/\.\s/, 1)[0] ?? 'wrong options')
  }
}

function numberOf(option: string, text: string, least = 1, most = maxNumber): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= least && value <= most) return value
  const upTo = most === maxNumber ? 'up' : `to ${most}`
  throw new UsageError(`--${option} takes a whole number from ${least} ${upTo}, not "${text}"`)
}

function checkScenario(name: string): void {
  if (name.endsWith('.json') || families.some((one) => one.name === name)) return
  const words = [...families.map((one) => one.name), 'swarm', 'report', 'list']
  throw new UsageError(`no scenario "${name}"${meant(name, words)}`)
}

function bugOf(name: string): Bug {
  if (isBug(name)) return name
  throw new UsageError(`no bug "${name}" to plant${meant(name, Object.keys(bugs))}`)
}

function sectionOf(name: string): string {
  if (sectionNames.includes(name)) return name
  throw new UsageError(`no section "${name}"${meant(name, sectionNames)}`)
}

function meant(word: string, words: readonly string[]): string {
  const near = nearest(word, words)
  return near === null ? '' : `; did you mean ${near}?`
}

/** The page of `--help`. */
export const help: string = `violin-sim: virtual meshes that run VIOLIN's own code in virtual time

  violin-sim SCENARIO|FILE.json [--hosts N] [--seed N] [--runs N] [--plant BUG]... [--json]
      Runs a scenario, all invariants watching, and prints its figures.
  violin-sim swarm [--seconds N | --seeds N] [--seed N|random] [--hosts N] [--plant BUG]... [--json]
      Runs random scenarios, seed by seed, until an invariant is violated (100 seeds).
  violin-sim report [--only SECTION]... [--long] [--html FILE] [--json]
      Measures the control plane: a table, JSON, a page with plots. Some minutes; --long more of each.
      Sections: ${sectionNames.join(', ')}
  violin-sim list [--json]
      Scenarios, invariants, and bugs that can be planted.

  --json   one JSON document on standard output, nothing else there
  --seed   the same seed is the same run, bit for bit (1)

Exit status: 0 all held and every goal is met; 1 an invariant was violated (with the command that replays it,
the least scenario that does it, and a diagram of its last events) or a goal is missed; 2 wrong usage.
`

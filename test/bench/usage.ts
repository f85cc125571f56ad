/** What a bench is asked: its options, checked before anything is measured, and told by `--help`. */
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { parseArgs } from 'node:util'

/** One option with a value, or without. */
export interface Option<T> {
  readonly does: string
  /** What stands behind it in the usage; empty: nothing does. */
  readonly value: string
  /** Without the option. */
  readonly standard: T
  /** The same for people; empty: nothing is said of it. */
  readonly usual: string
  /** Throws Error whose message goes on after the option's name. */
  readonly read: (text: string) => T
}

type Spec = Readonly<Record<string, Option<unknown>>>
/** What tells how a bench is used. */
type Told = Pick<Bench<Spec>, 'command' | 'measures' | 'options'>
type Values<S extends Spec> = { readonly [K in keyof S]: S[K] extends Option<infer T> ? T : never }

export interface Bench<S extends Spec> {
  /** How it is started. */
  readonly command: string
  readonly measures: string
  readonly options: S
  /** What else has to hold before it begins. Throws Error. */
  readonly check?: (values: Values<S>) => void
}

/** The options of this process. Ends it with status 2 and one line on wrong usage, with 0 after `--help`. */
export function asked<S extends Spec>(bench: Bench<S>): Values<S> {
  const args = process.argv.slice(2)
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(helpOf(bench))
    process.exit(0)
  }
  try {
    const values = valuesOf(bench.options, args)
    bench.check?.(values)
    return values
  } catch (error: unknown) {
    const message = (error as Error).message.replaceAll(/\s*\n\s*/g, ' ')
    process.stderr.write(`${message}; usage: ${usageOf(bench)}\n`)
    process.exit(2)
  }
}

/** Reads a command line. Throws Error with one line that says what is wrong with it. */
export function valuesOf<S extends Spec>(spec: S, args: readonly string[]): Values<S> {
  const names = Object.entries(spec)
  const options = Object.fromEntries(
    names.map(([name, { value }]) => [name, { type: value === '' ? 'boolean' : 'string' } as const])
  )
  const given = parsed(args, options)
  const values = names.map(([name, { standard, read }]) => {
    const text = given[name]
    if (text === undefined) return [name, standard]
    try {
      return [name, read(String(text))]
    } catch (error: unknown) {
      throw new Error(`--${name} ${(error as Error).message}`, { cause: error })
    }
  })
  return Object.fromEntries(values) as Values<S>
}

function parsed(
  args: readonly string[],
  options: Readonly<Record<string, { readonly type: 'boolean' | 'string' }>>
): Readonly<Record<string, string | boolean | undefined>> {
  try {
    return parseArgs({ args: [...args], options }).values
  } catch (error: unknown) {
    throw new Error((error as Error).message.split(/\.\s/, 1)[0], { cause: error })
  }
}

function usageOf({ command, options }: Told): string {
  const words = Object.entries(options).map(([name, { value }]) => `[${shown(name, value)}]`)
  return [command, ...words].join(' ')
}

function helpOf(bench: Told): string {
  const rows = Object.entries(bench.options).map(([name, { value, does, usual }]) => {
    return [shown(name, value), usual === '' ? does : `${does} (${usual})`] as const
  })
  const width = Math.max(...rows.map(([option]) => option.length))
  const lines = rows.map(([option, does]) => `  ${option.padEnd(width)}  ${does}\n`)
  return `${usageOf(bench)}\n${bench.measures}\n\n${lines.join('')}`
}

function shown(name: string, value: string): string {
  return value === '' ? `--${name}` : `--${name}=${value}`
}

export const json: Option<boolean> = flag('one JSON document on standard output, nothing else there')

export const nice: Option<number> = whole(
  'priority of all that is started; below 0 others on this machine are less in the way',
  0,
  -20,
  19
)

export function flag(does: string): Option<boolean> {
  return { does, value: '', standard: false, usual: '', read: () => true }
}

export function whole(does: string, standard: number, least = 1, most = Infinity): Option<number> {
  return { does, value: 'N', standard, usual: String(standard), read: (text) => wholeOf(text, least, most) }
}

export function wholes(
  does: string,
  standard: readonly number[],
  least = 1,
  most = Infinity
): Option<readonly number[]> {
  return {
    does,
    value: 'N,…',
    standard,
    usual: standard.join(','),
    read: (text) => text.split(',').map((one) => wholeOf(one, least, most))
  }
}

export function word<T extends string>(
  does: string,
  choices: readonly T[],
  standard: T | null
): Option<T | null> {
  return {
    does,
    value: choices.join('|'),
    standard,
    usual: standard ?? '',
    read: (text) => oneOf(text, choices)
  }
}

export function words<T extends string>(does: string, choices: readonly T[]): Option<readonly T[]> {
  return {
    does,
    value: 'PART,…',
    standard: choices,
    usual: choices.join(','),
    read: (text) => text.split(',').map((one) => oneOf(one, choices))
  }
}

export function path(does: string, value: string): Option<string | null> {
  return { does, value, standard: null, usual: '', read: (text) => text }
}

/** Throws Error unless all these programs are on this machine. */
export function needs(...programs: readonly string[]): void {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  const missing = programs.filter((name) => !folders.some((folder) => existsSync(join(folder, name))))
  if (missing.length > 0) throw new Error(`it needs ${missing.join(', ')}, not found here: bin/setup bench`)
}

function wholeOf(text: string, least: number, most: number): number {
  const number = Number(text)
  if (/^-?\d+$/.test(text) && number >= least && number <= most) return number
  throw new Error(
    `takes whole numbers from ${least} ${most === Infinity ? 'up' : `to ${most}`}, not "${text}"`
  )
}

function oneOf<T extends string>(text: string, choices: readonly T[]): T {
  const choice = choices.find((one) => one === text)
  if (choice === undefined) throw new Error(`takes ${choices.join(', ')}, not "${text}"`)
  return choice
}

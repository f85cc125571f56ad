/** `violin-sim report`: every figure of the control plane that virtual hosts can show. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { page } from './page.ts'
import { type Line, lineOf, machine, table } from './rows.ts'
import { sections } from './sections/list.ts'
import type { Plot } from '#plot/plot.ts'
import type { Result, Section } from './sections/section.ts'
import { type Options, UsageError } from './usage.ts'

/** Ten thousand hosts need a larger heap than usual, and who measures memory collects what is not used. */
const execArgv = ['--expose-gc', '--max-old-space-size=12288']

/** A section with what came out of it. */
export interface Measured {
  readonly section: Section
  readonly lines: readonly Line[]
  readonly plots: readonly Plot[]
  readonly tookMs: number
}

/** Throws UsageError, before anything is measured. */
export async function report(options: Options): Promise<number> {
  if (options.html !== null) tryOut(options.html)
  const chosen = sections.filter(({ name }) => options.only.length === 0 || options.only.includes(name))
  const measured = await sideBySide(chosen, (section) => measure(section, options.long))
  const lines = measured.flatMap((one) => one.lines)
  if (options.html !== null) writeFileSync(options.html, page(measured, machine()))
  if (options.json) process.stdout.write(`${JSON.stringify({ rows: lines, machine: machine() })}\n`)
  else for (const one of measured) process.stdout.write(`${one.section.title}\n${table(one.lines)}\n`)
  const missed = lines.filter((line) => !line.ok)
  for (const { name, goal, command } of missed) {
    process.stderr.write(`missed: ${name}${goal === null ? '' : `; again: ${command}`}\n`)
  }
  return missed.length === 0 ? 0 : 1
}

/** Opens the file of the page as it will be written later: hours of measurement would be lost. */
function tryOut(path: string): void {
  try {
    closeSync(openSync(path, 'a'))
  } catch (error: unknown) {
    throw new UsageError(`--html: ${(error as Error).message}`, 'name a file that can be written')
  }
}

/** Runs all, as many at once as there are processors. */
async function sideBySide<T, R>(all: readonly T[], run: (one: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  const waiting = Array.from(all.entries())
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      results[next[0]] = await run(next[1])
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, worker))
  return results
}

/** In a process of its own, so that memory and CPU are its own. */
async function measure(section: Section, long: boolean): Promise<Measured> {
  const started = performance.now()
  const own =
    section.measure instanceof URL ? section.measure : new URL('section-process.ts', import.meta.url)
  const args =
    own === section.measure
      ? ['--json', ...(long ? ['--long'] : [])]
      : [section.name, long ? 'long' : 'usual']
  const child = fork(own, args, { stdio: ['ignore', 'pipe', 2, 'ipc'], execArgv })
  let result: Result | null = null
  let printed = ''
  child.on('message', (message) => (result = message as Result))
  child.stdout?.on('data', (chunk) => (printed += String(chunk)))
  // The status of a bench tells of its goals.
  await once(child, 'close')
  const tookMs = performance.now() - started
  process.stderr.write(`${section.name}: ${(tookMs / 1_000).toFixed(1)} s\n`)
  const sent = result as Result | null
  if (sent !== null) return { section, lines: sent.rows.map(lineOf), plots: sent.plots, tookMs }
  return { section, lines: printedLines(printed, section), plots: [], tookMs }
}

/** Rows that a bench printed; none: it told why on standard error. */
function printedLines(printed: string, { name, measure }: Section): Line[] {
  const command = `npm run sim:report -- --only ${name}`
  if (printed === '' || !(measure instanceof URL)) {
    return [lineOf({ name: `${name}: no figures`, unit: '', values: [], goal: { atMost: 0 }, command })]
  }
  const { rows } = JSON.parse(printed) as { rows: Line[] }
  return rows.map((row) => ({ ...row, p99: row.max, count: row.runs, seed: null, command, note: null }))
}

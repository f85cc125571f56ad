/** `violin-sim report`: every figure of the control plane that virtual hosts can show. */
import { type StdioOptions, fork } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { page } from './page.ts'
import { type Line, type Row, lineOf, machine, table } from './rows.ts'
import { sections } from './sections/list.ts'
import type { Plot, Result, Section } from './sections/section.ts'
import type { Options } from './usage.ts'

/** A section with what came out of it. */
export interface Measured {
  readonly section: Section
  readonly lines: readonly Line[]
  readonly plots: readonly Plot[]
  readonly tookMs: number
}

export async function report(options: Options): Promise<number> {
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
  // What it prints is for people.
  const stdio: StdioOptions = ['ignore', 2, 2, 'ipc']
  const child =
    section.measure instanceof URL
      ? fork(section.measure, long ? ['--long'] : [], { stdio })
      : fork(new URL('section-process.ts', import.meta.url), [section.name, long ? 'long' : 'usual'], {
          stdio
        })
  let result: Result | null = null
  child.on('message', (message) => (result = message as Result))
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
  const tookMs = performance.now() - started
  process.stderr.write(`${section.name}: ${(tookMs / 1_000).toFixed(1)} s\n`)
  const failed: Row = {
    name: `${section.name}: no figures`,
    unit: '',
    values: [],
    goal: { atMost: 0 },
    command: `npm run sim:report -- --only ${section.name}`
  }
  // It told why on standard error.
  const { rows, plots } = code === 0 && result !== null ? result : { rows: [failed], plots: [] }
  return { section, lines: rows.map(lineOf), plots, tookMs }
}

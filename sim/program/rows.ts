/**
 * Figures as rows: a table for people, JSON for programs. A row says what is measured, what it is to be, and
 * the command that measures it again.
 */
import { grouped } from '#plot/plot.ts'
import { availableParallelism, cpus, totalmem } from 'node:os'
import type { Took } from '../measure.ts'

/** What a figure is to be. `of`: which of the values; median where nothing is said. */
export interface Goal {
  readonly of?: 'median' | 'p99' | 'max' | 'min'
  readonly atMost?: number
  readonly atLeast?: number
}

export interface Row {
  readonly name: string
  readonly unit: string
  readonly values: readonly number[]
  readonly goal?: Goal
  /** Runs of the simulator behind it. */
  readonly runs?: number
  /** First seed. */
  readonly seed?: number
  readonly command?: string
  /** What the figure rests on, or why it is what it is. */
  readonly note?: string
  /** This figure over that of the row of that name. */
  readonly ratioTo?: Readonly<Record<string, number>>
}

/** A row as it is printed. */
export interface Line {
  readonly name: string
  readonly unit: string
  readonly median: number
  readonly min: number
  readonly max: number
  readonly p99: number
  readonly runs: number
  /** Values that were measured. */
  readonly count: number
  readonly goal: Goal | null
  readonly ok: boolean
  readonly seed: number | null
  readonly command: string | null
  readonly note: string | null
  readonly ratioTo?: Readonly<Record<string, number>>
}

/** Gives what was taken since it began. */
export function stopwatch(): () => Took {
  const [cpu, real] = [cpuMs(), performance.now()]
  return () => ({ cpuMs: cpuMs() - cpu, realMs: performance.now() - real })
}

/** Time that this process computed, ms: others on the machine do not count. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

export function machine(): Record<string, unknown> {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version
  }
}

/** The value below which a share of sorted values lies; NaN of none. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}

/** A row of nothing measured misses its goal. */
export function lineOf(row: Row): Line {
  const sorted = row.values.toSorted((a, b) => a - b)
  const figures = {
    median: quantile(sorted, 0.5),
    min: quantile(sorted, 0),
    max: quantile(sorted, 1),
    p99: quantile(sorted, 0.99)
  }
  const { goal } = row
  const judged = figures[goal?.of ?? 'median']
  return {
    name: row.name,
    unit: row.unit,
    median: rounded(figures.median),
    min: rounded(figures.min),
    max: rounded(figures.max),
    p99: rounded(figures.p99),
    runs: row.runs ?? 1,
    count: sorted.length,
    goal: goal ?? null,
    ok: goal === undefined || (judged <= (goal.atMost ?? Infinity) && judged >= (goal.atLeast ?? -Infinity)),
    seed: row.seed ?? null,
    command: row.command ?? null,
    note: row.note ?? null,
    ...(row.ratioTo === undefined ? {} : { ratioTo: row.ratioTo })
  }
}

/** A goal in a few letters: `p99 ≤ 300`. */
export function goalText(goal: Goal | null): string {
  if (goal === null) return ''
  const of = goal.of === undefined ? '' : `${goal.of} `
  return goal.atMost === undefined ? `${of}≥ ${grouped(goal.atLeast ?? 0)}` : `${of}≤ ${grouped(goal.atMost)}`
}

/** The lines as a table that fits a terminal: spread only where there is one. */
export function table(lines: readonly Line[]): string {
  const heading = ['', 'figure', 'median', 'p99', 'max', 'unit', 'goal', 'of']
  const cells = lines.map((line) => {
    const one = line.count < 2
    return [
      line.goal === null ? ' ' : line.ok ? '✔' : '✖',
      line.name,
      grouped(line.median),
      one ? '' : grouped(line.p99),
      one ? '' : grouped(line.max),
      line.unit,
      goalText(line.goal),
      one ? '' : grouped(line.count)
    ]
  })
  const widths = heading.map((title, i) =>
    Math.max(title.length, ...cells.map((row) => (row[i] as string).length))
  )
  const numbers = new Set([2, 3, 4, 7])
  const text = (row: readonly string[]): string =>
    row
      .map((cell, i) =>
        numbers.has(i) ? cell.padStart(widths[i] as number) : cell.padEnd(widths[i] as number)
      )
      .join('  ')
      .trimEnd()
  return [heading, ...cells].map((row) => `${text(row)}\n`).join('')
}

function rounded(value: number): number {
  return Number(value.toPrecision(5))
}

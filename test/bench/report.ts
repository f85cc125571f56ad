/**
 * What a benchmark says at its end: rows for people, or with `--json` one JSON document.
 */
import { cpus, loadavg, release, totalmem } from 'node:os'

/** What the median, and where it says so the 99th percentile, must be. */
export interface Goal {
  readonly atLeast?: number
  readonly atMost?: number
  readonly p99AtMost?: number
}

export interface Row {
  readonly name: string
  readonly unit: string
  readonly median: number
  readonly p99: number
  readonly min: number
  readonly max: number
  readonly runs: number
  readonly goal: Goal | null
  readonly ok: boolean
  /** Median of this row divided by that of the row of this name. */
  readonly ratioTo?: Readonly<Record<string, number>>
}

/** One row of the values of several runs. */
export function row(name: string, unit: string, values: readonly number[], goal: Goal | null = null): Row {
  if (values.length === 0) throw new RangeError(`${name}: no run`)
  const sorted = values.toSorted((left, right) => left - right)
  const middle = sorted.length >> 1
  const upper = sorted[middle] as number
  const median = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2
  const p99 = sorted[Math.ceil(0.99 * sorted.length) - 1] as number
  const ok =
    median >= (goal?.atLeast ?? -Infinity) &&
    median <= (goal?.atMost ?? Infinity) &&
    p99 <= (goal?.p99AtMost ?? Infinity)
  return {
    name,
    unit,
    median: round(median),
    p99: round(p99),
    min: round(sorted[0] as number),
    max: round(sorted.at(-1) as number),
    runs: sorted.length,
    goal,
    ok
  }
}

/** The row with its ratio to others. */
export function compared(own: Row, others: readonly Row[]): Row {
  const ratioTo = Object.fromEntries(others.map((other) => [other.name, round(own.median / other.median)]))
  return { ...own, ratioTo }
}

/** Prints the rows; the exit status is 1 when a goal is missed. */
export function printReport(rows: readonly Row[], json: boolean): void {
  const machine = {
    cpus: cpus().length,
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    kernel: release(),
    node: process.version,
    /** Processes that wanted a core in the last minute: figures of a busy machine are worse. */
    load: round(loadavg()[0] ?? 0)
  }
  if (json) process.stdout.write(`${JSON.stringify({ rows, machine })}\n`)
  else for (const line of rows) process.stdout.write(`${textOf(line)}\n`)
  if (rows.some((line) => !line.ok)) process.exitCode = 1
}

function textOf(line: Row): string {
  const goal = line.goal === null ? '' : `  goal ${goalText(line.goal)}: ${line.ok ? 'met' : 'MISSED'}`
  const ratios = Object.entries(line.ratioTo ?? {}).map(([name, ratio]) => `  ${ratio} × ${name}`)
  const spread = `(${line.min}-${line.max}, p99 ${line.p99}, ${line.runs} runs)`
  return `${line.name.padEnd(28)} ${line.median} ${line.unit} ${spread}${goal}${ratios.join('')}`
}

function goalText({ atLeast, atMost, p99AtMost }: Goal): string {
  const parts = [
    atLeast === undefined ? '' : `≥ ${atLeast}`,
    atMost === undefined ? '' : `≤ ${atMost}`,
    p99AtMost === undefined ? '' : `p99 ≤ ${p99AtMost}`
  ]
  return parts.filter((part) => part !== '').join(', ')
}

function round(value: number): number {
  return Number(value.toPrecision(4))
}

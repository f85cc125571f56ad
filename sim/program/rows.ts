/** Figures as rows: a table for people, JSON for programs. */
import { availableParallelism, cpus, totalmem } from 'node:os'

export interface Row {
  readonly name: string
  readonly unit: string
  readonly values: readonly number[]
  /** What the value is to be at most, or at least where `atLeast`. */
  readonly goal?: number
  readonly ok?: boolean
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

/** Rows of one name are put together. */
export function printRows(rows: readonly Row[], json: boolean, machine: Record<string, unknown>): void {
  const names = [...new Set(rows.map((row) => row.name))]
  const lines = names.map((name) => {
    const same = rows.filter((row) => row.name === name)
    const sorted = same.flatMap((row) => row.values).toSorted((a, b) => a - b)
    const { unit, goal } = same[0] as Row
    const oks = same.map((row) => row.ok).filter((ok) => ok !== undefined)
    return {
      name,
      unit,
      median: rounded(sorted[Math.floor(sorted.length / 2)] ?? 0),
      min: rounded(sorted[0] ?? 0),
      max: rounded(sorted.at(-1) ?? 0),
      runs: sorted.length,
      goal: goal ?? null,
      ok: oks.length === 0 ? null : oks.every(Boolean)
    }
  })
  if (json) console.log(JSON.stringify({ rows: lines, machine }))
  else console.table(lines)
}

function rounded(value: number): number {
  return Number(value.toPrecision(5))
}

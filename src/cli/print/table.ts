/** Tables for people: columns as wide as their longest cell, colours only on a terminal. */
import { styleText } from 'node:util'

/** Rows below a heading; null shows as `-`. */
export function table(
  heading: readonly string[],
  rows: readonly (readonly (string | number | null)[])[]
): string {
  const cells = rows.map((row) => row.map((cell) => (cell === null ? '-' : String(cell))))
  const widths = heading.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => row[column]?.length ?? 0))
  )
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] as number))
      .join('  ')
      .trimEnd()
  const title = line(heading.map((word) => word.toUpperCase()))
  return [emphasis('bold', title), ...cells.map(line)].map((one) => `${one}\n`).join('')
}

/** Styled on a terminal, plain elsewhere. */
export function emphasis(style: 'bold' | 'green' | 'yellow' | 'red' | 'dim', text: string): string {
  return styleText(style, text, { stream: process.stdout })
}

/** Milliseconds with a sensible number of digits. */
export function milliseconds(value: number | null): string | null {
  if (value === null) return null
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`
}

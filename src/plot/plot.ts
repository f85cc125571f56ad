/** What a plot shows. */

export type Point = readonly [x: number, y: number]

export interface Axis {
  readonly label: string
  readonly log?: boolean
}

export interface Series {
  readonly name: string
  readonly points: readonly Point[]
}

/** Lines through points, or (`cdf`) how many of the values are below each: then `points` are (value, share). */
export interface Plot {
  readonly kind: 'lines' | 'cdf'
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly series: readonly Series[]
  /** What is to be reached: a line across, at a value of x or y. */
  readonly goals?: readonly { readonly axis: 'x' | 'y'; readonly at: number; readonly label: string }[]
}

/** Digits in groups of three; few behind the point. */
export function grouped(value: number): string {
  if (!Number.isFinite(value)) return '-'
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 3
  const [whole, part] = Number(value.toFixed(digits)).toString().split('.') as [string, string?]
  const groups = whole.replaceAll(/\B(?=(\d{3})+$)/g, ',')
  return part === undefined ? groups : `${groups}.${part}`
}

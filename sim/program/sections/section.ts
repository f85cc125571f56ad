/** A section of the report: what it measures, in rows and plots. Each runs in a process of its own. */
import type { Plot, Point, Series } from '#plot/plot.ts'
import type { Row } from '../rows.ts'

export interface Result {
  readonly rows: readonly Row[]
  readonly plots: readonly Plot[]
}

export interface Section {
  readonly name: string
  readonly title: string
  /** One line under the title. */
  readonly about: string
  /** Measures it; or the program that does, which may use what a simulation may not: it sends its result, or prints rows. */
  readonly measure: ((long: boolean) => Result | Promise<Result>) | URL
}

/** Most points of one curve: more than that no eye tells apart. */
const maxPoints = 200

/** How many of the values are at most each of them. */
export function cdf(name: string, values: readonly number[]): Series {
  const sorted = values.toSorted((a, b) => a - b)
  const every = Math.max(1, Math.floor(sorted.length / maxPoints))
  const points = sorted
    .map((value, at): Point => [value, (at + 1) / sorted.length])
    .filter((_, at) => at % every === 0 || at === sorted.length - 1)
  return { name, points }
}

/** The exponent b of y = a·x^b that fits best: 0 is flat. Least squares on logarithms. */
export function exponent(points: readonly Point[]): number {
  const logs = points.map(([x, y]): Point => [Math.log(x), Math.log(y)])
  const mean = (of: 0 | 1): number => logs.reduce((sum, one) => sum + one[of], 0) / logs.length
  const [mx, my] = [mean(0), mean(1)]
  const above = logs.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0)
  return above / logs.reduce((sum, [x]) => sum + (x - mx) ** 2, 0)
}

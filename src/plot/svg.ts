/** One plot as SVG: axes with ticks, lines or steps, goals across. Colours come from the page's style. */
import { type Axis, grouped, type Plot, type Point } from './plot.ts'

export const width = 680
export const height = 340
const left = 64
const right = 16
const top = 14
const bottom = 46
const ticks = 6
/** A logarithmic axis spans at least this ratio. */
const leastRatio = 5
/** Room between the data and the frame, as a share of the range. */
const slack = 0.04

/** Maps values of one axis to pixels. */
interface Scale {
  at(value: number): number
  readonly ticks: readonly number[]
}

export function svgOf(plot: Plot): string {
  const points = plot.series.flatMap((series) => series.points)
  if (points.length === 0) return ''
  const goals = plot.goals ?? []
  const x = scaleOf(
    plot.x,
    [...points.map(([x]) => x), ...goals.flatMap((goal) => (goal.axis === 'x' ? goal.at : []))],
    left,
    width - right
  )
  const values = plot.kind === 'cdf' ? [0, 1] : points.map(([, y]) => y)
  const y = scaleOf(
    plot.y,
    [...values, ...goals.flatMap((goal) => (goal.axis === 'y' ? goal.at : []))],
    height - bottom,
    top
  )
  const lines = plot.series.map((series, place) => {
    const path = plot.kind === 'cdf' ? steps(series.points, x, y) : through(series.points, x, y)
    const dots =
      plot.kind === 'cdf'
        ? ''
        : series.points
            .map(
              ([a, b]) =>
                `<circle class="s${place}" cx="${px(x.at(a))}" cy="${px(y.at(b))}" r="3.5"><title>${escape(series.name)}: ${grouped(a)}, ${grouped(b)}</title></circle>`
            )
            .join('')
    return `<path class="line s${place}" d="${path}"><title>${escape(series.name)}</title></path>${dots}`
  })
  return [
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(plot.title)}">`,
    ...axes(plot, x, y),
    ...goals.map(({ axis, at, label }) =>
      axis === 'x' ? upright(x.at(at), label) : across(y.at(at), label)
    ),
    ...lines,
    '</svg>'
  ].join('\n')
}

export function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}

function axes(plot: Plot, x: Scale, y: Scale): string[] {
  const share = (value: number): string =>
    plot.kind === 'cdf' ? `${grouped(value * 100)} %` : grouped(value)
  return [
    ...y.ticks.map(
      (value) =>
        `<path class="grid" d="M${left} ${px(y.at(value))}H${width - right}"/><text x="${left - 8}" y="${px(y.at(value) + 4)}" text-anchor="end">${share(value)}</text>`
    ),
    ...x.ticks.map(
      (value) =>
        `<path class="grid" d="M${px(x.at(value))} ${top}V${height - bottom}"/><text x="${px(x.at(value))}" y="${height - bottom + 18}" text-anchor="middle">${grouped(value)}</text>`
    ),
    `<path class="axis" d="M${left} ${top}V${height - bottom}H${width - right}"/>`,
    `<text class="label" x="${(left + width - right) / 2}" y="${height - 8}" text-anchor="middle">${escape(plot.x.label)}</text>`,
    `<text class="label" transform="translate(14 ${(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">${escape(plot.y.label)}</text>`
  ]
}

function upright(at: number, label: string): string {
  return `<path class="goal" d="M${px(at)} ${top}V${height - bottom}"/><text class="goal" x="${px(at + 5)}" y="${top + 12}">${escape(label)}</text>`
}

function across(at: number, label: string): string {
  return `<path class="goal" d="M${left} ${px(at)}H${width - right}"/><text class="goal" x="${width - right - 4}" y="${px(at - 5)}" text-anchor="end">${escape(label)}</text>`
}

function through(points: readonly Point[], x: Scale, y: Scale): string {
  return points.map(([a, b], at) => `${at === 0 ? 'M' : 'L'}${px(x.at(a))} ${px(y.at(b))}`).join('')
}

/** A staircase from nothing to all. */
function steps(points: readonly Point[], x: Scale, y: Scale): string {
  const [first] = points
  if (first === undefined) return ''
  return `M${px(x.at(first[0]))} ${px(y.at(0))}${points.map(([a, b]) => `H${px(x.at(a))}V${px(y.at(b))}`).join('')}`
}

function scaleOf(axis: Axis, values: readonly number[], from: number, to: number): Scale {
  const finite = values.filter(Number.isFinite)
  // Where values hardly differ a logarithm would make hills of them.
  const log = axis.log === true && Math.max(...finite) > leastRatio * Math.min(...finite)
  const map = log ? Math.log10 : (value: number): number => value
  // Lengths of time and bytes begin at nothing, unless a logarithm cannot.
  const low = log ? map(Math.min(...finite)) : Math.min(0, ...finite)
  const high = map(Math.max(...finite))
  const range = high - low || Math.abs(high) || 1
  const [begin, end] = [log ? low - slack * range : low, high + (high === 1 && !log ? 0 : slack * range)]
  return {
    at: (value) => from + ((map(value) - begin) / (end - begin)) * (to - from),
    ticks: log ? logTicks(10 ** begin, 10 ** end) : linearTicks(begin, end)
  }
}

function linearTicks(from: number, to: number): number[] {
  const rough = (to - from) / ticks
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 2.5, 5].find((factor) => factor * power >= rough) ?? 10) * power
  const first = Math.ceil(from / step)
  return Array.from({ length: Math.floor(to / step) - first + 1 }, (_, i) => (first + i) * step)
}

/** Powers of ten, with what is between where there are few. */
function logTicks(from: number, to: number): number[] {
  const decades = Math.log10(to / from)
  const factors = decades > 3 ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 5]
  const powers = Array.from({ length: Math.ceil(decades) + 2 }, (_, i) => Math.floor(Math.log10(from)) + i)
  return powers
    .flatMap((power) => factors.map((factor) => factor * 10 ** power))
    .filter((value) => value >= from && value <= to)
}

function px(value: number): string {
  return value.toFixed(1)
}

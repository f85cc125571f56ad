/** What commands measured, read from what they printed and when: round trips of ping, rates of iperf3. */
import type { Point, Series } from '#plot/plot.ts'

/** A line of output. */
export interface Line {
  readonly atMs: number
  readonly step: string
  readonly text: string
}

/** A curve for each step that measured something of the kind. */
export interface Measured {
  /** Seconds and milliseconds. */
  readonly roundTrips: readonly Series[]
  /** Seconds and Mbit/s. */
  readonly rates: readonly Series[]
}

const units: Readonly<Record<string, number>> = { '': 1e-6, K: 1e-3, M: 1, G: 1e3 }

/** `beganMs`: when each step's command was started, for those that tell times of their own. */
export function measuredIn(lines: readonly Line[], beganMs: ReadonlyMap<string, number>): Measured {
  const roundTrips = new Map<string, Point[]>()
  const rates = new Map<string, Point[]>()
  const add = (to: Map<string, Point[]>, step: string, point: Point): void => {
    to.set(step, [...(to.get(step) ?? []), point])
  }
  for (const { atMs, step, text } of lines) {
    const ping = /seq=\d+ .*time=([\d.]+) ms/.exec(text)
    if (ping !== null) add(roundTrips, step, [atMs / 1_000, Number(ping[1])])
    const iperf =
      /^\[ *(?:\d+|SUM)\] +([\d.]+)-([\d.]+) +sec .* ([\d.]+) ([KMG]?)bits\/sec(?!.*(?:sender|receiver))/.exec(
        text
      )
    if (iperf === null) continue
    const [, , until, value, unit] = iperf
    add(rates, step, [
      (beganMs.get(step) ?? 0) / 1_000 + Number(until),
      Number(value) * (units[unit as string] as number)
    ])
  }
  const series = (of: Map<string, Point[]>): Series[] =>
    Array.from(of, ([name, points]) => ({ name, points }))
  return { roundTrips: series(roundTrips), rates: series(rates) }
}

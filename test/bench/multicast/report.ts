/** What was measured, as rows and as plots. */
import type { Plot } from '#plot/plot.ts'
import { quantile, type Row } from '../../../sim/program/rows.ts'
import type { Cost } from './cost.ts'

export const systems = ['multicast', 'gossipsub'] as const
export type System = (typeof systems)[number]

/** One measurement, of a round. */
export interface Figures {
  readonly system: System
  readonly topic: string
  readonly receivers: number
  readonly delivered: number
  readonly lost: number
  readonly twice: number
  readonly delaysMs: readonly number[]
  readonly cost: Cost
}

/** The hosts and their VIOLIN with nobody who sends or listens. */
export interface Rest {
  readonly receivers: number
  readonly cost: Cost
}

/** All of a run. */
export interface Measured {
  readonly sizes: readonly number[]
  readonly topics: readonly string[]
  readonly figures: readonly Figures[]
  readonly rests: readonly Rest[]
}

export function rowsOf(measured: Measured): Row[] {
  const { sizes, topics } = measured
  return sizes.flatMap((receivers) => [
    ...restRows(measured, receivers),
    ...topics.flatMap((topic) => systems.flatMap((system) => rowsOfOne(measured, topic, system, receivers)))
  ])
}

function restRows({ rests }: Measured, receivers: number): Row[] {
  const costs = rests.filter((one) => one.receivers === receivers).map(({ cost }) => cost)
  const of = (unit: string, what: string, one: (cost: Cost) => number): Row => ({
    name: `${receivers} receivers, at rest: ${what}`,
    unit,
    values: costs.map((cost) => one(cost) / cost.elapsedS)
  })
  return [
    of('kB/s', 'underlay', ({ bytes }) => bytes / 1e3),
    of('ms/s', 'slices', ({ slicesS }) => slicesS * 1e3),
    of('ms/s', 'daemons', ({ daemonsS }) => daemonsS * 1e3)
  ]
}

function rowsOfOne(measured: Measured, topic: string, system: System, receivers: number): Row[] {
  const found = figuresOf(measured, topic, system, receivers)
  const of = (unit: string, what: string, numbers: readonly number[]): Row => ({
    name: `${receivers} receivers, ${topic}, ${system}: ${what}`,
    unit,
    values: numbers,
    runs: found.length
  })
  const part = (which: 'applicationS' | 'slicesS' | 'daemonsS'): number[] =>
    found.map(({ cost }) => (cost[which] / cost.elapsedS) * 1e3)
  return [
    of(
      '%',
      'delivered',
      found.map(({ delivered, lost }) => (100 * delivered) / (delivered + lost))
    ),
    of(
      '',
      'lost',
      found.map(({ lost }) => lost)
    ),
    of(
      '',
      'twice',
      found.map(({ twice }) => twice)
    ),
    of(
      'ms',
      'delay',
      found.flatMap(({ delaysMs }) => delaysMs)
    ),
    of(
      'kB/s',
      'underlay',
      found.map((one) => kilobytesOf(measured, one))
    ),
    of('ms/s', 'processor', found.map(processorOf)),
    of('ms/s', 'of it the application', part('applicationS')),
    ...(system === 'multicast'
      ? [of('ms/s', 'of it slices', part('slicesS')), of('ms/s', 'of it daemons', part('daemonsS'))]
      : [])
  ]
}

function figuresOf({ figures }: Measured, topic: string, system: System, receivers: number): Figures[] {
  return figures.filter((one) => one.topic === topic && one.system === system && one.receivers === receivers)
}

/** A second: a VIOLIN's whole traffic; of gossipsub what is more than that of the VIOLIN that rests beside it. */
function kilobytesOf({ rests }: Measured, { system, receivers, cost }: Figures): number {
  const whole = perSecond(cost)
  if (system === 'multicast') return whole
  return whole - middle(rests.flatMap((one) => (one.receivers === receivers ? perSecond(one.cost) : [])))
}

function perSecond({ bytes, elapsedS }: Cost): number {
  return bytes / elapsedS / 1e3
}

/** Milliseconds a second, of all hosts: of a VIOLIN all that runs it, at rest or not. */
function processorOf({ system, cost }: Figures): number {
  const taken = system === 'multicast' ? cost.daemonsS + cost.slicesS + cost.applicationS : cost.applicationS
  return (taken / cost.elapsedS) * 1e3
}

function middle(numbers: readonly number[], share = 0.5): number {
  return quantile(
    numbers.toSorted((a, b) => a - b),
    share
  )
}

/** By the name of their file. */
export function plotsOf(measured: Measured): Record<string, Plot> {
  const { sizes, topics } = measured
  const ways = topics.flatMap((topic) => systems.map((system) => ({ topic, system })))
  const over = (title: string, label: string, of: (found: Figures[]) => number): Plot => ({
    kind: 'lines',
    title,
    x: { label: 'receivers', log: true },
    y: { label, log: true },
    series: ways.map(({ topic, system }) => ({
      name: `${topic}, ${nameOf(system)}`,
      points: sizes.map(
        (receivers) => [receivers, of(figuresOf(measured, topic, system, receivers))] as const
      )
    }))
  })
  return {
    underlay: over('What four overlay hosts send each other', 'kB/s', (found) =>
      middle(found.map((one) => kilobytesOf(measured, one)))
    ),
    processor: over('Processor time of all hosts together', 'ms a second', (found) =>
      middle(found.map(processorOf))
    ),
    delay: over('From the source to a receiver: 99 of 100 messages within', 'ms', (found) =>
      middle(
        found.flatMap(({ delaysMs }) => delaysMs),
        0.99
      )
    ),
    delays: {
      kind: 'cdf',
      title: `From the source to one of ${sizes.at(-1)} receivers within`,
      x: { label: 'ms', log: true },
      y: { label: 'share of messages' },
      series: ways.map(({ topic, system }) => {
        const sorted = figuresOf(measured, topic, system, sizes.at(-1) as number)
          .flatMap(({ delaysMs }) => delaysMs)
          .toSorted((a, b) => a - b)
        const points = Array.from({ length: 200 }, (_, i) => (i + 1) / 200)
        return {
          name: `${topic}, ${nameOf(system)}`,
          points: points.map((share) => [quantile(sorted, share), share] as const)
        }
      })
    }
  }
}

function nameOf(system: System): string {
  return system === 'multicast' ? 'IP multicast in a VIOLIN' : 'gossipsub'
}

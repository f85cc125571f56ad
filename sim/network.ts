/**
 * What lies between hosts: delays and losses by region, cuts of one direction, partitions, hosts without
 * power. Datagrams may be lost, overtaken, and refused by the kernel of a host whose process is dead; what
 * goes over connections comes in order, later where something was lost, or not at all.
 */
import type { Clock } from './clock.ts'
import type { Random } from './random.ts'

/** Regions of the underlay; a host is in region (place mod regions). One way, ms; losses as shares. */
export interface NetworkPlan {
  readonly delayMs: readonly (readonly number[])[]
  /** Up to so much more, by chance. */
  readonly jitterMs: number
  readonly loss: number
}

/** One region, as on a local network. */
export const lan: NetworkPlan = { delayMs: [[0.3]], jitterMs: 0.2, loss: 0 }
/** The weather in which nothing may be taken for a death. */
export const rough: NetworkPlan = { delayMs: [[0.4]], jitterMs: 0.2, loss: 0.05 }
/** Three continents. */
export const wide: NetworkPlan = {
  delayMs: [
    [2, 40, 75],
    [40, 2, 110],
    [75, 110, 2]
  ],
  jitterMs: 4,
  loss: 0.01
}

/** What a connection loses comes again after this and a round trip (RFC 6298's least time-out). */
const againMs = 200

/** Whether a process is there to hear. `off`: no kernel answers either. */
export type Presence = 'running' | 'dead' | 'off'

export class Network {
  readonly plan: NetworkPlan
  readonly #clock: Clock
  readonly #random: Random
  readonly #presence: (place: number) => Presence
  /** Cuts in force, by way; several may lie upon each other. */
  readonly #cuts = new Map<number, number>()
  /** For each partition in force the group of each host. */
  readonly #partitions: Int16Array[] = []
  readonly #lastArrival = new Map<number, number>()

  constructor(plan: NetworkPlan, clock: Clock, random: Random, presence: (place: number) => Presence) {
    this.plan = plan
    this.#clock = clock
    this.#random = random
    this.#presence = presence
  }

  cut(from: number, to: number): void {
    this.#cuts.set(way(from, to), (this.#cuts.get(way(from, to)) ?? 0) + 1)
  }

  mend(from: number, to: number): void {
    const left = (this.#cuts.get(way(from, to)) ?? 0) - 1
    if (left > 0) this.#cuts.set(way(from, to), left)
    else this.#cuts.delete(way(from, to))
  }

  /** Only hosts of one group reach one another. Gives what ends it. */
  partition(groups: Int16Array): () => void {
    this.#partitions.push(groups)
    return () => void this.#partitions.splice(this.#partitions.indexOf(groups), 1)
  }

  /** Whether what `from` sends comes to `to`. */
  reaches(from: number, to: number): boolean {
    if (this.#presence(from) === 'off' || this.#presence(to) === 'off') return false
    if (this.#cuts.size > 0 && this.#cuts.has(way(from, to))) return false
    return this.#partitions.every((groups) => groups[from] === groups[to])
  }

  /** Both ways. */
  connects(a: number, b: number): boolean {
    return this.reaches(a, b) && this.reaches(b, a)
  }

  rttMs(a: number, b: number): number {
    return this.#baseMs(a, b) + this.#baseMs(b, a)
  }

  /** When a datagram that is sent now arrives; Infinity: lost. */
  arrival(from: number, to: number): number {
    const delay = this.#delayMs(from, to)
    return this.#random.next() < this.plan.loss ? Infinity : this.#clock.now + delay
  }

  /** Lets a datagram arrive at `at`; `refused` runs at the sender when nobody listens. */
  datagram(from: number, to: number, at: number, arrive: () => void, refused: () => void): void {
    if (at === Infinity || !this.reaches(from, to)) return
    this.#clock.at(at, () => {
      if (!this.reaches(from, to)) return
      if (this.#presence(to) === 'running') return arrive()
      const back = this.#clock.now + this.#delayMs(to, from)
      this.#clock.at(back, () => {
        if (this.reaches(to, from)) refused()
      })
    })
  }

  /** Sends over a connection: in order, and only if the way is there at both ends of the journey. */
  stream(from: number, to: number, arrive: () => void): void {
    if (!this.connects(from, to) || this.#presence(to) !== 'running') return
    let delay = this.#delayMs(from, to)
    while (this.#random.next() < this.plan.loss) delay += againMs + this.rttMs(from, to)
    const at = Math.max(this.#clock.now + delay, this.#lastArrival.get(way(from, to)) ?? 0)
    if (this.plan.jitterMs > 0 || this.plan.loss > 0) this.#lastArrival.set(way(from, to), at)
    this.#clock.at(at, () => {
      if (this.connects(from, to) && this.#presence(to) === 'running') arrive()
    })
  }

  #baseMs(from: number, to: number): number {
    const regions = this.plan.delayMs
    return (regions[from % regions.length] as readonly number[])[to % regions.length] as number
  }

  #delayMs(from: number, to: number): number {
    return this.#baseMs(from, to) + this.#random.next() * this.plan.jitterMs
  }
}

function way(from: number, to: number): number {
  return from * 65_536 + to
}

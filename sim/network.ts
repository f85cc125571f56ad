/**
 * What lies between hosts: delays and losses by region, cuts of one direction, partitions, hosts without
 * power. Datagrams may be lost, overtaken, and refused by the kernel of a host whose process is dead; what
 * goes over connections comes in order, later where something was lost, or not at all.
 */
import type { Brand } from '#core/ids.ts'
import type { Clock } from './clock.ts'
import type { Random } from './random.ts'
import type { Fate } from './sketch.ts'

/** A value for each pair of regions, from the first to the second. */
export type Matrix = readonly (readonly number[])[]

/** Regions of the underlay; a host is in region (place mod regions). One way, ms; losses as shares. */
export interface NetworkPlan {
  readonly delayMs: Matrix
  /** Up to so much more, by chance. */
  readonly jitterMs: number
  /** Still more, drawn from these: what was measured elsewhere. */
  readonly measuredMs?: readonly number[]
  /** Of every datagram, or by regions. */
  readonly loss: number | Matrix
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
  loss: [
    [0.001, 0.01, 0.02],
    [0.01, 0.001, 0.03],
    [0.02, 0.03, 0.001]
  ]
}

/** What a connection loses comes again after this and a round trip (RFC 6298's least time-out). */
const againMs = 200

/** Whether a process is there to hear. `suspended`, `off`: no kernel answers either. */
export type Presence = 'running' | 'suspended' | 'dead' | 'off'
const presences: readonly Presence[] = ['dead', 'running', 'suspended', 'off']
const [dead, running] = [0, 1]

/** One direction between two hosts, by its number in the columns of {@link Ways}. */
export type Way = Brand<number, 'Way'>

/** What every way has, in columns: signs of life touch one a microsecond. */
class Ways {
  readonly #numbers = new Map<number, Way>()
  delayMs: Float64Array<ArrayBuffer> = new Float64Array(64)
  rttMs: Float64Array<ArrayBuffer> = new Float64Array(64)
  loss: Float64Array<ArrayBuffer> = new Float64Array(64)
  /** When what was sent last over a connection arrives: nothing overtakes it. */
  lastAt: Float64Array<ArrayBuffer> = new Float64Array(64)

  find(key: number): Way | undefined {
    return this.#numbers.get(key)
  }

  add(key: number, delayMs: number, rttMs: number, loss: number): Way {
    const way = this.#numbers.size as Way
    if (way === this.delayMs.length) {
      this.delayMs = twice(this.delayMs)
      this.rttMs = twice(this.rttMs)
      this.loss = twice(this.loss)
      this.lastAt = twice(this.lastAt)
    }
    this.delayMs[way] = delayMs
    this.rttMs[way] = rttMs
    this.loss[way] = loss
    this.#numbers.set(key, way)
    return way
  }
}

/** The same column with room for as many again. */
export function twice(column: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const longer = new Float64Array(2 * column.length)
  longer.set(column)
  return longer
}

/** Something sent, and what becomes of it. */
export interface Sent {
  readonly from: number
  readonly to: number
  readonly what: string
  readonly fate: Fate
  readonly tookMs: number
}

/** A datagram, and what it does at the end of its way. */
export abstract class Datagram {
  readonly from: number
  readonly to: number

  constructor(from: number, to: number) {
    this.from = from
    this.to = to
  }

  /** Where it went. */
  abstract arrived(): void
  /** Back at the sender: nobody listened. */
  abstract refused(): void
}

export class Network {
  readonly plan: NetworkPlan
  /** Is told of all that is sent; null: nobody looks. */
  drawn: ((sent: Sent) => void) | null = null
  readonly #clock: Clock
  readonly #random: Random
  /** By place, as an index of `presences`. */
  readonly #presences: Uint8Array
  /** Cuts in force, by way; several may lie upon each other. */
  readonly #cuts = new Map<number, number>()
  /** For each partition in force the group of each host. */
  readonly #partitions: Int16Array[] = []
  /** How many NATs lie before each host. */
  readonly #nats = new Map<number, number>()
  readonly #ways = new Ways()

  constructor(plan: NetworkPlan, clock: Clock, random: Random, hosts: number) {
    this.plan = plan
    this.#clock = clock
    this.#random = random
    this.#presences = new Uint8Array(hosts).fill(dead)
  }

  presence(place: number): Presence {
    return presences[this.#presences[place] as number] as Presence
  }

  setPresence(place: number, presence: Presence): void {
    this.#presences[place] = presences.indexOf(presence)
  }

  /** Its processes are there and hear. */
  runs(place: number): boolean {
    return this.#presences[place] === running
  }

  /** Not all that are there may reach one another. */
  get hasCuts(): boolean {
    return this.#cuts.size > 0 || this.#partitions.length > 0 || this.#nats.size > 1
  }

  cut(from: number, to: number): void {
    this.#cuts.set(keyOf(from, to), (this.#cuts.get(keyOf(from, to)) ?? 0) + 1)
  }

  mend(from: number, to: number): void {
    const left = (this.#cuts.get(keyOf(from, to)) ?? 0) - 1
    if (left > 0) this.#cuts.set(keyOf(from, to), left)
    else this.#cuts.delete(keyOf(from, to))
  }

  /** Only hosts of one group reach one another. Gives what ends it. */
  partition(groups: Int16Array): () => void {
    this.#partitions.push(groups)
    return () => void this.#partitions.splice(this.#partitions.indexOf(groups), 1)
  }

  /** These hosts are behind NATs of their own that map each flow apart. Gives what ends it. */
  nat(places: readonly number[]): () => void {
    for (const place of places) this.#nats.set(place, (this.#nats.get(place) ?? 0) + 1)
    return () => {
      for (const place of places) {
        const left = (this.#nats.get(place) ?? 0) - 1
        if (left > 0) this.#nats.set(place, left)
        else this.#nats.delete(place)
      }
    }
  }

  /** Whether others can begin to talk to it. */
  canBeDialled(place: number): boolean {
    return !this.#nats.has(place)
  }

  /** Whether what `from` sends comes to `to`, once they talk. */
  reaches(from: number, to: number): boolean {
    return this.#answers(from) && this.#answers(to) && this.#isOpen(from, to)
  }

  /** Something there, its kernel at least, hears and answers. */
  #answers(place: number): boolean {
    return (this.#presences[place] as number) <= running
  }

  #isOpen(from: number, to: number): boolean {
    if (this.#nats.size > 1 && this.#nats.has(from) && this.#nats.has(to)) return false
    if (this.#cuts.size > 0 && this.#cuts.has(keyOf(from, to))) return false
    return this.#partitions.length === 0 || this.#partitions.every((groups) => groups[from] === groups[to])
  }

  /** Both ways. */
  connects(a: number, b: number): boolean {
    return this.reaches(a, b) && this.#isOpen(b, a)
  }

  rttMs(a: number, b: number): number {
    return this.#baseMs(a, b) + this.#baseMs(b, a)
  }

  /** When a datagram that is sent now arrives; Infinity: lost. */
  arrival(from: number, to: number): number {
    const delay = this.#delayMs(from, to)
    return this.#random.next() < this.#lossOf(from, to) ? Infinity : this.#clock.now + delay
  }

  /** Lets a datagram arrive at `at`. */
  datagram(at: number, what: string, datagram: Datagram): void {
    const { from, to } = datagram
    if (this.drawn !== null) this.#draw(from, to, at, what)
    if (at === Infinity || !this.reaches(from, to)) return
    this.#clock.at(at, () => this.#arrive(datagram))
  }

  /** It is there, if the way still is. */
  #arrive(datagram: Datagram): void {
    const { from, to } = datagram
    if (!this.reaches(from, to)) return
    if (this.runs(to)) return datagram.arrived()
    const back = this.#clock.now + this.#delayMs(to, from)
    this.#clock.at(back, () => {
      if (this.reaches(to, from)) datagram.refused()
    })
  }

  /** Sends over a connection: in order, and only if the way is there at both ends of the journey. */
  stream(from: number, to: number, what: string, arrive: () => void): void {
    if (!this.connects(from, to) || !this.runs(to)) {
      return this.drawn?.({ from, to, what, fate: 'cut', tookMs: 0 })
    }
    const at = this.#inOrder(this.way(from, to))
    this.drawn?.({ from, to, what, fate: 'arrived', tookMs: at - this.#clock.now })
    this.#clock.at(at, () => {
      if (this.connects(from, to) && this.runs(to)) arrive()
    })
  }

  /** For who sends along it often. */
  way(from: number, to: number): Way {
    const key = keyOf(from, to)
    const known = this.#ways.find(key)
    if (known !== undefined) return known
    return this.#ways.add(key, this.#baseMs(from, to), this.rttMs(from, to), this.#lossOf(from, to))
  }

  /** When what is sent now over a connection arrives, for who looks then by itself; Infinity: never. */
  streamArrival(way: Way, from: number, to: number): number {
    return this.connects(from, to) && this.runs(to) ? this.#inOrder(way) : Infinity
  }

  /** Not before what was sent before; what is lost again and again waits twice as long each time (RFC 6298). */
  #inOrder(way: Way): number {
    const { delayMs, rttMs, loss, lastAt } = this.#ways
    const share = loss[way] as number
    let delay = this.#withChance(delayMs[way] as number)
    for (let waitMs = againMs; this.#random.next() < share; waitMs *= 2)
      delay += waitMs + (rttMs[way] as number)
    const at = Math.max(this.#clock.now + delay, lastAt[way] as number)
    if (this.plan.jitterMs > 0 || share > 0) lastAt[way] = at
    return at
  }

  /** As things stand now: what is cut or dies meanwhile is drawn as arrived. */
  #draw(from: number, to: number, at: number, what: string): void {
    const arrived = this.runs(to) ? 'arrived' : 'refused'
    const fate = !this.reaches(from, to) ? 'cut' : at === Infinity ? 'lost' : arrived
    const tookMs = fate === 'arrived' ? at - this.#clock.now : 0
    this.drawn?.({ from, to, what, fate, tookMs })
  }

  #baseMs(from: number, to: number): number {
    return between(this.plan.delayMs, from, to)
  }

  #lossOf(from: number, to: number): number {
    const { loss } = this.plan
    return typeof loss === 'number' ? loss : between(loss, from, to)
  }

  #delayMs(from: number, to: number): number {
    return this.#withChance(this.#baseMs(from, to))
  }

  #withChance(baseMs: number): number {
    const { jitterMs, measuredMs } = this.plan
    const more = measuredMs === undefined ? 0 : this.#random.pick(measuredMs)
    return baseMs + this.#random.next() * jitterMs + more
  }
}

function between(matrix: Matrix, from: number, to: number): number {
  return (matrix[from % matrix.length] as readonly number[])[to % matrix.length] as number
}

function keyOf(from: number, to: number): number {
  return from * 65_536 + to
}

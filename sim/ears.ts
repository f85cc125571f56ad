/**
 * Signs of life of other hosts, as each host hears them: numbers in columns of the whole world, for each is touched
 * twice a second, and every host has ten. A life of a host has ears of its own, which know nothing of the one before.
 */
import type { HostId, Instant } from '#core/ids.ts'
import { twice } from './network.ts'

/** Signs of so many hosts stand together: those of the eight watchers, and some that asked or told something. */
const block = 16

export class SignColumns {
  /** When the last was read, and when the next arrives; Infinity: none was sent. */
  lastAt: Float64Array<ArrayBuffer> = new Float64Array(64 * block)
  nextAt: Float64Array<ArrayBuffer> = new Float64Array(64 * block)
  /** What comes after the next, by number: mostly nothing. */
  readonly #later = new Map<number, number[]>()
  /** By place of the host: which ears it has now; 0: none yet. */
  readonly #earsOf: Int32Array
  #ears = 0
  #used = 0

  constructor(hosts: number) {
    this.#earsOf = new Int32Array(hosts)
  }

  /** A host begins to hear: with which ears. */
  begin(place: number): number {
    this.#earsOf[place] = ++this.#ears
    return this.#ears
  }

  /** Which ears a host has now. */
  earsOf(place: number): number {
    return this.#earsOf[place] as number
  }

  /** Room for another block: its first number. */
  add(): number {
    const first = this.#used
    this.#used += block
    if (this.#used > this.lastAt.length) {
      this.lastAt = twice(this.lastAt)
      this.nextAt = twice(this.nextAt)
    }
    this.lastAt.fill(-Infinity, first, this.#used)
    this.nextAt.fill(Infinity, first, this.#used)
    return first
  }

  /** Not before what was sent before. */
  comes(number: number, at: number): void {
    if (this.nextAt[number] === Infinity) this.nextAt[number] = at
    else this.#later.set(number, [...(this.#later.get(number) ?? []), at])
  }

  /** Takes what is here; false: nothing was. */
  take(number: number, now: number): boolean {
    if ((this.nextAt[number] as number) > now) return false
    while ((this.nextAt[number] as number) <= now) this.nextAt[number] = this.#takeLater(number)
    return true
  }

  #takeLater(number: number): number {
    const later = this.#later.get(number)
    if (later === undefined) return Infinity
    if (later.length === 1) this.#later.delete(number)
    return later.shift() as number
  }
}

export class Ears {
  /** Who is heard, in the order of their numbers. */
  readonly #ids: HostId[] = []
  readonly #blocks: number[] = []
  readonly #numbers = new Map<HostId, number>()
  readonly #columns: SignColumns

  constructor(columns: SignColumns, place: number) {
    this.#columns = columns
    columns.begin(place)
  }

  /** Null: never heard, though something may be on its way. */
  lastAt(id: HostId): Instant | null {
    const number = this.#numbers.get(id)
    const at = number === undefined ? -Infinity : (this.#columns.lastAt[number] as number)
    return at === -Infinity ? null : (at as Instant)
  }

  /** Where what is heard of a host stands in the columns; it stays there. */
  numberOf(id: HostId): number {
    const known = this.#numbers.get(id)
    if (known !== undefined) return known
    const turn = this.#ids.push(id) - 1
    if (turn % block === 0) this.#blocks.push(this.#columns.add())
    const number = (this.#blocks.at(-1) as number) + (turn % block)
    this.#numbers.set(id, number)
    return number
  }

  /** Something of a host is here now. */
  hear(id: HostId, now: number): void {
    const number = this.numberOf(id)
    this.#columns.lastAt[number] = now
  }

  /** Reads what is here; `heard` is told of whom, after it was noted. */
  read(now: number, heard: (id: HostId) => void): void {
    for (let turn = 0; turn < this.#ids.length; turn++) {
      const number = (this.#blocks[Math.floor(turn / block)] as number) + (turn % block)
      if (!this.#columns.take(number, now)) continue
      this.#columns.lastAt[number] = now
      heard(this.#ids[turn] as HostId)
    }
  }
}

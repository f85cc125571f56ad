/**
 * The forwarding database of a switch: MAC → where it was last seen. Set-associative over typed arrays, so
 * it is bounded, never grows and allocates nothing. IEEE 802.1Q 8.8: learned entries age, static ones stay.
 */

/** Entries a set; a full set forgets its oldest learned one. */
const ways = 8

/** Age at which a learned entry is forgotten (IEEE 802.1Q's default). */
export const macAgeingMs = 300_000

/** Default number of entries of one vLAN's table. */
export const macTableEntries = 4096

/** Nothing known. */
export const nowhere: number = -0x80000000

export class MacTable {
  readonly #sets: number
  readonly #high: Int32Array
  readonly #low: Uint32Array
  readonly #value: Int32Array
  /** When it was last seen, ms; Infinity: static. Invariant: a free entry has -Infinity. */
  readonly #seen: Float64Array

  /** `entries` is rounded up to a power of two, at least one set. */
  constructor(entries: number = macTableEntries) {
    let sets = 1
    while (sets * ways < entries) sets *= 2
    this.#sets = sets
    this.#high = new Int32Array(sets * ways)
    this.#low = new Uint32Array(sets * ways)
    this.#value = new Int32Array(sets * ways)
    this.#seen = new Float64Array(sets * ways).fill(-Infinity)
  }

  /** Where a MAC is, {@link nowhere} when it is not known or its entry is too old. */
  find(high: number, low: number, nowMs: number): number {
    const entry = this.#entry(high, low)
    if (entry < 0 || (this.#seen[entry] as number) < nowMs - macAgeingMs) return nowhere
    return this.#value[entry] as number
  }

  /** Notes where a frame's source is. False: a static entry says otherwise and stands. */
  learn(high: number, low: number, value: number, nowMs: number): boolean {
    const entry = this.#entry(high, low)
    if (entry < 0) {
      this.#insert(high, low, value, nowMs)
      return true
    }
    if (this.#seen[entry] === Infinity) return this.#value[entry] === value
    this.#value[entry] = value
    this.#seen[entry] = nowMs
    return true
  }

  /** Sets an entry that no frame moves and no time ends. */
  fix(high: number, low: number, value: number): void {
    const entry = this.#entry(high, low)
    if (entry < 0) {
      this.#insert(high, low, value, Infinity)
      return
    }
    this.#value[entry] = value
    this.#seen[entry] = Infinity
  }

  /** Forgets a MAC, static or learned. */
  forget(high: number, low: number): void {
    const entry = this.#entry(high, low)
    if (entry >= 0) this.#seen[entry] = -Infinity
  }

  /** Forgets all that is at `value`. */
  forgetValue(value: number): void {
    for (let entry = 0; entry < this.#value.length; entry++) {
      if (this.#value[entry] === value) this.#seen[entry] = -Infinity
    }
  }

  /** Forgets all learned entries below zero: what is not at this host. */
  forgetRemote(): void {
    for (let entry = 0; entry < this.#value.length; entry++) {
      if ((this.#value[entry] as number) < 0) this.#seen[entry] = -Infinity
    }
  }

  #entry(high: number, low: number): number {
    const first = this.#set(high, low)
    for (let entry = first; entry < first + ways; entry++) {
      if (this.#low[entry] === low && this.#high[entry] === high && this.#seen[entry] !== -Infinity) {
        return entry
      }
    }
    return -1
  }

  /** Takes the oldest entry of the set, which is a free one when there is any. */
  #insert(high: number, low: number, value: number, seen: number): void {
    const first = this.#set(high, low)
    let oldest = first
    for (let entry = first + 1; entry < first + ways; entry++) {
      if ((this.#seen[entry] as number) < (this.#seen[oldest] as number)) oldest = entry
    }
    if (this.#seen[oldest] === Infinity) return
    this.#high[oldest] = high
    this.#low[oldest] = low
    this.#value[oldest] = value
    this.#seen[oldest] = seen
  }

  /** First entry of a MAC's set: a multiplicative hash (Knuth) of all 48 bits. */
  #set(high: number, low: number): number {
    const hash = Math.imul(Math.imul(low ^ (low >>> 15), 0x85ebca6b) ^ high, 0x9e3779b1) >>> 0
    return ((hash >>> 11) & (this.#sets - 1)) * ways
  }
}

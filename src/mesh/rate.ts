/** So many at once, then so many a second: a bucket that fills by the clock. */
export class Rate {
  readonly #atOnce: number
  readonly #perSecond: number
  /** Below zero: so many are owed. */
  #left: number
  /** When it was looked at last, by the monotonic clock, ms. */
  #at = 0

  constructor(atOnce: number, perSecond: number) {
    this.#atOnce = atOnce
    this.#perSecond = perSecond
    this.#left = atOnce
  }

  /** Takes one; false when none is left. */
  take(nowMs: number): boolean {
    this.#fill(nowMs)
    if (this.#left < 1) return false
    this.#left -= 1
    return true
  }

  /** Takes so many, even if fewer are left; gives how long it lasts until none is owed any more, ms. */
  owe(count: number, nowMs: number): number {
    this.#fill(nowMs)
    this.#left -= count
    return Math.max(0, (-this.#left / this.#perSecond) * 1000)
  }

  #fill(nowMs: number): void {
    this.#left = Math.min(this.#atOnce, this.#left + ((nowMs - this.#at) / 1000) * this.#perSecond)
    this.#at = nowMs
  }
}

/** The same for each of many peers; the one that was asked for longest ago is forgotten, which fills its bucket. */
export class Rates {
  readonly #atOnce: number
  readonly #perSecond: number
  readonly #maxPeers: number
  readonly #rates = new Map<string, Rate>()

  constructor(atOnce: number, perSecond: number, maxPeers: number) {
    this.#atOnce = atOnce
    this.#perSecond = perSecond
    this.#maxPeers = maxPeers
  }

  of(peer: string): Rate {
    const rate = this.#rates.get(peer) ?? new Rate(this.#atOnce, this.#perSecond)
    this.#rates.delete(peer)
    if (this.#rates.size >= this.#maxPeers) this.#rates.delete(this.#rates.keys().next().value as string)
    this.#rates.set(peer, rate)
    return rate
  }
}

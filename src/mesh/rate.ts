/** So many at once, then so many a second: a bucket that fills by the clock. */
export class Rate {
  readonly #atOnce: number
  readonly #perSecond: number
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
    this.#left = Math.min(this.#atOnce, this.#left + ((nowMs - this.#at) / 1000) * this.#perSecond)
    this.#at = nowMs
    if (this.#left < 1) return false
    this.#left -= 1
    return true
  }
}

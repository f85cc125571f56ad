/** What came of a numbered stream of packets: how many, how late, and what is missing. */

export interface Summary {
  readonly came: number
  /** Never came, of those that were sent. */
  readonly lost: number
  /** Came again. */
  readonly twice: number
  readonly medianMs: number
  readonly p99Ms: number
}

export class Arrivals {
  readonly #numbers = new Set<number>()
  readonly #delaysMs: number[] = []
  #twice = 0

  get came(): number {
    return this.#numbers.size
  }

  /** Notes that packet `number`, counted from 0, came so long after it was sent; null where nobody knows. */
  add(number: number, delayMs: number | null): void {
    if (this.#numbers.has(number)) {
      this.#twice += 1
      return
    }
    this.#numbers.add(number)
    if (delayMs !== null) this.#delaysMs.push(delayMs)
  }

  /** `sent`: how many there were, as the sender says; where its word did not come, up to the last that did. */
  summary(sent: number | null): Summary {
    const sorted = this.#delaysMs.toSorted((a, b) => a - b)
    const at = (share: number): number =>
      sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
    const known = [...this.#numbers].reduce((most, number) => Math.max(most, number + 1), 0)
    return {
      came: this.came,
      lost: (sent ?? known) - this.came,
      twice: this.#twice,
      medianMs: at(0.5),
      p99Ms: at(0.99)
    }
  }
}

/** One line of it. */
export function lineOf({ came, lost, twice, medianMs, p99Ms }: Summary): string {
  const delay = `delay ${medianMs.toFixed(1)} ms, 99 % within ${p99Ms.toFixed(1)} ms`
  return `${came} came, ${lost} lost, ${twice} twice; ${delay}`
}

/** Wall-clock time with a fraction, ms: what one machine stamps and another compares. */
export function wallMs(): number {
  return performance.timeOrigin + performance.now()
}

/** Pauses before what failed is tried again, for each of many: twice as long after each failure, up to a bound. */

/** First and longest pause before the next try. */
const firstMs = 500
const maxMs = 30_000
/** What has gone well for so long has come through: its next failure is a first one. */
const calmMs: number = 5 * 60_000

interface Trouble {
  failures: number
  /** The pause until the next try; null: none is waited for. */
  pause: NodeJS.Timeout | null
  calm: NodeJS.Timeout | undefined
}

export class Backoff<Key> {
  readonly #troubles = new Map<Key, Trouble>()
  readonly #again: () => void
  #closed = false

  /** `again` is called when a pause is over. */
  constructor(again: () => void) {
    this.#again = again
  }

  isWaiting(key: Key): boolean {
    return this.#troubles.get(key)?.pause != null
  }

  /** It failed: it waits, if it does not yet. */
  failed(key: Key): void {
    if (this.#closed) return
    const trouble = this.#troubles.get(key) ?? { failures: 0, pause: null, calm: undefined }
    clearTimeout(trouble.calm)
    if (trouble.pause !== null) return
    const delayMs = Math.min(maxMs, firstMs * 2 ** trouble.failures)
    trouble.failures++
    trouble.pause = setTimeout(() => {
      trouble.pause = null
      this.#again()
    }, delayMs)
    this.#troubles.set(key, trouble)
  }

  /** It went well: its failures are forgotten once that has lasted. */
  succeeded(key: Key): void {
    const trouble = this.#troubles.get(key)
    if (trouble === undefined) return
    if (trouble.pause !== null) clearTimeout(trouble.pause)
    trouble.pause = null
    clearTimeout(trouble.calm)
    trouble.calm = setTimeout(() => this.#troubles.delete(key), calmMs)
  }

  close(): void {
    this.#closed = true
    for (const { pause, calm } of this.#troubles.values()) {
      if (pause !== null) clearTimeout(pause)
      clearTimeout(calm)
    }
  }
}

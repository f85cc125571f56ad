/**
 * Bounded concurrency per key: so many at once, so many more waiting, the rest refused.
 */
import { ViolinError } from '#core/errors.ts'

interface Line {
  active: number
  readonly waiting: (() => void)[]
}

export class Turns<Key extends string> {
  readonly #lines = new Map<Key, Line>()
  readonly #atOnce: number
  readonly #maxWaiting: number

  constructor(atOnce: number, maxWaiting: number) {
    this.#atOnce = atOnce
    this.#maxWaiting = maxWaiting
  }

  /** Resolves with the function that ends the turn. Throws ViolinError `refused` where too many wait. */
  async take(key: Key, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    const line = this.#lines.get(key) ?? { active: 0, waiting: [] }
    this.#lines.set(key, line)
    if (line.active >= this.#atOnce) await this.#wait(key, line, signal)
    else line.active += 1
    return () => this.#next(key, line)
  }

  async #wait(key: Key, line: Line, signal: AbortSignal): Promise<void> {
    if (line.waiting.length >= this.#maxWaiting) {
      throw new ViolinError(
        'refused',
        `${line.waiting.length} requests wait for ${key} already`,
        'try again later'
      )
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const giveUp = (): void => {
      const place = line.waiting.indexOf(resolve)
      // Its turn may have come in this very moment: then it is taken, and given back by who asked.
      if (place < 0) return
      line.waiting.splice(place, 1)
      reject(signal.reason as Error)
    }
    line.waiting.push(resolve)
    signal.addEventListener('abort', giveUp, { once: true })
    await promise
    signal.removeEventListener('abort', giveUp)
  }

  #next(key: Key, line: Line): void {
    const next = line.waiting.shift()
    // The turn passes on as it is, so `active` does not change.
    if (next !== undefined) next()
    else if (--line.active === 0) this.#lines.delete(key)
  }
}

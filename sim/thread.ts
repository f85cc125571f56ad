/**
 * One thread of a host's processes. What comes while it is stalled waits, in the order in which the real loop
 * reads: commands, datagrams, the kernel's errors, frames of its own machines.
 */
import type { Clock } from './clock.ts'

/** What the kernel keeps for a process that does not read; more is dropped. */
export const maxWaiting = 4_096

export type Source = 'command' | 'datagram' | 'error' | 'port'
const order: Readonly<Record<Source, number>> = { command: 0, datagram: 1, error: 2, port: 3 }

export class Thread {
  readonly #clock: Clock
  #stalledUntil = 0
  #stalledAt = 0
  #waiting: { readonly source: Source; readonly run: () => void }[] = []
  /** Grows when the process dies: what was to come after a stall comes no more. */
  #life = 0
  /** When it last ran after not running. */
  resumedAt = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get stalled(): boolean {
    return this.#stalledUntil > this.#clock.now
  }

  /** For how long it has not run; 0: it runs. */
  get stalledMs(): number {
    return this.stalled ? this.#clock.now - this.#stalledAt : 0
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Runs now, or as soon as the thread runs again. */
  do(source: Source, run: () => void): void {
    if (!this.stalled) run()
    else if (this.#waiting.length < maxWaiting) this.#waiting.push({ source, run })
  }

  /** Does not run for so long; `resumed` is told how long it was, after what waited. */
  stall(forMs: number, resumed: (stalledMs: number, readWaiting: () => void) => void): void {
    const until = this.#clock.now + forMs
    if (this.stalled) {
      this.#stalledUntil = Math.max(this.#stalledUntil, until)
      return
    }
    this.#stalledAt = this.#clock.now
    this.#stalledUntil = until
    this.#wakeAt(until, this.#life, resumed)
  }

  /** The process is gone, with all that waited for it. */
  kill(): void {
    this.#life++
    this.#waiting = []
    this.#stalledUntil = 0
  }

  #wakeAt(at: number, life: number, resumed: (stalledMs: number, readWaiting: () => void) => void): void {
    this.#clock.at(at, () => {
      if (life !== this.#life) return
      if (this.#stalledUntil > this.#clock.now) return this.#wakeAt(this.#stalledUntil, life, resumed)
      const waited = this.#waiting.toSorted((a, b) => order[a.source] - order[b.source])
      this.#waiting = []
      this.resumedAt = this.#clock.now
      resumed(this.#clock.now - this.#stalledAt, () => {
        for (const one of waited) if (life === this.#life) one.run()
      })
    })
  }
}

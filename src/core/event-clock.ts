/**
 * Stamps for what happens on a host, such that what followed from another host's doing stands after it, though
 * their clocks differ: a hybrid logical clock (Kulkarni et al., Logical Physical Clocks, 2014) in microseconds.
 */
import type { WallTime } from './ids.ts'

/** How far ahead of this host's clock another's word is believed, ms: as for records. */
const toleranceMs = 10 * 60_000

export class EventClock {
  #lastUs = 0

  /** The stamp of what happens now, µs since 1970: above every one given or heard before. */
  stamp(now: WallTime): number {
    this.#lastUs = Math.max(Math.floor(now * 1_000), this.#lastUs + 1)
    return this.#lastUs
  }

  /** Another host did something at `at` by its own clock, and this one knows of it from now on. */
  heard(at: WallTime, now: WallTime): void {
    if (at <= now + toleranceMs) this.#lastUs = Math.max(this.#lastUs, at * 1_000)
  }
}

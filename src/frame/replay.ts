/**
 * The sliding window against replayed datagrams (RFC 6479: a ring of words, none is shifted).
 */

/** Counters that a datagram may be behind the newest: a change of path skips tens of thousands. */
export const replayWindow = 65_536

const bits = replayWindow + 32
const words = bits / 32

export class ReplayWindow {
  readonly #ring = new Uint32Array(words)
  /** Invariant: the highest counter accepted, -1 before the first. */
  #highest = -1

  /** Whether a counter may still come: not seen, not too old. Changes nothing. */
  fresh(counter: number): boolean {
    if (counter > this.#highest) return true
    if (counter <= this.#highest - replayWindow) return false
    return ((this.#ring[(counter >>> 5) % words] as number) & (1 << (counter & 31))) === 0
  }

  /** Notes a counter whose datagram was authentic; false when it came before. */
  accept(counter: number): boolean {
    if (!this.fresh(counter)) return false
    if (counter > this.#highest) {
      this.#clear(counter)
      this.#highest = counter
    }
    const word = (counter >>> 5) % words
    this.#ring[word] = (this.#ring[word] as number) | (1 << (counter & 31))
    return true
  }

  /** Empties the words that the window enters. */
  #clear(counter: number): void {
    const last = counter >>> 5
    const from = this.#highest < 0 ? last : (this.#highest >>> 5) + 1
    if (last - from >= words) this.#ring.fill(0)
    else for (let word = from; word <= last; word++) this.#ring[word % words] = 0
  }
}

/**
 * How large a datagram the path in use carries (RFC 8899, with two sizes to tell apart): it starts at what
 * every path carries, and rises when a padded probe was answered. ICMP is not believed.
 */
import { datagramOverheadBytes, maxDatagramBytes, relayKeyBytes } from '#frame/datagram.ts'

/** What any path is taken to carry: RFC 8899's BASE_PLPMTU. */
export const baseDatagramBytes = 1200
/** What fits into a datagram of that size that passes it on. */
export const relayedDatagramBytes: number = baseDatagramBytes - datagramOverheadBytes - relayKeyBytes
/** A padded probe unanswered this long is missed. */
export const sizeTimeoutMs = 1_000
/** So many missed in a row: the path carries only the base size. */
export const sizeMaxMissed = 3
/** A size that stands is probed again, upwards and downwards, this often. */
export const sizeAgainMs = 15_000

export class PathSize {
  /** Longest datagram to send. */
  bytes: number = baseDatagramBytes
  readonly #random: () => number
  #secret = 0
  #sentMs = Number.NaN
  #missed = 0
  #nextMs = Infinity

  constructor(random: () => number) {
    this.#random = random
  }

  /** Another path is in use; only a direct one is probed. */
  reset(nowMs: number, path: 'none' | 'direct' | 'relayed'): void {
    this.bytes = path === 'relayed' ? relayedDatagramBytes : baseDatagramBytes
    this.#secret = Math.floor(this.#random() * 2 ** 32)
    this.#sentMs = Number.NaN
    this.#missed = 0
    this.#nextMs = path === 'direct' ? nowMs : Infinity
  }

  get deadlineMs(): number {
    return Number.isNaN(this.#sentMs) ? this.#nextMs : this.#sentMs + sizeTimeoutMs
  }

  /** Body of a probe to be padded to the full size and sent now; null when none is due. */
  due(nowMs: number): Uint8Array | null {
    if (nowMs >= this.#sentMs + sizeTimeoutMs) this.#miss(nowMs)
    if (!Number.isNaN(this.#sentMs) || nowMs < this.#nextMs) return null
    this.#sentMs = nowMs
    return this.#body()
  }

  /** Takes the body of an answer; false when it answers none of these probes. */
  answered(body: Uint8Array, nowMs: number): boolean {
    const own = this.#body()
    if (body.length !== own.length || body.some((byte, index) => byte !== own[index])) return false
    this.bytes = maxDatagramBytes
    this.#missed = 0
    this.#sentMs = Number.NaN
    this.#nextMs = nowMs + sizeAgainMs
    return true
  }

  #miss(nowMs: number): void {
    this.#sentMs = Number.NaN
    this.#missed++
    this.#nextMs = nowMs
    if (this.#missed < sizeMaxMissed) return
    this.#missed = 0
    this.bytes = baseDatagramBytes
    this.#nextMs = nowMs + sizeAgainMs
  }

  /** Told to this path only; the second word keeps it apart from a path's own probes. */
  #body(): Uint8Array {
    const body = new Uint8Array(8)
    const view = new DataView(body.buffer)
    view.setUint32(0, this.#secret)
    view.setUint32(4, 0xffffffff)
    return body
  }
}

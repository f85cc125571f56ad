/**
 * What a link does to frames, one direction of it: how long each takes, and which are lost, doubled or
 * passed on out of order. No frame is touched here; time and chance come in.
 */

/** Characteristics of a link, the same both ways. */
export interface LinkSettings {
  readonly delayMs: number
  /** A frame takes up to so much more or less; the order stays. */
  readonly jitterMs: number
  /** Shares of all frames, 0 to 1. */
  readonly loss: number
  readonly duplicate: number
  /** Go at once, past those that wait for their delay. */
  readonly reorder: number
  /** Bits of Ethernet frames a second; Infinity: no bound. */
  readonly rateBps: number
  /** Frames that may wait for the rate; the next is lost. At most {@link maxQueueFrames}. */
  readonly queueFrames: number
  /** The cable is out: nothing passes. */
  readonly down: boolean
}

/** A link that nothing was said of. */
export const plainLink: LinkSettings = {
  delayMs: 0,
  jitterMs: 0,
  loss: 0,
  duplicate: 0,
  reorder: 0,
  rateBps: Infinity,
  queueFrames: 100,
  down: false
}

/** Longest queue: 16 bytes a frame of two directions of each port. */
export const maxQueueFrames = 4096

/** What becomes of a frame that never arrives. */
export const lost = -1

export class LinkWay {
  readonly #random: () => number
  #settings: LinkSettings = plainLink
  /** Nothing happens to any frame. */
  plain = true
  /** When the frames that wait for the rate are through, a ring in order; empty where there is no rate. */
  #leaves = new Float64Array(0)
  #head = 0
  #waiting = 0
  /** The rate is busy until then, ms. */
  #busyUntil = 0
  /** The last frame in order arrives then, ms: none that comes later arrives before. */
  #lastDue = 0

  constructor(random: () => number) {
    this.#random = random
  }

  /** Takes effect for the frames that come from now on. */
  set(settings: LinkSettings): void {
    this.#settings = settings
    this.plain = Object.entries(plainLink).every(
      ([word, value]) => word === 'queueFrames' || settings[word as keyof LinkSettings] === value
    )
    const queue = Number.isFinite(settings.rateBps)
      ? Math.max(1, Math.min(settings.queueFrames, maxQueueFrames))
      : 0
    this.#leaves = new Float64Array(queue)
    this.#head = this.#waiting = 0
    this.#busyUntil = this.#lastDue = 0
  }

  /** When a frame that comes now arrives, ms; {@link lost}: never. */
  pass(nowMs: number, bytes: number): number {
    const { delayMs, jitterMs, loss, reorder, rateBps, down } = this.#settings
    if (down || (loss > 0 && this.#random() < loss)) return lost
    const through = rateBps === Infinity ? nowMs : this.#transmit(nowMs, (bytes * 8_000) / rateBps)
    if (through < 0 || (reorder > 0 && this.#random() < reorder)) return through
    const jitter = jitterMs === 0 ? 0 : (2 * this.#random() - 1) * jitterMs
    this.#lastDue = Math.max(through, this.#lastDue, through + delayMs + jitter)
    return this.#lastDue
  }

  /** Whether the frame that was just passed arrives twice. */
  doubles(): boolean {
    const { duplicate } = this.#settings
    return duplicate > 0 && this.#random() < duplicate
  }

  /** When a frame is through that takes so long at the rate; {@link lost}: the queue is full. */
  #transmit(nowMs: number, takesMs: number): number {
    const leaves = this.#leaves
    while (this.#waiting > 0 && (leaves[this.#head] as number) <= nowMs) {
      this.#head = (this.#head + 1) % leaves.length
      this.#waiting--
    }
    // The frame under transmission waits no longer.
    if (this.#waiting > 0 && this.#waiting >= leaves.length) return lost
    const from = Math.max(nowMs, this.#busyUntil)
    this.#busyUntil = from + takesMs
    if (from > nowMs) leaves[(this.#head + this.#waiting++) % leaves.length] = from
    return this.#busyUntil
  }
}

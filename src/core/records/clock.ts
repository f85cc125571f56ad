/**
 * Whether this host's clock may be believed. Every exchange of records tells what time it is at the other
 * end; half of the round trip is the error (NTP's offset, RFC 5905 §8). A host that is far off what its
 * neighbours say tells so, starts nothing and forgets nothing, until its clock or theirs is set.
 */
import type { HostId, Instant, WallTime } from '../ids.ts'

/** A clock this far off its neighbours' median is wrong, ms: half of what records tolerate. */
export const wrongClockMs: number = 5 * 60_000
/** Neighbours whose times are remembered; the longest unheard go first. */
const maxNeighbours = 64
/** What a neighbour said counts for so long, ms: some hundred exchanges. */
const sampleAgeMs: number = 5 * 60_000
/** A round trip that long says too little, ms. */
const maxRoundTripMs = 10_000
/** The wall clock was set, or the machine slept, when it moved this far against the steady one, ms. */
const jumpMs = 1_000

interface Sample {
  /** How far this host's clock is ahead of the neighbour's, ms. */
  readonly aheadMs: number
  readonly at: Instant
}

export class ClockWatch {
  readonly #samples = new Map<HostId, Sample>()
  /** Wall clock less steady clock, when last looked at. */
  #drift: number | null = null

  /**
   * A neighbour answered that its time was `theirs`; the question left when the steady clock showed `sentAt`,
   * and the answer came now.
   */
  heard(neighbour: HostId, theirs: WallTime, sentAt: Instant, at: Instant, now: WallTime): void {
    this.#look(at, now)
    const roundTripMs = at - sentAt
    if (roundTripMs < 0 || roundTripMs > maxRoundTripMs) return
    this.#samples.delete(neighbour)
    if (this.#samples.size >= maxNeighbours) {
      this.#samples.delete(this.#samples.keys().next().value as HostId)
    }
    this.#samples.set(neighbour, { aheadMs: now - roundTripMs / 2 - theirs, at })
  }

  /** How far this clock is ahead of the neighbours' median, ms; null when none was heard of late. */
  aheadMs(at: Instant, now: WallTime): number | null {
    const samples = this.#living(at, now)
    return samples.length === 0 ? null : middle(samples)
  }

  /**
   * Whether more than half of all, this host counted, are far off this clock: of two hosts that differ neither
   * knows which is wrong, and one liar stops nobody.
   */
  isWrong(at: Instant, now: WallTime): boolean {
    return Math.abs(middle([...this.#living(at, now), 0])) > wrongClockMs
  }

  #living(at: Instant, now: WallTime): readonly number[] {
    this.#look(at, now)
    const samples = [...this.#samples.values()].filter((sample) => at - sample.at < sampleAgeMs)
    return samples.map(({ aheadMs }) => aheadMs)
  }

  /** What was heard before a jump says nothing of the clock after it. */
  #look(at: Instant, now: WallTime): void {
    const drift = now - at
    if (this.#drift !== null && Math.abs(drift - this.#drift) > jumpMs) this.#samples.clear()
    this.#drift = drift
  }
}

/** The median; of two in the middle the one nearer to zero. */
function middle(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const upper = sorted[sorted.length >> 1] as number
  const lower = sorted[(sorted.length - 1) >> 1] as number
  return Math.abs(lower) <= Math.abs(upper) ? lower : upper
}

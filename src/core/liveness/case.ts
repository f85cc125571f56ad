/** One host under suspicion: who accuses it, of which incarnation, and how long it has to object. */
import type { HostId, Instant } from '../ids.ts'
import type { Suspicion } from './message.ts'
import { clockMs } from './settings.ts'

export class Case {
  readonly incarnation: number
  readonly beganAt: Instant
  /** What shows the accused that it must object: the first that came. */
  readonly evidence: Suspicion
  /** This host's own, where it is a watcher that hears nothing. */
  mine: Suspicion | null = null
  /** Whether the whole mesh was told. */
  spread = false
  /** Whether it was told by this host as well. */
  published = false
  readonly #accusers = new Set<HostId>()
  /** Time that does not count: this host stood still, or took itself for the lost one. */
  #pausedMs = 0

  constructor(evidence: Suspicion, now: Instant) {
    this.incarnation = evidence.refutation?.incarnation ?? 0
    this.beganAt = now
    this.evidence = evidence
    this.#accusers.add(evidence.accuser)
  }

  get accusers(): number {
    return this.#accusers.size
  }

  /** False where this one was counted before. */
  join(accuser: HostId): boolean {
    if (this.#accusers.has(accuser)) return false
    this.#accusers.add(accuser)
    return true
  }

  pause(ms: number): void {
    this.#pausedMs += ms
  }

  /** `needed`: accusers with whom the clock is shortest. */
  isOver(now: Instant, needed: number): boolean {
    return now - this.beganAt - this.#pausedMs >= clockMs(this.accusers - 1, needed - 1)
  }
}

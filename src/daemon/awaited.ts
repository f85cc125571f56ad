/**
 * VIOLINs of which this host knows no record and may hear of one yet: what runs of them goes on meanwhile. So it is
 * after a start with a store that was lost, until neighbours answered; and where a revocation took out what an owner
 * had signed on one host, until the owner signs it anew on another.
 */
import type { Instant, ViolinId } from '#core/ids.ts'

/** After this a record is not expected any more, ms: as long as a host is waited for. */
const awaitedMs = 10_000

export class Awaited {
  /** When a revocation took the record out; -Infinity: nobody is left to sign it anew. */
  readonly #cut = new Map<ViolinId, number>()
  /** When a neighbour's records had first been compared with this host's. */
  #comparedAt: Instant | null = null

  compared(now: Instant): void {
    this.#comparedAt ??= now
  }

  /** A revocation took the record out. `isSignable`: its owner's key lies on a host that is not shut out, too. */
  cut(violin: ViolinId, isSignable: boolean, now: Instant): void {
    this.#cut.set(violin, isSignable ? now : -Infinity)
  }

  /** A record came. */
  came(violin: ViolinId): void {
    this.#cut.delete(violin)
  }

  /** For how long yet a record is expected, ms; 0: no more, Infinity: until the first neighbour answers. */
  leftMs(violin: ViolinId, now: Instant): number {
    const since = this.#cut.get(violin) ?? this.#comparedAt ?? Infinity
    return since === Infinity ? Infinity : Math.max(0, since + awaitedMs - now)
  }
}

/**
 * Two bodies that one owner key signed for one version: two laptops, or a key that two people have. Only one can
 * be kept as the record, so the others are remembered here and people are told.
 */
import type { ViolinId } from '#core/ids.ts'
import type { ViolinRecord } from '#core/records/record.ts'

/** Bodies that are remembered of one VIOLIN. */
const maxDoubles = 4

export class Doubles {
  readonly #of = new Map<ViolinId, readonly ViolinRecord[]>()

  /** Compares what came in with what stands; gives whether it is the first news of it. */
  look(standing: ViolinRecord | null, record: ViolinRecord): boolean {
    if (standing === null || standing.version !== record.version || standing.hash === record.hash)
      return false
    const violin = record.key as ViolinId
    const known = (this.#of.get(violin) ?? []).filter(({ version }) => version === record.version)
    const all = [...known, standing, record].filter(
      (one, place, both) => both.findIndex(({ hash }) => hash === one.hash) === place
    )
    this.#of.set(violin, all.slice(-maxDoubles))
    return all.length > known.length
  }

  /** Those of the version that stands that lost to it. */
  besides(standing: ViolinRecord): readonly ViolinRecord[] {
    return (this.#of.get(standing.key as ViolinId) ?? []).filter(
      ({ version, hash }) => version === standing.version && hash !== standing.hash
    )
  }

  forget(violin: ViolinId): void {
    this.#of.delete(violin)
  }
}

/**
 * What a host's operator lets VIOLINs take, decided by that host alone, whatever a record says.
 */
import type { PublicKey, ViolinId } from './ids.ts'
import type { SpecEntity } from './spec.ts'

/** What this host is asked to run of one VIOLIN. */
export interface Claim {
  readonly violin: ViolinId
  readonly owner: PublicKey
  readonly entities: readonly SpecEntity[]
}

/** Memory of the host that one owner's machines may take together: a quarter. */
export function ownerMemoryMiB(hostMemoryMiB: number): number {
  return Math.floor(hostMemoryMiB / 4)
}

/** What a machine takes of its host's memory, MiB; a namespace's processes take next to nothing of their own. */
export function memoryOf(entity: Pick<SpecEntity, 'driver' | 'memoryMiB'>): number {
  return entity.driver === 'uml' ? entity.memoryMiB : 0
}

/**
 * The entities that are refused, with the reason of each: in the order of the claims (VIOLINs by id, so that
 * every start decides alike), what does not fit into its owner's share any more.
 */
export function refusals(
  claims: readonly Claim[],
  hostMemoryMiB: number
): ReadonlyMap<ViolinId, ReadonlyMap<string, string>> {
  const shareMiB = ownerMemoryMiB(hostMemoryMiB)
  const usedMiB = new Map<PublicKey, number>()
  const refused = new Map<ViolinId, Map<string, string>>()
  for (const { violin, owner, entities } of claims.toSorted((a, b) => (a.violin < b.violin ? -1 : 1))) {
    for (const entity of entities) {
      const used = (usedMiB.get(owner) ?? 0) + memoryOf(entity)
      if (used <= shareMiB) {
        usedMiB.set(owner, used)
        continue
      }
      const reasons = refused.get(violin) ?? new Map<string, string>()
      refused.set(
        violin,
        reasons.set(entity.name, `${used} MiB for one owner, ${shareMiB} allowed on this host`)
      )
    }
  }
  return refused
}

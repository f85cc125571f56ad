/**
 * What a host's operator lets VIOLINs take, decided by that host alone, whatever a record says.
 */
import type { HostId, ViolinId } from './ids.ts'
import type { SpecEntity } from './spec.ts'

/** What this host is asked to run of one VIOLIN. */
export interface Claim {
  readonly violin: ViolinId
  /** The host on which the owner's key hangs: a host can sign as many owner keys as it likes. */
  readonly ownerHost: HostId
  readonly entities: readonly SpecEntity[]
}

/** Memory of the host that one owner's machines may take together: a quarter. */
export function ownerMemoryMiB(hostMemoryMiB: number): number {
  return Math.floor(hostMemoryMiB / 4)
}

/** What a namespace with an idle shell takes, rounded up, MiB: so that their number has a bound, too. */
const namespaceMiB = 2

/** What an entity takes of its host's memory, MiB. */
export function memoryOf(entity: Pick<SpecEntity, 'driver' | 'memoryMiB'>): number {
  return entity.driver === 'uml' ? entity.memoryMiB : namespaceMiB
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
  const usedMiB = new Map<HostId, number>()
  const refused = new Map<ViolinId, Map<string, string>>()
  for (const { violin, ownerHost, entities } of claims.toSorted((a, b) => (a.violin < b.violin ? -1 : 1))) {
    for (const entity of entities) {
      const used = (usedMiB.get(ownerHost) ?? 0) + memoryOf(entity)
      if (used <= shareMiB) {
        usedMiB.set(ownerHost, used)
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

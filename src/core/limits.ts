/**
 * What a host's operator lets VIOLINs take, decided by that host alone, whatever a record says.
 */
import type { HostId, PublicKey, ViolinId } from './ids.ts'
import { type ImageRef, tinyImage } from './image.ts'
import type { Jetway, SpecEntity } from './spec.ts'

/** What this host gives, and to whom. */
export interface Limits {
  /** Entities at once. */
  readonly vms: number
  /** Memory of all entities together, MiB. */
  readonly memoryMiB: number
  /** Memory of one owner's entities together, MiB. */
  readonly ownerMemoryMiB: number
  /** Processors' worth of time for all VIOLINs together; parts of one count where the kernel can hold to them. */
  readonly cpus: number
  /** Contents of all images here, above which none is fetched for a VIOLIN, MiB. */
  readonly imagesMiB: number
  /** Whose VIOLINs are taken: owner keys and host ids; null: everyone's. */
  readonly allow: readonly (PublicKey | HostId)[] | null
  /** Whose are not, also where `allow` names them. */
  readonly refuse: readonly (PublicKey | HostId)[]
  /** Who may have doors to the real network here; nobody else may. */
  readonly jetways: readonly JetwayLeave[]
}

/** An operator's leave to open jetways. */
export interface JetwayLeave {
  /** An owner key, or a host whose owner keys are meant. */
  readonly owner: PublicKey | HostId
  /** Bridges of this host that they may join. */
  readonly bridges: readonly string[]
  /** What of this host's own may be reached from inside: networks as CIDR, `host` for the host itself. */
  readonly reach: readonly string[]
}

/** Entities at once where the operator says nothing. */
export const standardVms = 200

/** Contents of images where the operator says nothing, MiB: some fifty routers' worth. */
export const standardImagesMiB = 4_096

/** What holds where the operator says nothing: all of the memory, a quarter of it for one owner. */
export function standardLimits(machine: { readonly memoryMiB: number; readonly cpus: number }): Limits {
  return {
    vms: standardVms,
    memoryMiB: machine.memoryMiB,
    ownerMemoryMiB: Math.floor(machine.memoryMiB / 4),
    cpus: machine.cpus,
    imagesMiB: standardImagesMiB,
    allow: null,
    refuse: [],
    jetways: []
  }
}

/** What this host is asked to run of one VIOLIN. */
export interface Claim {
  readonly violin: ViolinId
  /** Its owner keys. */
  readonly owners: readonly PublicKey[]
  /** The host on which the owner's key hangs: a host can sign as many owner keys as it likes. */
  readonly ownerHost: HostId
  readonly entities: readonly SpecEntity[]
  /** They run here already; absent: they do not. */
  readonly running?: boolean
}

/** What a namespace with an idle shell takes, or a door, rounded up, MiB: so that their number has a bound, too. */
const namespaceMiB = 2
/** One that begins with another image than `tiny`: three routing daemons and the files of its own, MiB. */
const routerNamespaceMiB = 32

/** Settled or not. */
export type Sized = Pick<SpecEntity, 'driver' | 'memoryMiB'> & { readonly image: string | ImageRef }

/** What an entity takes of its host's memory, MiB. */
export function memoryOf({ driver, image, memoryMiB }: Sized): number {
  if (driver === 'uml') return memoryMiB
  const name = typeof image === 'string' ? image : image.name
  return name === tinyImage.name ? namespaceMiB : routerNamespaceMiB
}

/**
 * Why nothing of a VIOLIN runs here, for whose it is; null: it may. One owner who is refused is enough; allowed
 * must be all, for whoever founds a VIOLIN may name others as its owners who know nothing of it.
 */
export function ownerRefusal(
  { owners, ownerHost }: Pick<Claim, 'owners' | 'ownerHost'>,
  { allow, refuse }: { readonly allow: readonly string[] | null; readonly refuse: readonly string[] }
): string | null {
  if (refuse.includes(ownerHost) || owners.some((owner) => refuse.includes(owner)))
    return "this host's operator refuses its owner"
  return allow === null || names(allow, { owners, ownerHost })
    ? null
    : "this host's operator does not allow its owner"
}

/** Whether a list names the owner host of a VIOLIN, or all of its owner keys. */
function names(list: readonly string[], { owners, ownerHost }: Pick<Claim, 'owners' | 'ownerHost'>): boolean {
  return list.includes(ownerHost) || (owners.length > 0 && owners.every((owner) => list.includes(owner)))
}

/** What the operator lets the jetways of a VIOLIN do, by all that names its owners; null: there may be none. */
export function jetwayLeave(
  whose: Pick<Claim, 'owners' | 'ownerHost'>,
  { jetways }: Pick<Limits, 'jetways'>
): Pick<JetwayLeave, 'bridges' | 'reach'> | null {
  if (
    !names(
      jetways.map(({ owner }) => owner),
      whose
    )
  )
    return null
  const own = jetways.filter(
    ({ owner }) => owner === whose.ownerHost || whose.owners.some((one) => one === owner)
  )
  return {
    bridges: own.flatMap(({ bridges }) => bridges),
    reach: own.flatMap(({ reach }) => reach)
  }
}

/** Why a jetway stays shut on this host; null: it may be open. */
function jetwayRefusal(
  claim: Pick<Claim, 'owners' | 'ownerHost'>,
  { mode, bridge }: Jetway,
  limits: Limits
): string | null {
  const leave = jetwayLeave(claim, limits)
  if (leave === null) return "this host's operator allows its owner no jetway"
  if (mode === 'bridge' && !leave.bridges.includes(bridge))
    return `this host's operator allows its owner no jetway to ${bridge}`
  return null
}

/**
 * The entities that are refused, with the reason of each: what does not fit into the host or its owner's share
 * any more, those that run first, then in the order of the VIOLINs' ids, so that every start decides alike.
 */
export function refusals(
  claims: readonly Claim[],
  limits: Limits
): ReadonlyMap<ViolinId, ReadonlyMap<string, string>> {
  const taken: Taken = { vms: 0, memoryMiB: 0, byOwner: new Map() }
  const refused = new Map<ViolinId, Map<string, string>>()
  const inOrder = claims.toSorted(
    (a, b) => Number(b.running === true) - Number(a.running === true) || (a.violin < b.violin ? -1 : 1)
  )
  for (const claim of inOrder) {
    const whole = ownerRefusal(claim, limits)
    const reasons = refused.get(claim.violin) ?? new Map<string, string>()
    for (const entity of claim.entities) {
      const shut = entity.jetway === undefined ? null : jetwayRefusal(claim, entity.jetway, limits)
      const reason = whole ?? shut ?? take(taken, claim.ownerHost, memoryOf(entity), limits)
      if (reason !== null) reasons.set(entity.name, reason)
    }
    if (reasons.size > 0) refused.set(claim.violin, reasons)
  }
  return refused
}

interface Taken {
  vms: number
  memoryMiB: number
  readonly byOwner: Map<HostId, number>
}

/** Takes an entity in; gives why not where it does not fit. */
function take(taken: Taken, owner: HostId, sizeMiB: number, limits: Limits): string | null {
  const vms = taken.vms + 1
  const memoryMiB = taken.memoryMiB + sizeMiB
  const ownerMiB = (taken.byOwner.get(owner) ?? 0) + sizeMiB
  if (vms > limits.vms) return `${vms} entities, ${limits.vms} allowed on this host`
  if (ownerMiB > limits.ownerMemoryMiB)
    return `${ownerMiB} MiB for one owner, ${limits.ownerMemoryMiB} allowed on this host`
  if (memoryMiB > limits.memoryMiB)
    return `${memoryMiB} MiB for all, ${limits.memoryMiB} allowed on this host`
  taken.vms = vms
  taken.memoryMiB = memoryMiB
  taken.byOwner.set(owner, ownerMiB)
  return null
}

/** What one owner may still take of a host, MiB: what a placement asks before it names the host. */
export function freeMemoryMiB(
  claims: readonly Claim[],
  asking: { readonly owners: readonly PublicKey[]; readonly ownerHost: HostId },
  limits: Limits
): number {
  if (ownerRefusal(asking, limits) !== null) return 0
  const refused = refusals(claims, limits)
  const entities = claims.flatMap((claim) =>
    claim.entities
      .filter(({ name }) => refused.get(claim.violin)?.has(name) !== true)
      .map((entity) => ({ sizeMiB: memoryOf(entity), isOwn: claim.ownerHost === asking.ownerHost }))
  )
  const used = (all: typeof entities): number => all.reduce((sum, { sizeMiB }) => sum + sizeMiB, 0)
  if (entities.length >= limits.vms) return 0
  const ownFree = limits.ownerMemoryMiB - used(entities.filter(({ isOwn }) => isOwn))
  return Math.max(0, Math.min(ownFree, limits.memoryMiB - used(entities)))
}

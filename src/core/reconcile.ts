/**
 * What this host should do about each VIOLIN: the difference between the records' view and the slices that
 * run here, as steps that may be repeated. Effects are daemon/reconciler.ts's.
 */
import { maxClaimOf } from './claims.ts'
import type { HostId, ViolinId } from './ids.ts'
import type { MacOf } from './routing/dnsmasq.ts'
import { toldPaths } from './routing/paths.ts'
import { servicesOf } from './routing/services.ts'
import { same } from './same.ts'
import { hostsIn } from './records/view.ts'
import { namesOf } from './resolve.ts'
import type { Spec, SpecEntity, SpecLan } from './spec.ts'

/** Up to this many hosts every pair on a vLAN keeps a trunk; above, edges keep them to the first candidates. */
const fullMeshHosts = 8
/** How many candidates of a large vLAN every edge keeps trunks to. */
const edgeTrunks = 3

export interface WantedViolin {
  readonly violin: ViolinId
  /** Null: nothing of it is for this host. */
  readonly part: Part | null
  /** Its owner deleted it. */
  readonly ended: boolean
}

/** This host's part of one VIOLIN (the shape of slice/contract.ts's SliceWish). */
export interface Part {
  readonly name: string
  readonly version: number
  /** Of the record: where two owners signed apart, one version has two bodies. */
  readonly hash: string
  /** With the hosts that have a port on the vLAN, or a candidacy for its vSwitch. */
  readonly lans: readonly (SpecLan & {
    readonly members: readonly HostId[]
    /** Its vNICs, the hosts that may have them, and under which claims. */
    readonly ports: readonly {
      readonly entity: string
      readonly nic: string
      readonly hosts: readonly HostId[]
      readonly maxClaim: number
    }[]
  })[]
  /** With the files of their services, and the script that starts these. */
  readonly entities: readonly (SpecEntity & {
    readonly claim: number
    readonly start?: string
    /** Paths of its files that are made of the topology: what runs is told when they change. */
    readonly retold?: readonly string[]
  })[]
  readonly names: readonly { readonly name: string; readonly ip: string }[]
  readonly peers: readonly HostId[]
}

export type Step =
  | { readonly kind: 'run'; readonly violin: ViolinId; readonly part: Part }
  | { readonly kind: 'stop'; readonly violin: ViolinId; readonly why: string }

/**
 * The steps that bring the slices here in line; nothing to do gives no step. `running`: the parts that slices
 * were given last, null for one of which that is not known.
 */
export function reconcile(
  wanted: readonly WantedViolin[],
  running: ReadonlyMap<ViolinId, Part | null>
): Step[] {
  const steps: Step[] = []
  const seen = new Set<ViolinId>()
  for (const { violin, part, ended } of wanted) {
    seen.add(violin)
    const given = running.get(violin)
    if (part !== null && !samePart(part, given ?? null)) steps.push({ kind: 'run', violin, part })
    if (part === null && given !== undefined)
      steps.push({ kind: 'stop', violin, why: ended ? 'deleted by its owner' : 'moved off this host' })
  }
  for (const violin of running.keys())
    if (!seen.has(violin)) steps.push({ kind: 'stop', violin, why: 'no record of it is known here' })
  return steps
}

/** Parts of one record differ by the claims that stand, and by who was shut out of the mesh. */
function samePart(part: Part, given: Part | null): boolean {
  if (given?.hash !== part.hash) return false
  const claims = ({ entities }: Part): unknown => entities.map(({ name, claim }) => [name, claim])
  const hosts = ({ peers, lans }: Part): unknown => [peers, lans.map((lan) => [lan.hosts, lan.members])]
  return same(claims(part), claims(given)) && same(hosts(part), hosts(given))
}

/** What `self` does for a VIOLIN, with the entities that it has claims for; null: nothing. */
export function partOf(
  self: HostId,
  { version, hash }: Pick<Part, 'version' | 'hash'>,
  spec: Spec,
  claims: ReadonlyMap<string, number>,
  macOf: MacOf
): Part | null {
  const entities = spec.entities.flatMap((entity) => {
    const claim = claims.get(entity.name)
    if (claim === undefined) return []
    const { files, start } = servicesOf(spec, entity, macOf)
    const retold = files.flatMap(({ path }) => (toldPaths.includes(path) ? [path] : []))
    return [
      {
        ...entity,
        files: [...files, ...entity.files],
        claim,
        ...(start === '' ? {} : { start }),
        ...(retold.length > 0 ? { retold } : {})
      }
    ]
  })
  const membersOf = new Map(spec.lans.map((lan) => [lan.name, lanMembers(spec, lan.name)]))
  const lans = spec.lans.filter(({ name }) => membersOf.get(name)?.includes(self))
  if (entities.length === 0 && lans.length === 0) return null
  const peers = new Set<HostId>()
  for (const lan of lans)
    for (const peer of trunkPeers(self, lan.hosts, membersOf.get(lan.name) ?? [])) peers.add(peer)
  return {
    name: spec.name,
    version,
    hash,
    lans: lans.map((lan) => {
      const members = membersOf.get(lan.name) ?? []
      const ports = portsOn(spec, lan.name)
      return { ...lan, hosts: switchCandidates(lan.hosts, members), members, ports }
    }),
    entities,
    names: namesOf(spec),
    peers: [...peers].toSorted()
  }
}

/** The same part without hosts that were shut out of the mesh: no trunk to them, no vote and no switch for them. */
export function withoutHosts(part: Part, out: ReadonlySet<HostId>): Part {
  const stays = (host: HostId): boolean => !out.has(host)
  return {
    ...part,
    peers: part.peers.filter(stays),
    lans: part.lans.map((lan) => ({
      ...lan,
      hosts: lan.hosts.filter(stays),
      members: lan.members.filter(stays)
    }))
  }
}

/** Hosts that have, or may come to have, a port on the vLAN or its vSwitch. */
export function lanMembers(spec: Spec, lan: string): HostId[] {
  const members = new Set<HostId>(spec.lans.find(({ name }) => name === lan)?.hosts)
  for (const entity of spec.entities)
    if (entity.nics.some((nic) => nic.lan === lan)) for (const host of entity.hosts) members.add(host)
  return [...members].toSorted()
}

function portsOn(spec: Spec, lan: string): Part['lans'][number]['ports'] {
  return spec.entities.flatMap(({ name, nics, hosts, generation }) =>
    nics
      .filter((nic) => nic.lan === lan)
      .map((nic) => ({ entity: name, nic: nic.name, hosts, maxClaim: maxClaimOf(generation) }))
  )
}

/**
 * Who may switch a vLAN: candidates that all its hosts keep trunks to. Another would win some of them, who stay
 * loyal, and be out of reach of the rest.
 */
export function switchCandidates<T>(candidates: readonly T[], members: readonly unknown[]): readonly T[] {
  return members.length <= fullMeshHosts ? candidates : candidates.slice(0, edgeTrunks)
}

/** With whom a host keeps trunks for a vLAN. */
export function trunkPeers<T>(self: T, candidates: readonly T[], members: readonly T[]): T[] {
  const others = members.filter((member) => member !== self)
  const switches = switchCandidates(candidates, members)
  return members.length <= fullMeshHosts || switches.includes(self) ? others : [...switches]
}

/** All hosts that a spec names, those that hold its records, in the order of their ids. */
export function namedHosts(spec: Spec): HostId[] {
  return [...hostsIn(spec)].toSorted()
}

/**
 * Where entities run and who may switch a vLAN: a pure function of the topology, what hosts said of
 * themselves, and what stood before. It runs at the owner's host inside `apply`, never in the background.
 */
import { isGuest } from './doors.ts'
import { ViolinError } from './errors.ts'
import type { HostId } from './ids.ts'
import { memoryOf, type Sized } from './limits.ts'
import { nearest } from './nearest.ts'
import type { Placement } from './resolve.ts'
import { type DriverName, hostsPerEntity, type Spec, type Topology } from './spec.ts'
import type { TopologyEntity, TopologyLan } from './spec.ts'

/** A member as placement sees it. */
export interface PlacementHost {
  readonly id: HostId
  readonly name: string
  /** Reachable now, neither draining nor left. */
  readonly available: boolean
  /** Why it is not, for the person: what it is or does. */
  readonly unavailableWhy: string
  /** It left the mesh: what was there never runs there again. */
  readonly left: boolean
  readonly drivers: readonly DriverName[]
  /** Memory that entities of this owner may still take. */
  readonly freeMemoryMiB: number
  /** Entities that run there already. */
  readonly load: number
}

interface EntityPlace {
  readonly hosts: readonly HostId[]
  readonly pinned: boolean
  /** It is on a host that is away, and hears of a change when that is back. */
  readonly away: boolean
  readonly why: string
}

interface Room {
  readonly host: PlacementHost
  freeMiB: number
  load: number
}

/**
 * Chooses hosts. Pinned entities take their room first, then those that stay: an entity stays where it was
 * while that host still fits. Others go where fewest entities are, then most memory is free, then by rank
 * (`rank` is a rendezvous hash: equal hosts share out evenly). Behind its host each that is not pinned has two
 * more in case that one is lost, chosen alike; they keep no room for it. The order of `hosts` does not matter.
 * One whose only place is a host that is away stays there, so that the rest can change.
 * Throws ViolinError `unknown-host`, `ambiguous-name`, or `no-placement` with the reason of every host.
 */
export function place(
  topology: Topology,
  hosts: readonly PlacementHost[],
  previous: Spec | null,
  rank: (name: string, host: HostId) => string
): Placement {
  const rooms = hosts.map((host): Room => ({ host, freeMiB: host.freeMemoryMiB, load: host.load }))
  // What the former version holds there is given back first: it is being placed anew.
  for (const entity of previous?.entities ?? []) {
    const room = rooms.find(({ host }) => host.id === entity.hosts[0])
    if (room === undefined) continue
    room.freeMiB += memoryOf(entity)
    room.load -= 1
  }
  const entities = new Map<string, EntityPlace>()
  const former = new Map(previous?.entities.map(({ name, hosts: list }) => [name, list]))
  // A new entity takes no room from one that is there already, wherever the file names it.
  const turn = ({ name, on }: TopologyEntity): number => (on !== undefined ? 0 : former.has(name) ? 1 : 2)
  for (const entity of topology.entities.toSorted((a, b) => turn(a) - turn(b)))
    entities.set(entity.name, placeEntity(entity, rooms, former.get(entity.name) ?? [], rank))
  for (const entity of topology.entities) {
    const placed = entities.get(entity.name) as EntityPlace
    if (!placed.pinned)
      entities.set(entity.name, addSpares(entity, placed, rooms, former.get(entity.name) ?? [], rank))
  }
  const lans = new Map<string, { hosts: readonly HostId[]; why: string }>()
  for (const lan of topology.lans)
    lans.set(lan.name, placeSwitch(lan, topology, entities, hosts, previous, rank))
  return { entities, lans }
}

function placeEntity(
  entity: TopologyEntity,
  rooms: readonly Room[],
  before: readonly HostId[],
  rank: (name: string, host: HostId) => string
): EntityPlace {
  const take = (room: Room, why: string): EntityPlace => {
    room.freeMiB -= memoryOf(entity)
    room.load += 1
    return { hosts: [room.host.id], pinned: entity.on !== undefined, away: !room.host.available, why }
  }
  const [first] = before
  const former = rooms.find(({ host }) => host.id === first)
  const stayAway = (): EntityPlace | null =>
    former === undefined || former.host.available || former.host.left
      ? null
      : take(former, `stays on ${former.host.name}, which ${former.host.unavailableWhy}`)
  // It is there, whatever is heard of that host now.
  if (isGuest(entity)) return { hosts: [entity.on as HostId], pinned: true, away: false, why: 'a guest' }
  if (entity.on !== undefined) {
    const wanted = findHost(
      entity.on,
      rooms.map(({ host }) => host),
      entity.name
    )
    const room = rooms.find(({ host }) => host.id === wanted.id) as Room
    const objection = objectionOf(entity, room)
    const kept = wanted.id === first ? stayAway() : null
    if (kept !== null) return kept
    if (objection !== null)
      throw new ViolinError(
        'no-placement',
        `${entity.name} cannot run on ${wanted.name}, which ${objection}`,
        'pin it elsewhere, or leave `on` out'
      )
    return take(room, 'pinned by the file')
  }
  // The first of the former list that still fits: one that took over from a host that is away keeps it.
  for (const host of before) {
    const stay = rooms.find((room) => room.host.id === host && objectionOf(entity, room) === null)
    if (stay === undefined) continue
    const objection = former === undefined ? 'is gone' : objectionOf(entity, former)
    const lost = `${former?.host.name ?? 'its host'} ${objection}; ${stay.host.name} is the next of its hosts`
    return take(stay, host === first ? 'stays where it is' : lost)
  }
  const best = bestFirst(entity, rooms, rank)[0]
  if (best === undefined) {
    const kept = stayAway()
    if (kept !== null) return kept
    const reasons = rooms.map((room) => `${room.host.name} ${objectionOf(entity, room)}`).join('; ')
    throw new ViolinError(
      'no-placement',
      `no host can run ${entity.name} (${reasons})`,
      'add a host, or make the entity smaller'
    )
  }
  return take(best, 'fewest entities, then most memory free')
}

/** Where it goes when its host is lost: the former spares that are there, then the best of the others. */
function addSpares(
  entity: TopologyEntity,
  placed: EntityPlace,
  rooms: readonly Room[],
  before: readonly HostId[],
  rank: (name: string, host: HostId) => string
): EntityPlace {
  const isThere = (id: HostId): boolean =>
    rooms.some(({ host }) => host.id === id && host.available && host.drivers.includes(entity.driver))
  const hosts = new Set([...placed.hosts, ...before.filter(isThere)])
  for (const { host } of bestFirst(entity, rooms, rank)) hosts.add(host.id)
  return { ...placed, hosts: [...hosts].slice(0, hostsPerEntity) }
}

function bestFirst(
  entity: TopologyEntity,
  rooms: readonly Room[],
  rank: (name: string, host: HostId) => string
): Room[] {
  return rooms
    .filter((room) => objectionOf(entity, room) === null)
    .toSorted(
      (a, b) =>
        a.load - b.load ||
        b.freeMiB - a.freeMiB ||
        compare(rank(entity.name, a.host.id), rank(entity.name, b.host.id))
    )
}

/** Why a host cannot take one more entity, as what it is, has or does; null when it can. */
export function objectionTo(entity: Sized, host: PlacementHost): string | null {
  return objectionOf(entity, { host, freeMiB: host.freeMemoryMiB, load: host.load })
}

/** Why `room` cannot take `entity`, as what it is, has or does; null when it can. */
function objectionOf(entity: Sized, room: Room): string | null {
  if (!room.host.available) return room.host.unavailableWhy
  if (!room.host.drivers.includes(entity.driver))
    return entity.driver === 'tap'
      ? 'makes no devices, for its daemon does not run as root'
      : `has no ${entity.driver} driver`
  if (room.freeMiB < memoryOf(entity))
    return `has ${Math.max(0, Math.floor(room.freeMiB))} MiB free, and ${memoryOf(entity)} are wanted`
  return null
}

/**
 * A host by name or id; of one name those that left give way to one that is there, and are found by id. Throws
 * ViolinError `unknown-host` or `ambiguous-name`.
 */
export function findHost<H extends Pick<PlacementHost, 'id' | 'name' | 'left'>>(
  wanted: string,
  hosts: readonly H[],
  wanter = ''
): H {
  const named = hosts.filter((host) => host.name === wanted || host.id === wanted)
  const there = named.filter(({ id, left }) => !left || id === wanted)
  const matches = there.length > 0 ? there : named
  if (matches.length > 1)
    throw new ViolinError(
      'ambiguous-name',
      `${matches.length} hosts are named ${wanted}`,
      'name it by its id (`violin hosts`)'
    )
  const match = matches[0]
  if (match === undefined) {
    const known = hosts.map(({ name }) => name).join(', ')
    const meant = nearest(
      wanted,
      hosts.map(({ name }) => name)
    )
    throw new ViolinError(
      'unknown-host',
      `no host named ${wanted} in this mesh${wanter === '' ? '' : `, as ${wanter} wants`}`,
      meant === null ? `known hosts: ${known}` : `did you mean ${meant}? known hosts: ${known}`
    )
  }
  return match
}

/**
 * Candidates of a vLAN's vSwitch: the hosts that the file names, else those with a port on it, most ports
 * first (their frames stay at home), then those that may come to have one. An order that still holds is kept,
 * so that nothing moves without need.
 */
function placeSwitch(
  lan: TopologyLan,
  topology: Topology,
  entities: ReadonlyMap<string, { readonly hosts: readonly HostId[] }>,
  hosts: readonly PlacementHost[],
  previous: Spec | null,
  rank: (name: string, host: HostId) => string
): { hosts: readonly HostId[]; why: string } {
  if (lan.vswitch.length > 0)
    return {
      hosts: [...new Set(lan.vswitch.map((name) => findHost(name, hosts, `the vswitch of ${lan.name}`).id))],
      why: 'named by the file'
    }
  const ports = new Map<HostId, number>()
  const onLan = topology.entities.filter(({ nics }) => nics.some((nic) => nic.lan === lan.name))
  const toStay = onLan.filter((entity) => !isGuest(entity))
  // A guest switches what is between guests, and else nothing: it comes and goes, and sees what it switches.
  for (const entity of toStay.length > 0 ? toStay : onLan) {
    const count = entity.nics.filter((nic) => nic.lan === lan.name).length
    for (const [place, host] of entities.get(entity.name)?.hosts.entries() ?? [])
      if (count > 0) ports.set(host, (ports.get(host) ?? 0) + (place === 0 ? count : 0))
  }
  const before = previous?.lans.find(({ name }) => name === lan.name)?.hosts ?? []
  const kept = before.filter((host) => ports.has(host))
  const added = [...ports.keys()].filter((host) => !kept.includes(host))
  added.sort(
    (a, b) =>
      (ports.get(b) as number) - (ports.get(a) as number) || compare(rank(lan.name, a), rank(lan.name, b))
  )
  return { hosts: [...kept, ...added], why: 'hosts with ports on it, most ports first' }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

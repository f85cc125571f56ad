/**
 * What the records mean at a moment: members, VIOLINs, what runs. Only what has not ended, whose author is
 * not revoked and stands in the slot that it claims. Two hosts with the same records and clocks see the same.
 */
import type { Chain } from '../admission/chain.ts'
import { publicKeyOf } from '../admission/host-id.ts'
import type { Role } from '../admission/link.ts'
import { keepsSlot } from '../admission/seat.ts'
import type { HostId, PublicKey, ViolinId, WallTime } from '../ids.ts'
import type { Spec } from '../spec.ts'
import type { Ended, Founding, HostBody } from './bodies.ts'
import { hostsOfOwner } from './owners.ts'
import type { HostRecord, RunsRecord, SignedRecord, ViolinRecord } from './record.ts'
import { type RecordSet, placeOf } from './set.ts'
import { type Tree, find, recordsOf } from './tree.ts'

/** A host whose own record shows that it is in the mesh (it may have left, or be away). */
export interface Member {
  readonly host: HostId
  readonly key: PublicKey
  readonly role: Role
  readonly body: HostBody
  /** End of its membership. */
  readonly membershipEndsAt: WallTime
  readonly record: HostRecord
}

/** One VIOLIN as its owners' records settle it. */
export interface ViolinView {
  readonly id: ViolinId
  readonly name: string
  readonly founding: Founding
  /** The record that stands. */
  readonly record: ViolinRecord
  readonly version: number
  /** Null when it ended. */
  readonly spec: Spec | null
  /** Null while it lasts. */
  readonly ended: Ended | null
  /** The owner key whose record stands, and the host on which it hangs. */
  readonly owner: PublicKey
  readonly ownerHost: HostId
  /** The hosts on which that key lies, in an order that is the same everywhere; the one above where none says so. */
  readonly ownerHosts: readonly HostId[]
  /** Who keeps its records: all hosts of owners who signed, and every host that the record names. */
  readonly holders: ReadonlySet<HostId>
  /** What hosts say that they run of it. */
  readonly runs: ReadonlyMap<HostId, RunsRecord>
}

export interface View {
  readonly members: ReadonlyMap<HostId, Member>
  /** Hosts that lost their slot to another with a lower hash: told, and to ask for another slot. */
  readonly displaced: ReadonlySet<HostId>
  /** The host key that keeps each slot which several claim, by `TOKEN SLOT`. */
  readonly slots: ReadonlyMap<string, PublicKey>
  /** Keys that a revocation in force cuts in whatever chain; true: with all that they let in. */
  readonly revoked: ReadonlyMap<PublicKey, boolean>
  readonly violins: ReadonlyMap<ViolinId, ViolinView>
  readonly runs: ReadonlyMap<ViolinId, ReadonlyMap<HostId, RunsRecord>>
  /** When the next of these records ends: until then the view is right while the set stays as it is. */
  readonly until: WallTime
}

/**
 * What the set means at this moment; what changes in the set later does not change it. Cheap: members are
 * looked up in the set's tree when they are asked for, and a VIOLIN is computed anew only after its records
 * changed.
 */
export function view(set: RecordSet, now: WallTime): View {
  const hosts = set.tree('hosts')
  const revocations = set.tree('revocations')
  const slots = set.claims.winners
  const violins = new Map<ViolinId, ViolinView>()
  const runs = new Map<ViolinId, ReadonlyMap<HostId, RunsRecord>>()
  let until = Math.min(nextEnd(hosts, now), nextEnd(revocations, now))
  for (const id of set.violins()) {
    const tree = set.tree(id) as Tree
    const seen = domainSeen(id, tree, slots, hosts, now)
    if (seen.violin !== null) violins.set(id, seen.violin)
    if (seen.runs.size > 0) runs.set(id, seen.runs)
    until = Math.min(until, nextEnd(tree, now))
  }
  return {
    members: new Members(hosts, slots, now),
    displaced: displacedBy(set.claims.losers(), slots, hosts, now),
    slots,
    revoked: revokedBy(revocations, now),
    violins,
    runs,
    until: until as WallTime
  }
}

/** When the next of the living records ends. */
function nextEnd(tree: Tree | null, now: WallTime): number {
  if (tree === null) return Infinity
  if (tree.endsAt > now) return tree.endsAt
  let next = Infinity
  for (const { endsAt } of tree.records) if (endsAt > now) next = Math.min(next, endsAt)
  for (const child of tree.children ?? []) next = Math.min(next, nextEnd(child, now))
  return next
}

type Slots = View['slots']

/** Members looked up in the tree of host records, which is in the order of their keys. */
class Members implements ReadonlyMap<HostId, Member> {
  readonly #tree: Tree | null
  readonly #slots: Slots
  readonly #now: WallTime
  #size: number | null = null

  constructor(tree: Tree | null, slots: Slots, now: WallTime) {
    this.#tree = tree
    this.#slots = slots
    this.#now = now
  }

  /** O(members) when it is asked for the first time. */
  get size(): number {
    if (this.#size !== null) return this.#size
    let size = 0
    for (const _ of this.values()) size++
    this.#size = size
    return size
  }

  get(host: HostId): Member | undefined {
    const key = publicKeyOf(host)
    const record = key === null ? null : find(this.#tree, key, placeOf)
    return record === null ? undefined : this.#member(record)
  }

  has(host: HostId): boolean {
    return this.get(host) !== undefined
  }

  *values(): Generator<Member, undefined, void> {
    for (const record of recordsOf(this.#tree)) {
      const member = this.#member(record)
      if (member !== undefined) yield member
    }
    return undefined
  }

  *keys(): Generator<HostId, undefined, void> {
    for (const { host } of this.values()) yield host
    return undefined
  }

  *entries(): Generator<[HostId, Member], undefined, void> {
    for (const member of this.values()) yield [member.host, member]
    return undefined
  }

  [Symbol.iterator](): Generator<[HostId, Member], undefined, void> {
    return this.entries()
  }

  forEach(each: (member: Member, host: HostId, map: ReadonlyMap<HostId, Member>) => void): void {
    for (const member of this.values()) each(member, member.host, this)
  }

  #member(record: SignedRecord): Member | undefined {
    if (record.kind !== 'host' || record.endsAt <= this.#now) return undefined
    return keepsSlot(record.chain as Chain, this.#slots) ? memberOf(record) : undefined
  }
}

/** Made once for a record, however many views of however many sets show it. */
const members = new WeakMap<HostRecord, Member>()

function memberOf(record: HostRecord): Member {
  const known = members.get(record)
  if (known !== undefined) return known
  const chain = record.chain as Chain
  const member = {
    host: chain.host as HostId,
    key: record.author,
    role: chain.role,
    body: record.body,
    membershipEndsAt: chain.endsAt,
    record
  }
  members.set(record, member)
  return member
}

function displacedBy(
  losers: readonly PublicKey[],
  slots: Slots,
  hosts: Tree | null,
  now: WallTime
): ReadonlySet<HostId> {
  const displaced = new Set<HostId>()
  for (const key of losers) {
    const record = find(hosts, key, placeOf)
    // A host that lost one slot may stand in another since.
    if (record === null || record.endsAt <= now || keepsSlot(record.chain as Chain, slots)) continue
    displaced.add(record.chain?.host as HostId)
  }
  return displaced
}

function revokedBy(revocations: Tree | null, now: WallTime): ReadonlyMap<PublicKey, boolean> {
  const revoked = new Map<PublicKey, boolean>()
  for (const record of recordsOf(revocations)) {
    if (record.kind !== 'revocation' || record.target === null || record.endsAt <= now) continue
    revoked.set(record.body.key, record.body.andBelow || revoked.get(record.body.key) === true)
  }
  return revoked
}

/** What the records of one VIOLIN mean. */
interface Seen {
  readonly violin: ViolinView | null
  readonly runs: ReadonlyMap<HostId, RunsRecord>
  /** On which hosts the keys lie that signed it. */
  readonly owners: Owners
}

type Owners = ReadonlyMap<PublicKey, readonly HostId[]>

/** By the tree, which is another one after each change; only while nothing ends and no slot is disputed. */
const seenDomains = new WeakMap<Tree, Seen>()

function domainSeen(id: ViolinId, tree: Tree, slots: Slots, hosts: Tree | null, now: WallTime): Seen {
  const lasting = slots.size === 0 && tree.endsAt > now
  const known = lasting ? seenDomains.get(tree) : undefined
  const isSame = ([owner, at]: [PublicKey, readonly HostId[]]): boolean =>
    hostsOfOwner(hosts, owner).join() === at.join()
  if (known !== undefined && [...known.owners].every(isSame)) return known
  const versions: ViolinRecord[] = []
  const runs = new Map<HostId, RunsRecord>()
  for (const record of recordsOf(tree)) {
    const chain = record.chain as Chain
    if (record.endsAt <= now || !keepsSlot(chain, slots)) continue
    if (record.kind === 'violin') versions.push(record)
    else if (record.kind === 'runs') runs.set(chain.host as HostId, record)
  }
  const owners = new Map(versions.map(({ author }) => [author, hostsOfOwner(hosts, author)]))
  const seen = {
    violin: versions.length === 0 ? null : settleViolin(id, versions, owners, runs),
    runs,
    owners
  }
  if (lasting) seenDomains.set(tree, seen)
  return seen
}

/**
 * One VIOLIN as the living versions of its owners settle it; there must be one. `owners`: on which hosts their
 * keys lie.
 */
export function settleViolin(
  id: ViolinId,
  records: readonly ViolinRecord[],
  owners: Owners,
  runs: ReadonlyMap<HostId, RunsRecord>
): ViolinView {
  const [record] = records.toSorted(byAuthority) as [ViolinRecord]
  const { founding, spec, ended } = record.body
  const holders = new Set(records.map((one) => one.chain?.host as HostId))
  for (const { author } of records) for (const host of owners.get(author) ?? []) holders.add(host)
  const ownerHost = record.chain?.host as HostId
  const ownerHosts = owners.get(record.author) ?? []
  for (const host of ended?.hosts ?? (spec === null ? [] : hostsIn(spec))) holders.add(host)
  return {
    id,
    name: ended?.name ?? spec?.name ?? '',
    founding,
    record,
    version: record.version,
    spec,
    ended,
    owner: record.author,
    ownerHost,
    ownerHosts: ownerHosts.length === 0 ? [ownerHost] : ownerHosts,
    holders,
    runs
  }
}

/** An end first, then the higher version, then the senior owner, then the lower hash. */
function byAuthority(a: ViolinRecord, b: ViolinRecord): number {
  const ended = Number(b.body.ended !== null) - Number(a.body.ended !== null)
  if (ended !== 0) return ended
  if (a.version !== b.version) return b.version - a.version
  const { owners } = a.body.founding
  return owners.indexOf(a.author) - owners.indexOf(b.author) || (a.hash < b.hash ? -1 : 1)
}

/** Every host that a spec names: for an entity or for a vLAN. */
export function hostsIn(spec: Spec): ReadonlySet<HostId> {
  const offered = (spec.offers ?? []).map(({ to }) => to)
  return new Set([...[...spec.lans, ...spec.entities].flatMap((part) => part.hosts), ...offered])
}

/**
 * What the records mean at a moment: members, VIOLINs, what runs. Only what has not ended, whose author is
 * not revoked and stands in the slot that it claims. Two hosts with the same records and clocks see the same.
 */
import type { Chain } from '../admission/chain.ts'
import type { Role } from '../admission/link.ts'
import { keepsSlot } from '../admission/seat.ts'
import type { HostId, PublicKey, ViolinId, WallTime } from '../ids.ts'
import type { Spec } from '../spec.ts'
import type { Ended, Founding, HostBody } from './bodies.ts'
import type { HostRecord, RunsRecord, ViolinRecord } from './record.ts'
import type { RecordSet } from './set.ts'
import { winsSlot } from './slots.ts'

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
  /** Other owners' bodies for the same version, which lost. */
  readonly signedTwice: readonly ViolinRecord[]
  /** Who keeps its records: hosts of owners who signed, and every host that the record names. */
  readonly holders: ReadonlySet<HostId>
}

export interface View {
  readonly members: ReadonlyMap<HostId, Member>
  /** Hosts that lost their slot to another with a lower hash: told, and to ask for another slot. */
  readonly displaced: ReadonlySet<HostId>
  /** The host key that keeps each claimed slot, by `TOKEN SLOT`. */
  readonly slots: ReadonlyMap<string, PublicKey>
  /** Keys with a revocation in force; true: with all that they let in. */
  readonly revoked: ReadonlyMap<PublicKey, boolean>
  readonly violins: ReadonlyMap<ViolinId, ViolinView>
  readonly runs: ReadonlyMap<ViolinId, ReadonlyMap<HostId, RunsRecord>>
}

/** Computes the view. O(records): call it when records or the day change, not by the second. */
export function view(set: RecordSet, now: WallTime): View {
  const slots = settleSlots(set)
  const members = new Map<HostId, Member>()
  const displaced = new Set<HostId>()
  const revoked = new Map<PublicKey, boolean>()
  const runs = new Map<ViolinId, Map<HostId, RunsRecord>>()
  const versions = new Map<ViolinId, ViolinRecord[]>()
  for (const record of set.all()) {
    if (record.endsAt <= now) continue
    if (record.kind === 'revocation') {
      revoked.set(record.body.key, record.body.andBelow || revoked.get(record.body.key) === true)
      continue
    }
    const chain = record.chain as Chain
    const host = chain.host as HostId
    if (set.isRevoked(chain)) continue
    if (!keepsSlot(chain, slots)) {
      if (record.kind === 'host') displaced.add(host)
      continue
    }
    if (record.kind === 'host') members.set(host, memberOf(record, chain, host))
    else if (record.kind === 'runs') entry(runs, record.body.violin, () => new Map()).set(host, record)
    else entry(versions, record.key as ViolinId, () => []).push(record)
  }
  return { members, displaced, slots, revoked, runs, violins: settleViolins(versions) }
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const value = map.get(key) ?? make()
  map.set(key, value)
  return value
}

function memberOf(record: HostRecord, chain: Chain, host: HostId): Member {
  return {
    host,
    key: record.author,
    role: chain.role,
    body: record.body,
    membershipEndsAt: chain.endsAt,
    record
  }
}

/** The host key that keeps each slot that several records claim, by `TOKEN SLOT`. */
export function settleSlots(set: RecordSet): ReadonlyMap<string, PublicKey> {
  const winners = new Map<string, PublicKey>()
  for (const { token, slot, host } of set.slotClaims()) {
    const name = `${token} ${slot}`
    const former = winners.get(name)
    if (former === undefined || former === host || winsSlot(token, slot, host, former, set.crypto)) {
      winners.set(name, host)
    }
  }
  return winners
}

function settleViolins(
  versions: ReadonlyMap<ViolinId, readonly ViolinRecord[]>
): ReadonlyMap<ViolinId, ViolinView> {
  const violins = new Map<ViolinId, ViolinView>()
  for (const [id, records] of versions) violins.set(id, settleViolin(id, records))
  return violins
}

/** One VIOLIN as the living versions of its owners settle it; there must be one. */
export function settleViolin(id: ViolinId, records: readonly ViolinRecord[]): ViolinView {
  const [record, ...others] = records.toSorted(byAuthority) as [ViolinRecord, ...ViolinRecord[]]
  const { founding, spec, ended } = record.body
  const holders = new Set(records.map((one) => one.chain?.host as HostId))
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
    ownerHost: record.chain?.host as HostId,
    signedTwice: others.filter(
      (one) => one.version === record.version && one.body.ended === null && ended === null
    ),
    holders
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
  return new Set([...spec.lans, ...spec.entities].flatMap((part) => part.hosts))
}

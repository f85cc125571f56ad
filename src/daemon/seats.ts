/** Who is a member, and who was shut out: by records, and by what peers showed when they connected. */
import { type Chain, isRefusal, verifyChain } from '#core/admission/chain.ts'
import { hostIdOf, publicKeyOf } from '#core/admission/host-id.ts'
import { keepsSlot, slotKeeper } from '#core/admission/seat.ts'
import type { HostId, PublicKey, WallTime } from '#core/ids.ts'
import type { SignedRecord } from '#core/records/record.ts'
import type { RecordSet } from '#core/records/set.ts'
import type { View } from '#core/records/view.ts'
import { crypto } from './crypto.ts'

/** What so many peers showed is remembered before those that are not connected are forgotten. */
const maxShown = 1024

/** What the records are and mean now, and who is connected. */
export interface SeatsOptions {
  readonly set: RecordSet
  readonly view: () => View
  readonly now: () => WallTime
  readonly isConnected: (host: HostId) => boolean
}

export class Seats {
  readonly #set: RecordSet
  readonly #options: SeatsOptions
  /** Hosts whose records revocations took out; a host that is let in anew has another key. */
  readonly #cut = new Set<HostId>()
  /** What members showed: some have no record yet, or none any more. */
  readonly #shown = new Map<HostId, Chain>()

  constructor(options: SeatsOptions) {
    this.#set = options.set
    this.#options = options
  }

  /** Whether what a peer showed makes it a member: a living chain to this mesh's root that ends with its key. */
  admits(peer: HostId, presented: Uint8Array): boolean {
    const chain = verifyChain(presented, this.#set.root, crypto)
    if (isRefusal(chain) || chain.kind !== 'host' || chain.host !== peer) return false
    const { view, now } = this.#options
    const isMember = chain.endsAt > now() && !this.#set.isRevoked(chain) && keepsSlot(chain, view().slots)
    if (isMember) this.#noteShown(peer, chain)
    return isMember
  }

  #noteShown(peer: HostId, chain: Chain): void {
    this.#shown.set(peer, chain)
    if (this.#shown.size <= maxShown) return
    for (const one of this.#shown.keys())
      if (one !== peer && !this.#options.isConnected(one)) this.#shown.delete(one)
  }

  /** The chain of a host as its record, a revocation or itself showed it; null: unknown. */
  chainOf(host: PublicKey): Chain | null {
    return this.#set.chainOf(host) ?? this.#shown.get(hostIdOf(host)) ?? null
  }

  /**
   * What tells a peer that it is out: the revocation that cuts what it showed, or what shows that another keeps its slot
   * (that one's record; where it was revoked since, its revocation); null: nothing.
   */
  whyOut(peer: HostId, presented: Uint8Array): Uint8Array | null {
    const chain = verifyChain(presented, this.#set.root, crypto)
    if (isRefusal(chain) || chain.host !== peer) return null
    const revocation = this.#set.revocationOf(chain)
    if (revocation !== null) return revocation.bytes
    const keeper = slotKeeper(chain, this.#options.view().slots)
    if (keeper === null) return null
    const record = this.#set.get('host', keeper, '') ?? this.#revocationAt(keeper)
    return record?.bytes ?? null
  }

  #revocationAt(host: PublicKey): SignedRecord | null {
    const chain = this.#set.chainOf(host)
    return chain === null ? null : this.#set.revocationOf(chain)
  }

  /** Who keeps the slot of a host instead of it; null: nobody does. */
  keeperOfSlot(host: HostId): HostId | null {
    const key = publicKeyOf(host)
    const chain = key === null ? null : this.chainOf(key)
    const keeper = chain === null ? null : slotKeeper(chain, this.#options.view().slots)
    return keeper === null ? null : hostIdOf(keeper)
  }

  /** Notes the hosts of records that a revocation took out. */
  cut(removed: readonly SignedRecord[]): void {
    for (const record of removed) if (record.kind === 'host') this.#cut.add(record.body.host)
  }

  /** Those of the given hosts that revocations shut out: by their own key, or by one above them. */
  revoked(hosts: Iterable<HostId>): ReadonlySet<HostId> {
    const { revoked } = this.#options.view()
    const out = new Set<HostId>()
    if (revoked.size === 0) return out
    for (const host of hosts) {
      const key = publicKeyOf(host)
      if ((key !== null && revoked.has(key)) || this.#wasCut(host)) out.add(host)
    }
    return out
  }

  /** Whether a revocation took this host's record out, or cuts what it showed when it connected. */
  #wasCut(host: HostId): boolean {
    return this.#cut.has(host) || this.#set.isRevoked(this.#shown.get(host) ?? null)
  }
}

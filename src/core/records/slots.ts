/** Who keeps a slot of an invite that two hosts claim: everyone answers alike, from bytes alone. */
import { slotOf } from '../admission/chain.ts'
import { keyBytes } from '../admission/host-id.ts'
import { ascii, hex } from '../derive.ts'
import type { Crypto, PublicKey } from '../ids.ts'
import { concat, encodeCbor } from './cbor.ts'
import type { SignedRecord } from './record.ts'
import { type Share, type Tree, insert, recordsOf, remove, under } from './tree.ts'

/** A slot of an invite with the host that claims it. */
interface Claim {
  readonly token: PublicKey
  readonly slot: number
  readonly host: PublicKey
}

/**
 * The claims to slots that records show: of hosts that are members, and of hosts that were revoked, for a
 * used slot never comes back.
 */
export class SlotClaims {
  readonly #crypto: Crypto
  readonly #share: Share
  #tree: Tree | null
  #winners: ReadonlyMap<string, PublicKey>
  /** By the same names. */
  readonly #losers: Map<string, readonly PublicKey[]>

  constructor(crypto: Crypto, share: Share, from?: SlotClaims) {
    this.#crypto = crypto
    this.#share = share
    this.#tree = from === undefined ? null : from.#tree
    this.#winners = from === undefined ? new Map() : from.#winners
    this.#losers = new Map(from === undefined ? [] : from.#losers)
  }

  put(record: SignedRecord): void {
    const claim = claimOf(record)
    if (claim === null) return
    this.#tree = insert(this.#tree, record, keyOf, this.#share)
    this.#settle(claim)
  }

  take(record: SignedRecord): void {
    const claim = claimOf(record)
    if (claim === null) return
    this.#tree = remove(this.#tree, keyOf(record), keyOf, this.#share)
    this.#settle(claim)
  }

  /** The host that keeps each slot which several claim, by `TOKEN SLOT`; another map after each change. */
  get winners(): ReadonlyMap<string, PublicKey> {
    return this.#winners
  }

  /** Hosts that lost a slot to another. */
  losers(): readonly PublicKey[] {
    return [...this.#losers.values()].flat()
  }

  /** The used slots of one invite with the host in each; where two claim one, the one that keeps it. */
  usedSlots(token: PublicKey): ReadonlyMap<number, PublicKey> {
    const used = new Map<number, PublicKey>()
    for (const record of recordsOf(this.#tree)) {
      const claim = claimOf(record)
      if (claim?.token !== token) continue
      used.set(claim.slot, this.#winners.get(nameOf(claim)) ?? claim.host)
    }
    return used
  }

  #settle(claim: Claim): void {
    const hosts = new Set<PublicKey>()
    for (const record of recordsOf(under(this.#tree, slotKey(claim), keyOf)))
      hosts.add((claimOf(record) as Claim).host)
    const name = nameOf(claim)
    if (hosts.size < 2 && !this.#losers.has(name)) return
    const [winner, ...losers] = [...hosts].toSorted((a, b) =>
      winsSlot(claim.token, claim.slot, a, b, this.#crypto) ? -1 : 1
    )
    const winners = new Map(this.#winners)
    if (winner === undefined || losers.length === 0) {
      winners.delete(name)
      this.#losers.delete(name)
    } else {
      winners.set(name, winner)
      this.#losers.set(name, losers)
    }
    this.#winners = winners
  }
}

/** Whether host key `a` keeps the slot and `b` loses it: the lower hash of (token, slot, host) stays. */
export function winsSlot(
  token: PublicKey,
  slot: number,
  a: PublicKey,
  b: PublicKey,
  crypto: Crypto
): boolean {
  return slotHash(token, slot, a, crypto) < slotHash(token, slot, b, crypto)
}

function slotHash(token: PublicKey, slot: number, host: PublicKey, crypto: Crypto): string {
  const claim = encodeCbor([keyBytes(token), slot, keyBytes(host)])
  return hex(crypto.sha256(concat(ascii('violin slot claim 1\0'), claim)))
}

function claimOf(record: SignedRecord): Claim | null {
  if (record.kind !== 'host' && record.kind !== 'revocation') return null
  const chain = record.kind === 'revocation' ? record.target : record.chain
  const claim = chain?.kind === 'host' ? slotOf(chain) : null
  return claim === null || chain === null ? null : { ...claim, host: chain.subject }
}

function nameOf({ token, slot }: Claim): string {
  return `${token} ${slot}`
}

/** The slot's low digits first: invites of one slot and of thousands both spread evenly. */
function slotKey({ token, slot }: Pick<Claim, 'token' | 'slot'>): string {
  const digits = Array.from(slot.toString(16).padStart(8, '0'))
  return digits.toReversed().join('') + token
}

function keyOf(record: SignedRecord): string {
  const claim = claimOf(record) as Claim
  return slotKey(claim) + claim.host + record.author
}

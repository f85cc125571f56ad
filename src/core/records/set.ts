/**
 * All records that a host keeps: one for each (kind, author, key). Merging is a join over bytes: whatever the
 * order and however often records come, hosts that saw the same hold the same. The clock only guards the
 * door: nothing from more than ten minutes ahead, nothing that ended more than ten minutes ago.
 *
 * Invariant: no record is kept whose author a kept revocation cuts.
 */
import { type Chain, slotOf } from '../admission/chain.ts'
import { rememberVerified } from '../admission/verified.ts'
import type { Crypto, PublicKey, ViolinId, WallTime } from '../ids.ts'
import type { RecordKind } from './bodies.ts'
import { winsSlot } from './slots.ts'
import { type Rejected, type Scope, type SignedRecord, isRejected, openRecord } from './record.ts'

/** How far clocks may differ, ms. */
export const clockToleranceMs: number = 10 * 60_000
/** VIOLINs that one owner key may have. */
export const maxViolinsPerOwner = 64
/** Bytes of records that one key may have stored. */
export const maxBytesPerAuthor: number = 4 * 1024 * 1024

export type IgnoredReason = 'known' | 'not-newer' | 'expired' | 'too-new' | 'revoked' | 'quota' | 'unwanted'

/** What merging did: gossip's three answers. */
export type Merged =
  /** Stored; it may be passed on. `replaced` was there before. */
  | {
      readonly verdict: 'accepted'
      readonly reason: ''
      readonly record: SignedRecord
      /** What it took out: the former version, and all that a revocation cuts. */
      readonly removed: readonly SignedRecord[]
    }
  /** Nothing changed and nobody is to blame. */
  | { readonly verdict: 'ignored'; readonly reason: IgnoredReason; readonly record: SignedRecord }
  /** The bytes are wrong. */
  | { readonly verdict: 'rejected'; readonly reason: string; readonly record: null }

/** What is reconciled as one: revocations before the hosts that they may cut, then each VIOLIN. */
export type Domain = 'revocations' | 'hosts' | ViolinId

export class RecordSet {
  readonly root: PublicKey
  readonly crypto: Crypto
  readonly #open: (bytes: Uint8Array) => SignedRecord | Rejected
  readonly #records = new Map<string, SignedRecord>()
  readonly #domains = new Map<Domain, Map<string, SignedRecord>>()
  /** In order of hash; made when asked for, another array after each change. */
  readonly #sorted = new Map<Domain, readonly SignedRecord[]>()
  /** Revoked keys; true: with all that they let in. */
  #cuts = new Map<PublicKey, boolean>()
  readonly #usage = new Map<PublicKey, { bytes: number; violins: number }>()

  /** `open`: for who keeps many sets in one process and opens what they share once; default openRecord. */
  constructor(options: {
    readonly root: PublicKey
    readonly crypto: Crypto
    readonly open?: (bytes: Uint8Array) => SignedRecord | Rejected
  }) {
    const { root, crypto, open } = options
    this.root = root
    this.crypto = crypto
    if (open !== undefined) {
      this.#open = open
      return
    }
    const linkCrypto = rememberVerified(crypto)
    this.#open = (bytes) => openRecord(bytes, root, crypto, linkCrypto)
  }

  get size(): number {
    return this.#records.size
  }

  /**
   * Checks the bytes of one record and keeps it if it is news and `wanted` (default: all that is valid). Never
   * throws for hostile bytes.
   */
  merge(bytes: Uint8Array, now: WallTime, wanted?: (record: SignedRecord) => boolean): Merged {
    const record = this.#open(bytes)
    if (isRejected(record)) return { verdict: 'rejected', reason: record.rejected, record: null }
    const reason = wanted?.(record) === false ? 'unwanted' : this.#objection(record, now)
    if (reason !== null) return { verdict: 'ignored', reason, record }
    const former = this.#records.get(placeOf(record))
    if (former !== undefined) this.#take(former)
    this.#put(record)
    const cut = record.kind === 'revocation' ? this.#cut(record.key as PublicKey, record.body.andBelow) : []
    return { verdict: 'accepted', reason: '', record, removed: former === undefined ? cut : [former, ...cut] }
  }

  #objection(record: SignedRecord, now: WallTime): IgnoredReason | null {
    const former = this.#records.get(placeOf(record))
    if (former?.hash === record.hash) return 'known'
    if (record.issuedAt > now + clockToleranceMs) return 'too-new'
    if (hasEnded(record, now)) return 'expired'
    if (record.kind !== 'revocation' && this.isRevoked(record.chain)) return 'revoked'
    if (former !== undefined && !beats(record, former)) return 'not-newer'
    return this.#exceedsQuota(record, former) ? 'quota' : null
  }

  #exceedsQuota(record: SignedRecord, former: SignedRecord | undefined): boolean {
    const used = this.#usage.get(record.author) ?? { bytes: 0, violins: 0 }
    if (used.bytes - (former?.bytes.length ?? 0) + record.bytes.length > maxBytesPerAuthor) return true
    return isLiving(record) && former === undefined && used.violins >= maxViolinsPerOwner
  }

  /** Takes out what ended more than the clocks' tolerance ago; returns it. */
  removeExpired(now: WallTime): readonly SignedRecord[] {
    const ended = [...this.#records.values()].filter((record) => hasEnded(record, now))
    for (const record of ended) this.#take(record)
    if (ended.some((record) => record.kind === 'revocation')) this.#recount()
    return ended
  }

  /** Takes out all records of a VIOLIN, of which this host is no holder any more; returns them. */
  forget(violin: ViolinId): readonly SignedRecord[] {
    const records = this.entries(violin)
    for (const record of records) this.#take(record)
    return records
  }

  get<K extends RecordKind>(
    kind: K,
    author: PublicKey,
    key: string
  ): Extract<SignedRecord, { kind: K }> | null {
    const record = this.#records.get(`${kind} ${author} ${key}`)
    return (record as Extract<SignedRecord, { kind: K }> | undefined) ?? null
  }

  all(): IterableIterator<SignedRecord> {
    return this.#records.values()
  }

  /** The records of a scope, in no order. */
  entries(scope: Scope): readonly SignedRecord[] {
    const domains: readonly Domain[] = scope === 'mesh' ? ['revocations', 'hosts'] : [scope]
    return domains.flatMap((domain) => [...(this.#domains.get(domain)?.values() ?? [])])
  }

  /** VIOLINs of which there is any record. */
  violins(): readonly ViolinId[] {
    return [...this.#domains.keys()].filter(
      (domain) => domain !== 'revocations' && domain !== 'hosts'
    ) as ViolinId[]
  }

  /** The records of a domain in order of their hashes. */
  sorted(domain: Domain): readonly SignedRecord[] {
    const known = this.#sorted.get(domain)
    if (known !== undefined) return known
    const records = [...(this.#domains.get(domain)?.values() ?? [])]
    records.sort((a, b) => (a.hash < b.hash ? -1 : 1))
    this.#sorted.set(domain, records)
    return records
  }

  /** Whether a kept revocation cuts this chain. The mesh root's (null) never. */
  isRevoked(chain: Chain | null): boolean {
    if (chain === null || this.#cuts.size === 0) return false
    const own = chain.kind === 'owner' ? 2 : 1
    // An invite falls with any key above it: who is out lets nobody in.
    const from = chain.kind === 'token' ? 0 : chain.path.length - own
    const isAbove = (key: PublicKey): boolean => chain.path.some(({ subject }) => subject === key)
    return chain.path.some((link, place) => {
      const cut = this.#cuts.get(link.subject)
      if (cut !== undefined && (cut || place >= from)) return true
      // Who is out could sign itself in again under a new key, by an invite of another that is not used up.
      return place >= from && link.kind === 'joined' && this.#cuts.has(link.witness) && !isAbove(link.witness)
    })
  }

  /** The chain of a host key as its record shows it, or as the revocation does that cut it; null: unknown. */
  chainOf(host: PublicKey): Chain | null {
    const own = this.get('host', host, '')
    if (own !== null) return own.chain
    for (const record of this.entries('mesh'))
      if (record.kind === 'revocation' && record.body.key === host) return record.target
    return null
  }

  /**
   * Every claim to a slot that the records show: hosts that are members, and hosts that were revoked, for a
   * used slot never comes back.
   */
  *slotClaims(): Generator<{ readonly token: PublicKey; readonly slot: number; readonly host: PublicKey }> {
    for (const record of this.entries('mesh')) {
      const chain = record.kind === 'revocation' ? record.target : record.chain
      const claim = chain === null ? null : slotOf(chain)
      if (claim !== null && chain?.kind === 'host') yield { ...claim, host: chain.subject }
    }
  }

  /** The used slots of one invite with the host in each; where two claim one, the one that keeps it. */
  usedSlots(token: PublicKey): ReadonlyMap<number, PublicKey> {
    const used = new Map<number, PublicKey>()
    for (const { token: claimed, slot, host } of this.slotClaims()) {
      if (claimed !== token) continue
      const former = used.get(slot)
      if (former === undefined || winsSlot(token, slot, host, former, this.crypto)) used.set(slot, host)
    }
    return used
  }

  #cut(key: PublicKey, andBelow: boolean): readonly SignedRecord[] {
    this.#cuts.set(key, andBelow || this.#cuts.get(key) === true)
    const cut = [...this.#records.values()].filter(
      (record) => record.kind !== 'revocation' && this.isRevoked(record.chain)
    )
    for (const record of cut) this.#take(record)
    return cut
  }

  #recount(): void {
    this.#cuts = new Map()
    for (const record of this.#domains.get('revocations')?.values() ?? []) {
      if (record.kind !== 'revocation') continue
      const key = record.body.key
      this.#cuts.set(key, record.body.andBelow || this.#cuts.get(key) === true)
    }
  }

  #put(record: SignedRecord): void {
    const place = placeOf(record)
    const domain = domainOf(record)
    this.#records.set(place, record)
    const records = this.#domains.get(domain) ?? new Map<string, SignedRecord>()
    this.#domains.set(domain, records.set(place, record))
    const sorted = this.#sorted.get(domain)
    if (sorted !== undefined) {
      this.#sorted.set(domain, sorted.toSpliced(lowerBound(sorted, record.hash), 0, record))
    }
    this.#count(record, 1)
  }

  #take(record: SignedRecord): void {
    const place = placeOf(record)
    const domain = domainOf(record)
    this.#records.delete(place)
    const records = this.#domains.get(domain)
    records?.delete(place)
    if (records?.size === 0) this.#domains.delete(domain)
    const sorted = this.#sorted.get(domain)
    if (sorted !== undefined) {
      this.#sorted.set(domain, sorted.toSpliced(lowerBound(sorted, record.hash), 1))
    }
    this.#count(record, -1)
  }

  #count(record: SignedRecord, sign: 1 | -1): void {
    const used = this.#usage.get(record.author) ?? { bytes: 0, violins: 0 }
    used.bytes += sign * record.bytes.length
    if (isLiving(record)) used.violins += sign
    if (used.bytes === 0) this.#usage.delete(record.author)
    else this.#usage.set(record.author, used)
  }
}

/** The first place in records in order of hash whose hash is not below `hash`. */
export function lowerBound(sorted: readonly SignedRecord[], hash: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] as SignedRecord).hash < hash) low = middle + 1
    else high = middle
  }
  return low
}

/** A VIOLIN that lasts; what is buried counts by its bytes alone. */
function isLiving(record: SignedRecord): boolean {
  return record.kind === 'violin' && record.body.ended === null
}

/** What is reconciled together with this record. */
export function domainOf(record: SignedRecord): Domain {
  if (record.kind === 'revocation') return 'revocations'
  return record.kind === 'host' ? 'hosts' : (record.key as ViolinId)
}

/** Ended so long ago that no clock within tolerance still counts it. */
function hasEnded(record: SignedRecord, now: WallTime): boolean {
  return record.endsAt + clockToleranceMs <= now
}

function placeOf(record: SignedRecord): string {
  return `${record.kind} ${record.author} ${record.key}`
}

/**
 * Which of two records under one key stands: the end of a VIOLIN above every version, a wider and longer
 * revocation above another (it is final), else the higher version, then the lower hash. A total order.
 */
export function beats(a: SignedRecord, b: SignedRecord): boolean {
  const ofA = rankOf(a)
  const ofB = rankOf(b)
  const place = ofA.findIndex((rank, i) => rank !== ofB[i])
  return place < 0 ? a.hash < b.hash : (ofA[place] as number) > (ofB[place] as number)
}

function rankOf(record: SignedRecord): readonly number[] {
  switch (record.kind) {
    case 'violin':
      return [record.body.ended === null ? 0 : 1, record.version]
    case 'revocation':
      return [record.body.andBelow ? 1 : 0, record.endsAt, record.version]
    case 'host':
    case 'runs':
      return [record.version]
  }
}

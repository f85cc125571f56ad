/**
 * All records that a host keeps: one for each (kind, author, key). Merging is a join over bytes: whatever the
 * order and however often records come, hosts that saw the same hold the same. The clock only guards the
 * door: nothing from more than ten minutes ahead, nothing that ended more than ten minutes ago. So do the
 * quotas, which bound memory and are far above what an honest author uses.
 *
 * Invariant: no record is kept whose author a kept revocation cuts.
 */
import { type Chain, standsAbove } from '../admission/chain.ts'
import { rememberVerified } from '../admission/verified.ts'
import type { Crypto, PublicKey, ViolinId, WallTime } from '../ids.ts'
import type { RecordKind } from './bodies.ts'
import { Quota } from './quota.ts'
import {
  type Rejected,
  type RevocationRecord,
  type Scope,
  type SignedRecord,
  type ViolinRecord,
  isRejected,
  openRecord
} from './record.ts'
import { SlotClaims } from './slots.ts'
import {
  type KeyOf,
  type Share,
  type Tree,
  endingBy,
  find,
  insert,
  recordsOf,
  remove,
  under
} from './tree.ts'

/** How far clocks may differ, ms. */
export const clockToleranceMs: number = 10 * 60_000
/** Versions kept aside of VIOLINs that are held no more; the oldest go first. */
const maxDropped = 1024

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

export interface RecordSetOptions {
  readonly root: PublicKey
  readonly crypto: Crypto
  /** For who keeps many sets in one process and opens what they share once; default openRecord. */
  readonly open?: (bytes: Uint8Array) => SignedRecord | Rejected
  /** As `open`, for the nodes of their trees: {@link sharedNodes}. */
  readonly share?: Share
}

export class RecordSet {
  readonly root: PublicKey
  readonly crypto: Crypto
  readonly #options: RecordSetOptions
  readonly #open: (bytes: Uint8Array) => SignedRecord | Rejected
  readonly #share: Share
  readonly #trees: Map<Domain, Tree>
  readonly #claims: SlotClaims
  readonly #quota: Quota
  /** The revocations of each key, one for each of their authors. */
  #cuts: Cuts
  /**
   * Versions of VIOLINs that this host holds no more, by domain and place: what they replaced, or would have,
   * does not come back from a host that has not heard of them.
   */
  readonly #dropped: Map<string, ViolinRecord>
  #revision = 0

  constructor(options: RecordSetOptions, from?: RecordSet) {
    const { root, crypto, open, share } = options
    this.root = root
    this.crypto = crypto
    this.#options = options
    this.#share = share ?? ((node) => node)
    this.#trees = new Map(from === undefined ? [] : from.#trees)
    this.#claims = new SlotClaims(crypto, this.#share, from === undefined ? undefined : from.#claims)
    this.#quota = new Quota(from === undefined ? undefined : from.#quota)
    this.#cuts = from === undefined ? new Map() : from.#cuts
    this.#dropped = new Map(from === undefined ? [] : from.#dropped)
    if (open !== undefined) {
      this.#open = open
      return
    }
    const linkCrypto = rememberVerified(crypto)
    this.#open = (bytes) => openRecord(bytes, root, crypto, linkCrypto)
  }

  /** A set of its own that holds the same; costs nothing until one of the two changes. */
  fork(): RecordSet {
    return new RecordSet(this.#options, this)
  }

  get size(): number {
    let size = 0
    for (const tree of this.#trees.values()) size += tree.count
    return size
  }

  /** Grows with every change. */
  get revision(): number {
    return this.#revision
  }

  /** Who claims slots of invites, and who keeps those that several claim. */
  get claims(): SlotClaims {
    return this.#claims
  }

  /**
   * Checks the bytes of one record and keeps it if it is news and `wanted` (default: all that is valid). Never
   * throws for hostile bytes.
   */
  merge(bytes: Uint8Array, now: WallTime, wanted?: (record: SignedRecord) => boolean): Merged {
    const record = this.#open(bytes)
    if (isRejected(record)) return { verdict: 'rejected', reason: record.rejected, record: null }
    const former = find(this.tree(domainOf(record)), placeOf(record), placeOf)
    const reason =
      wanted?.(record) === false ? 'unwanted' : this.#objection(record, former, now, wanted !== undefined)
    if (reason !== null) return { verdict: 'ignored', reason, record }
    if (former !== null) this.#take(former)
    if (record.kind === 'violin') this.#dropped.delete(nameOf(record))
    this.#put(record)
    const cut = record.kind === 'revocation' ? this.#cut(record) : []
    return { verdict: 'accepted', reason: '', record, removed: former === null ? cut : [former, ...cut] }
  }

  /** `again`: it may be what was dropped, which is wanted anew where its owner's key came to lie here since. */
  #objection(
    record: SignedRecord,
    former: SignedRecord | null,
    now: WallTime,
    again: boolean
  ): IgnoredReason | null {
    const known = former ?? (record.kind === 'violin' ? this.#dropped.get(nameOf(record)) : undefined)
    const isKnown = known?.hash === record.hash
    if (isKnown && (former !== null || !again)) return 'known'
    if (takenFrom(record) > now + clockToleranceMs) return 'too-new'
    if (hasEnded(record, now)) return 'expired'
    if (record.kind !== 'revocation' && this.isRevoked(record.chain)) return 'revoked'
    if (known !== undefined && !isKnown && !beats(record, known)) return 'not-newer'
    return this.#quota.admits(record, former) ? null : 'quota'
  }

  /** Takes out what ended more than the clocks' tolerance ago; returns it. */
  removeExpired(now: WallTime): readonly SignedRecord[] {
    const ended = [...this.#trees.values()].flatMap((tree) => [...endingBy(tree, now - clockToleranceMs)])
    for (const record of ended) this.#take(record)
    if (ended.some((record) => record.kind === 'revocation')) this.#recount()
    const over = [...this.#dropped.values()].filter((record) => hasEnded(record, now))
    for (const record of over) this.#dropped.delete(nameOf(record))
    return [...ended, ...over]
  }

  /**
   * Takes out all records of a VIOLIN, of which this host is no holder any more; returns them. The versions are
   * kept aside ({@link dropped}) until they end: an older one is not taken again.
   */
  forget(violin: ViolinId): readonly SignedRecord[] {
    const records = this.entries(violin)
    for (const record of records) {
      this.#take(record)
      if (record.kind === 'violin') this.#dropped.set(nameOf(record), record)
    }
    for (const name of this.#dropped.keys()) {
      if (this.#dropped.size <= maxDropped) break
      this.#dropped.delete(name)
    }
    return records
  }

  /** The last versions of VIOLINs that this host holds no more. */
  get dropped(): readonly ViolinRecord[] {
    return [...this.#dropped.values()]
  }

  get<K extends RecordKind>(
    kind: K,
    author: PublicKey,
    key: string
  ): Extract<SignedRecord, { kind: K }> | null {
    const place = placeIn(kind, author, key)
    const record = find(this.tree(domainIn(kind, key)), place, placeOf)
    return record as Extract<SignedRecord, { kind: K }> | null
  }

  *all(): Generator<SignedRecord, void, void> {
    for (const tree of this.#trees.values()) yield* recordsOf(tree)
  }

  /** The records of a scope, in an order that follows from them alone. */
  entries(scope: Scope): readonly SignedRecord[] {
    const domains: readonly Domain[] = scope === 'mesh' ? ['revocations', 'hosts'] : [scope]
    return domains.flatMap((domain) => [...recordsOf(this.tree(domain))])
  }

  /** VIOLINs of which there is any record. */
  violins(): readonly ViolinId[] {
    return [...this.#trees.keys()].filter(
      (domain) => domain !== 'revocations' && domain !== 'hosts'
    ) as ViolinId[]
  }

  /** Whether there is any record of a VIOLIN. */
  holds(violin: ViolinId): boolean {
    return this.#trees.has(violin)
  }

  /** The records of a domain in order of {@link placeOf}: another tree after each change. */
  tree(domain: Domain): Tree | null {
    return this.#trees.get(domain) ?? null
  }

  /** Whether a kept revocation cuts this chain. The mesh root's (null) never. */
  isRevoked(chain: Chain | null): boolean {
    return this.revocationOf(chain) !== null
  }

  /** A kept revocation that cuts this chain; null: none does. */
  revocationOf(chain: Chain | null): RevocationRecord | null {
    if (chain === null || this.#cuts.size === 0) return null
    const own = chain.kind === 'owner' ? 2 : 1
    const from = chain.kind === 'token' ? 0 : chain.path.length - own
    // An invite falls with any host above it: who is out lets nobody in. An invite that was taken back lets nobody in
    // either, but who came in by it before stays, and so do his invites.
    const counts = (place: number): boolean =>
      place >= from && (chain.path[place]?.kind !== 'token' || place === chain.path.length - 1)
    const cutOf = (key: PublicKey, isOwn: boolean): RevocationRecord | undefined =>
      this.#cuts.get(key)?.find((cut) => (isOwn || cut.body.andBelow) && cuts(cut, chain))
    const isAbove = (key: PublicKey): boolean => chain.path.some(({ subject }) => subject === key)
    for (const [place, link] of chain.path.entries()) {
      const cut = cutOf(link.subject, counts(place))
      if (cut !== undefined) return cut
      // Who is out could sign itself in again under a new key, by an invite of another that is not used up.
      if (place < from || link.kind !== 'joined' || isAbove(link.witness)) continue
      const ofWitness = cutOf(link.witness, true)
      if (ofWitness !== undefined) return ofWitness
    }
    return null
  }

  /** The chain of a host key as its record shows it, or as the revocation does that cut it; null: unknown. */
  chainOf(host: PublicKey): Chain | null {
    const own = this.get('host', host, '')
    if (own !== null) return own.chain
    for (const record of recordsOf(under(this.tree('revocations'), host, placeOf)))
      if (record.kind === 'revocation' && record.target !== null) return record.target
    return null
  }

  /** The used slots of one invite with the host in each; where two claim one, the one that keeps it. */
  usedSlots(token: PublicKey): ReadonlyMap<number, PublicKey> {
    return this.#claims.usedSlots(token)
  }

  #cut(revocation: RevocationRecord): readonly SignedRecord[] {
    this.#cuts = withCut(this.#cuts, revocation)
    const cut = [...this.all()].filter(
      (record) => record.kind !== 'revocation' && this.isRevoked(record.chain)
    )
    for (const record of cut) this.#take(record)
    return cut
  }

  #recount(): void {
    const all = new Map<PublicKey, RevocationRecord[]>()
    for (const record of recordsOf(this.tree('revocations'))) {
      if (record.kind !== 'revocation') continue
      all.set(record.body.key, [...(all.get(record.body.key) ?? []), record])
    }
    this.#cuts = all
  }

  #put(record: SignedRecord): void {
    const domain = domainOf(record)
    this.#trees.set(domain, insert(this.tree(domain), record, placeOf, this.#share))
    this.#claims.put(record)
    this.#quota.count(record, 1)
    this.#revision++
  }

  #take(record: SignedRecord): void {
    const domain = domainOf(record)
    const tree = remove(this.tree(domain), placeOf(record), placeOf, this.#share)
    if (tree === null) this.#trees.delete(domain)
    else this.#trees.set(domain, tree)
    this.#claims.take(record)
    this.#quota.count(record, -1)
    this.#revision++
  }
}

/** Whether a revocation counts in a chain that shows its key: always where its author showed that it may. */
function cuts(revocation: RevocationRecord, chain: Chain): boolean {
  return revocation.target !== null || standsAbove(chain, revocation.author, revocation.body.key)
}

type Cuts = ReadonlyMap<PublicKey, readonly RevocationRecord[]>

function withCut(all: Cuts, revocation: RevocationRecord): Cuts {
  const { key } = revocation.body
  const others = (all.get(key) ?? []).filter(({ author }) => author !== revocation.author)
  return new Map(all).set(key, [...others, revocation])
}

/** What is reconciled together with this record. */
export function domainOf(record: SignedRecord): Domain {
  return domainIn(record.kind, record.key)
}

function domainIn(kind: RecordKind, key: string): Domain {
  if (kind === 'revocation') return 'revocations'
  return kind === 'host' ? 'hosts' : (key as ViolinId)
}

/** The place of a record within its domain: versions of one record have the same. Hex digits. */
export const placeOf: KeyOf = (record) => placeIn(record.kind, record.author, record.key)

function placeIn(kind: RecordKind, author: PublicKey, key: string): string {
  if (kind === 'host') return author
  return kind === 'revocation' ? key + author : author + (kind === 'violin' ? '0' : '1')
}

function nameOf(record: ViolinRecord): string {
  return `${record.key} ${record.author}`
}

/** Ended so long ago that no clock within tolerance still counts it. */
function hasEnded(record: SignedRecord, now: WallTime): boolean {
  return record.endsAt + clockToleranceMs <= now
}

/**
 * Which of two records under one key stands: the end of a VIOLIN above every version, a wider, proven and longer
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
      return [record.body.andBelow ? 1 : 0, record.target === null ? 0 : 1, record.endsAt, record.version]
    case 'host':
    case 'runs':
      return [record.version]
  }
}

/**
 * A record counts from its date on; a revocation at once, as long as what it shuts out lasts. One that a clock which
 * ran ahead has dated would otherwise shut nobody out until then, and nobody would know. Where what it shuts out is
 * not shown, its author's own membership is the measure.
 */
function takenFrom(record: SignedRecord): number {
  const { issuedAt } = record
  if (record.kind !== 'revocation') return issuedAt
  const lasting = record.target ?? record.chain
  return lasting !== null && issuedAt <= lasting.endsAt ? -Infinity : issuedAt
}

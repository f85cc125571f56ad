/**
 * Anti-entropy: two hosts find what one of them lacks and exchange it (range-based set reconciliation,
 * Meyer 2022, over the digits of the records' places). Request and answer are the same message, and neither
 * side keeps state in between; the asker goes on while an answer leaves something to say.
 *
 * A range is what lies below a prefix. Where fingerprints differ, a large range is answered by the
 * fingerprints of its 16 parts, a small one by a list of its records, short ids first; the other side sends
 * what is not listed and wants what it does not know. Revocations are reconciled before hosts, hosts before
 * VIOLINs. A page is bounded; what does not fit comes in the next round. Records leave the digests ten
 * minutes before they end, so that clocks need not agree.
 */
import { hex, unhex } from '../derive.ts'
import { ViolinError } from '../errors.ts'
import type { WallTime } from '../ids.ts'
import { readViolin, violinToWire } from './bodies.ts'
import {
  Malformed,
  concat,
  decodeCbor,
  encodeCbor,
  readBytes,
  readInteger,
  readList,
  readText
} from './cbor.ts'
import { type Scope, type SignedRecord, maxRecordBytes, maxTime } from './record.ts'
import { type Domain, type RecordSet, clockToleranceMs, domainOf, placeOf } from './set.ts'
import { type Tree, partsOf, recordsOf, summed, under } from './tree.ts'

/** Bytes of records in one message: some 40 ms of verifying. A single record always fits. */
const recordsPage: number = 128 * 1024
/** Statements about ranges in one message. */
const maxItems = 1024
/** A range of at most so many records is listed, a larger one is split into 16. */
const maxListed = 32
/** A list is compared with at most so many records of one's own; with more the range is split first. */
const maxCompared = 128
/** Longest prefix: a place is one digit and at most two keys. */
const maxPrefix = 129
/** Bytes of a fingerprint and of a short id; whoever makes two records with one short id is seen by the long. */
const shortBytes = 16
const longBytes = 32
/** Longest message, bytes; what a server of the protocol must take. */
export const maxSyncBytes: number =
  recordsPage + maxRecordBytes + maxItems * (maxListed * longBytes + maxPrefix + 48)
/** Rounds after which an asker gives up until the next time. */
export const maxSyncRounds = 256

type IdBytes = typeof shortBytes | typeof longBytes

/** What a message says of the records whose place begins with `prefix`. */
type Item = { readonly domain: Domain; readonly prefix: string } & (
  | { readonly kind: 'range'; readonly fingerprint: string }
  /** The 16 parts, by the next digit. */
  | { readonly kind: 'parts'; readonly fingerprints: readonly string[] }
  /** All that is there: beginnings of hashes, hex. */
  | { readonly kind: 'list'; readonly idBytes: IdBytes; readonly ids: readonly string[] }
  /** What the other side shall send. */
  | { readonly kind: 'want'; readonly idBytes: IdBytes; readonly ids: readonly string[] }
)

interface Message {
  /** What time it is where it was written: clocks are compared by it. */
  readonly now: WallTime
  readonly items: readonly Item[]
  readonly records: readonly Uint8Array[]
}

/** What one message changed here. */
export interface Synced {
  readonly accepted: readonly SignedRecord[]
  /** Records that the accepted ones took out: former versions, and what revocations cut. */
  readonly removed: readonly SignedRecord[]
  /** Records whose bytes were wrong: the other side is to blame. */
  readonly rejected: number
  /** The time at the other side when it wrote the message. */
  readonly theirs: WallTime
}

/** What the other side may read and write, and which of its records are taken. */
export interface Access {
  readonly allows: (scope: Scope) => boolean
  readonly wants: (record: SignedRecord) => boolean
  /**
   * Whether a record that it sends shows by itself that it is, or once was, a holder: newer than what is kept
   * here it is taken, older it is answered by what stands. So who was away when it was dropped hears of it.
   */
  readonly shows: (record: SignedRecord) => boolean
}

/** Access to these scopes and no other. */
export function onlyScopes(scopes: readonly Scope[]): Access {
  return { allows: (scope) => scopes.includes(scope), wants: () => true, shows: () => false }
}

/** The first request for these scopes. The caller gives only scopes that both sides keep. */
export function syncRequest(set: RecordSet, scopes: readonly Scope[], now: WallTime): Uint8Array {
  const digest = new Digest(set, now)
  const items = scopes.flatMap(domainsOf).map((domain) => digest.range(domain, '', set.tree(domain)))
  return encodeMessage({ now, items: items.slice(0, maxItems), records: [] })
}

/**
 * The side that is asked: takes what the request brought, answers the rest. `access` is the asker's. Throws
 * ViolinError `refused` for bytes that are no message.
 */
export function answerSync(
  set: RecordSet,
  bytes: Uint8Array,
  now: WallTime,
  access: Access
): Synced & { readonly answer: Uint8Array } {
  const { synced, reply } = react(set, bytes, now, access)
  return { ...synced, answer: encodeMessage(reply) }
}

/**
 * The side that asked: takes what the answer brought. `next` is the next request, null when nothing is left.
 * Throws ViolinError `refused` for bytes that are no message.
 */
export function applySync(
  set: RecordSet,
  bytes: Uint8Array,
  now: WallTime,
  access: Access
): Synced & { readonly next: Uint8Array | null } {
  const { synced, reply } = react(set, bytes, now, access)
  const over = reply.items.length + reply.records.length === 0
  return { ...synced, next: over ? null : encodeMessage(reply) }
}

function react(
  set: RecordSet,
  bytes: Uint8Array,
  now: WallTime,
  access: Access
): { synced: Synced; reply: Message } {
  const message = decodeMessage(bytes)
  const allowed = (domain: Domain): boolean =>
    access.allows(domain === 'revocations' || domain === 'hosts' ? 'mesh' : domain)
  const mayBring = (record: SignedRecord): boolean =>
    (allowed(domainOf(record)) || access.shows(record)) && access.wants(record)
  const { outdated, beaten, ...taken } = take(set, message.records, now, mayBring)
  const reply = new Reply(set, now)
  for (const record of beaten) reply.beaten(record)
  for (const item of message.items) {
    if (allowed(item.domain)) reply.to(item)
    // As of a VIOLIN that is unknown here: so nobody learns who holds what, and a former holder shows itself.
    else reply.toStranger(item)
  }
  for (const record of outdated) {
    const domain = domainOf(record)
    const isHeld = allowed(domain) && set.tree(domain) !== null
    if (!isHeld && access.shows(record)) reply.standing(domain, set.dropped)
  }
  return { synced: { ...taken, theirs: message.now }, reply }
}

function take(
  set: RecordSet,
  records: readonly Uint8Array[],
  now: WallTime,
  wanted: (record: SignedRecord) => boolean
): Omit<Synced, 'theirs'> & {
  readonly outdated: readonly SignedRecord[]
  readonly beaten: readonly SignedRecord[]
} {
  const accepted: SignedRecord[] = []
  const beaten: SignedRecord[] = []
  const outdated: SignedRecord[] = []
  const removed: SignedRecord[] = []
  let rejected = 0
  for (const bytes of records) {
    const merged = set.merge(bytes, now, wanted)
    if (merged.verdict === 'rejected') rejected++
    if (merged.reason === 'not-newer' && merged.record !== null) outdated.push(merged.record)
    if (merged.verdict !== 'accepted') continue
    accepted.push(merged.record)
    removed.push(...merged.removed)
    const { kind, version } = merged.record
    if (kind === 'violin') beaten.push(...merged.removed.filter((former) => former.version === version))
  }
  return { accepted, removed, rejected, outdated, beaten }
}

/** What a set says of its ranges at a moment. */
class Digest {
  readonly #set: RecordSet
  /** What ends by then is not told any more. */
  readonly #until: number

  constructor(set: RecordSet, now: WallTime) {
    this.#set = set
    this.#until = now + clockToleranceMs
  }

  tree(domain: Domain, prefix: string): Tree | null {
    return under(this.#set.tree(domain), prefix, placeOf)
  }

  range(domain: Domain, prefix: string, tree: Tree | null): Item {
    return { kind: 'range', domain, prefix, fingerprint: this.fingerprint(tree) }
  }

  /** Hex: of the sum of the hashes and their count; zeros for nothing. */
  fingerprint(tree: Tree | null): string {
    const { count, sum } = summed(tree, this.#until)
    if (count === 0) return nothing
    const text = sum.toString(16).padStart(64, '0') + count.toString(16).padStart(16, '0')
    return hex(this.#set.crypto.sha256(unhex(text) as Uint8Array).subarray(0, shortBytes))
  }

  /** Records that are told of, in order. */
  *told(tree: Tree | null): Generator<SignedRecord, void, void> {
    for (const record of recordsOf(tree)) if (record.endsAt > this.#until) yield record
  }
}

const nothing = '0'.repeat(2 * shortBytes)

/** Grows as the items of one message are answered, within a page. */
class Reply implements Message {
  readonly items: Item[] = []
  readonly records: Uint8Array[] = []
  readonly now: WallTime
  readonly #digest: Digest
  readonly #sent = new Set<string>()
  #bytes = 0

  constructor(set: RecordSet, now: WallTime) {
    this.now = now
    this.#digest = new Digest(set, now)
  }

  to(item: Item): void {
    const { domain, prefix } = item
    const tree = this.#digest.tree(domain, prefix)
    switch (item.kind) {
      case 'range':
        return this.#compare(domain, prefix, tree, item.fingerprint)
      case 'parts': {
        const parts = tree === null ? [] : partsOf(tree, prefix, placeOf)
        for (const [digit, theirs] of item.fingerprints.entries()) {
          this.#compare(domain, prefix + digit.toString(16), parts[digit] ?? null, theirs)
        }
        return
      }
      case 'list':
        return this.#toList(item, tree)
      case 'want':
        return this.#toWant(item, tree)
    }
  }

  /** Nothing is here, for all that a stranger may know. */
  toStranger(item: Item): void {
    if (item.kind === 'parts' || (item.kind === 'range' && item.fingerprint !== nothing))
      this.#list(item.domain, '', null, shortBytes)
  }

  /** The versions of a VIOLIN that stand, or stood when it was dropped here, and nothing else of it. */
  standing(domain: Domain, dropped: readonly SignedRecord[]): void {
    for (const record of [...recordsOf(this.#digest.tree(domain, '')), ...dropped])
      if (record.kind === 'violin' && record.key === domain) this.#add(record)
  }

  /** Another body for the version that it sent, which that beat here: both sides shall know of both. */
  beaten(record: SignedRecord): void {
    this.#add(record)
  }

  #compare(domain: Domain, prefix: string, tree: Tree | null, theirs: string): void {
    if (this.#digest.fingerprint(tree) === theirs) return
    if (theirs === nothing) this.#push(domain, prefix, tree, () => true)
    else this.#tell(domain, prefix, tree)
  }

  /** Says more exactly what is here. */
  #tell(domain: Domain, prefix: string, tree: Tree | null): void {
    if (tree !== null && tree.count > maxListed && prefix.length < maxPrefix) {
      const parts = partsOf(tree, prefix, placeOf)
      const fingerprints = parts.map((part) => this.#digest.fingerprint(part))
      this.#say({ kind: 'parts', domain, prefix, fingerprints })
    } else this.#list(domain, prefix, tree, shortBytes)
  }

  #list(domain: Domain, prefix: string, tree: Tree | null, idBytes: IdBytes): void {
    const ids = Array.from(this.#digest.told(tree), ({ hash }) => hash.slice(0, 2 * idBytes))
    this.#say({ kind: 'list', domain, prefix, idBytes, ids })
  }

  #toList(item: Extract<Item, { kind: 'list' }>, tree: Tree | null): void {
    const { domain, prefix, idBytes } = item
    if (item.ids.length === 0) return this.#push(domain, prefix, tree, () => true)
    if ((tree?.count ?? 0) > maxCompared) return this.#tell(domain, prefix, tree)
    const theirs = new Set(item.ids)
    const known = new Set(Array.from(recordsOf(tree), ({ hash }) => hash.slice(0, 2 * idBytes)))
    const ids = item.ids.filter((id) => !known.has(id))
    if (ids.length > 0) this.#say({ kind: 'want', domain, prefix, idBytes, ids })
    const isLacking = ({ hash }: SignedRecord): boolean => !theirs.has(hash.slice(0, 2 * idBytes))
    const lacking = Array.from(this.#digest.told(tree)).filter(isLacking)
    // The same short ids and yet not the same records: somebody made two with one id.
    if (
      ids.length + lacking.length === 0 &&
      idBytes === shortBytes &&
      theirs.size === countOf(this.#digest.told(tree))
    )
      return this.#list(domain, prefix, tree, longBytes)
    this.#push(domain, prefix, tree, isLacking)
  }

  #toWant({ domain, prefix, idBytes, ids }: Extract<Item, { kind: 'want' }>, tree: Tree | null): void {
    const wanted = new Set(ids)
    if ((tree?.count ?? 0) > maxCompared) return this.#tell(domain, prefix, tree)
    this.#push(domain, prefix, tree, ({ hash }) => wanted.has(hash.slice(0, 2 * idBytes)))
  }

  /** Sends records of a range, and goes on with it in the next round when not all fit. */
  #push(domain: Domain, prefix: string, tree: Tree | null, chosen: (record: SignedRecord) => boolean): void {
    for (const record of this.#digest.told(tree)) {
      if (!chosen(record) || this.#add(record)) continue
      return this.#say(this.#digest.range(domain, prefix, tree))
    }
  }

  #add(record: SignedRecord): boolean {
    if (this.#sent.has(record.hash)) return true
    if (this.#bytes > 0 && this.#bytes + record.bytes.length > recordsPage) return false
    this.#sent.add(record.hash)
    this.records.push(record.bytes)
    this.#bytes += record.bytes.length
    return true
  }

  #say(item: Item): void {
    if (this.items.length < maxItems) this.items.push(item)
  }
}

function countOf(records: Iterable<SignedRecord>): number {
  let count = 0
  for (const _ of records) count++
  return count
}

function domainsOf(scope: Scope): readonly Domain[] {
  return scope === 'mesh' ? ['revocations', 'hosts'] : [scope]
}

const format = 2
/** In wire order: the place is the number. */
const itemKinds = ['range', 'parts', 'list', 'want'] as const

function encodeMessage({ now, items, records }: Message): Uint8Array {
  return encodeCbor([format, Math.floor(now), items.map(itemToWire), records])
}

function decodeMessage(bytes: Uint8Array): Message {
  try {
    const wire = readList(decodeCbor(bytes, maxSyncBytes), 'message', 4, 4)
    readInteger(wire[0], 'format', format, format)
    return {
      now: readInteger(wire[1], 'now', 0, maxTime) as WallTime,
      items: readList(wire[2], 'items', 0, maxItems).map(itemFromWire),
      records: readList(wire[3], 'records', 0, recordsPage).map((one) =>
        readBytes(one, 'record', 1, maxRecordBytes)
      )
    }
  } catch (error: unknown) {
    if (!(error instanceof Malformed)) throw error
    throw new ViolinError(
      'refused',
      `a host's records cannot be compared: ${error.message}`,
      'upgrade that host'
    )
  }
}

/** [kind, domain, prefix, bytes], and for ids how long each is. */
function itemToWire(item: Item): unknown {
  const head = [itemKinds.indexOf(item.kind), domainToWire(item.domain), item.prefix]
  switch (item.kind) {
    case 'range':
      return [...head, joined([item.fingerprint])]
    case 'parts':
      return [...head, joined(item.fingerprints)]
    case 'list':
    case 'want':
      return [...head, joined(item.ids), item.idBytes]
  }
}

function itemFromWire(value: unknown): Item {
  const wire = readList(value, 'item', 4, 5)
  const kind = itemKinds[readInteger(wire[0], 'kind', 0, itemKinds.length - 1)] as Item['kind']
  const domain = domainFromWire(wire[1])
  const prefix = readText(wire[2], 'prefix', maxPrefix)
  if (!/^[0-9a-f]*$/.test(prefix)) throw new Malformed('prefix is not hex')
  switch (kind) {
    case 'range':
      return { kind, domain, prefix, fingerprint: readParts(wire[3], shortBytes, 1, 1)[0] as string }
    case 'parts':
      return { kind, domain, prefix, fingerprints: readParts(wire[3], shortBytes, 16, 16) }
    case 'list':
    case 'want': {
      const idBytes = wire[4] === longBytes ? longBytes : shortBytes
      return { kind, domain, prefix, idBytes, ids: readParts(wire[3], idBytes, 0, maxListed) }
    }
  }
}

function joined(parts: readonly string[]): Uint8Array {
  return concat(...parts.map((part) => unhex(part) as Uint8Array))
}

function readParts(value: unknown, each: number, min: number, max: number): readonly string[] {
  const bytes = readBytes(value, 'parts', min * each, max * each)
  if (bytes.length % each !== 0) throw new Malformed('parts are cut off')
  return Array.from({ length: bytes.length / each }, (_, i) => hex(bytes.subarray(i * each, (i + 1) * each)))
}

function domainToWire(domain: Domain): unknown {
  if (domain === 'revocations') return 0
  return domain === 'hosts' ? 1 : violinToWire(domain)
}

function domainFromWire(value: unknown): Domain {
  if (typeof value !== 'number') return readViolin(value)
  return readInteger(value, 'domain', 0, 1) === 0 ? 'revocations' : 'hosts'
}

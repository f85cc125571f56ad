/**
 * Anti-entropy: two hosts find what one of them lacks and exchange it (range-based set reconciliation,
 * Meyer 2022, over the nibbles of hashes). Request and answer are the same message, and neither side keeps
 * state in between; the asker goes on while an answer leaves something to say.
 *
 * Revocations are reconciled before hosts, hosts before VIOLINs. A page is bounded; what does not fit comes
 * in the next round. Records leave the digests ten minutes before they end, so that clocks need not agree.
 */
import { hex, unhex } from '../derive.ts'
import { ViolinError } from '../errors.ts'
import type { WallTime } from '../ids.ts'
import { readViolin, violinToWire } from './bodies.ts'
import { Malformed, decodeCbor, encodeCbor, readBytes, readInteger, readList, readText } from './cbor.ts'
import { type Scope, type SignedRecord, maxRecordBytes } from './record.ts'
import { type Domain, type RecordSet, clockToleranceMs, domainOf, lowerBound } from './set.ts'

/** Bytes of records in one message: some 40 ms of verifying. A single record always fits. */
const recordsPage: number = 128 * 1024
/** Statements about ranges in one message. */
const maxItems = 1024
/** A range of at most so many records is listed, a larger one is split into 16. */
const leafIds = 32
/** Ids asked for in one message. */
const maxWanted = 2048
/** Longest message, bytes; what a server of the protocol must take. */
export const maxSyncBytes: number =
  recordsPage + maxRecordBytes + maxItems * (leafIds * 34 + 80) + maxWanted * 34
/** Rounds after which an asker gives up until the next time. */
export const maxSyncRounds = 256

/** How many records have a hash that begins with `prefix` (hex digits), and what these sum up to. */
interface Summary {
  readonly domain: Domain
  readonly prefix: string
  readonly count: number
  readonly fingerprint: bigint
}

/** What a message says of the records whose hash begins with `prefix`. */
type Item = Summary | { readonly domain: Domain; readonly prefix: string; readonly ids: readonly string[] }

interface Message {
  readonly items: readonly Item[]
  /** Hashes of records that the other side shall send. */
  readonly wanted: readonly string[]
  readonly records: readonly Uint8Array[]
}

/** What one message changed here. */
export interface Synced {
  readonly accepted: readonly SignedRecord[]
  /** Records that the accepted ones took out: former versions, and what revocations cut. */
  readonly removed: readonly SignedRecord[]
  /** Records whose bytes were wrong: the other side is to blame. */
  readonly rejected: number
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
  const items = scopes.flatMap(domainsOf).map((domain) => summary(set, domain, '', now))
  return encodeMessage({ items: items.slice(0, maxItems), wanted: [], records: [] })
}

/**
 * The side that is asked: takes what the request brought, answers the rest. `access` is the asker's. Throws ViolinError `refused` for bytes that are no message.
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
  const over = reply.items.length + reply.wanted.length + reply.records.length === 0
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
  const { outdated, ...synced } = take(set, message.records, now, mayBring)
  const reply = new Reply(set, now)
  for (const item of message.items) {
    if (allowed(item.domain)) reply.to(item)
    // As of a VIOLIN that is unknown here: so nobody learns who holds what, and a former holder shows itself.
    else reply.toStranger(item)
  }
  for (const record of outdated)
    if (!allowed(domainOf(record)) && access.shows(record)) reply.standing(domainOf(record))
  reply.send(message.wanted, allowed)
  return { synced, reply }
}

function take(
  set: RecordSet,
  records: readonly Uint8Array[],
  now: WallTime,
  wanted: (record: SignedRecord) => boolean
): Synced & { readonly outdated: readonly SignedRecord[] } {
  const accepted: SignedRecord[] = []
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
  }
  return { accepted, removed, rejected, outdated }
}

/** Grows as the items of one message are answered, within a page. */
class Reply implements Message {
  readonly items: Item[] = []
  readonly wanted: string[] = []
  readonly records: Uint8Array[] = []
  readonly #set: RecordSet
  readonly #now: WallTime
  readonly #sent = new Set<string>()
  #bytes = 0

  constructor(set: RecordSet, now: WallTime) {
    this.#set = set
    this.#now = now
  }

  to(item: Item): void {
    if ('ids' in item) this.#toList(item.domain, item.prefix, item.ids)
    else this.#toFingerprint(item.domain, item.prefix, item.count, item.fingerprint)
  }

  /** Nothing is here, for all that a stranger may know. */
  toStranger(item: Item): void {
    if (!('ids' in item) && item.count > 0) this.#say(listOf(item.domain, '', []))
  }

  /** The versions of a VIOLIN that stand, and nothing else of it. */
  standing(domain: Domain): void {
    for (const record of this.#set.sorted(domain)) if (record.kind === 'violin') this.#add(record)
  }

  #toFingerprint(domain: Domain, prefix: string, count: number, fingerprint: bigint): void {
    const mine = summary(this.#set, domain, prefix, this.#now)
    if (mine.count === count && mine.fingerprint === fingerprint) return
    const own = inRange(this.#set, domain, prefix, this.#now)
    if (count === 0) this.#push(domain, prefix, own)
    else if (own.length <= leafIds || prefix.length === 64) this.#say(listOf(domain, prefix, own))
    else
      for (const digit of '0123456789abcdef') this.#say(summary(this.#set, domain, prefix + digit, this.#now))
  }

  #toList(domain: Domain, prefix: string, ids: readonly string[]): void {
    const theirs = new Set(ids)
    const own = inRange(this.#set, domain, prefix, this.#now)
    const known = this.#set.sorted(domain)
    for (const id of ids) if (!holds(known, id) && this.wanted.length < maxWanted) this.wanted.push(id)
    const lacking = own.filter((record) => !theirs.has(record.hash))
    this.#push(domain, prefix, lacking)
  }

  /** Sends records, and goes on with this range in the next round when not all fit. */
  #push(domain: Domain, prefix: string, records: readonly SignedRecord[]): void {
    for (const record of records) {
      if (this.#add(record)) continue
      this.#say(summary(this.#set, domain, prefix, this.#now))
      return
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

  /** What the other side asked for by hash. What does not fit it will find lacking again. */
  send(wanted: readonly string[], allowed: (domain: Domain) => boolean): void {
    if (wanted.length === 0) return
    const asked = new Set(wanted)
    for (const domain of ['revocations', 'hosts', ...this.#set.violins()] as const) {
      if (!allowed(domain)) continue
      for (const record of this.#set.sorted(domain)) {
        if (!asked.has(record.hash)) continue
        if (this.#add(record)) continue
        this.#say(summary(this.#set, domain, '', this.#now))
        break
      }
    }
  }
}

function domainsOf(scope: Scope): readonly Domain[] {
  return scope === 'mesh' ? ['revocations', 'hosts'] : [scope]
}

/** The records of a domain with hashes under a prefix, in order, that do not end soon. */
function inRange(set: RecordSet, domain: Domain, prefix: string, now: WallTime): readonly SignedRecord[] {
  const sorted = set.sorted(domain)
  const from = lowerBound(sorted, prefix)
  // 'g' is above every hex digit.
  const to = prefix === '' ? sorted.length : lowerBound(sorted, `${prefix}g`)
  return sorted.slice(from, to).filter((record) => record.endsAt - clockToleranceMs > now)
}

function holds(sorted: readonly SignedRecord[], hash: string): boolean {
  return sorted[lowerBound(sorted, hash)]?.hash === hash
}

const modulus = 1n << 256n

/** Sum of hashes mod 2²⁵⁶: does not depend on order, and nobody makes two sets meet by choosing records. */
function sum(records: readonly SignedRecord[]): bigint {
  let total = 0n
  for (const record of records) total += valueOf(record)
  return total % modulus
}

/** Hashes as numbers: reading one costs more than adding it. */
const values = new WeakMap<SignedRecord, bigint>()

function valueOf(record: SignedRecord): bigint {
  const known = values.get(record)
  if (known !== undefined) return known
  const value = BigInt(`0x${record.hash}`)
  values.set(record, value)
  return value
}

/** What was summed up of a domain's records, by prefix, and until when nothing leaves by its end. */
interface Summed {
  readonly fromMs: number
  readonly untilMs: number
  readonly items: Map<string, { readonly count: number; readonly fingerprint: bigint }>
}

/**
 * By the sorted records, which are other ones after each change: while nothing changes, an exchange costs the
 * same however many records there are.
 */
const summed = new WeakMap<readonly SignedRecord[], Summed>()
/** Prefixes whose sums are kept: those of the first two levels. */
const keptPrefix = 1

function summary(set: RecordSet, domain: Domain, prefix: string, now: WallTime): Summary {
  const known = prefix.length > keptPrefix ? undefined : summedAt(set.sorted(domain), now).items
  let item = known?.get(prefix)
  if (item === undefined) {
    const own = inRange(set, domain, prefix, now)
    item = { count: own.length, fingerprint: sum(own) }
    known?.set(prefix, item)
  }
  return { domain, prefix, ...item }
}

function summedAt(sorted: readonly SignedRecord[], now: WallTime): Summed {
  const known = summed.get(sorted)
  if (known !== undefined && known.fromMs <= now && now < known.untilMs) return known
  let untilMs = Infinity
  for (const { endsAt } of sorted) {
    const leavesMs = endsAt - clockToleranceMs
    if (leavesMs > now && leavesMs < untilMs) untilMs = leavesMs
  }
  const made = { fromMs: now, untilMs, items: new Map() }
  summed.set(sorted, made)
  return made
}

function listOf(domain: Domain, prefix: string, own: readonly SignedRecord[]): Item {
  return { domain, prefix, ids: own.map((record) => record.hash) }
}

const format = 1

function encodeMessage(message: Message): Uint8Array {
  return encodeCbor([
    format,
    message.items.map((item) => [
      domainToWire(item.domain),
      item.prefix,
      ...('ids' in item ? [item.ids.map(hashBytes)] : [item.count, hashBytes(digits(item.fingerprint))])
    ]),
    message.wanted.map(hashBytes),
    message.records
  ])
}

function decodeMessage(bytes: Uint8Array): Message {
  try {
    const wire = readList(decodeCbor(bytes, maxSyncBytes), 'message', 4, 4)
    readInteger(wire[0], 'format', format, format)
    return {
      items: readList(wire[1], 'items', 0, maxItems).map(itemFromWire),
      wanted: readList(wire[2], 'wanted', 0, maxWanted).map(readHash),
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

function itemFromWire(value: unknown): Item {
  const wire = readList(value, 'item', 3, 4)
  const domain = domainFromWire(wire[0])
  const prefix = readText(wire[1], 'prefix', 64)
  if (!/^[0-9a-f]*$/.test(prefix)) throw new Malformed('prefix is not hex')
  if (wire.length === 3) return { domain, prefix, ids: readList(wire[2], 'ids', 0, leafIds).map(readHash) }
  const count = readInteger(wire[2], 'count', 0, 0x7fff_ffff)
  return { domain, prefix, count, fingerprint: BigInt(`0x${readHash(wire[3])}`) }
}

function domainToWire(domain: Domain): unknown {
  if (domain === 'revocations') return 0
  return domain === 'hosts' ? 1 : violinToWire(domain)
}

function domainFromWire(value: unknown): Domain {
  if (typeof value !== 'number') return readViolin(value)
  return readInteger(value, 'domain', 0, 1) === 0 ? 'revocations' : 'hosts'
}

function digits(fingerprint: bigint): string {
  return fingerprint.toString(16).padStart(64, '0')
}

function hashBytes(hash: string): Uint8Array {
  return unhex(hash) as Uint8Array
}

function readHash(value: unknown): string {
  return hex(readBytes(value, 'hash', 32, 32))
}

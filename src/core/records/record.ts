/**
 * A signed record: the one thing that is stored and spread. Its bytes say all that decides whether it is
 * taken: shape, bounds, signature, and the author's chain up to the mesh root, which travels inside.
 *
 *     [format, kind, author, key, version, issuedAt, expiresAt, chain, body, signature]
 */
import { type Chain, isAncestor, isRefusal, verifyChain } from '../admission/chain.ts'
import { keyBytes } from '../admission/host-id.ts'
import { type Link, linksFromWire, linksToWire, ownerProofBytes, readKey } from '../admission/link.ts'
import { ascii, hex } from '../derive.ts'
import { ViolinError } from '../errors.ts'
import {
  type Crypto,
  type PublicKey,
  type Signer,
  type ViolinId,
  type WallTime,
  unreachable
} from '../ids.ts'
import { type Bodies, type RecordKind, bodyFromWire, bodyToWire, recordKinds, violinIdOf } from './bodies.ts'
import {
  Malformed,
  concat,
  decodeCbor,
  encodeCbor,
  readBytes,
  readInteger,
  readList,
  sameBytes
} from './cbor.ts'

/** Longest record, bytes. */
export const maxRecordBytes: number = 64 * 1024
/** Highest version: a u32 with room to publish above a forged one. */
export const maxVersion: number = 2 ** 31

const dayMs = 24 * 3600 * 1000
/**
 * Longest life from issue to end, ms. A revocation counts from the later of its issue and the end of the
 * chain that it cuts: a membership renewed on the same day (366 d), then 90 days.
 */
export const maxLifeMs: { readonly [K in RecordKind]: number } = {
  host: 30 * dayMs,
  revocation: (366 + 90) * dayMs,
  violin: 400 * dayMs,
  runs: dayMs
}

/** What is common to the four kinds. */
interface Signed<K extends RecordKind> {
  readonly kind: K
  /** The key that signed it: a host's, an owner's, or (revocations) the mesh root's. */
  readonly author: PublicKey
  /** What it is about, unique with kind and author: '' (host), a VIOLIN's id, or the revoked key. */
  readonly key: string
  readonly version: number
  readonly issuedAt: WallTime
  readonly expiresAt: WallTime
  readonly body: Bodies[K]
  /** The author's; null when the author is the mesh root. */
  readonly chain: Chain | null
  /** Exactly what travels and is stored. */
  readonly bytes: Uint8Array
  /** SHA-256 of the bytes, 64 hex digits. */
  readonly hash: string
  /** When it stops to count: its own end, or its author's membership's where that is earlier and matters. */
  readonly endsAt: WallTime
}

export type HostRecord = Signed<'host'>
export type RevocationRecord = Signed<'revocation'> & {
  /** The verified chain that ends with the revoked key; null: the author knew none. */
  readonly target: Chain | null
}
export type ViolinRecord = Signed<'violin'>
export type RunsRecord = Signed<'runs'>
export type SignedRecord = HostRecord | RevocationRecord | ViolinRecord | RunsRecord

/** Where a record lives: mesh-wide, or with the holders of one VIOLIN. */
export type Scope = 'mesh' | ViolinId

/** The bytes are wrong, whoever looks at them and whenever. */
export interface Rejected {
  readonly rejected: string
}

/** A record before it is signed; author and chain come from who signs. */
export type Draft = {
  [K in RecordKind]: {
    readonly kind: K
    readonly version: number
    readonly issuedAt: WallTime
    readonly expiresAt: WallTime
    readonly body: Bodies[K]
    /** The author's chain; null for the mesh root. */
    readonly chain: Chain | null
  }
}[RecordKind]

const format = 1

export function isRejected(result: object): result is Rejected {
  return 'rejected' in result
}

/** Where a record lives. */
export function scopeOf(record: SignedRecord): Scope {
  return record.kind === 'host' || record.kind === 'revocation' ? 'mesh' : (record.key as ViolinId)
}

/**
 * Signs a record. Throws ViolinError `too-large` above {@link maxRecordBytes}, and `refused` for what no host
 * would take: so a defect shows where it is made.
 */
export function sealRecord(draft: Draft, root: PublicKey, signer: Signer, crypto: Crypto): SignedRecord {
  const fields = [
    format,
    recordKinds.indexOf(draft.kind),
    keyBytes(signer.publicKey),
    ascii(keyOfBody(draft.kind, draft.body, crypto)),
    draft.version,
    draft.issuedAt,
    draft.expiresAt,
    draft.chain === null ? [] : linksToWire(draft.chain.links),
    bodyToWire(draft.kind, draft.body)
  ]
  const signature = signer.sign(signedBytes(root, draft.kind, fields))
  const bytes = encodeCbor([...fields, signature])
  if (bytes.length > maxRecordBytes) {
    throw new ViolinError(
      'too-large',
      `a ${draft.kind} record of ${bytes.length} bytes is above ${maxRecordBytes}`,
      'make the topology or its files smaller; large files belong into an image'
    )
  }
  const record = openRecord(bytes, root, crypto)
  if (isRejected(record)) {
    throw new ViolinError(
      'refused',
      `no such ${draft.kind} record: ${record.rejected}`,
      'check what was asked for'
    )
  }
  return record
}

/**
 * Checks the bytes of a record and opens it. Knows no clock: the answer is the same on every host at any time.
 * Never throws for hostile bytes. `linkCrypto` may remember verified links, which many records share.
 */
export function openRecord(
  bytes: Uint8Array,
  root: PublicKey,
  crypto: Crypto,
  linkCrypto: Crypto = crypto
): SignedRecord | Rejected {
  try {
    return open(bytes, root, crypto, linkCrypto)
  } catch (error: unknown) {
    if (error instanceof Malformed) return { rejected: error.message }
    throw error
  }
}

function open(bytes: Uint8Array, root: PublicKey, crypto: Crypto, linkCrypto: Crypto): SignedRecord {
  const wire = readList(decodeCbor(bytes, maxRecordBytes), 'record', 10, 10)
  readInteger(wire[0], 'format', format, format)
  const kind = recordKinds[readInteger(wire[1], 'kind', 0, recordKinds.length - 1)] as RecordKind
  const author = readKey(wire[2], 'author')
  const body = bodyFromWire(kind, wire[8])
  // One body has one wire form; otherwise one content could travel under several hashes.
  if (!sameBytes(encodeCbor(bodyToWire(kind, body)), encodeCbor(wire[8]))) {
    throw new Malformed('the body is not in canonical form')
  }
  const key = keyOfBody(kind, body, crypto)
  if (!sameBytes(readBytes(wire[3], 'key', 0, 64), ascii(key)))
    throw new Malformed('the key is not of this body')
  const issuedAt = readInteger(wire[5], 'issuedAt', 0, maxTime) as WallTime
  const expiresAt = readInteger(wire[6], 'expiresAt', issuedAt + 1, maxTime) as WallTime
  const signature = readBytes(wire[9], 'signature', 64, 64)
  // Before the chain: a forgery costs one verification.
  if (!crypto.verify(author, signedBytes(root, kind, wire.slice(0, 9)), signature)) {
    throw new Malformed('the signature does not verify')
  }
  const chain = openChain(wire[7], author, root, linkCrypto)
  const record = {
    kind,
    author,
    key,
    version: readInteger(wire[4], 'version', 1, maxVersion),
    issuedAt,
    expiresAt,
    body,
    chain,
    bytes: new Uint8Array(bytes),
    hash: hex(crypto.sha256(bytes)),
    endsAt: endOf(kind, body, expiresAt, chain)
  } as SignedRecord
  return authorised(record, root, linkCrypto)
}

/** Far enough for every clock, small enough for exact numbers: the year 10000. */
export const maxTime = 253_402_300_800_000

function openChain(wire: unknown, author: PublicKey, root: PublicKey, crypto: Crypto): Chain | null {
  const empty = readList(wire, 'chain', 0, 64).length === 0
  if (author === root) {
    if (!empty) throw new Malformed('the mesh root has no chain')
    return null
  }
  const chain = verified(linksFromWire(wire), root, crypto)
  if (chain.subject !== author) throw new Malformed("the chain is not the author's")
  return chain
}

function verified(links: readonly Link[], root: PublicKey, crypto: Crypto): Chain {
  const chain = verifyChain(links, root, crypto)
  if (isRefusal(chain)) throw new Malformed(chain.refused)
  return chain
}

/** Whether this author may say this, and for so long. */
function authorised(record: SignedRecord, root: PublicKey, crypto: Crypto): SignedRecord {
  const { chain } = record
  if (chain === null && record.kind !== 'revocation') throw new Malformed('the mesh root only revokes')
  if (record.kind !== 'revocation') checkLife(record, record.issuedAt)
  switch (record.kind) {
    case 'host':
      if (chain?.kind !== 'host' || chain.host !== record.body.host) {
        throw new Malformed('a host speaks for itself only')
      }
      checkOwner(record, root, crypto)
      return record
    case 'runs':
      if (chain?.kind !== 'host') throw new Malformed('what runs is said by a host')
      return record
    case 'violin':
      if (chain?.kind !== 'owner' || !record.body.founding.owners.includes(record.author)) {
        throw new Malformed('not one of the owners')
      }
      return record
    case 'revocation': {
      if (record.body.target.length === 0) return conditional(record)
      const target = verified(record.body.target, root, crypto)
      if (target.subject !== record.body.key) throw new Malformed("the chain shown is not the revoked key's")
      if (!isAncestor(target, record.author)) throw new Malformed('only who stands above a key revokes it')
      checkLife(record, Math.max(record.issuedAt, target.endsAt))
      return { ...record, target }
    }
  }
}

/** A plain member stands above nobody; an admin above whom the cut chains show. */
function conditional(record: SignedRecord & Signed<'revocation'>): RevocationRecord {
  const { chain } = record
  if (chain !== null && (chain.kind !== 'host' || chain.role !== 'admin'))
    throw new Malformed('only an admin revokes a key without its chain')
  checkLife(record, record.issuedAt)
  return { ...record, target: null }
}

/** That an owner key lies on a host is the key's to say. */
function checkOwner({ author, body: { owner } }: HostRecord, root: PublicKey, crypto: Crypto): void {
  if (owner !== null && !crypto.verify(owner.key, ownerProofBytes(root, author), owner.proof))
    throw new Malformed('the owner key does not say that it is here')
}

function checkLife(record: SignedRecord, from: number): void {
  if (record.expiresAt > from + maxLifeMs[record.kind])
    throw new Malformed(`a ${record.kind} record lives too long`)
}

/** A membership's end takes its records along, but neither a revocation nor the end of a VIOLIN. */
function endOf<K extends RecordKind>(
  kind: K,
  body: Bodies[K],
  expiresAt: WallTime,
  chain: Chain | null
): WallTime {
  const lasting = kind === 'revocation' || (kind === 'violin' && (body as Bodies['violin']).ended !== null)
  return lasting || chain === null ? expiresAt : (Math.min(expiresAt, chain.endsAt) as WallTime)
}

function keyOfBody<K extends RecordKind>(kind: K, body: Bodies[K], crypto: Crypto): string {
  switch (kind) {
    case 'host':
      return ''
    case 'revocation':
      return (body as Bodies['revocation']).key
    case 'violin':
      return violinIdOf((body as Bodies['violin']).founding, crypto)
    case 'runs':
      return (body as Bodies['runs']).violin
    default:
      return unreachable(kind)
  }
}

function signedBytes(root: PublicKey, kind: RecordKind, fields: readonly unknown[]): Uint8Array {
  return concat(ascii(`violin record ${kind} 1\0`), keyBytes(root), encodeCbor(fields))
}

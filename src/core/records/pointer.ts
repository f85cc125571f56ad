/**
 * Where a VIOLIN is: what its owner puts into the DHT, so that any member finds it by id or by name@owner.
 * It names some of the hosts that run it and nothing of its topology; who stores it sees no more. Its bytes
 * alone show that an owner key of that VIOLIN signed it.
 */
import { type Chain, isRefusal, verifyChain } from '../admission/chain.ts'
import { keyBytes } from '../admission/host-id.ts'
import { linksFromWire, linksToWire, readKey } from '../admission/link.ts'
import { ascii } from '../derive.ts'
import type { Crypto, HostId, PublicKey, Signer, ViolinId, WallTime } from '../ids.ts'
import { type Founding, foundingFromWire, foundingToWire, violinIdOf } from './bodies.ts'
import { Malformed, concat, decodeCbor, encodeCbor, readBytes, readInteger, readList } from './cbor.ts'
import { clockToleranceMs } from './set.ts'
import { hostsFromWire, hostsToWire, readName } from './spec-body.ts'

/** Longest pointer, bytes: what the DHT stores under a key. */
export const maxPointerBytes = 4096
/** Hosts that a pointer names: who looks asks one after another. */
export const maxPointerHosts = 8
/** Life of a pointer, ms; its owner's daemon puts it anew every hour. */
export const pointerLifeMs: number = 36 * 3600 * 1000
const format = 1
const maxVersion = 2 ** 31
const maxTime = 253_402_300_800_000

/** What an owner says of where its VIOLIN is. */
export interface PointerBody {
  readonly founding: Founding
  readonly name: string
  /** Some of its hosts; null: it ended. */
  readonly hosts: readonly HostId[] | null
  /** Of the VIOLIN's record. */
  readonly version: number
  readonly issuedAt: WallTime
  readonly expiresAt: WallTime
}

/** A pointer whose every signature was verified. */
export interface Pointer extends PointerBody {
  readonly violin: ViolinId
  readonly author: PublicKey
  readonly chain: Chain
}

/** The key of a VIOLIN by its id. */
export function idPointerKey(violin: ViolinId): string {
  return `id/${violin}`
}

/** The key of a VIOLIN by its name and the host on which its owner's key hangs. */
export function namePointerKey(name: string, ownerHost: HostId): string {
  return `name/${ownerHost}/${name}`
}

/** Signs a pointer; null where it is longer than the DHT stores: the owner's chain is too long for it. */
export function sealPointer(body: PointerBody, owner: Chain, signer: Signer): Uint8Array | null {
  const fields = [
    format,
    keyBytes(signer.publicKey),
    body.version,
    body.issuedAt,
    body.expiresAt,
    foundingToWire(body.founding),
    body.name,
    body.hosts === null ? null : hostsToWire(body.hosts.slice(0, maxPointerHosts)),
    linksToWire(owner.links)
  ]
  const bytes = encodeCbor([...fields, signer.sign(signedBytes(owner.root, fields))])
  return bytes.length > maxPointerBytes ? null : bytes
}

/** Checks the bytes of a pointer; null for any that are none. Knows no clock. */
export function openPointer(bytes: Uint8Array, root: PublicKey, crypto: Crypto): Pointer | null {
  try {
    return open(bytes, root, crypto)
  } catch (error: unknown) {
    if (error instanceof Malformed) return null
    throw error
  }
}

function open(bytes: Uint8Array, root: PublicKey, crypto: Crypto): Pointer {
  const wire = readList(decodeCbor(bytes, maxPointerBytes), 'pointer', 10, 10)
  readInteger(wire[0], 'format', format, format)
  const author = readKey(wire[1], 'author')
  const founding = foundingFromWire(wire[5])
  if (!founding.owners.includes(author)) throw new Malformed('not one of the owners')
  // Before the chain: a forgery costs one verification.
  const signature = readBytes(wire[9], 'signature', 64, 64)
  if (!crypto.verify(author, signedBytes(root, wire.slice(0, 9)), signature))
    throw new Malformed('the signature does not verify')
  const chain = verifyChain(linksFromWire(wire[8]), root, crypto)
  if (isRefusal(chain)) throw new Malformed(chain.refused)
  if (chain.kind !== 'owner' || chain.subject !== author) throw new Malformed("the chain is not the owner's")
  const issuedAt = readInteger(wire[3], 'issuedAt', 0, maxTime) as WallTime
  return {
    violin: violinIdOf(founding, crypto),
    author,
    chain,
    founding,
    name: readName(wire[6], 'name of the violin'),
    hosts: wire[7] === null ? null : hostsFromWire(wire[7], 'hosts', maxPointerHosts),
    version: readInteger(wire[2], 'version', 1, maxVersion),
    issuedAt,
    expiresAt: readInteger(wire[4], 'expiresAt', issuedAt + 1, issuedAt + pointerLifeMs) as WallTime
  }
}

/** The pointer that a value under this key holds, if it is the key's own and stands now; null otherwise. */
export function pointerAt(
  key: string,
  value: Uint8Array,
  root: PublicKey,
  now: WallTime,
  crypto: Crypto
): Pointer | null {
  const pointer = openPointer(value, root, crypto)
  if (pointer === null) return null
  const keys = [idPointerKey(pointer.violin), namePointerKey(pointer.name, pointer.chain.host as HostId)]
  const inTime = pointer.issuedAt <= now + clockToleranceMs && pointer.expiresAt > now
  return keys.includes(key) && inTime && pointer.chain.endsAt > now ? pointer : null
}

/**
 * Whether pointer `a` stands above `b` under one key: of one VIOLIN its end, then the higher version; then the
 * later one, for a name may be given anew.
 */
export function pointerBeats(a: Pointer, b: Pointer): boolean {
  if (a.violin === b.violin) {
    if ((a.hosts === null) !== (b.hosts === null)) return a.hosts === null
    if (a.version !== b.version) return a.version > b.version
  }
  return a.issuedAt > b.issuedAt
}

function signedBytes(root: PublicKey, fields: readonly unknown[]): Uint8Array {
  return concat(ascii('violin pointer 1\0'), keyBytes(root), encodeCbor(fields))
}

/** The platform's hash and signatures, as the core asks for them. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  randomBytes,
  sign,
  verify,
  type KeyObject
} from 'node:crypto'
import { hex, unhex } from '#core/derive.ts'
import type { Crypto, PublicKey, Signer } from '#core/ids.ts'

/** DER prefixes of raw Ed25519 keys (RFC 8410). */
const privatePrefix = Buffer.from('302e020100300506032b657004220420', 'hex')
const publicPrefix = Buffer.from('302a300506032b6570032100', 'hex')
/** Imported public keys kept; importing costs more than verifying. */
const cachedKeys = 4096

const imported = new Map<PublicKey, KeyObject>()

function importPublic(key: PublicKey): KeyObject | null {
  const known = imported.get(key)
  if (known !== undefined) return known
  const raw = unhex(key)
  if (raw === null || raw.length !== 32) return null
  const made = createPublicKey({ key: Buffer.concat([publicPrefix, raw]), format: 'der', type: 'spki' })
  if (imported.size >= cachedKeys) imported.delete(imported.keys().next().value as PublicKey)
  imported.set(key, made)
  return made
}

export const crypto: Crypto = {
  sha256: (bytes) => createHash('sha256').update(bytes).digest(),
  verify(key, bytes, signature) {
    const object = signature.length === 64 ? importPublic(key) : null
    return object !== null && verify(null, bytes, object, signature)
  }
}

/** A signer from a 32-byte Ed25519 seed. */
export function signerOf(seed: Uint8Array): Signer {
  const key = createPrivateKey({ key: Buffer.concat([privatePrefix, seed]), format: 'der', type: 'pkcs8' })
  const publicKey = hex(
    createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
  ) as PublicKey
  return { publicKey, sign: (bytes) => sign(null, bytes, key) }
}

/** The public half of a 32-byte Ed25519 seed. */
export function keyOfSeed(seed: Uint8Array): PublicKey {
  return signerOf(seed).publicKey
}

/** A fresh Ed25519 seed. */
export function freshSeed(): Uint8Array {
  return randomBytes(32)
}

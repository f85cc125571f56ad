/**
 * Keys of a trunk from a Diffie-Hellman secret (RFC 7748) by HKDF-SHA256 (RFC 5869): at the start over a
 * transcript of both halves, later over the chain key, so that each phase hangs on all before it.
 */
import { createPublicKey, diffieHellman, generateKeyPairSync, hkdfSync, type KeyObject } from 'node:crypto'

/** Secrets of one phase: the initiator's direction, the responder's, and what the next phase grows from. */
export interface PhaseSecrets {
  readonly initiatorKey: Uint8Array
  readonly initiatorIv: Uint8Array
  readonly responderKey: Uint8Array
  readonly responderIv: Uint8Array
  readonly chainKey: Uint8Array
}

/** A fresh X25519 key pair, its public half as 32 raw bytes. */
export interface DhKey {
  readonly publicKey: Uint8Array
  readonly privateKey: KeyObject
}

export function freshDhKey(): DhKey {
  const pair = generateKeyPairSync('x25519')
  const jwk = pair.publicKey.export({ format: 'jwk' })
  return { publicKey: Buffer.from(jwk.x as string, 'base64url'), privateKey: pair.privateKey }
}

/** The shared secret; null for a public key that is not 32 bytes or gives none (a point of small order). */
export function sharedSecret(privateKey: KeyObject, publicKey: Uint8Array): Uint8Array | null {
  if (publicKey.length !== 32) return null
  try {
    const key = createPublicKey({
      key: { kty: 'OKP', crv: 'X25519', x: Buffer.from(publicKey).toString('base64url') },
      format: 'jwk'
    })
    return diffieHellman({ privateKey, publicKey: key })
  } catch (error: unknown) {
    if (error instanceof Error) return null
    throw error
  }
}

/** Expands a secret: 16-byte keys and 12-byte IVs for both directions, 32 bytes of chain key. */
export function expandPhase(secret: Uint8Array, salt: Uint8Array, info: string): PhaseSecrets {
  const bytes = new Uint8Array(hkdfSync('sha256', secret, salt, info, 88))
  return {
    initiatorKey: bytes.subarray(0, 16),
    initiatorIv: bytes.subarray(16, 28),
    responderKey: bytes.subarray(28, 44),
    responderIv: bytes.subarray(44, 56),
    chainKey: bytes.subarray(56, 88)
  }
}

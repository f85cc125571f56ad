/**
 * Hashes and signatures of a world in which nobody computes backwards: the ports that the core asks for, a
 * hundred times as fast as Ed25519. Only who has a `Signer` signs; a signature is a hash over key and bytes.
 * Bytes of records are opened once for all hosts, which share what they keep.
 */
import { hex } from '#core/derive.ts'
import type { Crypto, PublicKey, Signer } from '#core/ids.ts'
import { type Rejected, type SignedRecord, openRecord } from '#core/records/record.ts'

/** A key pair with the seed that tokens carry. */
export interface VirtualSigner extends Signer {
  readonly seed: Uint8Array
}

export const virtualCrypto: Crypto = {
  sha256: (bytes) => digest(bytes),
  verify(key, bytes, signature) {
    if (signature.length !== 64) return false
    const expected = digest(bytes, key)
    return expected.every((byte, place) => signature[place] === byte)
  }
}

/** Takes every signature for good: a planted bug. */
export const credulousCrypto: Crypto = { ...virtualCrypto, verify: () => true }

export function signerOf(seed: Uint8Array): VirtualSigner {
  const publicKey = hex(digest(seed, 'public key')) as PublicKey
  return {
    seed,
    publicKey,
    sign(bytes) {
      const signature = new Uint8Array(64)
      signature.set(digest(bytes, publicKey))
      return signature
    }
  }
}

/** The key pair of a name, the same in every run. */
export function signerFor(name: string): VirtualSigner {
  return signerOf(digest(new Uint8Array(0), `seed ${name}`))
}

/** Opens each record once; equal bytes give the same object. */
export class SharedRecords {
  readonly #opened = new Map<
    number,
    { readonly bytes: Uint8Array; readonly record: SignedRecord | Rejected }[]
  >()
  /** By the very bytes that were kept: what hosts hand on is mostly that. */
  readonly #own = new WeakMap<Uint8Array, SignedRecord | Rejected>()
  readonly #root: PublicKey
  readonly #crypto: Crypto

  constructor(root: PublicKey, crypto: Crypto) {
    this.#root = root
    this.#crypto = crypto
  }

  open(bytes: Uint8Array): SignedRecord | Rejected {
    const own = this.#own.get(bytes)
    if (own !== undefined) return own
    const place = shortHash(bytes)
    const known = this.#opened.get(place)
    for (const one of known ?? []) if (same(one.bytes, bytes)) return one.record
    // A copy: what came in a message is a view into all of it.
    const kept = bytes.slice()
    const record = openRecord(kept, this.#root, this.#crypto)
    this.#own.set(kept, record)
    if (known === undefined) this.#opened.set(place, [{ bytes: kept, record }])
    else known.push({ bytes: kept, record })
    return record
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  if (a === b) return true
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** The last 64 bytes are a signature: they tell records apart. */
function shortHash(bytes: Uint8Array): number {
  let mixed = bytes.length
  for (let i = Math.max(0, bytes.length - 64); i < bytes.length; i++) {
    mixed = Math.imul(mixed ^ (bytes[i] as number), 0x01000193)
  }
  return mixed | 0
}

/** 256 bits that differ where the bytes or the salt differ; by accident never the same. */
function digest(bytes: Uint8Array, salt = ''): Uint8Array {
  const lanes = Uint32Array.of(
    0x6a09e667,
    0xbb67ae85,
    0x3c6ef372,
    0xa54ff53a,
    0x510e527f,
    0x9b05688c,
    0x1f83d9ab,
    0x5be0cd19
  )
  for (let i = 0; i < salt.length; i++) absorb(lanes, salt.charCodeAt(i) ^ (i << 16))
  absorb(lanes, salt.length ^ 0x5a5a0000)
  const words = bytes.length >>> 2
  for (let i = 0; i < words; i++) {
    const at = 4 * i
    absorb(
      lanes,
      (bytes[at] as number) |
        ((bytes[at + 1] as number) << 8) |
        ((bytes[at + 2] as number) << 16) |
        ((bytes[at + 3] as number) << 24)
    )
  }
  for (let i = 4 * words; i < bytes.length; i++) absorb(lanes, (bytes[i] as number) | 0x1000000)
  absorb(lanes, bytes.length)
  for (let round = 0; round < 8; round++) absorb(lanes, round)
  const out = new Uint8Array(32)
  const view = new DataView(out.buffer)
  for (let lane = 0; lane < 8; lane++) view.setUint32(4 * lane, lanes[lane] as number)
  return out
}

/** Four multiplications a word: each lane also feeds the next, so all depend on every word soon. */
function absorb(lanes: Uint32Array, word: number): void {
  let carry = word
  for (let lane = 0; lane < 8; lane++) {
    const mixed = Math.imul((lanes[lane] as number) ^ carry, 0x9e3779b1 + 2 * lane)
    carry = (mixed ^ (mixed >>> 15)) + word
    lanes[lane] = carry
  }
}

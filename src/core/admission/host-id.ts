/**
 * A host's libp2p peer id from its Ed25519 key and back: base58btc of an identity multihash over the
 * protobuf PublicKey { type: Ed25519, data } (libp2p specs, peer-ids). Every such id begins `12D3KooW`.
 */
import { hex, unhex } from '../derive.ts'
import type { HostId, PublicKey } from '../ids.ts'

const alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
/** identity multihash, 36 bytes; field 1 = 1 (Ed25519); field 2 = 32 bytes. */
const header = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20] as const
const idLength = header.length + 32

/** The 32 bytes of a key. Throws RangeError for anything but 64 lower-case hex digits. */
export function keyBytes(key: PublicKey): Uint8Array {
  const bytes = unhex(key)
  if (bytes?.length !== 32) throw new RangeError('a public key is 64 hex digits')
  return bytes
}

/** The key of 32 bytes; the caller has checked the length. */
export function keyOf(bytes: Uint8Array): PublicKey {
  return hex(bytes) as PublicKey
}

/** The peer id of an Ed25519 key. */
export function hostIdOf(key: PublicKey): HostId {
  const bytes = new Uint8Array(idLength)
  bytes.set(header)
  bytes.set(keyBytes(key), header.length)
  return base58(bytes) as HostId
}

/** The Ed25519 key inside a peer id; null for any text that is not such an id. */
export function publicKeyOf(host: string): PublicKey | null {
  const bytes = unbase58(host, idLength)
  if (bytes === null || !header.every((byte, i) => bytes[i] === byte)) return null
  return hex(bytes.subarray(header.length)) as PublicKey
}

/** Whether a text is a peer id of an Ed25519 key. */
export function isHostId(text: string): text is HostId {
  return publicKeyOf(text) !== null
}

function base58(bytes: Uint8Array): string {
  const digits: number[] = []
  for (const byte of bytes) {
    let carry = byte
    for (let i = 0; i < digits.length; i++) {
      carry += (digits[i] as number) * 256
      digits[i] = carry % 58
      carry = Math.floor(carry / 58)
    }
    for (; carry > 0; carry = Math.floor(carry / 58)) digits.push(carry % 58)
  }
  let text = ''
  for (let i = 0; i < bytes.length && bytes[i] === 0; i++) text += '1'
  for (let i = digits.length - 1; i >= 0; i--) text += alphabet.charAt(digits[i] as number)
  return text
}

/** Exactly `length` bytes; null when the text is not base58 of so many in its one form. */
function unbase58(text: string, length: number): Uint8Array | null {
  if (text.length === 0 || text.length > Math.ceil(length * 1.38)) return null
  const bytes = new Uint8Array(length)
  for (const character of text) {
    let carry = alphabet.indexOf(character)
    if (carry < 0) return null
    for (let i = length - 1; i >= 0; i--) {
      carry += (bytes[i] as number) * 58
      bytes[i] = carry & 0xff
      carry >>>= 8
    }
    if (carry !== 0) return null
  }
  return base58(bytes) === text ? bytes : null
}

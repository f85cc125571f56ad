/**
 * Bytes as text that people copy: base64url (RFC 4648 §5, no padding) behind a prefix, with the length in
 * front and a CRC-32 behind, so that a cut text and an altered one are told apart.
 */
import { concat } from '../records/cbor.ts'

/** What every invite begins with. */
export const tokenPrefix = 'violin1-'

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const lengthBytes = 2
const checksumBytes = 4

/** The text of a payload of at most 65,535 bytes. Throws RangeError above. */
export function armour(payload: Uint8Array): string {
  if (payload.length > 0xffff) throw new RangeError(`a payload of ${payload.length} bytes`)
  const head = concat(Uint8Array.of(payload.length >>> 8, payload.length & 0xff), payload)
  const checksum = new Uint8Array(checksumBytes)
  new DataView(checksum.buffer).setUint32(0, crc32(head))
  return tokenPrefix + base64url(concat(head, checksum))
}

/** The payload of a text, or what befell it. White space anywhere is taken for a line break of a mail. */
export function unarmour(text: string): Uint8Array | 'foreign' | 'cut-short' | 'altered' {
  const compact = text.replaceAll(/\s/g, '')
  if (!compact.startsWith(tokenPrefix)) return tokenPrefix.startsWith(compact) ? 'cut-short' : 'foreign'
  const digits = compact.slice(tokenPrefix.length)
  const bytes = unbase64url(digits)
  if (bytes === null) return /^[A-Za-z0-9_-]*$/.test(digits) ? 'cut-short' : 'altered'
  if (bytes.length < lengthBytes) return 'cut-short'
  const whole = lengthBytes + (((bytes[0] as number) << 8) | (bytes[1] as number)) + checksumBytes
  if (bytes.length !== whole) return bytes.length < whole ? 'cut-short' : 'altered'
  const head = bytes.subarray(0, whole - checksumBytes)
  const checksum = new DataView(bytes.buffer).getUint32(whole - checksumBytes)
  return crc32(head) === checksum ? head.slice(lengthBytes) : 'altered'
}

function base64url(bytes: Uint8Array): string {
  let text = ''
  let held = 0
  let bits = 0
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xffff
    for (bits += 8; bits >= 6; bits -= 6) text += alphabet.charAt((held >>> (bits - 6)) & 63)
  }
  return bits === 0 ? text : text + alphabet.charAt((held << (6 - bits)) & 63)
}

/** Null for other characters, impossible lengths, and left-over bits that are not zero. */
function unbase64url(text: string): Uint8Array | null {
  if (text.length % 4 === 1) return null
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4))
  let held = 0
  let bits = 0
  let at = 0
  for (const character of text) {
    const digit = alphabet.indexOf(character)
    if (digit < 0) return null
    held = ((held << 6) | digit) & 0xffff
    bits += 6
    if (bits < 8) continue
    bits -= 8
    bytes[at++] = (held >>> bits) & 0xff
  }
  return (held & ((1 << bits) - 1)) === 0 ? bytes : null
}

/** CRC-32 (ISO 3309, the one of zip and Ethernet): finds every run of up to 32 altered bits. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffff_ffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb8_8320 : 0)
  }
  return (crc ^ 0xffff_ffff) >>> 0
}

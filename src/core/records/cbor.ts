/**
 * The bytes of records, chains and tokens: deterministic CBOR (RFC 8949 §4.2.1), and the strict readers by
 * which every field that came from elsewhere is checked once.
 */
import { decode, encode, rfc8949EncodeOptions } from 'cborg'

/** Why some bytes are not what they should be: thrown by the readers, caught at the edge of a format. */
export class Malformed extends Error {
  override readonly name = 'Malformed'
}

/** Canonical CBOR of plain data: maps as objects, bytes as Uint8Array, integers. */
export function encodeCbor(value: unknown): Uint8Array {
  return encode(value, rfc8949EncodeOptions)
}

/**
 * Plain data of canonical CBOR. Throws {@link Malformed} above `maxBytes`, for anything that is not CBOR,
 * and where encoding the result again gives other bytes (unsorted keys, long integers, bad UTF-8).
 */
export function decodeCbor(bytes: Uint8Array, maxBytes: number): unknown {
  if (bytes.length > maxBytes) throw new Malformed(`${bytes.length} bytes where ${maxBytes} is the limit`)
  let value: unknown
  let again: Uint8Array
  try {
    // Deep nesting ends in a RangeError, which the length bounds and this catch turns into a refusal.
    value = decode(plain(bytes), strict)
    again = encodeCbor(value)
  } catch (error: unknown) {
    throw new Malformed('not CBOR', { cause: error })
  }
  if (!sameBytes(again, bytes)) throw new Malformed('not in canonical form')
  return value
}

const strict = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
  rejectDuplicateMapKeys: true
} as const

/** A Buffer would give its subclass to every byte string inside. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** A map with exactly these keys. */
export function readMap<K extends string>(
  value: unknown,
  what: string,
  keys: readonly K[]
): Readonly<Record<K, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) {
    throw new Malformed(`${what} is not a map`)
  }
  const found = Object.keys(value)
  if (found.length !== keys.length || !keys.every((key) => Object.hasOwn(value, key))) {
    throw new Malformed(`${what} has not exactly the fields ${keys.join(', ')}`)
  }
  return value as Record<K, unknown>
}

/** A map of any keys to short texts. */
export function readTexts(
  value: unknown,
  what: string,
  maxEntries: number
): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) {
    throw new Malformed(`${what} is not a map`)
  }
  if (Object.keys(value).length > maxEntries) throw new Malformed(`${what} has too many entries`)
  return value as Record<string, unknown>
}

export function readList(value: unknown, what: string, min: number, max: number): readonly unknown[] {
  if (!Array.isArray(value)) throw new Malformed(`${what} is not a list`)
  if (value.length < min || value.length > max) throw new Malformed(`${what} has ${value.length} entries`)
  return value as readonly unknown[]
}

/** A text of at most `max` UTF-16 units. */
export function readText(value: unknown, what: string, max: number): string {
  if (typeof value !== 'string') throw new Malformed(`${what} is not a text`)
  if (value.length > max) throw new Malformed(`${what} is longer than ${max}`)
  return value
}

export function readInteger(value: unknown, what: string, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value))
    throw new Malformed(`${what} is not an integer`)
  if (value < min || value > max) throw new Malformed(`${what} is not within ${min} to ${max}`)
  return value
}

export function readFlag(value: unknown, what: string): boolean {
  if (typeof value !== 'boolean') throw new Malformed(`${what} is not true or false`)
  return value
}

export function readBytes(value: unknown, what: string, min: number, max: number): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new Malformed(`${what} is not bytes`)
  if (value.length < min || value.length > max) throw new Malformed(`${what} has ${value.length} bytes`)
  return value
}

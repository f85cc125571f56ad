/** Topics over multicast: each has a group of its own, so that routers carry it only to where somebody takes it. */
import { createHash } from 'node:crypto'

/** Of every topic. */
export const port = 5_600
/** A message is one packet that no network on the way cuts. */
const maxMessageBytes = 1_400

export interface Message {
  readonly topic: string
  /** Who says so. */
  readonly publisher: string
  /** Of this publisher and topic, counted from 0. */
  readonly number: number
  /** When it was published, wall clock. */
  readonly wallMs: number
  readonly text: string
  /** The last of its publisher. */
  readonly isLast: boolean
}

/**
 * The group of a topic, of those that an organisation has for itself (RFC 2365: 239.192.0.0/14). Two topics may have
 * one: a message says which it is of.
 */
export function groupOf(topic: string): string {
  const digest = createHash('sha256').update(topic).digest()
  const number = digest.readUInt32BE(0) & 0x3ffff
  return `239.${192 + (number >> 16)}.${(number >> 8) & 0xff}.${number & 0xff}`
}

/** Throws when it is too long. */
export function encode(message: Message): Uint8Array {
  const bytes = Buffer.from(JSON.stringify(message))
  if (bytes.length > maxMessageBytes) throw new RangeError(`${bytes.length} bytes, ${maxMessageBytes} fit`)
  return bytes
}

/** Null: these bytes are no message. */
export function decode(bytes: Uint8Array): Message | null {
  try {
    const read = JSON.parse(new TextDecoder('utf8', { fatal: true }).decode(bytes)) as Message | null
    const good =
      typeof read?.topic === 'string' &&
      typeof read.publisher === 'string' &&
      Number.isSafeInteger(read.number) &&
      read.number >= 0 &&
      Number.isFinite(read.wallMs) &&
      typeof read.text === 'string' &&
      typeof read.isLast === 'boolean'
    return good ? read : null
  } catch {
    return null
  }
}

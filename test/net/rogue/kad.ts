/** kad-dht's messages by hand, past every check of one's own: type in field 1, key 2, record 3, closer peers 8. */

export const kadTypes = { putValue: 0, getValue: 1, findNode: 4, ping: 5 } as const

export interface KadMessage {
  readonly type: number
  readonly key: Uint8Array
}

/** A value to store. */
export function putValue(key: Uint8Array, value: Uint8Array): Uint8Array {
  return Buffer.concat([field(2, key), field(3, recordOf(key, value))])
}

/** An answer: perhaps a value, and peers that shall be asked next. */
export function kadAnswer(
  { type, key }: KadMessage,
  value: Uint8Array | null,
  closer: readonly Uint8Array[]
): Uint8Array {
  return Buffer.concat([
    Uint8Array.of(1 << 3, type),
    field(2, key),
    ...(value === null ? [] : [field(3, recordOf(key, value))]),
    ...closer.map((id) => field(8, field(1, id)))
  ])
}

/** Type and key of a request. */
export function readKad(bytes: Uint8Array): KadMessage {
  let [at, type, key]: [number, number, Uint8Array] = [0, 0, new Uint8Array(0)]
  const varint = (): number => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] ?? 0
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
  }
  while (at < bytes.length) {
    const tag = varint()
    const value = varint()
    if ((tag & 7) === 0) {
      if (tag >> 3 === 1) type = value
      continue
    }
    if (tag >> 3 === 2) key = bytes.slice(at, at + value)
    at += value
  }
  return { type, key }
}

function recordOf(key: Uint8Array, value: Uint8Array): Buffer {
  const now = new TextEncoder().encode(new Date().toISOString())
  return Buffer.concat([field(1, key), field(2, value), field(5, now)])
}

/** A length-delimited field of protobuf. */
function field(number: number, bytes: Uint8Array): Buffer {
  const length: number[] = []
  for (let rest = bytes.length; ; rest >>>= 7) {
    length.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest)
    if (rest <= 0x7f) break
  }
  return Buffer.concat([Uint8Array.of((number << 3) | 2, ...length), bytes])
}

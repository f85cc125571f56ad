/**
 * The plaintext of a control datagram: a list of items `type u8 │ vLAN u32 │ length u16 │ body`, big-endian.
 */

export const controlType = {
  /** Says nothing: makes a datagram longer. */
  padding: 0,
  /** A message of the vLAN's election, opaque here. */
  election: 1,
  /** 8 bytes that the other side sends back in an `answer`, to where they came from. */
  probe: 2,
  answer: 3,
  /** {@link Rekey}. */
  rekey: 4,
  /** The session is over. */
  close: 5,
  /** A probe to an address that only the peer's datagrams named: the same body, the same answer. */
  challenge: 6
} as const

export const controlItemHeaderBytes = 7
export const probeBytes = 8

export interface ControlItem {
  readonly type: number
  readonly lan: number
  readonly body: Uint8Array
}

/** Bytes that an item takes. */
export function controlItemBytes(body: Uint8Array): number {
  return controlItemHeaderBytes + body.length
}

/** Lays one item at `at`; gives the offset behind it. */
export function writeControlItem(memory: Uint8Array, view: DataView, at: number, item: ControlItem): number {
  view.setUint8(at, item.type)
  view.setUint32(at + 1, item.lan)
  view.setUint16(at + 5, item.body.length)
  memory.set(item.body, at + controlItemHeaderBytes)
  return at + controlItemHeaderBytes + item.body.length
}

/**
 * Reads a list of items; bodies are copies. Null when the bytes are not such a list to the last byte. Items
 * of unknown type are given as they are, for the reader to pass over.
 */
export function readControlItems(
  memory: Uint8Array,
  view: DataView,
  at: number,
  length: number
): readonly ControlItem[] | null {
  const items: ControlItem[] = []
  const end = at + length
  let next = at
  while (next < end) {
    if (end - next < controlItemHeaderBytes) return null
    const bytes = view.getUint16(next + 5)
    const body = next + controlItemHeaderBytes
    if (end - body < bytes) return null
    items.push({
      type: view.getUint8(next),
      lan: view.getUint32(next + 1),
      body: memory.slice(body, body + bytes)
    })
    next = body + bytes
  }
  return items
}

/** One side's part in the change to the next key phase. */
export interface Rekey {
  readonly phase: number
  readonly answer: boolean
  /** Fresh X25519 public key, 32 bytes. */
  readonly publicKey: Uint8Array
}

export function encodeRekey(rekey: Rekey): Uint8Array {
  const body = new Uint8Array(34)
  body[0] = rekey.phase
  body[1] = rekey.answer ? 1 : 0
  body.set(rekey.publicKey.subarray(0, 32), 2)
  return body
}

/** Null for anything that {@link encodeRekey} does not make. */
export function decodeRekey(body: Uint8Array): Rekey | null {
  if (body.length !== 34 || (body[1] as number) > 1) return null
  return { phase: body[0] as number, answer: body[1] === 1, publicKey: body.slice(2) }
}

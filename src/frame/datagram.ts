/**
 * The outside of every trunk datagram, big-endian:
 *
 *     0 type u8 │ 1 phase u8 │ 2 zero u16 │ 4 receiver u32 │ 8 counter u64 │ 16 sealed … │ tag 16
 *
 * Bytes 0-15 are authenticated with the sealed part. The nonce is the direction's IV xor the counter
 * (RFC 9001, 5.3). Counters stay below 2³², so the upper half is zero.
 */

export const datagramType = {
  data: 1,
  control: 2,
  /** Sealed in it: a host's key (8 bytes) and a datagram, sealed for that host, to be passed on. */
  relay: 3,
  /** Sealed in it: a datagram that a third host sealed, passed on by the sender of this one. */
  relayed: 4
} as const
export const datagramHeaderBytes = 16
export const sealTagBytes = 16
export const nonceBytes = 12

/** UDP payload that fits an IPv4 path of 1,500 bytes unfragmented. */
export const maxDatagramBytes = 1472
/** Bytes of a datagram around its plaintext. */
export const datagramOverheadBytes: number = datagramHeaderBytes + sealTagBytes
/** A host's key, as `relay` has it. */
export const relayKeyBytes = 8
/** What can be sealed into one. */
export const maxPlaintextBytes: number = maxDatagramBytes - datagramOverheadBytes

/** Counters are used up to here under one key, and then the session is over (RFC 9001, B.1 allows 2²⁸ of such). */
export const maxCounter: number = 2 ** 27

/** Lays the header at `at`. */
export function writeHeader(
  view: DataView,
  at: number,
  type: number,
  phase: number,
  receiver: number,
  counter: number
): void {
  view.setUint32(at, ((type << 24) | (phase << 16)) >>> 0)
  view.setUint32(at + 4, receiver)
  view.setUint32(at + 8, 0)
  view.setUint32(at + 12, counter)
}

/** Whether `length` bytes at `at` can be a datagram of ours: known type, zeros where zeros belong, long enough. */
export function isDatagram(view: DataView, at: number, length: number): boolean {
  if (length < datagramHeaderBytes + sealTagBytes) return false
  const type = view.getUint8(at)
  if (type < datagramType.data || type > datagramType.relayed) return false
  return view.getUint16(at + 2) === 0 && view.getUint32(at + 8) === 0
}

/** Lays the nonce of a counter at `at`: the IV (12 bytes at `iv`) xor the counter in its last four bytes. */
export function writeNonce(view: DataView, at: number, iv: number, counter: number): void {
  view.setUint32(at, view.getUint32(iv))
  view.setUint32(at + 4, view.getUint32(iv + 4))
  view.setUint32(at + 8, (view.getUint32(iv + 8) ^ counter) >>> 0)
}

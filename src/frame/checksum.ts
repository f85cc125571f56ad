/**
 * The checksum that a virtio_net header leaves to do (virtio 1.2, 5.1.6.2): a ones' complement sum from
 * `csum_start` to the frame's end, written `csum_offset` further (RFC 1071).
 */

/** flags: the checksum is left to do. */
const needsChecksum = 1
const gsoNone = 0

/**
 * Finishes the frame of `length` bytes (header of 12 included) at `at` and zeroes its header. False: the
 * header asks for what is not offered (segmentation), or points outside of the frame.
 */
export function finishChecksum(memory: Uint8Array, view: DataView, at: number, length: number): boolean {
  const flags = memory[at] as number
  if ((memory[at + 1] as number) !== gsoNone) return false
  if ((flags & needsChecksum) !== 0) {
    const start = at + 12 + view.getUint16(at + 6, true)
    const place = start + view.getUint16(at + 8, true)
    const end = at + length
    if (start >= end || place + 2 > end) return false
    const sum = onesComplement(memory, start, end)
    // Zero would mean "no checksum" to UDP; both are the same number to everybody else.
    view.setUint16(place, sum === 0 ? 0xffff : sum)
  }
  memory.fill(0, at, at + 12)
  return true
}

/** The complement of the 16-bit ones' complement sum of [from, to). */
export function onesComplement(memory: Uint8Array, from: number, to: number): number {
  let sum = 0
  let i = from
  for (; i + 1 < to; i += 2) sum += ((memory[i] as number) << 8) | (memory[i + 1] as number)
  if (i < to) sum += (memory[i] as number) << 8
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000)
  return ~sum & 0xffff
}

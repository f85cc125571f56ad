/**
 * Captured frames as pcapng (draft-ietf-opsawg-pcapng), little-endian, nanosecond stamps: what Wireshark and
 * tcpdump read. A section begins once; interfaces, frames and statistics follow in whole blocks, so that streams
 * of several sources become one by renumbering their interfaces.
 */

/** Types of the blocks that are written here. */
export const blockType = { section: 0x0a0d0d0a, interface: 1, statistics: 5, frame: 6 } as const

/** Which way a frame went, as its interface's machine sees it (epb_flags). */
export const way = { inbound: 1, outbound: 2 } as const
export type Way = (typeof way)[keyof typeof way]

/** Seconds and nanoseconds since 1970. */
export interface Stamp {
  readonly seconds: number
  readonly nanoseconds: number
}

/** What every block has around its body: type, length, and length again. */
const frameworkBytes = 12
const byteOrder = 0x1a2b3c4d
const ethernet = 1
const options = {
  end: 0,
  application: 4,
  interfaceName: 2,
  hardwareAddress: 6,
  resolution: 9,
  flags: 2,
  received: 4,
  dropped: 5
} as const

/** The section header; it stands first, once. */
export function sectionBlock(application: string): Uint8Array {
  const text = ascii(application)
  const block = open(blockType.section, 16 + optionBytes(text.length) + 4)
  block.setUint32(8, byteOrder, true)
  block.setUint16(12, 1, true)
  // The section's length is not known before its end.
  block.setBigInt64(16, -1n, true)
  putOption(block, 24, options.application, text)
  return bytesOf(block)
}

/** Describes an interface; in a section they are numbered 0, 1, … in their order. */
export function interfaceBlock(
  name: string,
  mac: { readonly high: number; readonly low: number }
): Uint8Array {
  const text = ascii(name)
  const address = new Uint8Array(6)
  const addressView = new DataView(address.buffer)
  addressView.setUint16(0, mac.high)
  addressView.setUint32(2, mac.low)
  const block = open(blockType.interface, 8 + optionBytes(text.length) + optionBytes(6) + optionBytes(1) + 4)
  block.setUint16(8, ethernet, true)
  let at = putOption(block, 16, options.interfaceName, text)
  at = putOption(block, at, options.hardwareAddress, address)
  putOption(block, at, options.resolution, Uint8Array.of(9))
  return bytesOf(block)
}

/** Tells how many frames of an interface were seen, and how many of these were lost on the way here. */
export function statisticsBlock(
  index: number,
  now: Stamp,
  counts: { readonly received: number; readonly dropped: number }
): Uint8Array {
  const block = open(blockType.statistics, 12 + 2 * optionBytes(8) + 4)
  block.setUint32(8, index, true)
  putStamp(block, 12, now)
  const at = putOption(block, 20, options.received, count(counts.received))
  putOption(block, at, options.dropped, count(counts.dropped))
  return bytesOf(block)
}

/** Bytes of a frame's block. */
export function frameBlockBytes(length: number): number {
  return frameworkBytes + 20 + padded(length) + optionBytes(4) + 4
}

/** Writes a frame's block at `at` of a buffer that has room for it; gives where it ends. */
export function putFrame(
  out: Uint8Array,
  at: number,
  index: number,
  stamp: Stamp,
  direction: Way,
  frame: Uint8Array
): number {
  const length = frameBlockBytes(frame.length)
  const block = new DataView(out.buffer, out.byteOffset + at, length)
  const optionsAt = 28 + padded(frame.length)
  out.fill(0, at + 28 + frame.length, at + length)
  block.setUint32(0, blockType.frame, true)
  block.setUint32(4, length, true)
  block.setUint32(8, index, true)
  putStamp(block, 12, stamp)
  block.setUint32(20, frame.length, true)
  block.setUint32(24, frame.length, true)
  out.set(frame, at + 28)
  block.setUint16(optionsAt, options.flags, true)
  block.setUint16(optionsAt + 2, 4, true)
  block.setUint32(optionsAt + 4, direction, true)
  block.setUint32(length - 4, length, true)
  return at + length
}

/** A block of interfaces, frames or statistics, as it came in. */
export interface Block {
  readonly type: number
  readonly bytes: Uint8Array
}

/** Cuts bytes into their whole blocks. Throws RangeError for what is none of ours. */
export function blocksOf(bytes: Uint8Array): Block[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const blocks: Block[] = []
  for (let at = 0; at < bytes.length;) {
    if (bytes.length - at < frameworkBytes) throw new RangeError('a block is cut off')
    const type = view.getUint32(at, true)
    const length = view.getUint32(at + 4, true)
    const least = leastBytes.get(type)
    if (least === undefined) throw new RangeError(`a block of type ${type}`)
    if (length < least || length % 4 !== 0 || length > bytes.length - at)
      throw new RangeError(`a block of ${length} bytes`)
    if (view.getUint32(at + length - 4, true) !== length) throw new RangeError('a block with two lengths')
    if (type === blockType.frame && padded(view.getUint32(at + 20, true)) > length - least)
      throw new RangeError('a frame longer than its block')
    blocks.push({ type, bytes: bytes.subarray(at, at + length) })
    at += length
  }
  return blocks
}

const leastBytes: ReadonlyMap<number, number> = new Map([
  [blockType.interface, frameworkBytes + 8],
  [blockType.statistics, frameworkBytes + 12],
  [blockType.frame, frameworkBytes + 20]
])

/** The interface of a block of frames or statistics. */
export function interfaceOf({ bytes }: Block): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(8, true)
}

/** Gives a block of frames or statistics another interface, in place. */
export function renumber({ bytes }: Block, index: number): void {
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(8, index, true)
}

/** What a block of statistics counts; what it does not tell is 0. */
export function countsOf({ bytes }: Block): { readonly received: number; readonly dropped: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const counts = { received: 0, dropped: 0 }
  const end = bytes.length - 4
  for (let at = 20; at + 4 <= end;) {
    const code = view.getUint16(at, true)
    const length = view.getUint16(at + 2, true)
    if (code === options.end || at + 4 + length > end) break
    if (length === 8 && code === options.received) counts.received = Number(view.getBigUint64(at + 4, true))
    if (length === 8 && code === options.dropped) counts.dropped = Number(view.getBigUint64(at + 4, true))
    at += 4 + padded(length)
  }
  return counts
}

function open(type: number, bodyBytes: number): DataView {
  const length = frameworkBytes + bodyBytes
  const block = new DataView(new ArrayBuffer(length))
  block.setUint32(0, type, true)
  block.setUint32(4, length, true)
  block.setUint32(length - 4, length, true)
  return block
}

/** Options end with one of code 0 and length 0: zeroes, which a fresh block has. */
function putOption(block: DataView, at: number, code: number, value: Uint8Array): number {
  block.setUint16(at, code, true)
  block.setUint16(at + 2, value.length, true)
  bytesOf(block).set(value, at + 4)
  return at + optionBytes(value.length)
}

/** Nanoseconds since 1970 are above 2⁵³: both halves of them, of products that are not. */
function putStamp(block: DataView, at: number, { seconds, nanoseconds }: Stamp): void {
  const upper = Math.floor(seconds / 65_536) * 1e9
  const lower = (upper % 65_536) * 65_536 + (seconds % 65_536) * 1e9 + nanoseconds
  block.setUint32(at, Math.floor(upper / 65_536) + Math.floor(lower / 2 ** 32), true)
  block.setUint32(at + 4, lower % 2 ** 32, true)
}

function count(value: number): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(8))
  bytes.setBigUint64(0, BigInt(value), true)
  return bytesOf(bytes)
}

/** Names have no other letters; whatever else comes is one byte too. */
function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0) & 0x7f)
}

function optionBytes(length: number): number {
  return 4 + padded(length)
}

function padded(length: number): number {
  return Math.ceil(length / 4) * 4
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
}

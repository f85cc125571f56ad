/**
 * The device's side of a split virtqueue (virtio 1.2, 2.7) in memory that its driver may spoil at any moment.
 *
 * The driver makes chains of buffers available; `fetch` takes a copy of the whole table and of the ring, and
 * everything is decided on that copy. A chain that was taken is completed; `publish` tells the driver.
 *
 * Order matters twice: what is available is read after its index (in a call of its own), and the used index is
 * written after everything else (the last entry of the list). The driver is never asked to leave its kicks out,
 * so after a kick was seen nothing can be missed.
 */
import { type Copies } from '#syscalls/memory.ts'
import { allocate, free, type NativeMemory } from '#syscalls/libc.ts'
import { VhostFault } from './fault.ts'
import { type GuestMemory, readAll, writeAll } from './guest-memory.ts'
import type { RingAddress } from './protocol.ts'

/** Buffers of one chain: a frame or a console's write never has more than Linux's 19 of a packet. */
export const maxSegments = 64

const descriptorBytes = 16
const usedBytes = 8
const flagNext = 1
const flagWritable = 2
/** In the available ring: the driver wants no interrupts now. */
const flagNoInterrupt = 1
/** Looks at an index that changes under our eyes. After the last one its kick will bring us back. */
const maxLooks = 4

/** Places in a ring's own memory: the index, read twice; what is written as used flags and index; copies. */
const secondLookAt = 8
const usedHeaderAt = 16
const tableAt = 24

export class Ring {
  readonly size: number
  /** Of the chain that was last taken: its head, its buffers (own addresses), their lengths and sum. */
  head = 0
  segments = 0
  total = 0
  readonly segmentAt: Float64Array = new Float64Array(maxSegments)
  readonly segmentLength: Uint32Array = new Uint32Array(maxSegments)

  readonly #guest: GuestMemory
  readonly #copies: Copies
  readonly #own: NativeMemory
  readonly #mask: number
  /** Places of the parts in the guest's mapping. */
  readonly #table: number
  readonly #available: number
  readonly #used: number
  /** Places of their copies in our own memory. */
  readonly #ringAt: number
  readonly #usedAt: number
  /** Next index to take, and the one up to which the copies are good. Both 16 bits, as is the used index. */
  #next: number
  #fetched: number
  #usedIndex: number
  /** Completed and not published. */
  #staged = 0

  /** `copies` is shared by all rings of a thread. Throws {@link VhostFault}. The caller closes the ring. */
  constructor(guest: GuestMemory, copies: Copies, size: number, address: RingAddress, base: number) {
    this.size = size
    this.#guest = guest
    this.#copies = copies
    this.#mask = size - 1
    this.#table = guest.user(address.table, size * descriptorBytes)
    this.#available = guest.user(address.available, Math.max(8, 4 + size * 2))
    this.#used = guest.user(address.used, 4 + size * usedBytes)
    this.#next = this.#fetched = base
    this.#ringAt = tableAt + size * descriptorBytes
    this.#usedAt = this.#ringAt + Math.max(8, size * 2)
    this.#own = allocate(this.#usedAt + size * usedBytes)
    const { address: own, view } = this.#own
    copies.clear()
    // What stands there is kept: the used index is written together with its neighbours.
    copies.add(this.#used, own + usedHeaderAt, 8)
    copies.add(this.#used + 4, own + this.#usedAt, size * usedBytes)
    try {
      readAll(copies)
    } catch (error: unknown) {
      free(this.#own)
      throw error
    }
    this.#usedIndex = view.getUint16(usedHeaderAt + 2, true)
  }

  /** Index of the next chain, as GET_VRING_BASE wants it. */
  get base(): number {
    return this.#next
  }

  /** Fetched chains that were not taken yet. */
  get waiting(): number {
    return (this.#fetched - this.#next) & 0xffff
  }

  /** Chains that were completed and not published. */
  get staged(): number {
    return this.#staged
  }

  /** Looks for new chains; gives how many wait. Throws {@link VhostFault}. Clears the copies. */
  fetch(): number {
    const index = this.#look()
    if (index === this.#fetched) return this.waiting
    if (((index - this.#next) & 0xffff) > this.size) throw new VhostFault('more chains than the ring has')
    const copies = this.#copies
    copies.clear()
    copies.add(this.#available + 4, this.#own.address + this.#ringAt, this.size * 2)
    copies.add(this.#table, this.#own.address + tableAt, this.size * descriptorBytes)
    readAll(copies)
    copies.clear()
    this.#fetched = index
    return this.waiting
  }

  /**
   * Takes the next fetched chain, of which every buffer must be for the device to write or for it to read; false
   * when there is none. Throws {@link VhostFault}.
   */
  take(writable: boolean): boolean {
    if (this.#next === this.#fetched) return false
    const { view } = this.#own
    this.segments = 0
    this.total = 0
    let index = view.getUint16(this.#ringAt + (this.#next & this.#mask) * 2, true)
    this.head = index
    for (;;) {
      // The bound on buffers ends a loop of descriptors as well.
      if (index >= this.size || this.segments === maxSegments) throw new VhostFault('chain that does not end')
      const at = tableAt + index * descriptorBytes
      const flags = view.getUint16(at + 12, true)
      this.#addSegment(at, flags, writable)
      if ((flags & flagNext) === 0) break
      index = view.getUint16(at + 14, true)
    }
    this.#next = (this.#next + 1) & 0xffff
    return true
  }

  /** Ends the chain that was last taken: the device wrote `written` bytes to it. */
  complete(written: number): void {
    const at = this.#usedAt + ((this.#usedIndex + this.#staged) & this.#mask) * usedBytes
    this.#own.view.setUint32(at, this.head, true)
    this.#own.view.setUint32(at + 4, written, true)
    this.#staged++
  }

  /** Takes the last chain back, which was taken and not completed. */
  putBack(): void {
    this.#next = (this.#next - 1) & 0xffff
  }

  /** Takes the last `count` chains back, which were taken and completed, as if never seen. */
  undo(count: number): void {
    this.#next = (this.#next - count) & 0xffff
    this.#staged -= count
  }

  /**
   * Writes the data that stands in the copies, then tells the driver which chains are used. Throws
   * {@link VhostFault}. Clears the copies.
   */
  publish(): void {
    if (this.#staged === 0) return
    const copies = this.#copies
    const { address, view } = this.#own
    const first = this.#usedIndex & this.#mask
    const untilEnd = Math.min(this.#staged, this.size - first)
    this.#addUsed(first, untilEnd)
    if (this.#staged > untilEnd) this.#addUsed(0, this.#staged - untilEnd)
    this.#usedIndex = (this.#usedIndex + this.#staged) & 0xffff
    this.#staged = 0
    // Flags, index and the word behind it, which is ours too: eight bytes go in one move.
    view.setUint16(usedHeaderAt, 0, true)
    view.setUint16(usedHeaderAt + 2, this.#usedIndex, true)
    view.setUint32(usedHeaderAt + 4, view.getUint32(this.#usedAt, true), true)
    copies.add(this.#used, address + usedHeaderAt, 8)
    writeAll(copies)
    copies.clear()
  }

  /** After `publish`: whether the driver wants to be told by an interrupt. Throws {@link VhostFault}. */
  wantsInterrupt(): boolean {
    const copies = this.#copies
    copies.clear()
    copies.add(this.#available, this.#own.address, 8)
    readAll(copies)
    copies.clear()
    return (this.#own.view.getUint16(0, true) & flagNoInterrupt) === 0
  }

  close(): void {
    free(this.#own)
  }

  /** The available index, which must read the same twice: half of a change is none. */
  #look(): number {
    const copies = this.#copies
    const { address, view } = this.#own
    for (let i = 0; i < maxLooks; i++) {
      copies.clear()
      copies.add(this.#available, address, 8)
      copies.add(this.#available, address + secondLookAt, 8)
      readAll(copies)
      const index = view.getUint16(2, true)
      if (index === view.getUint16(secondLookAt + 2, true)) return index
    }
    return this.#fetched
  }

  #addSegment(at: number, flags: number, writable: boolean): void {
    const { view } = this.#own
    // Indirect tables were not offered.
    if ((flags & ~(flagNext | flagWritable)) !== 0) throw new VhostFault(`descriptor with flags ${flags}`)
    if (((flags & flagWritable) !== 0) !== writable) throw new VhostFault('buffer for the other direction')
    const high = view.getUint32(at + 4, true)
    const length = view.getUint32(at + 8, true)
    if (high >= 2 ** 20 || length === 0) throw new VhostFault('buffer that is none')
    const address = high * 2 ** 32 + view.getUint32(at, true)
    this.segmentAt[this.segments] = this.#guest.physical(address, length)
    this.segmentLength[this.segments] = length
    this.segments++
    this.total += length
  }

  #addUsed(from: number, count: number): void {
    const own = this.#own.address + this.#usedAt + from * usedBytes
    this.#copies.add(this.#used + 4 + from * usedBytes, own, count * usedBytes)
  }
}

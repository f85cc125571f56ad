/**
 * The reverse of packer.ts, for datagrams that come late, never, or in another order. Whole frames are
 * given at once; what touches a neighbour datagram is kept until that one comes. A lost datagram costs the
 * frames that touch it and no other; nothing waits, no order is restored.
 */
import { ethernetHeaderBytes, maxFrameBytes } from './ethernet.ts'
import { dataHeaderBytes, frameHeaderBytes, frameKind, noFrame } from './packer.ts'

/** Sequence numbers that a trunk looks back. */
export const reorderWindow = 128

/** Room kept before each frame that is given, for a header of the port's (virtio_net_hdr_v1). */
export const frameHeadroom = 12

/** Takes a whole frame: `at` its first byte, with {@link frameHeadroom} bytes before it free to overwrite. */
export interface FrameSink {
  frame(tag: number, at: number, length: number): void
}

/** Where all trunks of a worker keep the datagrams that hold unfinished frames; full, it forgets the oldest. */
export class FragmentPool {
  readonly slotBytes: number
  readonly #base: number
  readonly #owner: (Unpacker | null)[]
  #next = 0

  /** `slots` slots from `base` on, each for the stream bytes of one datagram. */
  constructor(base: number, slots: number, slotBytes: number) {
    this.#base = base
    this.slotBytes = slotBytes
    this.#owner = Array.from({ length: slots }, () => null)
  }

  at(slot: number): number {
    return this.#base + slot * this.slotBytes
  }

  take(owner: Unpacker): number {
    const slot = this.#next
    this.#next = (slot + 1) % this.#owner.length
    this.#owner[slot]?.evict(slot)
    this.#owner[slot] = owner
    return slot
  }

  release(slot: number): void {
    this.#owner[slot] = null
  }
}

export class Unpacker {
  /** Frames whose header was no header: the rest of their datagram is lost. */
  malformed = 0

  readonly #memory: Uint8Array
  readonly #view: DataView
  readonly #pool: FragmentPool
  readonly #sink: FrameSink
  /** Where frames in pieces are put together: headroom, header and frame. */
  readonly #assembly: number
  /** By seq mod 128: the pool's slot (-1 none), its seq, stream bytes that end a frame (`head`), where an unfinished one starts (`tail`, -1 none), and all. */
  readonly #slot = new Int32Array(reorderWindow).fill(-1)
  readonly #seq = new Uint32Array(reorderWindow)
  readonly #head = new Int32Array(reorderWindow)
  readonly #tail = new Int32Array(reorderWindow)
  readonly #length = new Int32Array(reorderWindow)

  /** `assembly`: offset of {@link assemblyBytes} bytes, which several trunks may share. */
  constructor(memory: Uint8Array, view: DataView, pool: FragmentPool, assembly: number, sink: FrameSink) {
    this.#memory = memory
    this.#view = view
    this.#pool = pool
    this.#assembly = assembly
    this.#sink = sink
  }

  /** Takes the plaintext of an authentic, not repeated data datagram. It may be overwritten up to 16 bytes before `at`. */
  accept(at: number, length: number): void {
    const stream = at + dataHeaderBytes
    const bytes = length - dataHeaderBytes
    if (bytes <= 0 || bytes > this.#pool.slotBytes) return this.#reject()
    const seq = this.#view.getUint32(at)
    const first = this.#view.getUint16(at + 4)
    if (first !== noFrame && first >= bytes) return this.#reject()
    const head = first === noFrame ? bytes : first
    const tail = first === noFrame ? -1 : this.#tailStart(stream + first, stream + bytes) - stream
    const broken = tail < -1
    const unfinished = tail >= 0 && tail < bytes
    // Kept before frames are given, whose headroom runs over what lies before them.
    if (head > 0 || unfinished) this.#keep(seq, stream, bytes, head, unfinished ? tail : -1)
    // In the order of the stream: what a sender sent in order stays so.
    if (head > 0) this.#finish(seq)
    if (first !== noFrame && !broken) this.#give(stream + first, stream + (unfinished ? tail : bytes))
    if (unfinished) this.#assemble(seq)
  }

  /** The pool takes a slot back. */
  evict(slot: number): void {
    const index = this.#slot.indexOf(slot)
    if (index >= 0) this.#slot[index] = -1
  }

  /** Gives all slots back to the pool. */
  close(): void {
    for (let index = 0; index < reorderWindow; index++) this.#drop(index)
  }

  /** Where the frame starts that does not end before `end`; `end` when all end; far negative when a header is none. */
  #tailStart(from: number, end: number): number {
    let at = from
    while (end - at >= frameHeaderBytes) {
      const kind = this.#memory[at] as number
      if (kind === frameKind.padding) return end
      const length = this.#frameLength(at)
      if (length < 0) {
        this.malformed++
        return -0x40000000
      }
      if (end - at - frameHeaderBytes < length) return at
      at += frameHeaderBytes + length
    }
    return at
  }

  /** Length that the frame header at `at` tells; -1 when it is none of ours. */
  #frameLength(at: number): number {
    const word = this.#view.getUint32(at)
    const length = word & 0xffffff
    const good = word >>> 24 === frameKind.plain && length >= ethernetHeaderBytes && length <= maxFrameBytes
    return good ? length : -1
  }

  /** Gives the whole frames between `from` and `end`, where headers were checked. */
  #give(from: number, end: number): void {
    let at = from
    while (end - at >= frameHeaderBytes && this.#memory[at] !== frameKind.padding) {
      const length = this.#view.getUint32(at) & 0xffffff
      const next = at + frameHeaderBytes + length
      // The next header is read before the sink may use the headroom of its own frame only.
      this.#sink.frame(this.#view.getUint16(at + 4), at + frameHeaderBytes, length)
      at = next
    }
  }

  #keep(seq: number, stream: number, bytes: number, head: number, tail: number): void {
    const index = seq % reorderWindow
    const kept = (this.#slot[index] as number) >= 0
    // So late that its place is a newer one's: the rest of its frames was given up.
    if (kept && ((seq - (this.#seq[index] as number)) | 0) < 0) return
    this.#drop(index)
    const slot = this.#pool.take(this)
    this.#memory.copyWithin(this.#pool.at(slot), stream, stream + bytes)
    this.#slot[index] = slot
    this.#seq[index] = seq
    this.#head[index] = head
    this.#tail[index] = tail
    this.#length[index] = bytes
  }

  /** Completes the frame that ends in datagram `seq`, or goes on through it. */
  #finish(seq: number): void {
    const start = this.#startBefore(seq)
    if (start >= 0) this.#assemble(start)
  }

  /** The seq in which the frame that runs into `seq` starts; -1 when it is not here. */
  #startBefore(seq: number): number {
    for (let back = 1; back < reorderWindow; back++) {
      const before = (seq - back) >>> 0
      const index = this.#find(before)
      if (index < 0) return -1
      if ((this.#tail[index] as number) >= 0) return before
      if ((this.#head[index] as number) < (this.#length[index] as number)) return -1
    }
    return -1
  }

  /** Puts the frame that starts in `seq` together and gives it, if all of it is here. */
  #assemble(seq: number): void {
    const frame = this.#assembly + frameHeadroom
    let index = this.#find(seq)
    if (index < 0) return
    let filled = this.#append(index, this.#tail[index] as number, this.#length[index] as number, 0)
    let total = -1
    let last = seq
    for (let step = 1; step < reorderWindow; step++) {
      if (total < 0 && filled >= frameHeaderBytes) {
        const length = this.#frameLength(frame)
        if (length < 0) {
          this.malformed++
          return this.#consume(seq, last)
        }
        total = frameHeaderBytes + length
      }
      if (total >= 0 && filled >= total) break
      last = (seq + step) >>> 0
      index = this.#find(last)
      if (index < 0) return
      const head = this.#head[index] as number
      filled = this.#append(index, 0, head, filled)
      if (filled < 0) return this.#consume(seq, last)
      // A frame starts behind the head: this one must end there.
      if (head < (this.#length[index] as number) || (this.#tail[index] as number) >= 0) {
        if (total < 0 && filled >= frameHeaderBytes) total = frameHeaderBytes + this.#frameLength(frame)
        if (filled !== total) {
          this.malformed++
          return this.#consume(seq, last)
        }
      }
    }
    if (total < 0 || filled < total) return
    const tag = this.#view.getUint16(frame + 4)
    this.#consume(seq, last)
    this.#sink.frame(tag, frame + frameHeaderBytes, total - frameHeaderBytes)
  }

  /** Copies a part of a kept datagram behind what is assembled; -1 when it does not fit. */
  #append(index: number, from: number, to: number, filled: number): number {
    if (from < 0 || filled + to - from > maxFrameBytes + frameHeaderBytes) return -1
    const source = this.#pool.at(this.#slot[index] as number)
    this.#memory.copyWithin(this.#assembly + frameHeadroom + filled, source + from, source + to)
    return filled + to - from
  }

  /** Marks the pieces of a frame as used; a datagram without any other piece is dropped. */
  #consume(from: number, to: number): void {
    const first = this.#find(from)
    if (first >= 0) this.#tail[first] = -1
    for (let seq = from; seq !== to;) {
      seq = (seq + 1) >>> 0
      const index = this.#find(seq)
      if (index >= 0) this.#head[index] = 0
    }
    for (let seq = from; ; seq = (seq + 1) >>> 0) {
      const index = this.#find(seq)
      const used = index >= 0 && (this.#head[index] as number) === 0 && (this.#tail[index] as number) < 0
      if (used) this.#drop(index)
      if (seq === to) break
    }
  }

  #find(seq: number): number {
    const index = seq % reorderWindow
    return (this.#slot[index] as number) >= 0 && this.#seq[index] === seq ? index : -1
  }

  #drop(index: number): void {
    const slot = this.#slot[index] as number
    if (slot < 0) return
    this.#slot[index] = -1
    this.#pool.release(slot)
  }

  #reject(): void {
    this.malformed++
  }
}

/** Bytes of the area in which frames in pieces are put together. */
export const assemblyBytes: number = frameHeadroom + frameHeaderBytes + maxFrameBytes

/**
 * Frames laid end to end into one byte stream, cut into datagrams (the plaintext of a data datagram):
 *
 *     0 seq u32 │ 4 first u16 │ 6 zero u16 │ 8 bytes of the stream
 *     frame: 0 kind u8 │ 1 length u24 │ 4 vLAN tag u16 │ 6 Ethernet
 *
 * `first` is where in the stream bytes the first frame header starts, 0xffff for none. Nothing waits to be
 * packed: `finish` closes a short datagram at the end of a turn.
 */
import { maxPlaintextBytes } from './datagram.ts'

export const dataHeaderBytes = 8
export const frameHeaderBytes = 6
export const frameKind = { padding: 0, plain: 1 } as const
/** `first` of a datagram in which no frame starts. */
export const noFrame = 0xffff

/** Where datagrams go: `begin` gives the offset of an empty plaintext, `end` takes it with its length. */
export interface DatagramSink {
  begin(): number
  end(at: number, length: number): void
}

export class Packer {
  readonly #memory: Uint8Array
  readonly #view: DataView
  readonly #sink: DatagramSink
  #streamBytes: number
  /** Offset of the open datagram's plaintext, -1 when none is open. */
  #at = -1
  /** Stream bytes in it. */
  #filled = 0
  #first = noFrame
  #seq = 0
  /** Frame header under way. */
  readonly #header = new Uint8Array(frameHeaderBytes)

  /** Frames and datagrams lie in one memory. `plaintextBytes`: longest plaintext of a datagram. */
  constructor(
    memory: Uint8Array,
    view: DataView,
    sink: DatagramSink,
    plaintextBytes: number = maxPlaintextBytes
  ) {
    this.#memory = memory
    this.#view = view
    this.#sink = sink
    this.#streamBytes = plaintextBytes - dataHeaderBytes
  }

  /** Longest plaintext of the next datagram; to be set while none is open, or from the sink's `begin`. */
  limit(plaintextBytes: number): void {
    this.#streamBytes = plaintextBytes - dataHeaderBytes
  }

  /** Whether a datagram is open. */
  get open(): boolean {
    return this.#at >= 0
  }

  /** Lays the frame of `length` bytes at `at` into the stream under `tag`. */
  append(tag: number, at: number, length: number): void {
    const header = this.#header
    header[0] = frameKind.plain
    header[1] = length >>> 16
    header[2] = (length >>> 8) & 0xff
    header[3] = length & 0xff
    header[4] = tag >>> 8
    header[5] = tag & 0xff
    if (this.#at >= 0 && this.#filled === this.#streamBytes) this.#close()
    if (this.#at < 0) this.#begin()
    if (this.#first === noFrame) this.#first = this.#filled
    for (let i = 0; i < frameHeaderBytes; i++) {
      if (this.#filled === this.#streamBytes) this.#next()
      this.#memory[this.#at + dataHeaderBytes + this.#filled++] = header[i] as number
    }
    let from = at
    let left = length
    while (left > 0) {
      if (this.#filled === this.#streamBytes) this.#next()
      const take = Math.min(left, this.#streamBytes - this.#filled)
      this.#memory.copyWithin(this.#at + dataHeaderBytes + this.#filled, from, from + take)
      this.#filled += take
      from += take
      left -= take
    }
  }

  /** Closes the open datagram, if any; the next frame starts a new one. */
  finish(): void {
    if (this.#at >= 0) this.#close()
  }

  #next(): void {
    this.#close()
    this.#begin()
  }

  #begin(): void {
    this.#at = this.#sink.begin()
    this.#filled = 0
    this.#first = noFrame
  }

  #close(): void {
    const at = this.#at
    this.#view.setUint32(at, this.#seq)
    this.#view.setUint16(at + 4, this.#first)
    this.#view.setUint16(at + 6, 0)
    this.#seq = (this.#seq + 1) >>> 0
    this.#at = -1
    this.#sink.end(at, dataHeaderBytes + this.#filled)
  }
}

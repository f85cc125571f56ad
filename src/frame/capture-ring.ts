/**
 * Captured frames on their way from the forwarding worker to the slice's main thread: a bounded ring of shared
 * memory with one writer and one reader. The writer never waits: what has no room is counted and gone.
 *
 *     0 written u32 │ 4 taken u32 │ 8 told u32 │ 12 interfaces u32 │ 64 interfaces │ records
 *     interface   0 MAC, upper 16 bits │ 4 lower 32 │ 8 dropped u32 │ 12 zero
 *     record      0 length u32 │ 4 interface << 2 | way │ 8 seconds u32 │ 12 nanoseconds u32 │ 16 frame, to a multiple of 8
 */
import type { Stamp, Way } from './pcapng.ts'

/** vNICs of one capture, all that ever came counted: as many as a worker has ports. */
export const maxInterfaces = 1024
/** Room for records, a power of two: 13 ms of a gigabit, 1.3 s of ten megabits. */
const recordsBytes = 2 ** 21

const word = { written: 0, taken: 1, told: 2, interfaces: 3 } as const
const tableAt = 64
const entryBytes = 16
const recordsAt: number = tableAt + maxInterfaces * entryBytes
const headerBytes = 16
/** In place of a record's length: the next one begins at the ring's start. */
const wrapped = 0xffffffff

/** Memory for a ring, empty. */
export function captureMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(recordsAt + recordsBytes)
}

/** What both sides see. */
class Ring {
  protected readonly words: Uint32Array<SharedArrayBuffer>
  protected readonly bytes: Uint8Array<SharedArrayBuffer>

  constructor(memory: SharedArrayBuffer) {
    this.words = new Uint32Array(memory)
    this.bytes = new Uint8Array(memory)
  }

  protected entryWord(index: number): number {
    return (tableAt + index * entryBytes) / 4
  }
}

export class CaptureWriter extends Ring {
  /** The interface of a MAC, made when it is new; -1: the table is full. */
  interfaceOf(high: number, low: number): number {
    const count = this.words[word.interfaces] as number
    for (let index = 0; index < count; index++) {
      const at = this.entryWord(index)
      if (this.words[at] === high && this.words[at + 1] === low) return index
    }
    if (count === maxInterfaces) return -1
    const at = this.entryWord(count)
    this.words[at] = high
    this.words[at + 1] = low
    Atomics.store(this.words, word.interfaces, count + 1)
    return count
  }

  /** Adds the frame at `at` of a memory, or counts it as dropped. */
  put(index: number, direction: Way, stamp: Stamp, memory: Uint8Array, at: number, length: number): void {
    const written = this.words[word.written] as number
    const used = (written - Atomics.load(this.words, word.taken)) >>> 0
    const size = headerBytes + Math.ceil(length / 8) * 8
    const place = written % recordsBytes
    const tail = recordsBytes - place
    const needed = size <= tail ? size : tail + size
    if (used + needed > recordsBytes) {
      Atomics.add(this.words, this.entryWord(index) + 2, 1)
      return
    }
    let to = recordsAt + place
    if (size > tail) {
      this.words[to / 4] = wrapped
      to = recordsAt
    }
    const header = to / 4
    this.words[header] = length
    this.words[header + 1] = (index << 2) | direction
    this.words[header + 2] = stamp.seconds
    this.words[header + 3] = stamp.nanoseconds
    this.bytes.set(memory.subarray(at, at + length), to + headerBytes)
    // Only now may the reader see it.
    Atomics.store(this.words, word.written, (written + needed) >>> 0)
  }

  /** True where the reader is to be told that there is something: it was not since it last looked. */
  tell(): boolean {
    return Atomics.exchange(this.words, word.told, 1) === 0
  }
}

/** A record in the ring; its frame is valid until the next one is taken. */
export interface Captured {
  readonly interface: number
  readonly direction: Way
  readonly stamp: Stamp
  readonly frame: Uint8Array
}

export class CaptureReader extends Ring {
  /** The reader looks: what comes from now on is told again. */
  look(): void {
    Atomics.store(this.words, word.told, 0)
  }

  /** The oldest record that was not taken; null: none. */
  peek(): Captured | null {
    const written = Atomics.load(this.words, word.written)
    const taken = this.words[word.taken] as number
    if (written === taken) return null
    let at = recordsAt + (taken % recordsBytes)
    if (this.words[at / 4] === wrapped) at = recordsAt
    const header = at / 4
    const length = this.words[header] as number
    const kind = this.words[header + 1] as number
    return {
      interface: kind >>> 2,
      direction: (kind & 3) as Way,
      stamp: {
        seconds: this.words[header + 2] as number,
        nanoseconds: this.words[header + 3] as number
      },
      frame: this.bytes.subarray(at + headerBytes, at + headerBytes + length)
    }
  }

  /** Takes the record that {@link peek} gave; its frame's place is the writer's again. */
  take(): void {
    const taken = this.words[word.taken] as number
    const place = taken % recordsBytes
    const skipped = this.words[(recordsAt + place) / 4] === wrapped ? recordsBytes - place : 0
    const header = skipped > 0 ? recordsAt / 4 : (recordsAt + place) / 4
    const size = headerBytes + Math.ceil((this.words[header] as number) / 8) * 8
    Atomics.store(this.words, word.taken, (taken + skipped + size) >>> 0)
  }

  /** How many interfaces there are. */
  get interfaces(): number {
    return Atomics.load(this.words, word.interfaces)
  }

  macOf(index: number): { readonly high: number; readonly low: number } {
    const at = this.entryWord(index)
    return { high: this.words[at] as number, low: this.words[at + 1] as number }
  }

  droppedOf(index: number): number {
    return Atomics.load(this.words, this.entryWord(index) + 2)
  }
}

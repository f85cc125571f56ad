/**
 * Frames that wait for their time: a heap ordered by due time (then by arrival) over slots of one memory.
 * Never a sleep: the loop asks for the next due time.
 */

/** Longest frame that can wait, its headroom included. */
export const shaperSlotBytes = 2048

export class Shaper {
  /** Frames that found no slot, or were too long. */
  dropped = 0

  readonly #memory: Uint8Array
  readonly #base: number
  readonly #free: Int32Array
  #freeCount: number
  /** By slot. */
  readonly #length: Int32Array
  readonly #target: Int32Array
  readonly #due: Float64Array
  readonly #order: Float64Array
  /** Slots, a binary heap. */
  readonly #heap: Int32Array
  #size = 0
  #arrivals = 0

  /** `slots` slots of {@link shaperSlotBytes} from `base` on. */
  constructor(memory: Uint8Array, base: number, slots: number) {
    this.#memory = memory
    this.#base = base
    this.#free = Int32Array.from({ length: slots }, (_, slot) => slot)
    this.#freeCount = slots
    this.#length = new Int32Array(slots)
    this.#target = new Int32Array(slots)
    this.#due = new Float64Array(slots)
    this.#order = new Float64Array(slots)
    this.#heap = new Int32Array(slots)
  }

  /** When the next frame is due, ms; Infinity when none waits. */
  get nextDueMs(): number {
    return this.#size === 0 ? Infinity : (this.#due[this.#heap[0] as number] as number)
  }

  /** Copies `length` bytes at `at`, due at `dueMs`; `target` is the caller's. False: dropped. */
  push(dueMs: number, target: number, at: number, length: number): boolean {
    if (this.#freeCount === 0 || length > shaperSlotBytes) {
      this.dropped++
      return false
    }
    const slot = this.#free[--this.#freeCount] as number
    const to = this.#base + slot * shaperSlotBytes
    this.#memory.copyWithin(to, at, at + length)
    this.#length[slot] = length
    this.#target[slot] = target
    this.#due[slot] = dueMs
    this.#order[slot] = this.#arrivals++
    this.#up(this.#size++, slot)
    return true
  }

  /**
   * Takes the frame that is due first, if it is due by `nowMs`; gives its slot or -1. The slot's bytes are good
   * until {@link release}.
   */
  pop(nowMs: number): number {
    if (this.nextDueMs > nowMs) return -1
    const slot = this.#heap[0] as number
    const last = this.#heap[--this.#size] as number
    if (this.#size > 0) this.#down(last)
    return slot
  }

  at(slot: number): number {
    return this.#base + slot * shaperSlotBytes
  }

  length(slot: number): number {
    return this.#length[slot] as number
  }

  target(slot: number): number {
    return this.#target[slot] as number
  }

  release(slot: number): void {
    this.#free[this.#freeCount++] = slot
  }

  #before(left: number, right: number): boolean {
    const difference = (this.#due[left] as number) - (this.#due[right] as number)
    return (
      difference < 0 || (difference === 0 && (this.#order[left] as number) < (this.#order[right] as number))
    )
  }

  #up(from: number, slot: number): void {
    let at = from
    while (at > 0) {
      const parent = (at - 1) >> 1
      const other = this.#heap[parent] as number
      if (!this.#before(slot, other)) break
      this.#heap[at] = other
      at = parent
    }
    this.#heap[at] = slot
  }

  #down(slot: number): void {
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= this.#size) break
      if (
        child + 1 < this.#size &&
        this.#before(this.#heap[child + 1] as number, this.#heap[child] as number)
      ) {
        child++
      }
      const other = this.#heap[child] as number
      if (!this.#before(other, slot)) break
      this.#heap[at] = other
      at = child
    }
    this.#heap[at] = slot
  }
}

/**
 * Virtual time: one queue of events in order of time, then of scheduling. Nothing else moves a simulation, so
 * equal seeds give equal runs.
 */

/** Events at one instant: more is a circle of causes without time between them. */
const maxAtOnce = 2_000_000

interface Event {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

export class Clock {
  /** Milliseconds since the world began. */
  now = 0
  /** Events that ran. */
  count = 0
  /** A binary heap. */
  readonly #heap: Event[] = []
  #order = 0

  get waiting(): number {
    return this.#heap.length
  }

  /** Runs `run` at a time, which must not be over. */
  at(at: number, run: () => void): void {
    if (!(at >= this.now)) throw new RangeError(`an event at ${at}, when it is ${this.now}`)
    this.#push({ at, order: this.#order++, run })
  }

  after(ms: number, run: () => void): void {
    this.at(this.now + ms, run)
  }

  /** Lets time pass until `until`, or until `stop` says so after an event. */
  run(until: number, stop: () => boolean = () => false): void {
    let atOnce = 0
    for (;;) {
      const next = this.#heap[0]
      if (next === undefined || next.at > until) break
      this.#pop()
      atOnce = next.at > this.now ? 0 : atOnce + 1
      if (atOnce > maxAtOnce) throw new Error(`no end of events at ${this.now} ms`)
      this.now = next.at
      this.count++
      next.run()
      if (stop()) return
    }
    this.now = until
  }

  #push(event: Event): void {
    const heap = this.#heap
    let place = heap.length
    heap.push(event)
    while (place > 0) {
      const above = (place - 1) >>> 1
      const parent = heap[above] as Event
      if (!isBefore(event, parent)) break
      heap[place] = parent
      place = above
    }
    heap[place] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as Event
    if (heap.length === 0) return
    let place = 0
    for (;;) {
      let below = 2 * place + 1
      if (below >= heap.length) break
      const right = below + 1
      if (right < heap.length && isBefore(heap[right] as Event, heap[below] as Event)) below = right
      const child = heap[below] as Event
      if (!isBefore(child, last)) break
      heap[place] = child
      place = below
    }
    heap[place] = last
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}

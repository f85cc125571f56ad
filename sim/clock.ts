/**
 * Virtual time: one queue of events in order of time, then of scheduling. Nothing else moves a simulation, so
 * equal seeds give equal runs.
 */

/** Events at one instant: more is a circle of causes without time between them. */
const maxAtOnce = 2_000_000

/** Children of a place in the heap: their times share a line of the processor's cache. */
const fanOut = 4

export class Clock {
  /** Milliseconds since the world began. */
  now = 0
  /** Events that ran. */
  count = 0
  /** A heap, in columns: what an event does is looked at only when it runs. */
  #times = new Float64Array(1_024)
  #orders = new Float64Array(1_024)
  readonly #runs: (() => void)[] = []
  #order = 0

  get waiting(): number {
    return this.#runs.length
  }

  /** When the next event comes; Infinity: none waits. */
  get nextAt(): number {
    return this.waiting === 0 ? Infinity : (this.#times[0] as number)
  }

  /** Runs `run` at a time, which must not be over. */
  at(at: number, run: () => void): void {
    if (!(at >= this.now)) throw new RangeError(`an event at ${at}, when it is ${this.now}`)
    this.#push(at, run)
  }

  after(ms: number, run: () => void): void {
    this.at(this.now + ms, run)
  }

  /** Lets time pass until `until`, or until `stop` says so after an event. */
  run(until: number, stop: () => boolean = () => false): void {
    let atOnce = 0
    for (;;) {
      const next = this.#runs[0]
      const at = this.#times[0] as number
      if (next === undefined || at > until) break
      this.#pop()
      atOnce = at > this.now ? 0 : atOnce + 1
      if (atOnce > maxAtOnce) throw new Error(`no end of events at ${this.now} ms`)
      this.now = at
      this.count++
      next()
      if (stop()) return
    }
    this.now = until
  }

  #push(at: number, run: () => void): void {
    const runs = this.#runs
    let place = runs.length
    if (place === this.#times.length) this.#grow()
    runs.push(run)
    // The newest of equal times comes last.
    while (place > 0) {
      const above = Math.floor((place - 1) / fanOut)
      if (at >= (this.#times[above] as number)) break
      this.#move(above, place)
      place = above
    }
    this.#put(place, at, this.#order++, run)
  }

  #pop(): void {
    const last = this.#runs.length - 1
    const at = this.#times[last] as number
    const order = this.#orders[last] as number
    const run = this.#runs.pop() as () => void
    let place = 0
    for (;;) {
      const first = fanOut * place + 1
      if (first >= last) break
      const end = Math.min(first + fanOut, last)
      let next = first
      for (let child = first + 1; child < end; child++) if (this.#isBefore(child, next)) next = child
      const nextAt = this.#times[next] as number
      if (nextAt > at || (nextAt === at && (this.#orders[next] as number) > order)) break
      this.#move(next, place)
      place = next
    }
    if (last > 0) this.#put(place, at, order, run)
  }

  #isBefore(a: number, b: number): boolean {
    const later = (this.#times[a] as number) - (this.#times[b] as number)
    return later < 0 || (later === 0 && (this.#orders[a] as number) < (this.#orders[b] as number))
  }

  #move(from: number, to: number): void {
    this.#times[to] = this.#times[from] as number
    this.#orders[to] = this.#orders[from] as number
    this.#runs[to] = this.#runs[from] as () => void
  }

  #put(place: number, at: number, order: number, run: () => void): void {
    this.#times[place] = at
    this.#orders[place] = order
    this.#runs[place] = run
  }

  #grow(): void {
    const [times, orders] = [this.#times, this.#orders]
    this.#times = new Float64Array(2 * times.length)
    this.#orders = new Float64Array(2 * orders.length)
    this.#times.set(times)
    this.#orders.set(orders)
  }
}

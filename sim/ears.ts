/**
 * Signs of life of other hosts, as one host hears them: numbers in columns, for each is touched twice a second, and
 * every host has ten.
 */
import type { HostId, Instant } from '#core/ids.ts'

/** Its eight watchers, and some that asked it or told it something. */
const usual = 12

export class Ears {
  /** Who is heard, by place. */
  readonly ids: HostId[] = []
  readonly #places = new Map<HostId, number>()
  /** When the last was read, and when the next arrives; Infinity: none was sent. */
  #lastAt = new Float64Array(usual)
  #nextAt = new Float64Array(usual)
  /** What comes after the next, by place: mostly nothing. */
  readonly #later = new Map<number, number[]>()

  /** Null: never heard, though something may be on its way. */
  lastAt(id: HostId): Instant | null {
    const place = this.#places.get(id)
    const at = place === undefined ? undefined : this.#lastAt[place]
    return at === undefined || at === -Infinity ? null : (at as Instant)
  }

  /** Where what is heard of a host stands; it stays there. */
  placeOf(id: HostId): number {
    const known = this.#places.get(id)
    if (known !== undefined) return known
    const place = this.ids.push(id) - 1
    if (place === this.#lastAt.length) {
      this.#lastAt = twice(this.#lastAt)
      this.#nextAt = twice(this.#nextAt)
    }
    this.#places.set(id, place)
    this.#lastAt[place] = -Infinity
    this.#nextAt[place] = Infinity
    return place
  }

  /** Something of it is here now. */
  hear(place: number, now: number): void {
    this.#lastAt[place] = now
  }

  /** Not before what was sent before. */
  comes(place: number, at: number): void {
    if (this.#nextAt[place] === Infinity) this.#nextAt[place] = at
    else this.#later.set(place, [...(this.#later.get(place) ?? []), at])
  }

  /** Reads what is here; `heard` is told of whom. */
  read(now: number, heard: (place: number) => void): void {
    for (let place = 0; place < this.ids.length; place++) {
      if ((this.#nextAt[place] as number) > now) continue
      while ((this.#nextAt[place] as number) <= now) this.#nextAt[place] = this.#takeLater(place)
      heard(place)
    }
  }

  #takeLater(place: number): number {
    const later = this.#later.get(place)
    if (later === undefined) return Infinity
    if (later.length === 1) this.#later.delete(place)
    return later.shift() as number
  }
}

function twice(column: Float64Array): Float64Array<ArrayBuffer> {
  const longer = new Float64Array(2 * column.length)
  longer.set(column)
  return longer
}

/**
 * Who watches whom: all members on a ring, each at the hash of its name, so that nobody chooses a place.
 * The relation is mutual: who is among a host's nearest has the host among its own.
 */
import { ascii } from '../derive.ts'
import type { Crypto, HostId, PublicKey } from '../ids.ts'

interface Seat {
  readonly host: HostId
  /** 48 bits of hash. */
  readonly at: number
}

export class Ring {
  readonly #root: PublicKey
  readonly #crypto: Pick<Crypto, 'sha256'>
  /** Invariant: in order of place, then of name. */
  readonly #seats: Seat[] = []
  readonly #seatOf = new Map<HostId, Seat>()

  constructor(root: PublicKey, crypto: Pick<Crypto, 'sha256'>) {
    this.#root = root
    this.#crypto = crypto
  }

  get size(): number {
    return this.#seats.length
  }

  has(host: HostId): boolean {
    return this.#seatOf.has(host)
  }

  hosts(): readonly HostId[] {
    return [...this.#seatOf.keys()]
  }

  /** False where it is there already. */
  add(host: HostId): boolean {
    if (this.#seatOf.has(host)) return false
    const seat = { host, at: this.#place(host) }
    this.#seatOf.set(host, seat)
    this.#seats.splice(this.#indexOf(seat), 0, seat)
    return true
  }

  /** False where it is not there. */
  delete(host: HostId): boolean {
    const seat = this.#seatOf.get(host)
    if (seat === undefined) return false
    this.#seatOf.delete(host)
    this.#seats.splice(this.#indexOf(seat), 1)
    return true
  }

  /** The nearest on either side that are not skipped, each once; none for who is not on the ring. */
  nearest(host: HostId, perSide: number, skip: (host: HostId) => boolean): readonly HostId[] {
    const seat = this.#seatOf.get(host)
    if (seat === undefined) return []
    const found = new Set<HostId>()
    const from = this.#indexOf(seat)
    for (const step of [1, -1]) {
      let left = perSide
      for (let walked = 1; walked < this.size && left > 0; walked++) {
        const at = (from + step * walked + walked * this.size) % this.size
        const { host: other } = this.#seats[at] as Seat
        if (skip(other)) continue
        left--
        found.add(other)
      }
    }
    return [...found]
  }

  /** Members at places drawn by the host's own name: ways across the ring, the same at every look. */
  across(host: HostId, count: number): readonly HostId[] {
    const found = new Set<HostId>()
    for (let i = 0; i < count && this.size > 0; i++) {
      const at = this.#indexOf({ host, at: this.#place(`${host} ${i}`) }) % this.size
      found.add((this.#seats[at] as Seat).host)
    }
    found.delete(host)
    return [...found]
  }

  #place(name: string): number {
    const digest = this.#crypto.sha256(ascii(`violin ring ${this.#root} ${name}`))
    const view = new DataView(digest.buffer, digest.byteOffset)
    return view.getUint32(0) * 0x1_0000 + view.getUint16(4)
  }

  /** Where the seat is, or would be. */
  #indexOf(seat: Seat): number {
    let low = 0
    let high = this.#seats.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (isBefore(this.#seats[middle] as Seat, seat)) low = middle + 1
      else high = middle
    }
    return low
  }
}

function isBefore(a: Seat, b: Seat): boolean {
  return a.at < b.at || (a.at === b.at && a.host < b.host)
}

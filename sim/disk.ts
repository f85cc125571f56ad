/**
 * What a host's store holds, as far as it differs from what its daemon has in memory: what was to be written
 * while the disk was full. While all is well nothing is kept twice.
 */
import type { SignedRecord } from '#core/records/record.ts'

export class Disk {
  #full = 0
  /** By place in the store: the bytes that stand there instead; null: none. */
  readonly #behind = new Map<string, Uint8Array | null>()

  get isFull(): boolean {
    return this.#full > 0
  }

  fill(): void {
    this.#full++
  }

  free(): void {
    this.#full--
  }

  /** A batch of changes is to be written. */
  write(accepted: readonly SignedRecord[], removed: readonly SignedRecord[]): void {
    const { isFull } = this
    if (!isFull && this.#behind.size === 0) return
    const former = new Map(removed.map((record) => [placeOf(record), record.bytes]))
    const places = new Set([...accepted.map(placeOf), ...former.keys()])
    for (const place of places) {
      if (!isFull) this.#behind.delete(place)
      else if (!this.#behind.has(place)) this.#behind.set(place, former.get(place) ?? null)
    }
  }

  /** What a daemon that starts finds, given what the last one had in memory; null: the same. */
  read(memory: () => readonly SignedRecord[]): readonly Uint8Array[] | null {
    if (this.#behind.size === 0) return null
    const kept = memory().filter((record) => !this.#behind.has(placeOf(record)))
    const behind = [...this.#behind.values()].filter((bytes) => bytes !== null)
    this.#behind.clear()
    return [...kept.map(({ bytes }) => bytes), ...behind]
  }

  /** Other contents take the place of all. */
  replaced(): void {
    this.#behind.clear()
  }
}

function placeOf(record: SignedRecord): string {
  return `${record.kind} ${record.author} ${record.key}`
}

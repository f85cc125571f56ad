/** What happened on this host and why: a bounded journal that people read with `violin events`. */
import { EventClock } from '#core/event-clock.ts'
import type { ViolinId, WallTime } from '#core/ids.ts'
import type { EventRow } from '#api/contract.ts'

/** Entries kept. */
const journalLength = 1000

/** The VIOLIN that an event is about, and what it was called then. */
export interface Subject {
  readonly id: ViolinId
  readonly name: string
}

export class Journal {
  readonly #rows: EventRow[] = []
  readonly #violins = new WeakMap<EventRow, ViolinId>()
  readonly #clock = new EventClock()
  readonly #followers = new Set<(row: EventRow) => void>()

  /** Notes an event; `violin` is null for the host itself. */
  note(kind: string, violin: Subject | null, text: string): void {
    const at = stampText(this.#clock.stamp(Date.now() as WallTime))
    const row: EventRow = { at, kind, violin: violin?.name ?? null, text }
    if (violin !== null) this.#violins.set(row, violin.id)
    this.#rows.push(row)
    if (this.#rows.length > journalLength) this.#rows.shift()
    for (const follower of this.#followers) follower(row)
  }

  /** Another host's word, given at `at` by its clock, is known here: what is noted from now on stands after it. */
  heard(at: WallTime): void {
    this.#clock.heard(at, Date.now() as WallTime)
  }

  /** The kept entries of one VIOLIN, oldest first. */
  of(violin: ViolinId): readonly EventRow[] {
    return this.#rows.filter((row) => this.#violins.get(row) === violin)
  }

  /**
   * All kept entries, oldest first; then, when `follow`, new ones until the reader returns. Not a generator:
   * one that waits inside `next` could not be ended from outside.
   */
  read(follow: boolean): AsyncIterableIterator<EventRow> {
    const waiting = [...this.#rows]
    let ended = false
    let wake = (): void => {}
    const follower = (row: EventRow): void => {
      // A reader that does not keep up loses the oldest, as the journal itself does.
      if (waiting.push(row) > journalLength) waiting.shift()
      wake()
    }
    const end = (): IteratorResult<EventRow> => {
      ended = true
      this.#followers.delete(follower)
      wake()
      return { done: true, value: undefined }
    }
    if (follow) this.#followers.add(follower)
    return {
      [Symbol.asyncIterator]() {
        return this
      },
      async next() {
        for (;;) {
          const row = ended ? undefined : waiting.shift()
          if (row !== undefined) return { done: false, value: row }
          if (ended || !follow) return end()
          await new Promise<void>((resolve) => (wake = resolve))
        }
      },
      return: () => Promise.resolve(end())
    }
  }
}

/** ISO 8601 with microseconds: in order as text, too. */
function stampText(stampUs: number): string {
  const us = String(stampUs % 1_000).padStart(3, '0')
  return new Date(Math.floor(stampUs / 1_000)).toISOString().replace('Z', `${us}Z`)
}

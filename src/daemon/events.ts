/** What happened on this host and why: a bounded journal that people read with `violin events`. */
import type { EventRow } from '#api/contract.ts'

/** Entries kept. */
const journalLength = 1000

export class Journal {
  readonly #rows: EventRow[] = []
  #lastMs = 0
  readonly #followers = new Set<(row: EventRow) => void>()

  /** Notes an event; `violin` is the VIOLIN's name, or null for the host itself. */
  note(kind: string, violin: string | null, text: string): void {
    // A clock that was set back does not put what came later before what came earlier.
    this.#lastMs = Math.max(Date.now(), this.#lastMs)
    const row: EventRow = { at: new Date(this.#lastMs).toISOString(), kind, violin, text }
    this.#rows.push(row)
    if (this.#rows.length > journalLength) this.#rows.shift()
    for (const follower of this.#followers) follower(row)
  }

  /** The kept entries of one VIOLIN, oldest first. */
  of(violin: string): readonly EventRow[] {
    return this.#rows.filter((row) => row.violin === violin)
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

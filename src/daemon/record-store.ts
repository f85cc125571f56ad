/**
 * The records in the store of this host. What cannot be written stays in memory and is tried again.
 */
import { errorData } from '#core/errors.ts'
import type { SignedRecord } from '#core/records/record.ts'
import type { Store } from '#store/contract.ts'

const section = 'records'

/** A record, or what this host signed of a VIOLIN, to be kept, or (null) dropped. */
export interface RecordChange {
  /** Where it is no record. */
  readonly section?: 'signed'
  readonly key: string
  readonly value: Uint8Array | null
}

export class RecordStore {
  readonly #store: Store
  readonly #tell: (kind: string, text: string) => void
  #failed = false
  /** What could not be written yet, by its key: those of the two sections differ. */
  readonly #unwritten = new Map<string, RecordChange>()

  /** `tell`: what people should know of a store that fails, or works again. */
  constructor(store: Store, tell: (kind: string, text: string) => void) {
    this.#store = store
    this.#tell = tell
  }

  entries(): readonly { readonly key: string; readonly value: Uint8Array }[] {
    return this.#store.entries(section)
  }

  /** What this host signed last, by VIOLIN. */
  signed(): readonly { readonly key: string; readonly value: Uint8Array }[] {
    return this.#store.entries('signed')
  }

  get(key: string): Uint8Array | null {
    return this.#store.get(section, key)
  }

  /** Writes all of this or nothing: resolved, it survives power loss. Rejects where it cannot be written. */
  async promise(changes: readonly RecordChange[]): Promise<void> {
    try {
      await this.#store.write(
        changes.map((change) => ({ section, ...change })),
        { sync: true }
      )
    } catch (error: unknown) {
      this.#tellFailed(error)
      throw error
    }
  }

  /** Writes these changes and all that wait, with `sync` so that they survive power loss; what fails waits. */
  async write(changes: readonly RecordChange[], sync: boolean): Promise<void> {
    const all = new Map(this.#unwritten)
    for (const change of changes) all.set(change.key, change)
    if (all.size === 0) return
    try {
      const writes = Array.from(all.values(), (change) => ({ section, ...change }))
      await this.#store.write(writes, { sync: sync || this.#failed })
    } catch (error: unknown) {
      this.#tellFailed(error)
      for (const [key, change] of all) this.#unwritten.set(key, change)
      return
    }
    for (const [key, change] of all) if (this.#unwritten.get(key) === change) this.#unwritten.delete(key)
    if (!this.#failed || this.#unwritten.size > 0) return
    this.#failed = false
    this.#tell('store-well', 'the store is written again')
  }

  #tellFailed(error: unknown): void {
    const { message, remedy } = errorData(error)
    if (!this.#failed) this.#tell('store-failed', `${message}; ${remedy}`)
    this.#failed = true
  }
}

/** Where a record is kept. */
export function storeKey(record: SignedRecord): string {
  return `${record.kind} ${record.author} ${record.key}`
}

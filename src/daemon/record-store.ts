/**
 * The records in the store of this host. What cannot be written stays in memory and is tried again.
 */
import { errorData } from '#core/errors.ts'
import type { SignedRecord } from '#core/records/record.ts'
import type { Store } from '#store/contract.ts'

const section = 'records'

/** A record to be kept, or (null) dropped. */
export interface RecordChange {
  readonly key: string
  readonly value: Uint8Array | null
}

export class RecordStore {
  readonly #store: Store
  readonly #tell: (kind: string, text: string) => void
  #failed = false
  /** What could not be written yet, by its key. */
  readonly #unwritten = new Map<string, RecordChange>()

  /** `tell`: what people should know of a store that fails, or works again. */
  constructor(store: Store, tell: (kind: string, text: string) => void) {
    this.#store = store
    this.#tell = tell
  }

  entries(): readonly { readonly key: string; readonly value: Uint8Array }[] {
    return this.#store.entries(section)
  }

  get(key: string): Uint8Array | null {
    return this.#store.get(section, key)
  }

  /**
   * Writes these changes and all that wait. With `promised` it resolves when they survive power loss, and rejects
   * where they cannot; without, what fails waits for the next call.
   */
  async write(changes: readonly RecordChange[], promised: boolean): Promise<void> {
    const all = new Map(this.#unwritten)
    for (const change of changes) all.set(change.key, change)
    if (all.size === 0) return
    try {
      const writes = Array.from(all.values(), (change) => ({ section, ...change }))
      await this.#store.write(writes, { sync: promised || this.#failed })
    } catch (error: unknown) {
      const { message, remedy } = errorData(error)
      if (!this.#failed) this.#tell('store-failed', `${message}; ${remedy}`)
      this.#failed = true
      for (const [key, change] of all) this.#unwritten.set(key, change)
      if (promised) throw error
      return
    }
    for (const [key, change] of all) if (this.#unwritten.get(key) === change) this.#unwritten.delete(key)
    if (!this.#failed || this.#unwritten.size > 0) return
    this.#failed = false
    this.#tell('store-well', 'the store is written again')
  }
}

/** Where a record is kept. */
export function storeKey(record: SignedRecord): string {
  return `${record.kind} ${record.author} ${record.key}`
}

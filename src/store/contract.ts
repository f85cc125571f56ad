/** What survives a restart. One folder, one process; identity keys live in files beside it, not in it. */

export interface Store {
  /** Value under a key of a section, or null. */
  get(section: string, key: string): Uint8Array | null
  /** All of a section, in key order. */
  entries(section: string): readonly { readonly key: string; readonly value: Uint8Array }[]
  /** Writes and deletes (null) as one unit; resolved means it survives kill -9, and power loss when `sync`. */
  write(
    changes: readonly { readonly section: string; readonly key: string; readonly value: Uint8Array | null }[],
    options?: { readonly sync?: boolean }
  ): Promise<void>
  close(): Promise<void>
}

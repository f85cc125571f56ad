/**
 * The {@link Store} that forgets: for tests and for the simulator of a host's restart. One contract suite
 * runs on it and on level.
 */
import assert from 'node:assert/strict'
import { assertKey, assertSection } from './key.ts'
import type { Store } from './contract.ts'

/** A store in memory. `disk` outlives it: a second store on the same map sees what the first one wrote. */
export function memoryStore(disk: Map<string, Map<string, Uint8Array>> = new Map()): Store {
  let open = true
  const sectionOf = (section: string): Map<string, Uint8Array> => {
    assert.ok(open, 'the store is closed')
    assertSection(section)
    return disk.get(section) ?? new Map()
  }
  return {
    get(section, key) {
      assertKey(key)
      return sectionOf(section).get(key)?.slice() ?? null
    },
    entries(section) {
      const entries = [...sectionOf(section)].map(([key, value]) => ({ key, value: value.slice() }))
      return entries.toSorted((a, b) => (a.key < b.key ? -1 : 1))
    },
    async write(changes) {
      for (const { section, key } of changes) {
        sectionOf(section)
        assertKey(key)
      }
      for (const { section, key, value } of changes) {
        const values = sectionOf(section)
        if (value === null) values.delete(key)
        else values.set(key, value.slice())
        disk.set(section, values)
      }
    },
    async close() {
      open = false
    }
  }
}

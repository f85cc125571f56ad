/**
 * What names a value: a section (our own word) and a key in it.
 */
import assert from 'node:assert/strict'

/** Longest key, in UTF-16 units; bounds what the index of keys holds in memory. */
export const MAX_KEY_LENGTH = 512

/** A section is a word of ours, never input: anything else is a defect. */
export function assertSection(section: string): void {
  assert.match(section, /^[a-z][a-z0-9-]{0,31}$/, `not a section: ${section}`)
}

/** A key is not empty, not too long, and well-formed Unicode (UTF-8 would change it). */
export function assertKey(key: string): void {
  assert.ok(key.length > 0 && key.length <= MAX_KEY_LENGTH && key.isWellFormed(), 'not a key')
}

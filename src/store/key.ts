/**
 * What names a value: a section (our own word) and a key in it.
 */
import assert from 'node:assert/strict'

const sectionPattern = /^[a-z][a-z0-9-]{0,31}$/
const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Longest key, in UTF-16 units; bounds what the index of keys holds in memory. */
export const MAX_KEY_LENGTH = 512

/** A section is a word of ours, never input: anything else is a defect. */
export function assertSection(section: string): void {
  assert.match(section, sectionPattern, `not a section: ${section}`)
}

/** A key is not empty, not too long, and well-formed Unicode (UTF-8 would change it). */
export function assertKey(key: string): void {
  assert.ok(isKey(key), 'not a key')
}

function isKey(key: string): boolean {
  return key.length > 0 && key.length <= MAX_KEY_LENGTH && key.isWellFormed()
}

/** One flat key: sections hold no `!`, so the first one ends the section. */
export function flat(section: string, key: string): string {
  assertSection(section)
  assertKey(key)
  return `${section}!${key}`
}

/** What a {@link flat} key on a disk names; null: it is none, for a disk is input. */
export function parted(bytes: Uint8Array): { readonly section: string; readonly key: string } | null {
  try {
    const [section = '', ...rest] = text.decode(bytes).split('!')
    const key = rest.join('!')
    return sectionPattern.test(section) && isKey(key) ? { section, key } : null
  } catch {
    return null
  }
}

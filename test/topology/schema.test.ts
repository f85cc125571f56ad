import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { jsonSchema, laterWords, wordsAt } from '#topology/schema.ts'

const published = readFileSync(new URL('../../config/topology.schema.json', import.meta.url), 'utf8')

test('the published schema is the one by which files are checked (else: bin/run tools/topology-schema.ts)', () => {
  assert.equal(published, `${JSON.stringify(jsonSchema(), null, 2)}\n`)
})

test('the published schema knows every word of the language and none that comes later', () => {
  const words = new Set([...published.matchAll(/"(\w+)": \{/g)].map(([, word]) => word as string))
  for (const word of [...wordsAt.values()].flat()) assert.ok(words.has(word), word)
  for (const word of laterWords) assert.ok(!words.has(word), word)
})

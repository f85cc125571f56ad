import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nextGeneration } from '#daemon/generation.ts'
import { memoryStore } from '#store/memory.ts'

function storeWith(generation: string): ReturnType<typeof memoryStore> {
  return memoryStore(new Map([['daemon', new Map([['generation', new TextEncoder().encode(generation)]])]]))
}

test('each start counts one more', async () => {
  const store = storeWith('7')
  assert.deepEqual([await nextGeneration(store, false), await nextGeneration(store, false)], [8, 9])
})

test('after a store that was lost or mended no start counts lower than one before it', async () => {
  const seconds = Math.floor(Date.now() / 1000)
  for (const store of [memoryStore(), storeWith('rubbish'), storeWith('7')])
    assert.ok((await nextGeneration(store, true)) >= seconds)
  assert.ok((await nextGeneration(memoryStore(), false)) >= seconds)
  assert.equal(await nextGeneration(storeWith('9000000000'), true), 9_000_000_001)
})

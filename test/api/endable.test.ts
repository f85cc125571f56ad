import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { endable } from '#api/endable.ts'

async function* waiting({ signal }: AbortController): AsyncGenerator<string, void, void> {
  yield 'first'
  if (!signal.aborted) await once(signal, 'abort')
}

test(
  'a stream ends when its reader returns, also while it waits for its next row',
  { timeout: 10_000 },
  async () => {
    const rows = endable(waiting)
    assert.deepEqual(await rows.next(), { done: false, value: 'first' })
    const next = rows.next()
    await rows.return?.()
    assert.deepEqual(await next, { done: true, value: undefined })
  }
)

/** Commands for a VIOLIN that this host does not hold. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ViolinError } from '#core/errors.ts'
import type { Show } from '#api/contract.ts'
import { sayingWhere } from '#daemon/elsewhere.ts'
import { createMemoryService } from '../api/memory-service.ts'

const unknown = new ViolinError('unknown-violin', 'this host knows no VIOLIN net@purdue', 'it knows other')
const refuse = (): Promise<never> => Promise.reject(unknown)
const refuseLater = (): AsyncIterableIterator<never> => ({
  [Symbol.asyncIterator]() {
    return this
  },
  next: refuse
})

test('who asks here for what only a host of a VIOLIN can do is told which hosts those are', async () => {
  const memory = createMemoryService()
  const shown = { name: 'net', owner: 'purdue', hosts: ['purdue', 'washington'] } as unknown as Show
  const looked: string[] = []
  const service = sayingWhere(
    { ...memory, wait: refuse, session: refuse, delete: refuseLater, events: refuseLater, show: refuse },
    (name) => {
      looked.push(name)
      return Promise.resolve(name === 'net@purdue' ? shown : null)
    }
  )
  const first = (rows: AsyncIterable<unknown>): Promise<unknown> => rows[Symbol.asyncIterator]().next()
  for (const request of [
    () => service.wait({ name: 'net@purdue', for: 'running', timeoutMs: 1 }),
    () => service.session({ violin: 'net@purdue', entity: 'a', argv: [] }),
    () => service.show({ name: 'net@purdue', here: true }),
    () => first(service.delete({ name: 'net@purdue', timeoutMs: 1 })),
    () => first(service.events({ violin: 'net@purdue', follow: false }))
  ])
    await assert.rejects(request(), (error) => {
      assert.ok(error instanceof ViolinError)
      assert.equal(error.code, 'unknown-violin')
      assert.match(error.message, /^net@purdue runs elsewhere/)
      assert.equal(error.remedy, 'run this on purdue, washington (its owner: purdue)')
      return true
    })
  await assert.rejects(service.wait({ name: 'x', for: 'gone', timeoutMs: 1 }), unknown)
  await assert.rejects(service.show({ name: 'net@purdue' }), unknown)
  assert.equal(looked.length, 6)
  assert.deepEqual(await service.about({}), await memory.about({}))
})

test('a stream that waits is ended from outside all the same', async () => {
  const over = Promise.withResolvers<IteratorResult<never>>()
  const waiting: AsyncIterableIterator<never> = {
    [Symbol.asyncIterator]() {
      return this
    },
    next: () => over.promise,
    return() {
      over.resolve({ done: true, value: undefined })
      return over.promise
    }
  }
  const service = sayingWhere({ ...createMemoryService(), events: () => waiting }, () =>
    Promise.resolve(null)
  )
  const rows = service.events({ follow: true })[Symbol.asyncIterator]()
  const next = rows.next()
  await Promise.resolve()
  await rows.return?.()
  assert.deepEqual(await next, { done: true, value: undefined })
})

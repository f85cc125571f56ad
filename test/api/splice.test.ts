import assert from 'node:assert/strict'
import { once } from 'node:events'
import { duplexPair, PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { splice } from '#api/splice.ts'

test('what the callee said last reaches the caller, though the caller still speaks', async () => {
  const [caller, outer] = duplexPair()
  const [inner, callee] = duplexPair()
  splice(outer, inner)
  caller.write('more and more')
  callee.end('the last words')
  assert.equal(await text(caller), 'the last words')
})

test('a caller that goes takes the callee along', async () => {
  const [caller, outer] = duplexPair()
  const [inner] = duplexPair()
  splice(outer, inner)
  const closed = once(inner, 'close')
  outer.destroy()
  caller.destroy()
  await closed
})

test('a caller that broke before the callee was there leaves no callee', async () => {
  const caller = new PassThrough()
  caller.destroy()
  await once(caller, 'close')
  const callee = new PassThrough()
  splice(caller, callee)
  assert.ok(callee.destroyed)
})

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { streamPair } from '@libp2p/utils'
import { messagesOf } from '#mesh/messages.ts'
import { bytes, soon, text } from './nodes.ts'
import type { Messages } from '#mesh/messages.ts'

async function all({ source }: Messages): Promise<string> {
  let said = ''
  for await (const chunk of source) said += text(chunk.subarray())
  return said
}

test('what came, and its end, before the stream was taken over is read all the same', async () => {
  const [near, far] = await streamPair()
  const ended = once(far as unknown as EventTarget, 'remoteCloseWrite', { signal: soon() })
  near.send(bytes('hello'))
  await near.close()
  await ended
  assert.equal(await all(messagesOf(far, 100)), 'hello')
})

test('a stream that ended without a byte before it was taken over ends', async () => {
  const [near, far] = await streamPair()
  const ended = once(far as unknown as EventTarget, 'end', { signal: soon() })
  await near.close()
  await ended
  assert.equal(await all(messagesOf(far, 100)), '')
})

test('both sides send and end for themselves', async () => {
  const [near, far] = await streamPair()
  const [a, b] = [messagesOf(near, 100), messagesOf(far, 100)]
  await a.sink([bytes('ask'), bytes('ed')])
  assert.equal(await all(b), 'asked')
  await b.sink([bytes('answered')])
  assert.equal(await all(a), 'answered')
})

test('a broken stream throws where it is read, and one that is over is not taken', async () => {
  const [near, far] = await streamPair()
  const messages = messagesOf(far, 100)
  near.abort(new Error('enough'))
  await assert.rejects(all(messages), /reset/)
  assert.throws(() => messagesOf(far, 100), /the stream was reset/)
})

test('a stream that says more than one message of the bound is aborted', async () => {
  const [near, far] = await streamPair()
  const messages = messagesOf(far, 100)
  near.send(new Uint8Array(200))
  await assert.rejects(all(messages), /more than 106 bytes/)
  assert.equal(far.status, 'aborted')
})

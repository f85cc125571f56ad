import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { test } from 'node:test'
import { Writable } from 'node:stream'
import { buffer, text as readText } from 'node:stream/consumers'
import { ViolinError } from '#core/errors.ts'
import { bytes, join, node, soon, text } from './nodes.ts'
import type { Duplex } from 'node:stream'

const code = (expected: string) => (error: unknown) => error instanceof ViolinError && error.code === expected
const digest = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex')

test('a stream carries megabytes both ways at once, in order, and each side ends for itself', async () => {
  await using a = await node('a')
  await using b = await node('b')
  b.mesh.serveStream('echo', (stream) => stream.pipe(stream))
  await join(a, b)
  const stream = await a.mesh.open(b.id, 'echo', soon())
  const sent = randomBytes(8 * 1024 * 1024)
  const back = buffer(stream)
  stream.end(sent)
  assert.equal(digest(await back), digest(sent))
})

test('who half-closes is still answered', async () => {
  await using a = await node('a')
  await using b = await node('b')
  b.mesh.serveStream('count', (stream, from) => {
    void readText(stream).then((said) => stream.end(`${from} said ${said.length}`))
  })
  await join(a, b)
  const stream = await a.mesh.open(b.id, 'count', soon())
  stream.end('abc')
  assert.equal(await readText(stream), `${a.id} said 3`)
})

test('a writer waits while nobody reads at the other end', async () => {
  await using a = await node('a')
  await using b = await node('b')
  const { promise, resolve } = Promise.withResolvers<Duplex>()
  b.mesh.serveStream('sink', resolve)
  await join(a, b)
  const stream = await a.mesh.open(b.id, 'sink', soon())
  const chunk = new Uint8Array(64 * 1024)
  let written = 0
  // Far more than the windows and buffers between them hold.
  while (stream.write(chunk) && written < 256 * chunk.byteLength) written += chunk.byteLength
  assert.ok(written < 64 * chunk.byteLength, `${written} bytes went nowhere`)
  const reader = await promise
  reader.resume()
  await once(stream, 'drain', { signal: soon() })
  stream.destroy()
  await assert.rejects(once(reader, 'end', { signal: soon() }))
})

test('a destroyed stream breaks off at the other end, and the mesh goes on', async () => {
  await using a = await node('a')
  await using b = await node('b')
  const { promise, resolve } = Promise.withResolvers<Duplex>()
  b.mesh.serveStream('s', resolve)
  b.mesh.serve('echo', { maxRequestBytes: 10 }, async (body) => body)
  await join(a, b)
  const stream = await a.mesh.open(b.id, 's', soon())
  stream.write('x')
  const other = await promise
  stream.destroy()
  await assert.rejects(once(other, 'end', { signal: soon() }), /reset/)
  assert.equal(text(await a.mesh.request(b.id, 'echo', bytes('x'), soon())), 'x')
})

test('a protocol that a member does not serve is refused; an abort stays what it was; a time-out has its code', async () => {
  await using a = await node('a')
  await using b = await node('b')
  b.mesh.serve('slow', { maxRequestBytes: 10 }, async (_body, _from, signal) => {
    await once(signal, 'abort')
    throw signal.reason
  })
  await join(a, b)
  await assert.rejects(a.mesh.open(b.id, 'nothing', soon()), code('refused'))
  await assert.rejects(a.mesh.request(b.id, 'nothing', bytes(''), soon()), code('refused'))
  await assert.rejects(a.mesh.request(b.id, 'slow', bytes(''), AbortSignal.timeout(50)), code('timeout'))
  const reason = new Error('enough')
  const control = new AbortController()
  const asked = a.mesh.request(b.id, 'slow', bytes(''), control.signal)
  control.abort(reason)
  await assert.rejects(asked, reason)
})

test('a request above what the other side takes is refused, and so is an answer above the bound', async () => {
  await using a = await node('a')
  await using b = await node('b')
  b.mesh.serve('small', { maxRequestBytes: 10 }, async () => new Uint8Array(3 * 1024 * 1024))
  await join(a, b)
  await assert.rejects(a.mesh.request(b.id, 'small', new Uint8Array(100_000), soon()), code('refused'))
  await assert.rejects(a.mesh.request(b.id, 'small', new Uint8Array(10), soon()), code('too-large'))
})

test('a hundred requests at once are all answered, each with its own answer', async () => {
  await using a = await node('a')
  await using b = await node('b')
  b.mesh.serve('echo', { maxRequestBytes: 100 }, async (body) => body)
  await join(a, b)
  const asked = Array.from({ length: 100 }, async (_, i) =>
    text(await a.mesh.request(b.id, 'echo', bytes(String(i)), soon()))
  )
  assert.deepEqual(
    await Promise.all(asked),
    Array.from({ length: 100 }, (_, i) => String(i))
  )
})

test('a reader that lags behind a fast writer gets every byte, and the stream is not reset', async () => {
  await using a = await node('a')
  await using b = await node('b')
  const { promise, resolve } = Promise.withResolvers<Buffer>()
  b.mesh.serveStream('slow', (stream) => {
    const parts: Buffer[] = []
    // Each chunk is taken in a turn of its own, while others come in.
    const slow = new Writable({
      highWaterMark: 1024,
      write(chunk: Buffer, _encoding, taken) {
        parts.push(chunk)
        setImmediate(taken)
      },
      final(done) {
        resolve(Buffer.concat(parts))
        done()
      }
    })
    stream.pipe(slow)
  })
  await join(a, b)
  const stream = await a.mesh.open(b.id, 'slow', soon())
  const sent = randomBytes(32 * 1024 * 1024)
  stream.end(sent)
  assert.equal(digest(await promise), digest(sent))
})

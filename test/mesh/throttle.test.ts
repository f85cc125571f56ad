/** Peers' streams are read at a rate: over real streams of libp2p, whose flow control has them wait. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p, type Libp2p } from 'libp2p'
import { Rate, Rates } from '#mesh/rate.ts'
import { throttled } from '#mesh/throttle.ts'
import type { Stream } from '@libp2p/interface'
import type { Registrar } from '@libp2p/interface-internal'

const kib = 1024
const windowBytes = 256 * kib
const burstBytes = 1024 * kib
const bytesPerSecond = 2048 * kib

function plain(): Promise<Libp2p> {
  return createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux({ streamOptions: { maxStreamWindowSize: windowBytes } })],
    connectionGater: { denyDialMultiaddr: () => false },
    connectionMonitor: { enabled: false }
  })
}

/** A reader at that rate and a writer; gives what `send` had the reader take, and what it may have taken by then. */
async function taken(
  send: (open: () => Promise<Stream>) => Promise<void>,
  wanted: number
): Promise<{ readonly bytes: number; readonly share: number }> {
  await using ends = new AsyncDisposableStack()
  const [reader, writer] = await Promise.all([plain(), plain()])
  for (const one of [reader, writer]) ends.defer(async () => one.stop())
  let bytes = 0
  const all = Promise.withResolvers<void>()
  let began = 0
  const registrar = { handle: reader.handle.bind(reader) } as unknown as Registrar
  await throttled(registrar, new Rates(burstBytes, bytesPerSecond, 8)).handle('/test/1', (stream) => {
    began ||= performance.now()
    stream.addEventListener('message', ({ data }) => {
      bytes += data.byteLength
      if (bytes >= wanted) all.resolve()
    })
  })
  const connection = await writer.dial(reader.getMultiaddrs())
  await Promise.all([send(() => connection.newStream('/test/1')), all.promise])
  return { bytes, share: burstBytes + (bytesPerSecond * (performance.now() - began)) / 1000 }
}

test('a stream beyond its rate waits, and all of it comes', async () => {
  const wanted = 4 * burstBytes
  const { bytes, share } = await taken(async (open) => {
    const stream = await open()
    for (let sent = 0; sent < wanted; sent += 64 * kib)
      if (!stream.send(new Uint8Array(64 * kib))) await stream.onDrain()
    await stream.close()
  }, wanted)
  assert.equal(bytes, wanted)
  // The last piece is owed when it was taken.
  assert.ok(bytes <= share + windowBytes, `${bytes} of ${share}`)
})

test('streams of one peer share its rate', async () => {
  const wanted = 4 * burstBytes
  const { bytes, share } = await taken(async (open) => {
    for (let sent = 0; sent < wanted; sent += 128 * kib) {
      const stream = await open()
      stream.send(new Uint8Array(128 * kib))
    }
  }, wanted)
  assert.ok(bytes <= share + windowBytes, `${bytes} of ${share}`)
})

test('what is owed is waited for, and each peer has a bucket of its own', () => {
  const rate = new Rate(100, 10)
  assert.deepEqual([rate.owe(100, 0), rate.owe(5, 0), rate.owe(0, 250), rate.owe(0, 500)], [0, 500, 250, 0])
  assert.equal(rate.take(500), false)
  assert.equal(rate.take(600), true)
  const rates = new Rates(1, 1, 2)
  assert.deepEqual(
    ['a', 'a', 'b', 'c', 'a'].map((peer) => rates.of(peer).take(0)),
    [true, false, true, true, true]
  )
})

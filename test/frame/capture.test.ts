/** Captured frames: pcapng as a reader of the specification has it, and the ring between the threads. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { captureMemory, CaptureReader, CaptureWriter, maxInterfaces } from '#frame/capture-ring.ts'
import {
  blocksOf,
  blockType,
  countsOf,
  frameBlockBytes,
  interfaceBlock,
  interfaceOf,
  putFrame,
  renumber,
  sectionBlock,
  statisticsBlock,
  way
} from '#frame/pcapng.ts'
import { readPcapng } from './pcapng-reader.ts'

const u32 = fc.nat(0xffffffff)
const stamp = fc.record({ seconds: u32, nanoseconds: fc.nat(999_999_999) })
const direction = fc.constantFrom(...Object.values(way))
const frame = fc.uint8Array({ minLength: 14, maxLength: 1600 })
const mac = fc.record({ high: fc.nat(0xffff), low: u32 })
const name = fc.stringMatching(/^[a-z0-9:-]{1,64}$/)

test('what is written is read as it was: names, stamps to the nanosecond, directions, frames, statistics', () => {
  const counts = fc.record({ received: fc.maxSafeNat(), dropped: fc.maxSafeNat() })
  const interfaces = fc.array(fc.record({ name, mac, counts }), { minLength: 1, maxLength: 5 })
  const frames = fc.array(fc.record({ of: fc.nat(), stamp, direction, frame }), { maxLength: 20 })
  fc.assert(
    fc.property(interfaces, frames, stamp, (vnics, all, now) => {
      const parts = [sectionBlock('violin 1.2.3'), ...vnics.map((one) => interfaceBlock(one.name, one.mac))]
      for (const one of all) {
        const block = new Uint8Array(frameBlockBytes(one.frame.length)).fill(0xee)
        const end = putFrame(block, 0, one.of % vnics.length, one.stamp, one.direction, one.frame)
        assert.equal(end, block.length)
        parts.push(block)
      }
      vnics.forEach((one, index) => parts.push(statisticsBlock(index, now, one.counts)))
      const read = readPcapng(Buffer.concat(parts))
      assert.equal(read.application, 'violin 1.2.3')
      assert.deepEqual(
        read.interfaces.map((one) => [one.name, one.mac.replaceAll(':', ''), one.received, one.dropped]),
        vnics.map((one) => [
          one.name,
          one.mac.high.toString(16).padStart(4, '0') + one.mac.low.toString(16).padStart(8, '0'),
          BigInt(one.counts.received),
          BigInt(one.counts.dropped)
        ])
      )
      assert.deepEqual(
        read.frames.map((one) => [one.interface, one.atNs, one.direction, one.data.toString('hex')]),
        all.map((one) => [
          vnics[one.of % vnics.length]?.name,
          BigInt(one.stamp.seconds) * 1_000_000_000n + BigInt(one.stamp.nanoseconds),
          one.direction === way.inbound ? 'inbound' : 'outbound',
          Buffer.from(one.frame).toString('hex')
        ])
      )
    })
  )
})

test('blocks are cut apart and renumbered; bytes that are none are refused, and nothing else is thrown', () => {
  const block = new Uint8Array(frameBlockBytes(20))
  putFrame(block, 0, 7, { seconds: 1, nanoseconds: 2 }, way.inbound, new Uint8Array(20))
  const statistics = statisticsBlock(7, { seconds: 1, nanoseconds: 2 }, { received: 9, dropped: 4 })
  const bytes = Buffer.concat([interfaceBlock('a:eth0', { high: 1, low: 2 }), block, statistics])
  const blocks = blocksOf(bytes)
  assert.deepEqual(
    blocks.map(({ type }) => type),
    [blockType.interface, blockType.frame, blockType.statistics]
  )
  for (const one of blocks.slice(1)) {
    assert.equal(interfaceOf(one), 7)
    renumber(one, 3)
    assert.equal(interfaceOf(one), 3)
  }
  assert.deepEqual(countsOf(blocks[2] ?? assert.fail()), { received: 9, dropped: 4 })
  const changes = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 4 })
  fc.assert(
    fc.property(changes, fc.nat(bytes.length), (bad, length) => {
      const hostile = Uint8Array.from(bytes.subarray(0, length))
      for (const [at, value] of bad) if (at < length) hostile[at] = value
      try {
        for (const one of blocksOf(hostile)) if (one.type === blockType.statistics) countsOf(one)
      } catch (error: unknown) {
        assert.ok(error instanceof RangeError, String(error))
      }
    }),
    { numRuns: 2_000 }
  )
  assert.throws(() => blocksOf(sectionBlock('another')), RangeError)
})

test('a ring gives frames in their order, and counts what had no room', () => {
  const operations = fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.record({ put: fc.integer({ min: 14, max: 9216 }), many: fc.nat(80) }) },
      { weight: 1, arbitrary: fc.record({ take: fc.nat(300) }) }
    ),
    { maxLength: 40 }
  )
  fc.assert(
    fc.property(operations, (all) => {
      const memory = captureMemory()
      const [writer, reader] = [new CaptureWriter(memory), new CaptureReader(memory)]
      const index = writer.interfaceOf(0x0200, 9)
      const source = new Uint8Array(9216)
      const expected: { length: number; serial: number }[] = []
      let serial = 0
      let dropped = 0
      for (const one of all) {
        if ('put' in one)
          for (let i = 0; i < one.many; i++) {
            new DataView(source.buffer).setUint32(0, ++serial)
            writer.put(index, way.outbound, { seconds: serial, nanoseconds: i }, source, 0, one.put)
            if (reader.droppedOf(index) > dropped) dropped++
            else expected.push({ length: one.put, serial })
          }
        else
          for (let i = 0; i < one.take; i++) {
            const record = reader.peek()
            const want = expected.shift()
            assert.equal(record === null, want === undefined)
            if (record === null || want === undefined) break
            assert.equal(record.frame.length, want.length)
            assert.equal(record.stamp.seconds, want.serial)
            assert.equal(Buffer.from(record.frame).readUInt32BE(0), want.serial)
            reader.take()
          }
      }
      assert.equal(reader.droppedOf(index), dropped)
    }),
    { numRuns: 60 }
  )
})

test('a reader hears once of what came since it looked', () => {
  const memory = captureMemory()
  const [writer, reader] = [new CaptureWriter(memory), new CaptureReader(memory)]
  assert.deepEqual([writer.tell(), writer.tell()], [true, false])
  reader.look()
  assert.equal(writer.tell(), true)
})

test('a vNIC that comes again is the interface that it was, and those above the bound are none', () => {
  const writer = new CaptureWriter(captureMemory())
  for (let low = 0; low < maxInterfaces; low++) assert.equal(writer.interfaceOf(0x0200, low), low)
  assert.equal(writer.interfaceOf(0x0200, 5), 5)
  assert.equal(writer.interfaceOf(0x0201, 5), -1)
})

test('two threads: every frame comes whole and once, or is counted', async () => {
  const memory = captureMemory()
  const total = 200_000
  const program = `
    const { workerData } = require('node:worker_threads')
    import(workerData.ring).then(({ CaptureWriter }) => {
      const writer = new CaptureWriter(workerData.memory)
      const index = writer.interfaceOf(1, 2)
      const bytes = new Uint8Array(1600)
      for (let i = 0; i < workerData.total; i++) {
        bytes.fill(i & 0xff)
        writer.put(index, 2, { seconds: i, nanoseconds: 0 }, bytes, 0, 60 + (i % 1500))
      }
    })`
  const ring = import.meta.resolve('#frame/capture-ring.ts')
  const worker = new Worker(program, { eval: true, workerData: { memory, total, ring } })
  const state = { ended: false }
  const ended = new Promise<void>((resolve, reject) => {
    worker.once('error', reject)
    worker.once('exit', () => {
      state.ended = true
      resolve()
    })
  })
  const reader = new CaptureReader(memory)
  let [count, last] = [0, -1]
  for (;;) {
    const { ended: isLast } = state
    for (let record = reader.peek(); record !== null; record = reader.peek()) {
      const i = record.stamp.seconds
      assert.ok(i > last)
      last = i
      assert.equal(record.frame.length, 60 + (i % 1500))
      assert.ok(record.frame.every((byte) => byte === (i & 0xff)))
      count++
      reader.take()
    }
    if (isLast) break
    await new Promise(setImmediate)
  }
  await ended
  assert.equal(count + reader.droppedOf(0), total)
  assert.ok(count > 0)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type DatagramSink, dataHeaderBytes, Packer } from '#frame/packer.ts'
import { assemblyBytes, FragmentPool, reorderWindow, Unpacker } from '#frame/unpacker.ts'

/** A memory with a packer on it whose datagrams are taken out, and an unpacker that they are put into. */
class Bench implements DatagramSink {
  readonly memory = new Uint8Array(1 << 20)
  readonly view = new DataView(this.memory.buffer)
  readonly datagrams: Uint8Array[] = []
  readonly received: string[] = []
  readonly packer: Packer
  readonly unpacker: Unpacker
  readonly #plaintextBytes: number

  constructor(plaintextBytes: number, fragments = 256) {
    this.#plaintextBytes = plaintextBytes
    this.packer = new Packer(this.memory, this.view, this, plaintextBytes)
    const pool = new FragmentPool(1 << 16, fragments, plaintextBytes)
    const assembly = (1 << 16) + fragments * plaintextBytes
    assert.ok(assembly + assemblyBytes < this.memory.length)
    this.unpacker = new Unpacker(this.memory, this.view, pool, assembly, {
      frame: (tag, at, length) => {
        this.received.push(`${tag}:${Buffer.from(this.memory.subarray(at, at + length)).toString('hex')}`)
        // A port overwrites the headroom.
        this.memory.fill(0xee, at - 12, at)
      }
    })
  }

  begin(): number {
    return 4096
  }

  end(at: number, length: number): void {
    assert.ok(length <= this.#plaintextBytes)
    this.datagrams.push(this.memory.slice(at, at + length))
  }

  send(frame: Uint8Array, tag: number): string {
    this.memory.set(frame, 16_384)
    this.packer.append(tag, 16_384, frame.length)
    return `${tag}:${Buffer.from(frame).toString('hex')}`
  }

  receive(datagram: Uint8Array): void {
    this.memory.set(datagram, 8192)
    this.unpacker.accept(8192, datagram.length)
  }
}

const frames = fc.array(
  fc.record({
    bytes: fc.uint8Array({ minLength: 14, maxLength: 400 }),
    tag: fc.integer({ min: 1, max: 65_535 }),
    finish: fc.boolean()
  }),
  { minLength: 1, maxLength: 30 }
)
const plaintext = fc.integer({ min: dataHeaderBytes + 8, max: 600 })

test('frames come out as they went in, in order', () => {
  fc.assert(
    fc.property(frames, plaintext, (list, bytes) => {
      const bench = new Bench(bytes)
      const sent = list.map((frame) => {
        const text = bench.send(frame.bytes, frame.tag)
        if (frame.finish) bench.packer.finish()
        return text
      })
      bench.packer.finish()
      assert.equal(bench.packer.open, false)
      for (const datagram of bench.datagrams) bench.receive(datagram)
      assert.deepEqual(bench.received, sent)
      assert.equal(bench.unpacker.malformed, 0)
    })
  )
})

test('datagrams in any order within the window give every frame once', () => {
  fc.assert(
    fc.property(frames, plaintext, fc.infiniteStream(fc.nat()), (list, bytes, order) => {
      const bench = new Bench(bytes)
      const sent = list.map((frame) => bench.send(frame.bytes, frame.tag))
      bench.packer.finish()
      const shuffled = bench.datagrams
        .slice(0, reorderWindow)
        .map((datagram) => ({ datagram, key: order.next().value as number }))
        .toSorted((left, right) => left.key - right.key)
      for (const { datagram } of shuffled) bench.receive(datagram)
      const expected = bench.datagrams.length <= reorderWindow ? sent : null
      if (expected !== null) assert.deepEqual(bench.received.toSorted(), expected.toSorted())
    })
  )
})

test('a lost datagram loses the frames that touch it and no other', () => {
  fc.assert(
    fc.property(frames, plaintext, fc.nat(), (list, bytes, choice) => {
      const bench = new Bench(bytes)
      const spans: { text: string; from: number; to: number }[] = []
      let position = 0
      for (const frame of list) {
        const text = bench.send(frame.bytes, frame.tag)
        spans.push({ text, from: position, to: position + 6 + frame.bytes.length })
        position += 6 + frame.bytes.length
      }
      bench.packer.finish()
      const lost = choice % bench.datagrams.length
      const stream = bytes - dataHeaderBytes
      for (const [index, datagram] of bench.datagrams.entries()) if (index !== lost) bench.receive(datagram)
      const whole = spans.filter((span) => span.to <= lost * stream || span.from >= (lost + 1) * stream)
      assert.deepEqual(
        bench.received,
        whole.map((span) => span.text)
      )
    })
  )
})

test('a pool that is too small forgets the oldest pieces and goes on', () => {
  const bench = new Bench(64, 2)
  for (let i = 0; i < 10; i++) bench.send(new Uint8Array(50).fill(i), 1)
  bench.packer.finish()
  for (const datagram of bench.datagrams) bench.receive(datagram)
  assert.equal(bench.received.length, 10)
})

test('hostile plaintexts give no frame that is too short or too long, and break nothing', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }), (datagrams) => {
      const bench = new Bench(256)
      for (const datagram of datagrams) bench.receive(datagram)
      for (const text of bench.received) {
        const bytes = text.slice(text.indexOf(':') + 1).length / 2
        assert.ok(bytes >= 14 && bytes <= 9216)
      }
      const before = bench.received.length
      bench.unpacker.close()
      const frame = bench.send(new Uint8Array(100).fill(7), 9)
      bench.packer.finish()
      for (const datagram of bench.datagrams) bench.receive(datagram)
      assert.equal(bench.received.length, before + 1)
      assert.equal(bench.received.at(-1), frame)
    }),
    { numRuns: 300 }
  )
})

test('hostile headers over true streams are counted and passed over', () => {
  fc.assert(
    fc.property(frames, fc.nat(), fc.nat({ max: 255 }), (list, where, value) => {
      const bench = new Bench(128)
      for (const frame of list) bench.send(frame.bytes, frame.tag)
      bench.packer.finish()
      for (const [index, datagram] of bench.datagrams.entries()) {
        if (index === where % bench.datagrams.length) datagram[where % datagram.length] = value
        bench.receive(datagram)
      }
      assert.ok(bench.received.length <= list.length + 10)
    })
  )
})

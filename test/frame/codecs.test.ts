import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { finishChecksum, onesComplement } from '#frame/checksum.ts'
import { decodeRekey, encodeRekey, readControlItems, writeControlItem } from '#frame/control.ts'
import { datagramType, isDatagram, writeHeader, writeNonce } from '#frame/datagram.ts'
import { formatMac, parseMac } from '#frame/ethernet.ts'
import { ReplayWindow, replayWindow } from '#frame/replay.ts'

const memory = new Uint8Array(4096)
const view = new DataView(memory.buffer)
const items = fc.array(
  fc.record(
    {
      type: fc.nat({ max: 255 }),
      lan: fc.nat({ max: 0xffffffff }),
      body: fc.uint8Array({ maxLength: 100 })
    },
    { noNullPrototype: true }
  ),
  { maxLength: 20 }
)

test('control items come out as they went in', () => {
  fc.assert(
    fc.property(items, (list) => {
      let end = 64
      for (const item of list) end = writeControlItem(memory, view, end, item)
      assert.deepEqual(readControlItems(memory, view, 64, end - 64), list)
    })
  )
})

test('a list of control items that is cut short is refused', () => {
  fc.assert(
    fc.property(items, fc.nat(), (list, cut) => {
      let end = 64
      const ends = [end]
      for (const item of list) ends.push((end = writeControlItem(memory, view, end, item)))
      const length = cut % (end - 64 + 1)
      const read = readControlItems(memory, view, 64, length)
      assert.equal(read !== null, ends.includes(64 + length))
    })
  )
})

test('hostile control bytes give a list or null', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1440 }), (bytes) => {
      memory.set(bytes, 64)
      const read = readControlItems(memory, view, 64, bytes.length)
      const total = read?.reduce((sum, item) => sum + 7 + item.body.length, 0)
      assert.ok(read === null || total === bytes.length)
    })
  )
})

test('a rekey comes out as it went in, and nothing else does', () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 255 }),
      fc.boolean(),
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      (phase, answer, publicKey) => {
        assert.deepEqual(decodeRekey(encodeRekey({ phase, answer, publicKey })), { phase, answer, publicKey })
      }
    )
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const rekey = decodeRekey(bytes)
      if (rekey !== null) assert.deepEqual(encodeRekey(rekey), bytes)
    })
  )
})

test('a header is a datagram, hostile bytes hardly ever', () => {
  writeHeader(view, 0, datagramType.data, 255, 0xdeadbeef, 0xffffffff)
  assert.equal(isDatagram(view, 0, 32), true)
  assert.equal(isDatagram(view, 0, 31), false)
  assert.equal(view.getUint32(4), 0xdeadbeef)
  memory[8] = 1
  assert.equal(isDatagram(view, 0, 64), false)
  memory[8] = 0
  for (const type of [0, datagramType.relayed + 1, 255]) {
    memory[0] = type
    assert.equal(isDatagram(view, 0, 64), false)
  }
})

test('no two counters have one nonce', () => {
  memory.set([1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xff, 0xff, 0xff], 200)
  fc.assert(
    fc.property(fc.nat({ max: 0xffffffff }), fc.nat({ max: 0xffffffff }), (left, right) => {
      writeNonce(view, 300, 200, left)
      writeNonce(view, 320, 200, right)
      const same = Buffer.compare(memory.subarray(300, 312), memory.subarray(320, 332)) === 0
      assert.equal(same, left === right)
    })
  )
})

test('the replay window takes each counter once and none that is too old', () => {
  const near = fc.integer({ min: 0, max: 300 })
  const far = fc.integer({ min: 0, max: 3 * replayWindow })
  fc.assert(
    fc.property(fc.array(fc.oneof(near, far), { maxLength: 400 }), (counters) => {
      const window = new ReplayWindow()
      const seen = new Set<number>()
      let highest = -1
      for (const counter of counters) {
        const expected = !seen.has(counter) && counter > highest - replayWindow
        assert.equal(window.fresh(counter), expected)
        assert.equal(window.accept(counter), expected)
        seen.add(counter)
        highest = Math.max(highest, counter)
      }
    })
  )
})

test('a MAC comes out as it went in', () => {
  fc.assert(
    fc.property(fc.nat({ max: 0xffff }), fc.nat({ max: 0xffffffff }), (high, low) => {
      assert.deepEqual(parseMac(formatMac(high, low)), { high, low })
    })
  )
  assert.equal(parseMac('02:00:00:00:00'), null)
  assert.equal(parseMac('02:00:00:00:00:0g'), null)
})

test('a checksum that was left to do is done, and its header emptied', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 40, maxLength: 100 }), (payload) => {
      const at = 500
      memory.fill(0, at, at + 12)
      memory.set(payload, at + 12)
      memory[at] = 1
      view.setUint16(at + 6, 14, true)
      view.setUint16(at + 8, 6, true)
      view.setUint16(at + 12 + 20, 0)
      assert.ok(finishChecksum(memory, view, at, payload.length + 12))
      const sum = onesComplement(memory, at + 12 + 14, at + 12 + payload.length)
      assert.ok(sum === 0 || sum === 0xffff)
      assert.deepEqual(memory.slice(at, at + 12), new Uint8Array(12))
    })
  )
})

test('a virtio header that points outside of its frame is refused', () => {
  const header = fc.uint8Array({ minLength: 12, maxLength: 12 })
  fc.assert(
    fc.property(header, (bytes) => {
      const at = 500
      memory.fill(0xaa, at, at + 600)
      memory.set(bytes, at)
      const guard = memory.slice(at + 112, at + 600)
      finishChecksum(memory, view, at, 112)
      assert.deepEqual(memory.slice(at + 112, at + 600), guard)
    })
  )
})

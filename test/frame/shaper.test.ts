import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Shaper, shaperSlotBytes } from '#frame/shaper.ts'

test('frames come out by due time, those of one time as they came, none early', () => {
  const frame = fc.record({ due: fc.integer({ min: 0, max: 20 }), length: fc.integer({ min: 14, max: 100 }) })
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 64 }), (frames) => {
      const memory = new Uint8Array(64 * shaperSlotBytes + 256)
      const shaper = new Shaper(memory, 256, 64)
      for (const [index, { due, length }] of frames.entries()) {
        memory.fill(index, 0, length)
        assert.ok(shaper.push(due, index, 0, length))
      }
      const expected = frames
        .map(({ due, length }, index) => ({ due, length, index }))
        .toSorted((left, right) => left.due - right.due || left.index - right.index)
      for (const { due, length, index } of expected) {
        assert.equal(shaper.nextDueMs, due)
        assert.equal(shaper.pop(due - 0.001), -1)
        const slot = shaper.pop(due)
        assert.equal(shaper.target(slot), index)
        assert.equal(shaper.length(slot), length)
        assert.ok(memory.subarray(shaper.at(slot), shaper.at(slot) + length).every((byte) => byte === index))
        shaper.release(slot)
      }
      assert.equal(shaper.nextDueMs, Infinity)
    })
  )
})

test('a full shaper drops and counts, and has room again after a release', () => {
  const memory = new Uint8Array(4 * shaperSlotBytes)
  const shaper = new Shaper(memory, shaperSlotBytes, 2)
  assert.ok(shaper.push(1, 0, 0, 100))
  assert.ok(shaper.push(2, 0, 0, 100))
  assert.equal(shaper.push(3, 0, 0, 100), false)
  shaper.release(shaper.pop(1))
  assert.ok(shaper.push(3, 0, 0, 100))
  assert.equal(shaper.push(4, 0, 0, shaperSlotBytes + 1), false)
  assert.equal(shaper.dropped, 2)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { macAgeingMs, MacTable, nowhere } from '#frame/mac-table.ts'

test('a learned MAC is found where it was last seen, until it ages', () => {
  const table = new MacTable(64)
  assert.equal(table.find(0x200, 1, 0), nowhere)
  table.learn(0x200, 1, 3, 0)
  table.learn(0x200, 1, -5, 10)
  assert.equal(table.find(0x200, 1, 10 + macAgeingMs), -5)
  assert.equal(table.find(0x200, 1, 11 + macAgeingMs), nowhere)
})

test('a static MAC cannot be moved by a frame and does not age', () => {
  const table = new MacTable(64)
  table.fix(0x200, 7, 2)
  assert.equal(table.learn(0x200, 7, 9, 1), false)
  assert.equal(table.learn(0x200, 7, 2, 1), true)
  assert.equal(table.find(0x200, 7, 10 * macAgeingMs), 2)
  table.forget(0x200, 7)
  assert.equal(table.find(0x200, 7, 1), nowhere)
})

test('forgetting what is remote keeps what is local', () => {
  const table = new MacTable(64)
  table.learn(0x200, 1, 4, 0)
  table.learn(0x200, 2, ~4, 0)
  table.learn(0x200, 3, ~5, 0)
  table.forgetValue(~5)
  assert.equal(table.find(0x200, 3, 0), nowhere)
  table.forgetRemote()
  assert.equal(table.find(0x200, 2, 0), nowhere)
  assert.equal(table.find(0x200, 1, 0), 4)
})

test('whatever is learned, the newest is known and static entries stand', () => {
  const mac = fc.tuple(fc.nat({ max: 0xffff }), fc.nat({ max: 0xffffffff }))
  fc.assert(
    fc.property(fc.array(mac, { minLength: 1, maxLength: 300 }), (macs) => {
      const table = new MacTable(16)
      table.fix(0x1ff, 0xffffffff, 42)
      for (const [time, [high, low]] of macs.entries()) {
        if (high === 0x1ff && low === 0xffffffff) continue
        table.learn(high, low, time, time)
        assert.equal(table.find(high, low, time), time)
      }
      assert.equal(table.find(0x1ff, 0xffffffff, 1e9), 42)
    })
  )
})

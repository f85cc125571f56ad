import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { maxLineBytes } from '#slice/contract.ts'
import { decodeLine, encodeLine, LineSplitter } from '#slice/lines.ts'

test('messages with byte arrays, Buffers too, come out as they went in', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.uint8Array({ maxLength: 300 }), (value, bytes) => {
      const line = encodeLine({ value, bytes, buffer: Buffer.from(bytes) })
      const { value: got, ...rest } = decodeLine(line) as Record<string, unknown>
      assert.deepEqual(got, JSON.parse(JSON.stringify(value)))
      assert.deepEqual(rest, { bytes, buffer: bytes })
    })
  )
})

test('lines are found wherever the stream is cut, and what follows them is kept', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string(), { maxLength: 8 }),
      fc.string(),
      fc.integer({ min: 1, max: 9 }),
      (texts, tail, step) => {
        const lines = texts.map((text) => JSON.stringify(text))
        const rest = JSON.stringify(tail)
        const bytes = Buffer.from(`${lines.map((line) => `${line}\n`).join('')}${rest}`)
        const splitter = new LineSplitter()
        const found: string[] = []
        for (let at = 0; at < bytes.length; at += step) {
          splitter.push(bytes.subarray(at, at + step))
          for (let line = splitter.next(); line !== null; line = splitter.next()) found.push(line)
        }
        assert.deepEqual(found, lines)
        assert.equal(splitter.rest().toString(), rest)
      }
    )
  )
})

test('a line that never ends is refused', () => {
  const splitter = new LineSplitter()
  splitter.push(Buffer.alloc(maxLineBytes))
  assert.equal(splitter.next(), null)
  splitter.push(Buffer.alloc(1))
  assert.throws(() => splitter.next(), RangeError)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { VhostFault } from '#slice/vhost/fault.ts'
import {
  encodeReply,
  headerBytes,
  maxMemoryBytes,
  maxPayloadBytes,
  maxRingSize,
  parseHeader,
  parseMessage
} from '#slice/vhost/protocol.ts'

const word = fc.oneof(fc.nat(40), fc.nat({ max: 0xffff_ffff }), fc.constantFrom(0, 0xffff_ffff, 2 ** 31))

/** The value of `work`, or null for a refusal; anything else that is thrown fails the test. */
function orFault<T>(work: () => T): T | null {
  try {
    return work()
  } catch (error: unknown) {
    assert.ok(error instanceof VhostFault, String(error))
    return null
  }
}

test('any header is refused or has a payload that fits', () => {
  fc.assert(
    fc.property(word, word, word, (request, flags, size) => {
      const bytes = new Uint8Array(Uint32Array.of(request, flags, size).buffer)
      const header = orFault(() => parseHeader(bytes))
      assert.equal(header === null, size > maxPayloadBytes || (flags & 7) !== 1)
      if (header !== null) assert.deepEqual([header.request, header.size], [request, size])
    })
  )
})

test('any payload of any request is refused or means something within bounds', () => {
  const payload = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    fc.array(word, { maxLength: 20 }).map((words) => new Uint8Array(Uint32Array.from(words).buffer))
  )
  let understood = 0
  fc.assert(
    fc.property(fc.nat(45), payload, (request, bytes) => {
      const message = orFault(() => parseMessage({ request, size: bytes.length, needReply: false }, bytes))
      if (message === null) return
      understood++
      if (message.kind === 'ring-size') {
        assert.ok(message.value >= 1 && message.value <= maxRingSize)
        assert.equal(Math.log2(message.value) % 1, 0)
      } else if (message.kind === 'ring-base') assert.ok(message.value <= 0xffff)
      else if (message.kind === 'get-config') assert.ok(message.size <= bytes.length - 12)
      else if (message.kind === 'memory') {
        assert.ok(message.region.size >= 1 && message.region.size <= maxMemoryBytes)
        assert.equal(message.region.offset % 4096, 0)
        for (const number of Object.values(message.region)) assert.ok(Number.isSafeInteger(number))
      } else if (message.kind === 'ring-address')
        for (const number of Object.values(message.address)) assert.ok(Number.isSafeInteger(number))
    }),
    { numRuns: 5_000 }
  )
  assert.ok(understood > 100, `${understood} of 5000 were understood`)
})

test('a reply says version 1 and reply, and nothing else, as the driver wants it', () => {
  const bytes = encodeReply(24, Uint8Array.of(1, 2, 3))
  assert.deepEqual([...bytes.subarray(0, headerBytes)], [24, 0, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0])
  assert.deepEqual([...bytes.subarray(headerBytes)], [1, 2, 3])
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  decodeMessage,
  encodeMessage,
  maxParts,
  maxPortsPerMessage,
  maxShutPerMessage,
  type Message,
  reignStates
} from '#core/election/message.ts'
import { maxCounter, maxWitnesses } from '#core/election/settings.ts'
import type { Tag } from '#core/election/types.ts'
import type { HostKey, Mac } from '#core/ids.ts'

const u32 = fc.integer({ min: 0, max: 0xffffffff })
const counter = fc.integer({ min: 0, max: maxCounter })
const hexDigits = (count: number): fc.Arbitrary<string> =>
  fc
    .array(fc.integer({ min: 0, max: 15 }), { minLength: count, maxLength: count })
    .map((digits) => digits.map((digit) => digit.toString(16)).join(''))
const host = hexDigits(16).map((text) => text as HostKey)
const mac = hexDigits(12).map((text) => (text.match(/../g) as string[]).join(':') as Mac)
/** fast-check's records have no prototype; deepEqual sees that. */
const plain = <T extends object>(made: T): T => ({ ...made })
const term = fc.record({ counter, host }).map(plain)
const header = {
  life: u32,
  stamp: fc.integer({ min: 1, max: 0xffffffff }),
  echo: u32,
  highest: counter,
  follows: fc.option(term)
}
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ kind: fc.constant('probe' as const), ...header }),
  fc.record({
    kind: fc.constant('status' as const),
    ...header,
    lost: fc.boolean(),
    took: fc.option(term),
    rival: fc.option(term),
    version: u32
  }),
  fc.record({
    kind: fc.constant('beat' as const),
    ...header,
    state: fc.constantFrom(...reignStates),
    counter,
    tag: fc.integer({ min: 1, max: 0xffff }).map((tag) => tag as Tag),
    fast: fc.boolean(),
    edges: fc.integer({ min: 0, max: 0xffff }),
    have: u32,
    standby: fc.option(host),
    successor: fc.option(term),
    witnesses: fc.array(host, { maxLength: maxWitnesses })
  }),
  fc
    .record({
      kind: fc.constant('ports' as const),
      ...header,
      version: u32,
      parts: fc.integer({ min: 1, max: maxParts }),
      part: fc.nat({ max: maxParts - 1 }),
      ports: fc.array(fc.record({ mac, claim: u32 }).map(plain), { maxLength: maxPortsPerMessage })
    })
    .map((ports) => ({ ...ports, part: ports.part % ports.parts })),
  fc.record({ kind: fc.constant('handoff' as const), ...header, counter }),
  fc.record({
    kind: fc.constant('shut' as const),
    ...header,
    ports: fc.array(fc.record({ mac, claim: u32, by: host }).map(plain), { maxLength: maxShutPerMessage })
  })
)

test('a message comes out as it went in', () => {
  fc.assert(fc.property(message, (sent) => assert.deepEqual(decodeMessage(encodeMessage(sent)), { ...sent })))
})

test('a message that is cut short or has more behind it is none', () => {
  fc.assert(
    fc.property(message, fc.nat(), (sent, at) => {
      const bytes = encodeMessage(sent)
      assert.equal(decodeMessage(bytes.subarray(0, at % bytes.length)), null)
      assert.equal(decodeMessage(Uint8Array.from([...bytes, 0])), null)
    })
  )
})

test('hostile bytes are a message that encodes to the same bytes, or none', () => {
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => {
    if (array.length > 0) array[0] = (array[0] as number) % 6
    return array
  })
  fc.assert(
    fc.property(bytes, (hostile) => {
      const decoded = decodeMessage(hostile)
      if (decoded !== null) assert.deepEqual(encodeMessage(decoded), hostile)
    }),
    { numRuns: 2_000 }
  )
})

test('a changed byte gives null or another message, and never throws', () => {
  fc.assert(
    fc.property(message, fc.nat(), fc.integer({ min: 1, max: 255 }), (sent, at, change) => {
      const bytes = encodeMessage(sent)
      const place = at % bytes.length
      bytes[place] = (bytes[place] as number) ^ change
      assert.notDeepEqual(decodeMessage(bytes), sent)
    })
  )
})

test('the longest message fits a control datagram of the smallest path', () => {
  const by = '00'.repeat(8) as HostKey
  const header = {
    life: 1,
    stamp: 1,
    echo: 1,
    highest: 1,
    follows: { counter: 1, host: by }
  }
  const many = (count: number): { mac: Mac; claim: number; by: HostKey }[] =>
    Array.from({ length: count }, () => ({ mac: '02:00:00:00:00:01' as Mac, claim: 1, by }))
  const ports = many(maxPortsPerMessage)
  const longest: Message[] = [
    { kind: 'ports', ...header, version: 1, part: 0, parts: 1, ports },
    { kind: 'shut', ...header, ports: many(maxShutPerMessage) }
  ]
  for (const message of longest) assert.ok(encodeMessage(message).length < 1_100)
})

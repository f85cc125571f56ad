import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { hostIdOf } from '#core/admission/host-id.ts'
import type { PublicKey } from '#core/ids.ts'
import {
  decodeTold,
  encodeTold,
  isLivenessMessage,
  maxMessageBytes,
  openMessage,
  sealRefutation,
  sealSuspicion
} from '#core/liveness/message.ts'
import { maxIncarnation } from '#core/liveness/settings.ts'
import { encodeCbor } from '#core/records/cbor.ts'
import { crypto, root, signerFor } from '../admission/keys.ts'

const mesh = root.publicKey
const accuser = signerFor('accuser')
const accused = signerFor('accused')
const other = signerFor('other')
const host = hostIdOf(accused.publicKey)
const refutation = sealRefutation(accused, 7, mesh)
const suspicion = sealSuspicion(accuser, host, refutation, 1, mesh)

test('what is sealed opens to the same, within its bound, and is told from a record', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: maxIncarnation }), fc.boolean(), (incarnation, refuted) => {
      const first = sealRefutation(accused, incarnation, mesh)
      const second = sealSuspicion(accuser, host, refuted ? first : null, 1, mesh)
      for (const sealed of [first, second]) {
        assert.deepEqual(openMessage(sealed.bytes, mesh, crypto), sealed)
        assert.ok(sealed.bytes.length <= maxMessageBytes)
        assert.ok(isLivenessMessage(sealed.bytes))
      }
    })
  )
  assert.ok(!isLivenessMessage(encodeCbor([1, 0, 0, 0, 0, 0, 0, 0, 0, 0])))
})

test('one changed byte, another mesh, or anything after the end opens to nothing', () => {
  const all = [refutation.bytes, suspicion.bytes]
  fc.assert(
    fc.property(fc.constantFrom(...all), fc.nat(), fc.integer({ min: 1, max: 255 }), (bytes, at, flip) => {
      const changed = Uint8Array.from(bytes)
      changed[at % bytes.length] = (bytes[at % bytes.length] as number) ^ flip
      assert.equal(openMessage(changed, mesh, crypto), null)
      assert.equal(openMessage(bytes.subarray(0, at % bytes.length), mesh, crypto), null)
      assert.equal(openMessage(Uint8Array.of(...bytes, flip), mesh, crypto), null)
      assert.equal(openMessage(bytes, '7'.repeat(64) as PublicKey, crypto), null)
    })
  )
})

test('whatever bytes come, opening them throws nothing', () => {
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 400 }),
    fc.anything().map((value) => {
      try {
        return encodeCbor(value)
      } catch {
        return new Uint8Array(0)
      }
    })
  )
  fc.assert(
    fc.property(anything, (bytes) => {
      assert.equal(openMessage(bytes, mesh, crypto), null)
      const told = decodeTold(bytes)
      assert.ok(told === null || Array.isArray(told.messages))
    })
  )
})

test("a suspicion carries the accused's own refutation or none: a number that somebody else made up is refused", () => {
  const forged = sealRefutation(other, 9, mesh)
  assert.equal(openMessage(sealSuspicion(accuser, host, forged, 1, mesh).bytes, mesh, crypto), null)
  const nested = { ...refutation, bytes: suspicion.bytes }
  assert.equal(openMessage(sealSuspicion(accuser, host, nested, 1, mesh).bytes, mesh, crypto), null)
})

test('what is told comes out as it went in, and too much of it does not open', () => {
  const told = { spread: true, messages: [suspicion.bytes, refutation.bytes] }
  assert.deepEqual(decodeTold(encodeTold(told)), told)
  assert.equal(
    decodeTold(encodeTold({ spread: true, messages: [new Uint8Array(maxMessageBytes + 1)] })),
    null
  )
})

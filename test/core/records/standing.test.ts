import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { foundChain } from '#core/admission/chain.ts'
import type { WallTime } from '#core/ids.ts'
import { maxLifeMs } from '#core/records/record.ts'
import { stands } from '#core/records/standing.ts'
import { after, crypto, dayMs, founder, hostFrom, hourMs, root, signerFor, start } from '../admission/keys.ts'
import { foundingOf, hostBody, hostRecord, runsRecord, violinId } from './records.ts'

const first = founder()
const id = violinId(foundingOf(first.owner.publicKey))
const body = runsRecord(first, id).body
const minuteMs = 60_000
const renewed = hostFrom('founder', foundChain(root, first.signer.publicKey, after(300 * dayMs), crypto))

test('what runs is said anew before half of its life is over, and at once after the machine slept', () => {
  const pauses = fc.array(fc.oneof(fc.constant(minuteMs), fc.integer({ min: 1, max: 3 * dayMs })), {
    minLength: 1,
    maxLength: 30
  })
  fc.assert(
    fc.property(pauses, (list) => {
      let now = start
      let own = runsRecord(first, id)
      let signed = 0
      for (const pause of list) {
        now = (now + pause) as WallTime
        const stood = stands(own, 'runs', body, first.chain, now)
        assert.equal(stood, own.expiresAt - now >= maxLifeMs.runs / 2)
        if (stood) continue
        own = runsRecord(first, id, {}, { version: own.version + 1, issuedAt: now })
        signed++
        assert.ok(stands(own, 'runs', body, first.chain, now))
      }
      assert.ok(signed <= list.length)
    }),
    { numRuns: 20 }
  )
})

test('looked at by the minute, a record is signed twice a life and never lapses', () => {
  let own = hostRecord(first)
  let signed = 0
  for (let hour = 0; hour < 60 * 24; hour++) {
    const now = after(hour * hourMs)
    assert.ok(own.expiresAt > now)
    if (stands(own, 'host', hostBody(first), first.chain, now)) continue
    own = hostRecord(first, {}, { version: own.version + 1, issuedAt: now })
    signed++
  }
  assert.equal(signed, 3)
})

test('other words, another chain, or a date that others refuse are said anew', () => {
  const own = hostRecord(first)
  assert.ok(stands(own, 'host', hostBody(first), first.chain, start))
  assert.ok(!stands(null, 'host', hostBody(first), first.chain, start))
  assert.ok(!stands(own, 'host', hostBody(first, { draining: true }), first.chain, start))
  assert.ok(!stands(own, 'host', hostBody(first), renewed.chain, start))
  const ahead = hostRecord(first, {}, { issuedAt: after(hourMs) })
  assert.ok(!stands(ahead, 'host', hostBody(first), first.chain, start))
})

test('a record that its membership cuts short is not signed again and again', () => {
  const signer = signerFor('short')
  const short = hostFrom('short', foundChain(root, signer.publicKey, after(5 * dayMs), crypto))
  const own = hostRecord(short, {}, { expiresAt: short.chain.endsAt })
  assert.ok(stands(own, 'host', hostBody(short), short.chain, after(dayMs)))
})

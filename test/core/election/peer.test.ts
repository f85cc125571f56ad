import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Peer } from '#core/election/peer.ts'
import type { HostKey, Instant } from '#core/ids.ts'

const at = (ms: number): Instant => ms as Instant

test('of a refusal and a sign of life the later one counts, in one instant too', () => {
  const peer = new Peer('00'.repeat(8) as HostKey)
  peer.alive(at(10))
  peer.refuse(at(10))
  assert.equal(peer.refused, true)
  peer.refuse(at(12))
  assert.equal(peer.refusedAt, 10)
  peer.alive(at(12))
  assert.equal(peer.refused, false)
})

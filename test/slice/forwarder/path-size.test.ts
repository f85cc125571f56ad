import assert from 'node:assert/strict'
import { test } from 'node:test'
import { datagramOverheadBytes, maxDatagramBytes, relayKeyBytes } from '#frame/datagram.ts'
import {
  baseDatagramBytes,
  PathSize,
  relayedDatagramBytes,
  sizeAgainMs,
  sizeMaxMissed,
  sizeTimeoutMs
} from '#slice/forwarder/path-size.ts'

function started(): PathSize {
  const size = new PathSize(() => 0.3)
  size.reset(0, 'direct')
  return size
}

test('a path has the base size until a padded probe was answered', () => {
  const size = started()
  const probe = size.due(0) as Uint8Array
  assert.equal(size.bytes, baseDatagramBytes)
  assert.equal(size.answered(new Uint8Array(8), 1), false)
  assert.ok(size.answered(probe, 1))
  assert.equal(size.bytes, maxDatagramBytes)
  assert.equal(size.due(sizeAgainMs), null)
})

test('a path that narrows falls back after some missed probes, and is tried again later', () => {
  const size = started()
  size.answered(size.due(0) as Uint8Array, 0)
  let now = sizeAgainMs
  for (let i = 0; i < sizeMaxMissed; i++) {
    assert.equal(size.bytes, maxDatagramBytes)
    assert.notEqual(size.due(now), null)
    now += sizeTimeoutMs
  }
  assert.equal(size.due(now), null)
  assert.equal(size.bytes, baseDatagramBytes)
  assert.equal(size.deadlineMs, now + sizeAgainMs)
  assert.notEqual(size.due(now + sizeAgainMs), null)
})

test('another path starts anew, and without one nothing is probed', () => {
  const size = started()
  size.answered(size.due(0) as Uint8Array, 0)
  size.reset(5, 'none')
  assert.equal(size.bytes, baseDatagramBytes)
  assert.equal(size.deadlineMs, Infinity)
  assert.equal(size.due(1e9), null)
})

test('what goes by a relay fits, with what is around it, into what every path carries', () => {
  const size = started()
  size.answered(size.due(0) as Uint8Array, 0)
  size.reset(5, 'relayed')
  assert.equal(size.bytes, relayedDatagramBytes)
  assert.equal(size.bytes + datagramOverheadBytes + relayKeyBytes, baseDatagramBytes)
  assert.equal(size.due(1e9), null)
})

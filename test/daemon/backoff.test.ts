import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Backoff } from '#daemon/backoff.ts'

test('each failure is paused for twice as long, up to half a minute, and a calm one is forgotten', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let times = 0
  const backoff = new Backoff<string>(() => times++)
  for (const pauseMs of [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
    const before = times
    backoff.failed('a')
    // Told twice, it waits once.
    backoff.failed('a')
    assert.ok(backoff.isWaiting('a'))
    assert.ok(!backoff.isWaiting('b'))
    t.mock.timers.tick(pauseMs - 1)
    assert.equal(times, before)
    t.mock.timers.tick(1)
    assert.equal(times, before + 1)
    assert.ok(!backoff.isWaiting('a'))
  }
  backoff.succeeded('a')
  t.mock.timers.tick(5 * 60_000)
  backoff.failed('a')
  t.mock.timers.tick(500)
  assert.equal(times, 9)
})

test('what failed soon after it went well waits longer still, and nothing is tried after the end', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let times = 0
  const backoff = new Backoff<string>(() => times++)
  backoff.failed('a')
  t.mock.timers.tick(500)
  backoff.succeeded('a')
  t.mock.timers.tick(60_000)
  backoff.failed('a')
  t.mock.timers.tick(999)
  assert.equal(times, 1)
  t.mock.timers.tick(1)
  assert.equal(times, 2)
  backoff.failed('a')
  backoff.close()
  backoff.failed('b')
  t.mock.timers.tick(60_000)
  assert.equal(times, 2)
})

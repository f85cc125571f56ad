import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { HostId, Instant, WallTime } from '#core/ids.ts'
import { ClockWatch, wrongClockMs } from '#core/records/clock.ts'
import { start } from '../admission/keys.ts'

const minuteMs = 60_000

/** A host whose clock is ahead of the true time, and neighbours of whom each is ahead by so much. */
class Bench {
  readonly watch = new ClockWatch()
  skewMs: number
  #at = 0

  constructor(skewMs: number) {
    this.skewMs = skewMs
  }

  get at(): Instant {
    return this.#at as Instant
  }

  get now(): WallTime {
    return (start + this.#at + this.skewMs) as WallTime
  }

  hear(neighbour: number, aheadMs: number, roundTripMs = 20, awayMs = roundTripMs / 2): void {
    const sentAt = this.at
    const theirs = (start + this.#at + awayMs + aheadMs) as WallTime
    this.#at += roundTripMs
    this.watch.heard(`host ${neighbour}` as HostId, theirs, sentAt, this.at, this.now)
  }

  pass(ms: number): void {
    this.#at += ms
  }

  get aheadMs(): number | null {
    return this.watch.aheadMs(this.at, this.now)
  }

  get isWrong(): boolean {
    return this.watch.isWrong(this.at, this.now)
  }
}

test('the median of the neighbours is found, wrong by no more than half a round trip', () => {
  const ms = fc.integer({ min: -20 * minuteMs, max: 20 * minuteMs })
  fc.assert(
    fc.property(
      ms,
      fc.array(fc.record({ ahead: ms, roundTrip: fc.nat(9000), away: fc.nat(100) }), {
        minLength: 1,
        maxLength: 9
      }),
      (skew, all) => {
        const bench = new Bench(skew)
        for (const [i, { ahead, roundTrip, away }] of all.entries())
          bench.hear(i, ahead, roundTrip, (roundTrip * away) / 100)
        const off = all.map(({ ahead }) => skew - ahead).toSorted((a, b) => a - b)
        const error = Math.max(...all.map(({ roundTrip }) => roundTrip)) / 2
        const aheadMs = bench.aheadMs as number
        assert.ok(aheadMs >= (off[(off.length - 1) >> 1] as number) - error)
        assert.ok(aheadMs <= (off[off.length >> 1] as number) + error)
      }
    )
  )
})

test('a clock five minutes off most others is wrong, one liar or one other host is not believed alone', () => {
  const bench = new Bench(6 * minuteMs)
  assert.equal(bench.aheadMs, null)
  assert.equal(bench.isWrong, false)
  bench.hear(0, 0)
  assert.equal(bench.aheadMs, 6 * minuteMs)
  assert.equal(bench.isWrong, false, 'who of the two is wrong is not known')
  bench.hear(1, 1000)
  assert.equal(bench.isWrong, true)
  const honest = new Bench(0)
  for (const neighbour of [0, 1, 2]) honest.hear(neighbour, neighbour === 0 ? -3600_000 : 500)
  assert.equal(honest.isWrong, false)
  assert.ok(Math.abs(honest.aheadMs as number) < 1000)
})

test('the border is five minutes, on both sides', () => {
  for (const sign of [1, -1])
    for (const beyond of [-1, 1]) {
      const bench = new Bench(sign * (wrongClockMs + beyond))
      for (const neighbour of [0, 1, 2]) bench.hear(neighbour, 0, 0)
      assert.equal(bench.isWrong, beyond > 0)
    }
})

test('a clock that is set, and a machine that slept, count from what is heard after it', () => {
  const bench = new Bench(20 * minuteMs)
  for (const neighbour of [0, 1, 2]) bench.hear(neighbour, 0)
  assert.equal(bench.isWrong, true)
  bench.skewMs = 0
  assert.equal(bench.isWrong, false)
  assert.equal(bench.aheadMs, null)
  bench.hear(0, 0)
  bench.hear(1, 0)
  assert.equal(bench.aheadMs, 0)
})

test('what was heard long ago, and what took too long, says nothing', () => {
  const bench = new Bench(20 * minuteMs)
  bench.hear(0, 0, 10_001)
  assert.equal(bench.aheadMs, null)
  bench.hear(0, 0)
  bench.hear(1, 0)
  assert.equal(bench.isWrong, true)
  bench.pass(5 * minuteMs)
  assert.equal(bench.isWrong, false)
})

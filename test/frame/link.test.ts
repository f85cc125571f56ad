import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { LinkWay, type LinkSettings, lost, plainLink } from '#frame/link.ts'

function way(settings: Partial<LinkSettings>, seed = 1): LinkWay {
  let state = seed
  const link = new LinkWay(() => (state = (state * 48271) % 0x7fffffff) / 0x7fffffff)
  link.set({ ...plainLink, ...settings })
  return link
}

/** When each of so many frames arrives that come one a millisecond. */
function arrivals(link: LinkWay, frames: number, bytes = 1_000): number[] {
  return Array.from({ length: frames }, (_, place) => link.pass(place, bytes))
}

describe('a link', () => {
  test('of which nothing was said lets all pass at once', () => {
    const link = way({})
    assert.ok(link.plain)
    assert.deepEqual(arrivals(link, 5), [0, 1, 2, 3, 4])
  })

  test('delays each frame alike', () => {
    assert.deepEqual(arrivals(way({ delayMs: 20 }), 3), [20, 21, 22])
  })

  test('with jitter keeps the order and stays within its bounds', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e6 }), fc.nat(50), fc.nat(50), (seed, delayMs, jitterMs) => {
        const due = arrivals(way({ delayMs, jitterMs }, seed), 200)
        for (const [place, at] of due.entries()) {
          assert.ok(at >= Math.max(place, place + delayMs - jitterMs) && at <= place + delayMs + jitterMs)
          assert.ok(at >= (due[place - 1] ?? 0))
        }
      })
    )
  })

  test('loses, doubles and reorders the share that was said', () => {
    const count = 20_000
    const near = (share: number, wanted: number): void =>
      assert.ok(Math.abs(share - wanted) < 0.01, `${share}`)
    near(arrivals(way({ loss: 0.1 }), count).filter((at) => at === lost).length / count, 0.1)
    const twice = way({ duplicate: 0.05 })
    near(
      Array.from({ length: count }).filter(() => twice.pass(0, 100) >= 0 && twice.doubles()).length / count,
      0.05
    )
    const due = arrivals(way({ delayMs: 30, reorder: 0.2 }), count)
    near(due.filter((at, place) => at === place).length / count, 0.2)
    assert.deepEqual(arrivals(way({ loss: 1 }), 3), [lost, lost, lost])
  })

  test('with a rate sends one frame after the other, and loses what its queue does not hold', () => {
    // 1,000 bytes at 1 Mbit/s take 8 ms.
    const link = way({ rateBps: 1_000_000, queueFrames: 2 })
    assert.deepEqual(
      [0, 0, 0, 0, 0].map((now) => link.pass(now, 1_000)),
      [8, 16, 24, lost, lost]
    )
    assert.equal(link.pass(9, 1_000), 32, 'one went on, so there is room for one')
    assert.equal(link.pass(1_000, 500), 1_004)
  })

  test('never exceeds its rate, whatever comes', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000 }),
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.tuple(fc.nat(20), fc.integer({ min: 60, max: 1_514 })), { maxLength: 200 }),
        (kbit, queueFrames, frames) => {
          const link = way({ rateBps: kbit * 1_000, queueFrames })
          let [now, bits, last] = [0, 0, 0]
          for (const [pause, bytes] of frames) {
            now += pause
            const at = link.pass(now, bytes)
            if (at === lost) continue
            bits += bytes * 8
            assert.ok(at >= last && at >= now + (bytes * 8) / kbit - 1e-6)
            assert.ok(bits <= at * kbit + 1e-3, `${bits} bits until ${at} ms at ${kbit} kbit/s`)
            last = at
          }
        }
      )
    )
  })

  test('that is down loses everything, and what is set anew begins afresh', () => {
    const link = way({ delayMs: 5_000, down: true })
    assert.deepEqual(arrivals(link, 2), [lost, lost])
    link.set({ ...plainLink, delayMs: 5_000 })
    assert.equal(link.pass(0, 100), 5_000)
    link.set(plainLink)
    assert.equal(link.pass(1, 100), 1)
  })
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { EventClock } from '#core/event-clock.ts'
import type { WallTime } from '#core/ids.ts'

const wall = fc.integer({ min: 0, max: 600_000 }).map((ms) => (1_800_000_000_000 + ms) as WallTime)

test('stamps grow, however the clock jumps and whatever is heard', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ now: wall, heard: fc.option(wall) })), (steps) => {
      const clock = new EventClock()
      let last = 0
      for (const { now, heard } of steps) {
        if (heard !== null) clock.heard(heard, now)
        const stamp = clock.stamp(now)
        assert.ok(stamp > last && stamp >= now * 1_000 && Number.isSafeInteger(stamp))
        if (heard !== null) assert.ok(stamp > heard * 1_000)
        last = stamp
      }
    })
  )
})

test('a host whose clock is far ahead does not take the others along', () => {
  const clock = new EventClock()
  const now = 1_800_000_000_000 as WallTime
  clock.heard((now + 3_600_000) as WallTime, now)
  assert.equal(clock.stamp(now), now * 1_000)
})

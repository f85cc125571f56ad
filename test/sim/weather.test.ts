import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Random } from '../../sim/random.ts'
import { runScenario } from '../../sim/run.ts'
import type { Scenario } from '../../sim/scenario.ts'
import { families } from '../../sim/scenarios/list.ts'
import type { World } from '../../sim/world.ts'

const minuteMs = 60_000
/** Slow beats, by which calm is left out. */
const rhythmMs = 500

/** The stalls of workers: where, and when by the weather's time and by the world's. */
function stallsOf(change: Partial<Scenario>): {
  readonly world: World
  readonly stalls: readonly { readonly host: number; readonly skyMs: number; readonly atMs: number }[]
} {
  const family = families.find(({ name }) => name === 'weathers-shortened')
  assert.ok(family !== undefined)
  const made = family.make(3, new Random(1, 'scenario'))
  const stalls: { host: number; skyMs: number; atMs: number }[] = []
  const { world } = runScenario(
    { ...made, ...change },
    {
      seed: 1,
      prepare: (world) => {
        for (const host of world.hosts) {
          const stall = host.worker.stall.bind(host.worker)
          host.worker.stall = (forMs, resumed) => {
            const { now } = world.clock
            stalls.push({ host: host.place, skyMs: now + world.leftOutMs, atMs: now })
            stall(forMs, resumed)
          }
        }
      }
    }
  )
  return { world, stalls }
}

test('shortened weather has every stall of a worker, at its moment between beats, and the calm after it', () => {
  const { stalls: plain } = stallsOf({
    stalls: { everyMs: 30_000, ms: 300, leastMs: 300 },
    restMs: 30 * minuteMs
  })
  const { stalls: shortened, world } = stallsOf({ restMs: 5 * minuteMs })
  assert.ok(plain.length > 60 && shortened.length > plain.length, `${plain.length}, ${shortened.length}`)
  assert.ok(world.leftOutMs > 6 * world.clock.now, `${world.leftOutMs} ms left out`)
  for (const [turn, stall] of plain.entries()) {
    const played = shortened[turn] as (typeof plain)[number]
    assert.equal(played.host, stall.host)
    assert.ok(Math.abs(played.skyMs - stall.skyMs) < 1e-3)
    const round = (played.atMs - stall.atMs) / rhythmMs
    assert.ok(Math.abs(round - Math.round(round)) < 1e-6, `${round} rounds earlier`)
    const calmMs = played.atMs - (shortened[turn - 1]?.atMs ?? 0)
    const plainMs = stall.atMs - (plain[turn - 1]?.atMs ?? 0)
    assert.ok(calmMs >= Math.min(plainMs - 1e-3, 2_000), `${calmMs} of ${plainMs} ms of calm`)
  }
})

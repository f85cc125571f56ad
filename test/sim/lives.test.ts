import assert from 'node:assert/strict'
import { test } from 'node:test'
import { measured } from '../../sim/measure.ts'
import { Random } from '../../sim/random.ts'
import { type Outcome, lastEvents, runScenario } from '../../sim/run.ts'
import type { Scenario } from '../../sim/scenario.ts'
import { lives } from '../../sim/scenarios/lives.ts'

function play(name: string, hosts: number, change: Partial<Scenario> = {}): Map<string, readonly number[]> {
  const family = lives.find((one) => one.name === name)
  assert.ok(family !== undefined)
  const made = { ...family.make(hosts, new Random(7, 'scenario')), ...change }
  const measuring = measured(made)
  const outcome: Outcome = runScenario(made, { seed: 7, prepare: measuring.prepare })
  assert.equal(outcome.violation, null, lastEvents(outcome.world).join('\n'))
  measuring.add(outcome, { cpuMs: 1, realMs: 1 })
  return new Map(measuring.rows().map(({ name: row, values }) => [row, values]))
}

for (const name of ['death', 'death-in-weather']) {
  for (const hosts of [10, 60]) {
    test(`${name}: 99 % of ${hosts} hosts hold the dead one dead within 4 s, and nobody else`, () => {
      const figures = play(name, hosts)
      const seen = figures.get('a death is seen by 99 % of hosts after') ?? []
      assert.equal(seen.length, 3)
      assert.ok(Math.max(...seen) <= 4_000, seen.join(', '))
      assert.deepEqual(figures.get('false deaths'), [0])
    })
  }
}

test('in twenty minutes of weather nobody is held dead, and what watching costs is the same in a larger mesh', () => {
  const cost = [20, 60].map((hosts) => {
    const figures = play('lives', hosts, { restMs: 20 * 60_000 })
    assert.deepEqual(figures.get('false deaths'), [0])
    return figures.get('liveness’ bytes per host')?.[0] as number
  })
  assert.ok((cost[1] as number) < 1.05 * (cost[0] as number), cost.join(', '))
})

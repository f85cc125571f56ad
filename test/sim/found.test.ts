/** Scenarios that once broke an invariant, with the seed that did. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { lastEvents, runScenario } from '../../sim/run.ts'
import type { Scenario } from '../../sim/scenario.ts'

const found = [
  { name: 'offer-left-behind', seed: 160_034 },
  { name: 'dropped-while-away', seed: 7_002 },
  { name: 'passed-on-among-dropped', seed: 809_381_049 }
]

for (const { name, seed } of found) {
  const file = new URL(`found/${name}.json`, import.meta.url)
  const scenario = JSON.parse(readFileSync(file, 'utf8')) as Scenario
  test(`invariants hold where they once did not: ${scenario.why}`, () => {
    const { violation, world } = runScenario(scenario, { seed })
    assert.equal(violation, null, lastEvents(world).join('\n'))
  })
}

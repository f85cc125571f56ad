/** Entities of hosts that are lost run elsewhere, once and in time; bugs that break this are found. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Bug } from '../../sim/bugs.ts'
import { measured } from '../../sim/measure.ts'
import { Random } from '../../sim/random.ts'
import { lastEvents, runScenario } from '../../sim/run.ts'
import { families } from '../../sim/scenarios/list.ts'
import type { Violation } from '../../sim/world.ts'

/** The rounds of a family that begin within so long: two. */
const roundsMs = 120_000

/** Two rounds of a family. */
function play(
  name: string,
  bugs: readonly Bug[]
): {
  readonly violation: Violation | null
  readonly figures: Map<string, readonly number[]>
  readonly events: string
} {
  const family = families.find((one) => one.name === name)
  assert.ok(family !== undefined)
  const made = family.make(family.hosts, new Random(1, 'scenario'))
  const scenario = { ...made, steps: made.steps.filter(({ atMs }) => atMs < roundsMs) }
  const measuring = measured(scenario)
  const outcome = runScenario(scenario, { seed: 1, bugs: new Set(bugs), prepare: measuring.prepare })
  measuring.add(outcome, { cpuMs: 1, realMs: 1 })
  const figures = new Map(measuring.rows().map((row) => [row.name, row.values]))
  return { violation: outcome.violation, figures, events: lastEvents(outcome.world).join('\n') }
}

for (const name of ['kill-runner', 'power-runner', 'cut-runner', 'suspend-runner', 'numb-runner']) {
  test(`${name}: its entities run elsewhere ten seconds and a boot after, each of them`, () => {
    const { violation, figures, events } = play(name, [])
    assert.equal(violation, null, events)
    const moved = figures.get('an entity runs elsewhere after') ?? []
    assert.ok(moved.length >= 2)
    // Ten seconds of silence, some until the trunk is given up, and the boot; not before.
    assert.ok(Math.min(...moved) > 10_000 && Math.max(...moved) < 15_000, moved.join(', '))
    assert.deepEqual(figures.get('entities that did not move'), [0])
  })
}

for (const [bug, name, invariant] of [
  ['superseded-port-stays', 'numb-runner', 'superseded-ports'],
  ['others-unheard', 'kill-runner', 'entities-up'],
  ['claims-unlisted', 'liars', 'claims-listed']
] as const) {
  test(`${invariant} finds a planted bug in ${name}: ${bug}`, () => {
    assert.equal(play(name, [bug]).violation?.invariant, invariant)
  })
}

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Bug, bugs } from '../../sim/bugs.ts'
import { measured } from '../../sim/measure.ts'
import { Random } from '../../sim/random.ts'
import { type Outcome, lastEvents, runScenario } from '../../sim/run.ts'
import { families } from '../../sim/scenarios/list.ts'
import { describeLine } from '../../sim/sketch.ts'
import { randomScenario, swarm } from '../../sim/swarm.ts'

const hosts = 10
/** Seeds that a planted bug may escape. */
const seeds = 40

/** Which invariant finds each planted bug. */
const found: Record<
  Exclude<Bug, 'echoes-ignored' | 'standby-asks-nobody' | 'superseded-port-stays' | 'nothing-passed-on'>,
  readonly string[]
> = {
  'rivals-ignored': ['flowing'],
  'tags-never-retired': ['one-switch', 'ended-tags', 'ended-terms', 'bounded'],
  'edge-forwards': ['no-loop'],
  'lower-version-wins': ['converged'],
  'slots-unsettled': ['invites'],
  'signatures-unchecked': ['no-stranger'],
  'repair-off': ['converged'],
  'claims-unlisted': ['claims-listed'],
  'others-unheard': ['entities-up'],
  'all-fail-over': ['stays'],
  'runner-first': ['moved'],
  'shut-out-stays': ['shut-out']
}

test('random worlds hold all invariants', () => {
  const one = swarm(1, 8, hosts, new Set())
  assert.equal(one, null, one === null ? '' : lastEvents(one.outcome.world).join('\n'))
})

for (const [bug, invariants] of Object.entries(found)) {
  test(`the swarm finds a planted bug: ${bugs[bug as Bug]}`, () => {
    const planted = new Set([bug as Bug])
    const one = swarm(1, seeds, hosts, planted)
    assert.ok(one !== null, 'it was not found')
    assert.ok(invariants.includes(one.outcome.violation?.invariant ?? ''), one.outcome.violation?.what)
  })
}

test(`an edge that does not reach the active finds a planted bug: ${bugs['nothing-passed-on']}`, () => {
  const { made, seed } = scenarioOf('link-edge', 8)
  const { violation } = runScenario(made, { seed, bugs: new Set<Bug>(['nothing-passed-on']) })
  assert.equal(violation?.invariant, 'flowing')
})

test(`ways that are cut around the active find a planted bug: ${bugs['standby-asks-nobody']}`, () => {
  const { made, seed } = scenarioOf('around-switch', 10)
  const { violation } = runScenario(made, { seed, bugs: new Set<Bug>(['standby-asks-nobody']) })
  assert.equal(violation?.invariant, 'no-false-takeover')
})

test('a stale echo that is taken for fresh shows as a longer gap when the active goes deaf', () => {
  const gapOf = (planted: readonly Bug[]): number => {
    const { made, seed } = scenarioOf('deaf-active', 6)
    const measuring = measured({ ...made, steps: made.steps.slice(0, 3) })
    const short = { ...made, steps: made.steps.slice(0, 3) }
    measuring.add(runScenario(short, { seed, bugs: new Set(planted), prepare: measuring.prepare }), {
      cpuMs: 1,
      realMs: 1
    })
    return Math.max(
      ...measuring.rows().flatMap((row) => (row.name.startsWith('longest gap') ? row.values : []))
    )
  }
  assert.ok(gapOf([]) <= 700)
  assert.ok(gapOf(['echoes-ignored']) > 1_400)
})

test('a seed is one run, bit for bit, and another seed another', () => {
  const first = traceOf(runScenario(randomScenario(3, hosts), { seed: 3 }))
  assert.equal(traceOf(runScenario(randomScenario(3, hosts), { seed: 3 })), first)
  assert.notEqual(traceOf(runScenario(randomScenario(3, hosts), { seed: 4 })), first)
})

for (const family of families) {
  test(`invariants hold in "${family.name}": ${family.why}`, () => {
    const { made, seed } = scenarioOf(family.name, Math.min(family.hosts, 16))
    const steps = made.steps.slice(0, 12)
    const short = { ...made, steps, restMs: Math.min(made.restMs, 45_000) }
    const { violation, world } = runScenario(short, { seed })
    assert.equal(violation, null, lastEvents(world).join('\n'))
  })
}

function scenarioOf(
  name: string,
  count: number
): { made: ReturnType<(typeof families)[number]['make']>; seed: number } {
  const family = families.find((one) => one.name === name)
  assert.ok(family !== undefined)
  return { made: family.make(count, new Random(1, 'scenario')), seed: 1 }
}

function traceOf({ world }: Outcome): string {
  return `${world.clock.count} ${world.events.map(describeLine).join('\n')}`
}

/**
 * `npm run sim -- SCENARIO|FILE.json [--seed N] [--hosts N] [--runs N] [--json]`
 * `npm run sim -- swarm [--seed N] [--seeds N] [--hosts N] [--plant BUG] [--json]`
 *
 * Exit status 0: all invariants held; 1: one did not (the command that replays it is printed); 2: usage.
 */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Bug, bugs as known, isBug } from '../bugs.ts'
import { describeFault } from '../faults.ts'
import { measured } from '../measure.ts'
import { Random } from '../random.ts'
import { lastEvents, runScenario } from '../run.ts'
import type { Scenario } from '../scenario.ts'
import { families } from '../scenarios/list.ts'
import { type Found, shrink, swarm } from '../swarm.ts'
import { type Row, cpuMs, machine, printRows } from './rows.ts'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '100' },
    runs: { type: 'string', default: '1' },
    hosts: { type: 'string' },
    plant: { type: 'string', multiple: true, default: [] },
    json: { type: 'boolean', default: false }
  }
})
const [name] = positionals
const planted = new Set<Bug>(values.plant.filter(isBug))
if (name === undefined || planted.size !== values.plant.length) usage()
if (name === 'swarm') runSwarm()
else runOne(name)

function usage(): never {
  const lines = families.map((one) => `  ${one.name.padEnd(16)} ${one.why}`)
  const planting = Object.entries(known).map(([bug, why]) => `  ${bug.padEnd(22)} ${why}`)
  console.error(
    [
      'usage: sim SCENARIO|FILE.json [--seed N] [--hosts N] [--runs N] [--json]',
      '       sim swarm [--seed N] [--seeds N] [--hosts N] [--plant BUG] [--json]',
      '',
      'scenarios:',
      ...lines,
      '',
      'bugs that can be planted:',
      ...planting
    ].join('\n')
  )
  process.exit(2)
}

function runOne(name: string): void {
  const rows: Row[] = []
  const seed = Number(values.seed)
  const found = Array.from({ length: Number(values.runs) }, (_, turn) => {
    const made = scenarioOf(name, seed + turn)
    const measuring = measured(made)
    let from = cpuMs()
    const outcome = runScenario(made, {
      seed: seed + turn,
      bugs: planted,
      prepare: measuring.prepare,
      begun: () => (from = cpuMs())
    })
    const tookMs = cpuMs() - from
    measuring.add(outcome, tookMs)
    if (outcome.violation !== null) tell({ seed: seed + turn, scenario: made, outcome })
    rows.push(...measuring.rows())
    return outcome.violation
  })
  const failed = found.filter((violation) => violation !== null).length
  rows.push({ name: 'invariants violated', unit: 'runs', values: [failed], goal: 0, ok: failed === 0 })
  report(rows, failed > 0)
}

function scenarioOf(name: string, seed: number): Scenario {
  if (name.endsWith('.json')) return JSON.parse(readFileSync(name, 'utf8')) as Scenario
  const family = families.find((one) => one.name === name)
  if (family === undefined) usage()
  return family.make(Number(values.hosts ?? family.hosts), new Random(seed, 'scenario'))
}

function runSwarm(): void {
  const hosts = Number(values.hosts ?? 20)
  const from = cpuMs()
  let simulatedMs = 0
  let runs = 0
  const found = swarm(Number(values.seed), Number(values.seeds), hosts, planted, (_seed, outcome) => {
    simulatedMs += outcome.ms
    runs++
  })
  if (found !== null) tell(shrink(found, planted))
  const tookMs = cpuMs() - from
  report(
    [
      { name: 'seeds run', unit: 'runs', values: [runs] },
      { name: 'simulated', unit: 's', values: [simulatedMs / 1_000] },
      { name: 'simulated time over real time', unit: 'x', values: [simulatedMs / tookMs] },
      {
        name: 'invariants violated',
        unit: 'runs',
        values: [found === null ? 0 : 1],
        goal: 0,
        ok: found === null
      }
    ],
    found !== null
  )
}

/** What was violated, the command that repeats it, what befell, and the last events. */
function tell({ seed, scenario, outcome }: Found): void {
  const file = join(mkdtempSync(join(tmpdir(), 'violin-sim-')), 'scenario.json')
  writeFileSync(file, `${JSON.stringify(scenario, null, 1)}\n`)
  const plant = [...planted].map((bug) => ` --plant ${bug}`).join('')
  const { violation } = outcome
  console.error(
    [
      `VIOLATED ${violation?.invariant} after ${Math.round(violation?.atMs ?? 0)} ms: ${violation?.what}`,
      `replay: npm run sim -- ${file} --seed ${seed}${plant}`,
      `${scenario.hosts} hosts; what befell them:`,
      ...scenario.steps.map(({ atMs, fault }) => `  ${Math.round(atMs)} ms  ${describeFault(fault)}`),
      'the last events:',
      ...lastEvents(outcome.world)
    ].join('\n')
  )
}

function report(rows: readonly Row[], failed: boolean): void {
  printRows(rows, values.json, machine())
  process.exitCode = failed ? 1 : 0
}

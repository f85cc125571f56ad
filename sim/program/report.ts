/**
 * `npm run sim:report [--json] [--long]`: the figures of the control plane, from virtual hosts that run the
 * product's own code. Some minutes; `--long` more of each.
 */
import { setFlagsFromString } from 'node:v8'
import { parseArgs } from 'node:util'
import { runInNewContext } from 'node:vm'
import { type Figure, measured } from '../measure.ts'
import { Random } from '../random.ts'
import { type Outcome, lastEvents, runScenario } from '../run.ts'
import { families } from '../scenarios/list.ts'
import { swarm } from '../swarm.ts'
import { type Row, cpuMs, machine, printRows } from './rows.ts'

const { values } = parseArgs({
  options: { json: { type: 'boolean', default: false }, long: { type: 'boolean', default: false } }
})
const runs = values.long ? 25 : 2
const rows: Row[] = []
let violated = 0

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

for (const [name, p50Ms, p99Ms] of [
  ['kill-active', 150, 300],
  ['freeze-active', null, 700],
  ['power-active', null, 700],
  ['cut-active', null, 700],
  ['mute-active', null, 700],
  ['deaf-active', null, 700],
  ['kill-both', null, 3_000]
] as const) {
  const gaps = figuresOf(name, 8, runs).filter((one) => one.name === 'longest gap between two others')
  const all = gaps.flatMap((one) => one.values).toSorted((a, b) => a - b)
  const at = (share: number): number => all[Math.max(0, Math.ceil(share * all.length) - 1)] ?? Number.NaN
  if (p50Ms !== null) goal(`${name}: gap in frames between two others, p50`, 'ms', at(0.5), p50Ms)
  goal(`${name}: gap in frames between two others, p99`, 'ms', at(0.99), p99Ms)
}

const moved = figuresOf('handoff', 8, runs)
goal('handoff: frames that did not arrive', '', sum(moved, 'frames that did not arrive'), 0)

const calm = figuresOf('weather', 8, values.long ? 200 : 4)
const hours = sum(calm, 'switch-hours')
const takeovers = sum(calm, 'switches that changed')
rows.push({ name: 'weather: simulated switch-hours', unit: 'h', values: [hours] })
goal('weather: false takeovers', '', takeovers, 0)
// The rule of three: none seen in n hours bounds the rate, at 95 %, by 3 / n.
rows.push({ name: 'weather: bound on false takeovers, 95 %', unit: '1/1000 h', values: [3_000 / hours] })

for (const [hosts, goalMs] of [
  [100, 250],
  [1_000, 400]
] as const) {
  const news = figuresOf('news', hosts, 1)
  goal(
    `${hosts} hosts: a record is seen by 99 % after`,
    'ms',
    max(news, 'a record is seen by 99 % of hosts after'),
    goalMs
  )
  for (const what of ['gossip’s bytes per host', 'repair’s bytes per host']) {
    rows.push({ name: `${hosts} hosts, news: ${what}`, unit: 'B/s', values: [sum(news, what)] })
  }
}
const silent = figuresOf('silence', 50, runs)
rows.push({
  name: '50 hosts, gossip delivers nothing: a record is seen by all after',
  unit: 'ms',
  values: silent.filter((one) => one.name === 'a record is seen by all after').flatMap((one) => one.values)
})
measureSize(1_000)
const found = swarm(1, values.long ? 1_000 : 40, 12, new Set())
if (found !== null) violated++
goal('invariants violated', 'runs', violated, 0)
printRows(rows, values.json, machine())
process.exitCode = rows.some((row) => row.ok === false) ? 1 : 0

function figuresOf(name: string, hosts: number, count: number): Figure[] {
  return Array.from({ length: count }, (_, turn) => runOne(name, hosts, turn + 1).figures).flat()
}

function runOne(name: string, hosts: number, seed: number): { figures: readonly Figure[]; outcome: Outcome } {
  const family = families.find((one) => one.name === name)
  if (family === undefined) throw new Error(`no scenario ${name}`)
  const made = family.make(hosts, new Random(seed, 'scenario'))
  const measuring = measured(made)
  let from = cpuMs()
  const outcome = runScenario(made, {
    seed,
    prepare: measuring.prepare,
    begun: () => (from = cpuMs())
  })
  measuring.add(outcome, cpuMs() - from)
  if (outcome.violation !== null) {
    violated++
    console.error(`${name}, seed ${seed}:\n${lastEvents(outcome.world).join('\n')}`)
  }
  return { figures: measuring.rows(), outcome }
}

/** What a world of so many hosts costs this machine. */
function measureSize(hosts: number): void {
  collect()
  const before = process.memoryUsage()
  const { figures, outcome } = runOne('calm', hosts, 1)
  collect()
  const after = process.memoryUsage()
  const bytes = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers
  rows.push({
    name: `${hosts} hosts, calm: elections’ bytes per host`,
    unit: 'B/s',
    values: [sum(figures, 'elections’ bytes per host')]
  })
  const mebibytes = bytes / outcome.world.hosts.length / 2 ** 20
  goal(`${hosts} hosts: memory per host`, 'MiB', mebibytes, 1)
  const times = 'simulated time over real time'
  atLeast(
    `${hosts} hosts, records alone: simulated over real time`,
    max(runOne('quiet', hosts, 1).figures, times),
    20
  )
  atLeast(`${hosts} hosts, records and vLANs of 8: simulated over real time`, max(figures, times), 20)
}

function atLeast(name: string, value: number, least: number): void {
  rows.push({ name, unit: 'x', values: [value], goal: least, ok: value >= least })
}

function goal(name: string, unit: string, value: number, goal: number): void {
  rows.push({ name, unit, values: [value], goal, ok: value <= goal })
}

function sum(figures: readonly Figure[], name: string): number {
  return named(figures, name).reduce((total, one) => total + one, 0)
}

function max(figures: readonly Figure[], name: string): number {
  return Math.max(...named(figures, name))
}

function named(figures: readonly Figure[], name: string): readonly number[] {
  return figures.filter((one) => one.name === name).flatMap((one) => one.values)
}

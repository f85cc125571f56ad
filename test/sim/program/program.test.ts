/** The simulator as a user runs it: what it prints where, and its exit status. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Failure } from '../../../sim/program/failure.ts'
import { lineOf } from '../../../sim/program/rows.ts'
import { upperBound } from '../../../sim/program/sections/runs.ts'
import { exponent } from '../../../sim/program/sections/section.ts'
import { run } from './run.ts'

test('wrong usage is one line that says what was meant, with exit status 2', () => {
  for (const [args, told] of [
    [[], /which scenario/],
    [['kil-active'], /did you mean kill-active/],
    [['swarm', '--plant', 'edge-forward'], /did you mean edge-forwards/],
    [['swarm', '--html', 'x'], /--html means nothing to swarm/],
    [['swarm', '--seeds', '-3'], /--seeds/],
    [['handoff', '--hosts', 'many'], /whole number/],
    [['report', '--only', 'wheather'], /did you mean weather/],
    [
      ['report', '--only', 'size', '--html', '/nowhere/page.html'],
      /--html: .*\/nowhere\/page.html.*; name a file/
    ],
    [['--frobnicate'], /--frobnicate/]
  ] as const) {
    const { status, out, err } = run(...args)
    assert.equal(status, 2, args.join(' '))
    assert.equal(out, '')
    assert.match(err, told)
    assert.equal(err.trim().split('\n').length, 1, err)
  }
})

test('a scenario that holds gives one JSON document of rows and status 0', () => {
  const { status, out } = run('handoff', '--hosts', '4', '--json')
  assert.equal(status, 0)
  const { rows, machine } = JSON.parse(out) as { rows: Record<string, unknown>[]; machine: object }
  assert.ok('cores' in machine)
  for (const row of rows)
    for (const key of ['name', 'unit', 'median', 'min', 'max', 'p99', 'runs', 'count', 'goal', 'ok', 'seed'])
      assert.ok(key in row, key)
  assert.ok(rows.some((row) => row['name'] === 'frames that did not arrive' && row['median'] === 0))
})

for (const words of ['swarm --seeds 5', 'kill-active --hosts 8']) {
  test(`a violated invariant gives status 1, commands that repeat it, and its end drawn: ${words}`, () => {
    const { status, out, err } = run(...words.split(' '), '--plant', 'edge-forwards', '--json')
    assert.equal(status, 1)
    const { invariant, scenario, replay, replayShrunk } = violationIn(out)
    assert.equal(invariant, 'no-loop')
    assert.ok(scenario.hosts <= 6, `${scenario.hosts} hosts`)
    assert.match(err, /VIOLATED no-loop/)
    assert.match(err, /time, s +host \d/)
    for (const command of [replay, replayShrunk]) {
      const again = run(...command.replace('npm run sim -- ', '').split(' '), '--json')
      assert.equal(again.status, 1, command)
      const repeated = violationIn(again.out)
      assert.equal(repeated.invariant, 'no-loop')
      assert.equal(repeated.replay, command)
    }
  })
}

function violationIn(out: string): Failure['data'] {
  return (JSON.parse(out) as { violation: Failure['data'] }).violation
}

test('a goal judges the value that it names, and nothing measured misses it', () => {
  const row = { name: 'x', unit: 'ms', values: [...Array(98).fill(1), 5, 9] as number[] }
  assert.equal(lineOf({ ...row, goal: { of: 'p99', atMost: 5 } }).ok, true)
  assert.equal(lineOf({ ...row, goal: { of: 'max', atMost: 5 } }).ok, false)
  assert.equal(lineOf({ ...row, goal: { atLeast: 1 } }).ok, true)
  assert.equal(lineOf({ ...row, values: [], goal: { atMost: 5 } }).ok, false)
})

test('what was never seen may be expected three times, what was seen once 4.7 times (Poisson, 95 %)', () => {
  const table = [2.996, 4.744, 6.296, 7.754, 9.154]
  for (const [seen, bound] of table.entries()) assert.ok(Math.abs(upperBound(seen) - bound) < 1e-3, `${seen}`)
})

test('the exponent of a power is found, and of what is flat it is nothing', () => {
  const of = (power: number): number => exponent([10, 100, 1_000].map((n) => [n, 3 * n ** power] as const))
  assert.ok(Math.abs(of(0.5) - 0.5) < 1e-9)
  assert.ok(Math.abs(of(0)) < 1e-9)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { findCycle, Schedule, type When } from '#core/experiment.ts'

interface Timed {
  readonly name: string
  readonly when: When
}
const at = (name: string, atMs: number): Timed => ({ name, when: { kind: 'at', atMs } })
const after = (name: string, step: string, waitMs = 0): Timed => ({
  name,
  when: { kind: 'after', step, waitMs }
})
const names = (steps: readonly Timed[]): string[] => steps.map(({ name }) => name)

test('steps begin at their times, and after those that they wait for', () => {
  const schedule = new Schedule([after('c', 'a', 50), at('b', 20), at('a', 10)])
  assert.equal(schedule.nextMs, 10)
  assert.deepEqual(names(schedule.due(9)), [])
  assert.deepEqual(names(schedule.due(25)), ['a', 'b'])
  assert.equal(schedule.nextMs, Infinity)
  assert.ok(!schedule.over)
  schedule.ended('a', true, 30)
  assert.equal(schedule.nextMs, 80)
  schedule.ended('b', true, 31)
  assert.deepEqual(names(schedule.due(80)), ['c'])
  schedule.ended('c', true, 90)
  assert.ok(schedule.over)
  assert.deepEqual(schedule.left, [])
})

test('what waits for a step that failed never begins', () => {
  const schedule = new Schedule([at('a', 0), after('b', 'a'), after('c', 'b')])
  schedule.due(0)
  schedule.ended('a', false, 1)
  assert.ok(schedule.over)
  assert.deepEqual(names(schedule.left), ['b', 'c'])
})

test('each step begins once, never before its time, and all do where none fails', () => {
  const plan = fc.array(fc.tuple(fc.nat(1_000), fc.option(fc.nat(100), { nil: null }), fc.nat(300)), {
    minLength: 1,
    maxLength: 12
  })
  fc.assert(
    fc.property(plan, (rows) => {
      const steps = rows.map(([ms, before], place) =>
        before === null || place === 0 ? at(`s${place}`, ms) : after(`s${place}`, `s${before % place}`, ms)
      )
      assert.equal(findCycle(steps), null)
      const schedule = new Schedule(steps)
      const ends = new Map<string, number>()
      const running: { name: string; endMs: number }[] = []
      const begun: string[] = []
      while (!schedule.over) {
        const now = Math.min(schedule.nextMs, ...running.map(({ endMs }) => endMs))
        for (const one of running.filter(({ endMs }) => endMs <= now)) {
          running.splice(running.indexOf(one), 1)
          ends.set(one.name, now)
          schedule.ended(one.name, true, now)
        }
        for (const { name, when } of schedule.due(now)) {
          const earliest = when.kind === 'at' ? when.atMs : (ends.get(when.step) as number) + when.waitMs
          assert.ok(now >= earliest)
          begun.push(name)
          running.push({ name, endMs: now + (rows[Number(name.slice(1))]?.[2] as number) })
        }
      }
      assert.deepEqual(begun.toSorted(), names(steps).toSorted())
    })
  )
})

test('a step that waits for itself is found, however long the way', () => {
  assert.equal(findCycle([after('a', 'a')]), 'a')
  assert.notEqual(findCycle([at('x', 0), after('a', 'c'), after('b', 'a'), after('c', 'b')]), null)
  assert.equal(findCycle([at('a', 0), after('b', 'a'), after('c', 'a')]), null)
})

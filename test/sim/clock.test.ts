import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Clock } from '../../sim/clock.ts'
import { Random } from '../../sim/random.ts'
import { Thread } from '../../sim/thread.ts'

test('events run in order of time, those of one instant in the order in which they were asked for', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20), { maxLength: 60 }), (times) => {
      const clock = new Clock()
      const ran: (readonly [number, number])[] = []
      for (const [order, at] of times.entries()) clock.at(at, () => ran.push([clock.now, order]))
      clock.run(100)
      const wanted = times.map((at, order) => [at, order] as const)
      assert.deepEqual(
        ran,
        wanted.toSorted(([a, i], [b, j]) => a - b || i - j)
      )
      assert.equal(clock.now, 100)
    })
  )
})

test('nothing happens in the past', () => {
  const clock = new Clock()
  clock.run(10)
  assert.throws(() => clock.at(9, () => {}), RangeError)
  assert.throws(() => clock.at(Number.NaN, () => {}), RangeError)
})

test('draws are spread evenly over [0, 1)', () => {
  const random = new Random(0)
  const draws = Array.from({ length: 100_000 }, () => random.next())
  const mean = draws.reduce((sum, draw) => sum + draw, 0) / draws.length
  assert.ok(Math.abs(mean - 0.5) < 0.005, `mean ${mean}`)
  assert.ok(draws.every((draw) => draw >= 0 && draw < 1))
})

test('streams of one seed differ by their label, and equal labels are equal', () => {
  const draw = (seed: number, label: string): number => new Random(seed, label).bits()
  assert.equal(draw(7, 'a'), draw(7, 'a'))
  assert.notEqual(draw(7, 'a'), draw(7, 'b'))
  assert.notEqual(draw(7, 'a'), draw(8, 'a'))
})

test('a sample has no member twice', () => {
  const sample = new Random(1).sample([1, 2, 3, 4, 5, 6], 4)
  assert.equal(new Set(sample).size, 4)
})

test('a stalled thread reads commands, then datagrams, then errors, then ports, when it runs again', () => {
  const clock = new Clock()
  const thread = new Thread(clock)
  const ran: string[] = []
  thread.stall(300, (stalledMs, readWaiting) => {
    ran.push(`stalled ${stalledMs}`)
    readWaiting()
  })
  for (const source of ['port', 'error', 'datagram', 'command'] as const)
    thread.do(source, () => ran.push(source))
  clock.run(299)
  assert.deepEqual(ran, [])
  clock.run(300)
  assert.deepEqual(ran, ['stalled 300', 'command', 'datagram', 'error', 'port'])
})

test('what waited for a process that died never runs', () => {
  const clock = new Clock()
  const thread = new Thread(clock)
  const ran: string[] = []
  thread.stall(300, (_stalledMs, readWaiting) => readWaiting())
  thread.do('datagram', () => ran.push('read'))
  thread.kill()
  clock.run(1_000)
  assert.deepEqual(ran, [])
})

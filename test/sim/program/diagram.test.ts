import assert from 'node:assert/strict'
import { test } from 'node:test'
import { diagram, focusOf } from '../../../sim/program/diagram.ts'
import { runScenario } from '../../../sim/run.ts'
import type { Line } from '../../../sim/sketch.ts'
import { randomScenario } from '../../../sim/swarm.ts'

const everybody = { hosts: [], lan: null }

function message(
  atMs: number,
  from: number,
  to: number,
  what: string,
  fate: 'arrived' | 'cut' = 'arrived'
): Line {
  return { kind: 'message', atMs, from, to, what, fate, tookMs: fate === 'arrived' ? 0.4 : 0 }
}

test('hosts are columns, and what they say, become and suffer is drawn in its order', () => {
  const drawn = diagram(
    [
      message(1_000, 0, 1, 'beat 7'),
      message(1_001, 1, 0, 'with 7'),
      { kind: 'all', atMs: 1_050, text: 'kill 0 for 3000 ms' },
      { kind: 'note', atMs: 1_050, host: 0, text: 'dies' },
      message(1_060, 2, 0, 'lost 7', 'cut'),
      { kind: 'note', atMs: 1_100, host: 1, text: 'active, standby 2, term 8' }
    ],
    80,
    everybody
  )
  assert.equal(
    drawn.slice(0, 7).join('\n'),
    `
  time, s         host 0              host 1              host 2
   1.0000            ├──────beat 7──────▶│                   │          0.4 ms
   1.0010            │◀──────with 7──────┤                   │          0.4 ms
   1.0500  ━━━ kill 0 for 3000 ms ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
   1.0500            ● dies              │                   │
   1.0600               ×───────────────lost 7───────────────┤          cut
   1.1000                                ● active, standby 2, term 8`.slice(1)
  )
})

test('messages that repeat what was said are counted, and another vLAN is left out', () => {
  const beats = Array.from({ length: 40 }, (_, i) => message(i, 0, 1, 'vLAN 1: beat 7'))
  const others = Array.from({ length: 40 }, (_, i) => message(i, 1, 0, 'vLAN 0: beat 3'))
  const claim: Line[] = [
    { kind: 'note', atMs: 1, host: 0, text: 'vLAN 1: active, standby nobody, term 7' },
    { kind: 'note', atMs: 50, host: 1, text: 'vLAN 1: follows nobody, term 7' }
  ]
  const lines = [...others, ...beats, ...claim].toSorted((a, b) => a.atMs - b.atMs)
  const drawn = diagram(lines, 80, { hosts: [], lan: 1 }).join('\n')
  assert.match(drawn, /⋮ 2[0-9] beat\n/)
  assert.doesNotMatch(drawn, /beat 3/)
})

test('the hosts that a violation names get columns, and none is wider than the terminal', () => {
  assert.deepEqual(focusOf('for 1502 ms nothing of 8 came to 9 on vLAN 2'), { hosts: [8, 9], lan: 2 })
  assert.deepEqual(focusOf('a frame went 6 > 2 > 7 > 2'), { hosts: [6, 2, 7], lan: null })
  const { world } = runScenario(randomScenario(5, 12), { seed: 5, drawn: true })
  for (const width of [80, 120]) {
    const drawn = diagram(world.events, width, { hosts: [11, 3], lan: null })
    assert.match(drawn[0] as string, /host 3 .*host 11/)
    // The legend is a sentence; a terminal wraps it.
    for (const line of drawn.filter((one) => !one.startsWith('beat N'))) assert.ok(line.length <= width, line)
  }
})

test('a run that is drawn is the run that was not', () => {
  const scenario = randomScenario(3, 10)
  const plain = runScenario(scenario, { seed: 3 })
  const drawn = runScenario(scenario, { seed: 3, drawn: true })
  assert.equal(drawn.world.clock.count, plain.world.clock.count)
})

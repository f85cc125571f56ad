import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Held, questionsOf, remind, type Seen } from '#core/asking.ts'
import type { Sight, Told } from '#core/claims.ts'
import { lostMs } from '#core/claims.ts'
import type { HostId } from '#core/ids.ts'
import { specEntity } from './topologies.ts'

const [self, other, third] = ['self', 'other', 'third'] as HostId[] as [HostId, HostId, HostId]
/** Claims of a generation are 2¹⁶ apart. */
const claimIn = (generation: number): number => generation * 0x1_0000 + 1
const sight: Sight = {
  self,
  lostForMs: () => null,
  isGone: (host) => host === third,
  isDraining: () => false,
  isolated: false
}
const entity = { ...specEntity('a'), hosts: [self, other], generation: 2 }

function asked(held: Held | null, seen: Partial<Seen> = {}): ReturnType<typeof questionsOf>[number] {
  const all = { now: 100_000, startedAt: 90_000, answeredAt: () => null, isConnected: () => true, ...seen }
  const [question] = questionsOf(
    [entity],
    new Map(),
    new Map(held === null ? [] : [['a', held]]),
    [self, other, third],
    sight,
    all
  )
  assert.ok(question !== undefined)
  return question
}

test('what failed counts in its own generation, and what runs under an earlier one goes on', () => {
  const held = (claim: number, state: Held['state']): Held => ({ claim, state, superseded: 0, shut: null })
  assert.equal(asked(held(claimIn(1), 'failed')).own, null)
  assert.equal(asked(held(claimIn(1), 'refused')).own, null)
  assert.equal(asked(held(claimIn(2), 'failed')).own?.state, 'failed')
  assert.equal(asked(held(claimIn(1), 'running')).own?.state, 'running')
})

test('a host waits for the word of one that is there, and of one that it never met only for so long', () => {
  assert.equal(asked(null).settled, false)
  assert.equal(asked(null, { answeredAt: (host) => (host === other ? 95_000 : null) }).settled, true)
  assert.equal(asked(null, { answeredAt: (host) => (host === third ? 95_000 : null) }).settled, false)
  assert.equal(asked(null, { isConnected: () => false, startedAt: 100_000 - lostMs }).settled, true)
  assert.equal(asked(null, { isConnected: () => false, startedAt: 100_001 - lostMs }).settled, false)
})

test('only an exchange that began after the ports were shut tells what that one has since', () => {
  const held: Held = {
    claim: claimIn(2),
    state: 'running',
    superseded: claimIn(2) + 1,
    shut: { by: other, at: 96_000 }
  }
  assert.equal(asked(held).heardSince, false)
  assert.equal(asked(held, { answeredAt: () => 96_000 }).heardSince, false)
  const question = asked(held, { answeredAt: () => 96_001 })
  assert.deepEqual([question.heardSince, question.shutForMs], [true, 4_000])
})

test('what a former life ran is this host’s own word while it may start it, and is forgotten else', () => {
  const remember = (
    restart: 'on-failure' | 'failover',
    claim: number,
    held: ReadonlyMap<string, Held>
  ): readonly [ReadonlyMap<HostId, Told> | undefined, number] => {
    const former = new Map([['a', claim]])
    const rows = new Map<string, Map<HostId, Told>>()
    remind(rows, former, [{ ...entity, restart }], held, self)
    return [rows.get('a'), former.size]
  }
  const told = new Map([[self, { claim: claimIn(2), state: 'stopped' }]])
  assert.deepEqual(remember('on-failure', claimIn(2), new Map()), [told, 1])
  assert.deepEqual(remember('on-failure', claimIn(1), new Map()), [undefined, 0])
  assert.deepEqual(remember('failover', claimIn(2), new Map()), [undefined, 0])
  const again: Held = { claim: claimIn(2) + 1, state: 'booting', superseded: 0, shut: null }
  assert.deepEqual(remember('on-failure', claimIn(2), new Map([['a', again]])), [undefined, 0])
})

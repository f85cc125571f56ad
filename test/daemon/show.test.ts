/** Where an entity runs and how it is, by what its hosts say, and by what they said in their records. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HostId } from '#core/ids.ts'
import type { RunState } from '#core/records/bodies.ts'
import type { ViolinView } from '#core/records/view.ts'
import type { Restart, SpecEntity } from '#core/spec.ts'
import { entityState } from '#daemon/show.ts'
import type { EntityStatus } from '#slice/contract.ts'
import type { HostStatus } from '#daemon/statuses.ts'

const [A, B, C] = ['A', 'B', 'C'] as [HostId, HostId, HostId]
type Says = readonly [HostId, number, RunState]

/** An entity whose hosts are A, B and C. */
const entity = (restart: Restart = 'failover'): SpecEntity =>
  ({ name: 'x', hosts: [A, B, C], generation: 0, restart }) as unknown as SpecEntity

/** A VIOLIN of which hosts say that in their records. */
function violin(...rows: readonly Says[]): ViolinView {
  const runs = rows.map(([host, claim, state]) => [
    host,
    { body: { entities: [{ name: 'x', claim, state, reason: '' }] } }
  ])
  return { version: 1, runs: new Map(runs as never) } as unknown as ViolinView
}

/** What a host answers that has the entity under that claim, or nothing of it. */
function answer(claim = 0, state: EntityStatus['state'] = 'running'): HostStatus {
  const own = { name: 'x', claim, state, reason: '', again: false, superseded: null, bootMs: 1, nics: [] }
  return { holds: 1, runs: 1, trouble: '', entities: claim === 0 ? [] : [own], switches: [], digest: '' }
}

function stateOf(
  said: readonly (readonly [HostId, HostStatus | null])[],
  known: ViolinView,
  restart: Restart = 'failover'
): readonly unknown[] {
  const { host, state, reason } = entityState(known, entity(restart), new Map(said))
  return [host, state, reason]
}

const away = 'its host does not answer'

test('what its host claims in its record and cannot be asked about is there, whoever else answers', () => {
  for (const restart of ['failover', 'on-failure', 'never'] as const)
    for (const host of [A, B, C]) {
      const said = [A, B, C].map((one) => [one, one === host ? null : answer()] as const)
      assert.deepEqual(stateOf(said, violin([host, 1, 'running']), restart), [host, 'unreachable', away])
    }
})

test('a host that had it before, and stopped it, does not hide who runs it now and does not answer', () => {
  const known = violin([A, 1, 'stopped'], [B, 2, 'running'])
  const said = [
    [A, answer(1, 'stopped')],
    [B, null],
    [C, answer()]
  ] as const
  assert.deepEqual(stateOf(said, known), [B, 'unreachable', away])
})

test('who runs it, or is about to, counts more than a claim of a host that does not answer', () => {
  const known = violin([A, 1, 'running'])
  for (const state of ['running', 'booting', 'pending'] as const)
    assert.deepEqual(
      stateOf(
        [
          [A, null],
          [B, answer(2, state)],
          [C, answer()]
        ],
        known
      ),
      [B, state, '']
    )
})

test('of what nobody claimed the next of the list is expected where the first does not answer', () => {
  const next = 'its host does not answer, the next is about to start it'
  const said = [
    [A, null],
    [B, answer()],
    [C, answer()]
  ] as const
  assert.deepEqual(stateOf(said, violin()), [B, 'pending', next])
  assert.deepEqual(stateOf(said, violin(), 'never'), [A, 'unreachable', away])
})

test('who was not asked yet is not called unreachable', () => {
  const known = violin([B, 1, 'running'])
  assert.deepEqual(stateOf([], known), [B, 'pending', 'its host was not heard yet'])
  assert.deepEqual(stateOf([[A, answer()]], known), [B, 'pending', 'its host was not heard yet'])
  assert.deepEqual(stateOf([], violin()), [A, 'pending', 'its host was not heard yet'])
})

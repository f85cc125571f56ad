import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HostId } from '#core/ids.ts'
import { withLink, withPower } from '#core/edits.ts'
import { planChanges } from '#core/plan.ts'
import { place } from '#core/placement.ts'
import type { Spec, SpecEntity } from '#core/spec.ts'
import { entity, host, id, lan, rank, settle, topology } from './topologies.ts'

const hosts = [host('A'), host('B')]
const wanted = topology(
  [lan('a', '10.0.0.0/24')],
  [entity('x', ['a'], { on: 'A' }), entity('y', ['a'], { on: 'B' })]
)
const spec = settle(wanted, hosts)
const linkOf = (of: Spec): unknown => of.entities[0]?.nics[0]?.link

test('a link is changed word by word, taken back whole, and cut and mended beside its words', () => {
  const nic = { entity: 'x', nic: 'eth0' }
  const slow = withLink(spec, { ...nic, set: { delayUs: 20_000, lossPpm: 10_000 } })
  assert.deepEqual(linkOf(slow), { delayUs: 20_000, lossPpm: 10_000 })
  const cut = withLink(slow, { ...nic, set: { lossPpm: 0 }, down: true })
  assert.deepEqual(linkOf(cut), { delayUs: 20_000, down: true })
  assert.deepEqual(linkOf(withLink(cut, { ...nic, set: { delayUs: 5 } })), { delayUs: 5, down: true })
  assert.deepEqual(linkOf(withLink(cut, { ...nic, down: false })), { delayUs: 20_000 })
  assert.deepEqual(withLink(cut, { ...nic, reset: true }), spec)
  assert.deepEqual(slow.entities[1], spec.entities[1], 'others stay')
})

test('an entity that is stopped keeps all that it was, and is the same when it is started', () => {
  const stopped = withPower(spec, 'x', false)
  assert.deepEqual(stopped.entities[0], { ...spec.entities[0], stopped: true })
  assert.deepEqual(withPower(stopped, 'x', false), stopped)
  assert.deepEqual(withPower(stopped, 'x', true), spec)
  const [, x, y] = planChanges(stopped, settle(wanted, hosts, stopped), place(wanted, hosts, stopped, rank))
  assert.deepEqual([x?.kind, x?.why, y?.kind], ['restart', 'it was stopped', 'keep'])
})

test('an entity that ran elsewhere than on the first of its list starts again where it ran', () => {
  const [entity] = spec.entities
  const [one, two] = ['A', 'B'].map(id) as [HostId, HostId]
  const both = { ...spec, entities: [{ ...(entity as SpecEntity), hosts: [one, two] }] }
  const stopped = withPower(both, 'x', false, two)
  assert.deepEqual(stopped.entities[0]?.hosts, [two, one])
  assert.deepEqual(withPower(stopped, 'x', false, one), stopped, 'it is stopped already')
  assert.deepEqual(withPower(both, 'x', false, id('Z')).entities[0]?.hosts, [one, two])
})

test('what is not there is told with what is', () => {
  assert.throws(() => withPower(spec, 'z', true), /net has no entity z/)
  assert.throws(() => withLink(spec, { entity: 'x', nic: 'eth9' }), { remedy: 'it has eth0' })
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { place } from '#core/placement.ts'
import { same } from '#core/same.ts'
import { planChanges } from '#core/plan.ts'
import { entity, host, id, lan, meshes, rank, router, settle, topologies, topology } from './topologies.ts'
import type { PlacementHost } from '#core/placement.ts'
import type { Change } from '#core/plan.ts'
import type { Spec, Topology } from '#core/spec.ts'

const hosts = [host('A'), host('B')]
const lans = [lan('a', '10.0.0.0/24')]

function plan(before: Spec | null, wanted: Topology, on: readonly PlacementHost[] = hosts): Change[] {
  return planChanges(before, settle(wanted, on, before), place(wanted, on, before, rank))
}
const told = (changes: readonly Change[]): string[] =>
  changes.map(({ kind, what, name, why }) => `${kind} ${what} ${name}: ${why}`)

test('planning what stands already keeps everything', () => {
  fc.assert(
    fc.property(topologies, meshes, (wanted, on) => {
      const before = settle(wanted, on)
      const changes = plan(before, wanted, on)
      assert.deepEqual(new Set(changes.map(({ kind }) => kind)), new Set(['keep']))
      assert.equal(changes.length, wanted.lans.length + wanted.entities.length)
    })
  )
})

test('a first plan adds everything, a last one removes everything, each named once', () => {
  fc.assert(
    fc.property(topologies, meshes, (wanted, on) => {
      const names = [...wanted.lans, ...wanted.entities].map(({ name }) => name)
      const first = plan(null, wanted, on)
      assert.deepEqual(
        first.map(({ kind, name }) => `${kind} ${name}`),
        ['net', ...names].map((name) => `add ${name}`)
      )
      const last = plan(settle(wanted, on), topology([], []), on)
      assert.deepEqual(
        last.map(({ kind, name }) => `${kind} ${name}`),
        names.map((name) => `remove ${name}`)
      )
    })
  )
})

test('each change says why', () => {
  const before = settle(
    topology(lans, [
      entity('goes', ['a'], { on: 'A' }),
      entity('grows', ['a'], { on: 'A' }),
      entity('moves', ['a'], { on: 'A' }),
      entity('stays', ['a'], { on: 'B' })
    ]),
    hosts
  )
  const wanted = topology(
    [...lans, lan('b', '10.0.1.0/24')],
    [
      entity('grows', ['a'], { on: 'A', memoryMiB: 128, run: 'true' }),
      entity('moves', ['a'], { on: 'B' }),
      entity('stays', ['a'], { on: 'B' }),
      entity('comes', ['b'], { on: 'B' })
    ]
  )
  const changes = plan(before, wanted)
  assert.deepEqual(told(changes), [
    'keep lan a: unchanged',
    'add lan b: hosts with ports on it, most ports first',
    'restart entity grows: changed: memoryMiB, run',
    'restart entity moves: moves: pinned by the file',
    'keep entity stays: unchanged',
    'add entity comes: pinned by the file',
    'remove entity goes: no longer in the file'
  ])
  assert.deepEqual(changes.find(({ name }) => name === 'moves')?.hosts, [id('B')])
  assert.deepEqual(changes.at(-1)?.hosts, [id('A')])
})

test('a plan tells who is away, and where what ran there goes', () => {
  const before = settle(topology(lans, [entity('free', ['a']), entity('fixed', ['a'], { on: 'A' })]), [
    host('A', { freeMemoryMiB: 8192 }),
    host('B', { load: 9 })
  ])
  const away = host('A', { available: false, unavailableWhy: 'does not answer' })
  const wanted = topology(lans, [entity('free', ['a']), entity('fixed', ['a'], { on: 'A' })])
  assert.deepEqual(told(plan(before, wanted, [away, host('B')])).slice(1), [
    'restart entity free: moves: A does not answer; B is the next of its hosts',
    'keep entity fixed: unchanged, stays on A, which does not answer'
  ])
})

test('a pin to where an entity runs already changes it without a restart', () => {
  const before = settle(topology(lans, [entity('x', ['a'])]), [host('A')])
  assert.deepEqual(told(plan(before, topology(lans, [entity('x', ['a'], { on: 'A' })]))), [
    'keep lan a: unchanged',
    'change entity x: changed: pinned, restart'
  ])
})

test('a machine goes on when only its links change', () => {
  const [plain, slow] = [{}, { link: { delayUs: 20_000 } }].map((link) => {
    const one = entity('x', ['a'], { on: 'A' })
    return topology(lans, [{ ...one, nics: one.nics.map((nic) => ({ ...nic, ...link })) }])
  }) as [Topology, Topology]
  assert.deepEqual(told(plan(settle(plain, hosts), slow)), [
    'keep lan a: unchanged',
    'change entity x: changed: links'
  ])
  assert.deepEqual(told(plan(settle(slow, hosts), plain)), [
    'keep lan a: unchanged',
    'change entity x: changed: links'
  ])
})

test('a vLAN changes by its subnet or by the candidates of its vSwitch', () => {
  const before = settle(topology(lans, [entity('x', ['a'], { on: 'A' })]), hosts)
  const renumbered = topology([lan('a', '10.9.0.0/24')], [entity('x', ['a'], { on: 'A' })])
  assert.deepEqual(told(plan(before, renumbered)), [
    'change lan a: its subnet changed',
    'change entity x: changed: nics'
  ])
  const wider = topology(lans, [entity('x', ['a'], { on: 'A' }), entity('y', ['a'], { on: 'B' })])
  assert.deepEqual(told(plan(before, wider)).slice(0, 1), [
    'change lan a: candidates of its vSwitch: hosts with ports on it, most ports first'
  ])
})

test('values are the same whatever the order of their words, and bytes by their content', () => {
  assert.ok(same({ a: 1, b: [{ c: 2, d: 3 }] }, { b: [{ d: 3, c: 2 }], a: 1 }))
  assert.ok(!same({ a: [1, 2] }, { a: [2, 1] }))
  assert.ok(!same({ a: '1' }, { a: 1 }))
  assert.ok(!same(null, {}))
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
      assert.ok(same({ data: a }, { data: a.slice() }))
      assert.equal(same({ data: a }, { data: b }), Buffer.compare(a, b) === 0)
    })
  )
})

test('a router whose neighbours changed is told of others while it runs, and the plan says so', () => {
  const routing = { routing: 'bgp' as const }
  const two = [router('r', ['a'], routing), router('s', ['a'], routing)]
  const before = settle(topology(lans, two), hosts)
  const changes = plan(before, topology(lans, [...two, router('t', ['a'], routing)]))
  assert.deepEqual(
    changes.map(({ kind, name, why }) => [kind, name, kind === 'restart' ? why : '']),
    [
      ['keep', 'a', ''],
      ['change', 'r', ''],
      ['change', 's', ''],
      ['add', 't', '']
    ]
  )
})

test('who serves a vLAN is told of a machine that comes there while it runs', () => {
  const served = lans.map((one) => ({ ...one, services: { dhcp: '', dns: '' } }))
  const kinds = (from: Topology, to: Topology): string[] =>
    plan(settle(from, hosts), to).map(({ kind, name }) => `${kind} ${name}`)
  const [r, x, y] = [router('r', ['a']), entity('x', ['a']), entity('y', ['a'])]
  const before = topology(served, [r, x])
  assert.deepEqual(kinds(before, topology(served, [r, x, y])), ['keep a', 'change r', 'keep x', 'add y'])
  // Whom a vHost asks for names, it is told as well.
  const after = kinds(topology(lans, [r, x]), before)
  assert.deepEqual(after, ['change a', 'restart r', 'change x'])
})

test('other rules of a router are taken on while it runs; the first and the last begin it anew', () => {
  const ruled = (...vias: readonly string[]): Topology => {
    const rules = vias.map((via) => ({ to: '10.9.0.0/16', via }))
    const ways = rules.length === 0 ? {} : { rules }
    return topology(lans, [router('r', ['a'], ways), router('s', ['a']), router('t', ['a'])])
  }
  const kinds = (from: Topology, to: Topology): string[] =>
    plan(settle(from, hosts), to).flatMap(({ name, kind }) => (name === 'r' ? [kind] : []))
  assert.deepEqual(kinds(ruled('s'), ruled('s')), ['keep'])
  assert.deepEqual(kinds(ruled('s'), ruled('t', 's')), ['change'])
  assert.deepEqual(kinds(ruled(), ruled('s')), ['restart'])
  assert.deepEqual(kinds(ruled('s'), ruled()), ['restart'])
})

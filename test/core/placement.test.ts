import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ViolinError } from '#core/errors.ts'
import { findHost, place } from '#core/placement.ts'
import {
  entity as namespace,
  host,
  id,
  lan,
  meshes,
  rank,
  router,
  settle,
  topologies,
  topology
} from './topologies.ts'
import type { HostId } from '#core/ids.ts'
import type { PlacementHost } from '#core/placement.ts'
import type { Spec, Topology } from '#core/spec.ts'

/** Machines take of a host's memory what they are given. */
const entity: typeof namespace = (name, lans, more) => namespace(name, lans, { driver: 'uml', ...more })

const lans = [lan('a', '10.0.0.0/24')]
const refusal = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof ViolinError && error.code === code && message.test(error.message) && error.remedy !== ''

const hostsOf = (
  wanted: Topology,
  hosts: readonly PlacementHost[],
  previous: Spec | null = null
): Record<string, HostId | undefined> =>
  Object.fromEntries(
    [...place(wanted, hosts, previous, rank).entities].map(
      ([
        name,
        {
          hosts: [first]
        }
      ]) => [name, first]
    )
  )
const placesOf = (spec: Spec): Record<string, HostId | undefined> =>
  Object.fromEntries(spec.entities.map(({ name, hosts: [first] }) => [name, first]))

test('entities are spread: where fewest are, then where most memory is free', () => {
  const four = topology(
    lans,
    ['w', 'x', 'y', 'z'].map((name) => entity(name, ['a']))
  )
  const spread = Object.values(hostsOf(four, [host('A'), host('B')]))
  assert.equal(spread.filter((each) => each === id('A')).length, 2)
  assert.deepEqual(
    new Set(Object.values(hostsOf(four, [host('A', { load: 4 }), host('B')]))),
    new Set([id('B')])
  )
  const one = topology(lans, [entity('x', ['a'])])
  assert.deepEqual(hostsOf(one, [host('A'), host('B', { freeMemoryMiB: 8192 })]), { x: id('B') })
})

test('equal hosts are taken by rank, so that not everything of everybody goes to the first', () => {
  const hosts = [host('A'), host('B'), host('C'), host('D')]
  const first = Array.from({ length: 40 }, (_, i) => {
    const name = `x${i}`
    return hostsOf(topology(lans, [entity(name, ['a'])]), hosts)[name]
  })
  assert.equal(new Set(first).size, 4)
})

test('placement does not depend on the order in which hosts are told', () => {
  fc.assert(
    fc.property(topologies, meshes, fc.infiniteStream(fc.nat()), (wanted, hosts, keys) => {
      const shuffled = hosts
        .map((each) => [keys.next().value as number, each] as const)
        .toSorted(([a], [b]) => a - b)
        .map(([, each]) => each)
      assert.deepEqual(place(wanted, shuffled, null, rank), place(wanted, hosts, null, rank))
    })
  )
})

test('no host is given more memory than it has, and each entity is on one that can run it', () => {
  const small = fc.array(
    fc.record({
      freeMemoryMiB: fc.nat({ max: 400 }),
      available: fc.boolean(),
      drivers: fc.constantFrom(['uml'] as const, ['netns'] as const, ['uml', 'netns'] as const)
    }),
    { maxLength: 5 }
  )
  let placed = 0
  fc.assert(
    fc.property(topologies, small, (wanted, each) => {
      const hosts = each.map((more, i) => host(`h${i}`, { ...more, unavailableWhy: 'is away' }))
      try {
        const where = hostsOf(wanted, hosts)
        for (const candidate of hosts) {
          const here = wanted.entities.filter(({ name }) => where[name] === candidate.id)
          assert.ok(candidate.available || here.length === 0)
          assert.ok(here.every(({ driver }) => candidate.drivers.includes(driver)))
          const usedMiB = here.reduce(
            (sum, { driver, memoryMiB }) => sum + (driver === 'uml' ? memoryMiB : 0),
            0
          )
          assert.ok(usedMiB <= candidate.freeMemoryMiB)
        }
        placed += 1
      } catch (error: unknown) {
        assert.ok(error instanceof ViolinError, String(error))
        assert.equal(error.code, 'no-placement')
      }
    })
  )
  assert.ok(placed > 0)
})

test('one more host moves nothing, and neither does one more entity, wherever the file names it', () => {
  fc.assert(
    fc.property(topologies, meshes, fc.nat(), (wanted, hosts, at) => {
      const before = settle(wanted, hosts)
      const used = (each: PlacementHost): number =>
        before.entities
          .filter(({ hosts: [first], driver }) => first === each.id && driver === 'uml')
          .reduce((sum, { memoryMiB }) => sum + memoryMiB, 0)
      // What runs is told by the hosts: less memory free, more entities.
      const running = hosts.map((each) => ({
        ...each,
        freeMemoryMiB: each.freeMemoryMiB - used(each),
        load: each.load + before.entities.filter(({ hosts: [first] }) => first === each.id).length
      }))
      const more = [host('new'), ...running]
      const after = settle(wanted, more, before)
      assert.deepEqual(placesOf(after), placesOf(before))
      // A list that was full stays as it is, a short one grows at its end.
      for (const [place, { hosts: list }] of before.entities.entries())
        assert.deepEqual(after.entities[place]?.hosts.slice(0, list.length), list)
      const entities = wanted.entities.toSpliced(
        at % (wanted.entities.length + 1),
        0,
        entity('new', ['lan0'])
      )
      const { new: _, ...others } = placesOf(settle({ ...wanted, entities }, more, before))
      assert.deepEqual(others, placesOf(before))
    })
  )
})

test('a new entity takes no room from one that is there, though the file names it first', () => {
  const hosts = [host('A', { freeMemoryMiB: 64 }), host('B', { freeMemoryMiB: 64, load: 9 })]
  const before = settle(topology(lans, [entity('old', ['a'])]), hosts)
  assert.deepEqual(placesOf(before), { old: id('A') })
  const running = [host('A', { freeMemoryMiB: 0, load: 1 }), hosts[1] as PlacementHost]
  const wanted = topology(lans, [entity('new', ['a']), entity('old', ['a'])])
  assert.deepEqual(hostsOf(wanted, running, before), { new: id('B'), old: id('A') })
})

test('an entity moves when its host is away, or has no room for what it became', () => {
  const before = settle(topology(lans, [entity('x', ['a'])]), [host('A')])
  const wanted = topology(lans, [entity('x', ['a'], { memoryMiB: 512 })])
  const hosts = [host('A', { freeMemoryMiB: 100, load: 1 }), host('B')]
  assert.deepEqual(hostsOf(wanted, hosts, before), { x: id('B') })
  // 400 free and the 64 that it holds are not enough, 448 and 64 are.
  assert.deepEqual(hostsOf(wanted, [host('A', { freeMemoryMiB: 400 }), host('B')], before), { x: id('B') })
  assert.deepEqual(hostsOf(wanted, [host('A', { freeMemoryMiB: 448 }), host('B')], before), { x: id('A') })
  const away = host('A', { available: false, unavailableWhy: 'is draining' })
  assert.deepEqual(hostsOf(wanted, [away, host('B')], before), { x: id('B') })
})

test('an entity on a host that is away stays there where it may run nowhere else, and holds up no other', () => {
  const away = host('A', { available: false, unavailableWhy: 'does not answer', freeMemoryMiB: 0 })
  const pinned = entity('x', ['a'], { on: 'A' })
  const before = settle(topology(lans, [pinned]), [host('A'), host('B')])
  const wanted = topology(lans, [pinned, entity('y', ['a'])])
  assert.deepEqual(hostsOf(wanted, [away, host('B')], before), { x: id('A'), y: id('B') })
  const kept = place(wanted, [away, host('B')], before, rank).entities.get('x')
  assert.deepEqual([kept?.away, kept?.why], [true, 'stays on A, which does not answer'])
  const loose = settle(topology(lans, [entity('x', ['a'])]), [host('A')])
  const none = host('B', { drivers: [] })
  assert.deepEqual(hostsOf(topology(lans, [entity('x', ['a'])]), [away, none], loose), { x: id('A') })
  const refused = refusal('no-placement', /does not answer/)
  assert.throws(() => hostsOf(wanted, [away, host('B')]), refused)
  const moved = topology(lans, [entity('x', ['a'], { on: 'B' })])
  assert.throws(
    () => hostsOf(topology(lans, [pinned]), [away, host('B')], settle(moved, [host('B')])),
    refused
  )
  const left = { ...away, unavailableWhy: 'has left the mesh', left: true }
  assert.throws(() => hostsOf(wanted, [left, host('B')], before), refusal('no-placement', /has left/))
})

test('an entity that is not pinned has three hosts that differ and can run it, the first of them as before', () => {
  fc.assert(
    fc.property(topologies, meshes, (wanted, hosts) => {
      for (const { hosts: list } of settle(wanted, hosts).entities) {
        assert.equal(list.length, Math.min(3, hosts.length))
        assert.equal(new Set(list).size, list.length)
      }
    })
  )
  const [x] = settle(topology(lans, [entity('x', ['a'])]), [
    host('A'),
    host('B', { drivers: ['netns'] }),
    host('C', { available: false, unavailableWhy: 'is away' }),
    host('D', { load: 3 }),
    host('E', { freeMemoryMiB: 8 })
  ]).entities
  assert.deepEqual(x?.hosts, [id('A'), id('D')])
})

test('who took over from a host that is away keeps the entity, and a spare that went is replaced', () => {
  const hosts = ['A', 'B', 'C', 'D'].map((name) => host(name))
  const wanted = topology(lans, [entity('x', ['a'])])
  const before = settle(wanted, hosts)
  const list = before.entities[0]?.hosts ?? []
  const [first, second, third] = list as [HostId, HostId, HostId]
  const without = (gone: HostId): PlacementHost[] =>
    hosts.map((one) => (one.id === gone ? { ...one, available: false, unavailableWhy: 'is away' } : one))
  const fourth = hosts.find(({ id: one }) => ![first, second, third].includes(one))?.id as HostId
  assert.deepEqual(settle(wanted, without(first), before).entities[0]?.hosts, [second, third, fourth])
  assert.deepEqual(settle(wanted, without(third), before).entities[0]?.hosts, [first, second, fourth])
})

test('a pin is kept, by name or id, before anything else takes the room', () => {
  const hosts = [host('A', { freeMemoryMiB: 64 }), host('B')]
  const wanted = topology(lans, [
    entity('free', ['a']),
    entity('byName', ['a'], { on: 'A' }),
    entity('byId', ['a'], { on: id('B') })
  ])
  assert.deepEqual(hostsOf(wanted, hosts), { free: id('B'), byName: id('A'), byId: id('B') })
  const placement = place(wanted, hosts, null, rank)
  assert.equal(placement.entities.get('byName')?.pinned, true)
  assert.equal(placement.entities.get('free')?.pinned, false)
  // A pin moves what stood elsewhere.
  const before = settle(topology(lans, [entity('byName', ['a'])]), [host('B')])
  assert.deepEqual(hostsOf(topology(lans, [entity('byName', ['a'], { on: 'A' })]), hosts, before), {
    byName: id('A')
  })
})

test('what cannot be placed is refused with the reason of every host', () => {
  const hosts = [
    host('A', { drivers: ['netns'] }),
    host('B', { freeMemoryMiB: 10.5 }),
    host('C', { available: false, unavailableWhy: 'is draining' })
  ]
  const wanted = topology(lans, [entity('x', ['a'])])
  assert.throws(
    () => place(wanted, hosts, null, rank),
    refusal(
      'no-placement',
      /^no host can run x \(A has no uml driver; B has 10 MiB free, and 64 are wanted; C is draining\)$/
    )
  )
  for (const [on, why] of [
    ['A', 'has no uml driver'],
    ['B', 'has 10 MiB free, and 64 are wanted'],
    ['C', 'is draining']
  ] as const)
    assert.throws(
      () => place(topology(lans, [entity('x', ['a'], { on })]), hosts, null, rank),
      refusal('no-placement', new RegExp(`^x cannot run on ${on}, which ${why}$`))
    )
  // A namespace takes next to nothing.
  assert.deepEqual(
    hostsOf(topology(lans, [entity('x', ['a'], { driver: 'netns' })]), [host('B', { freeMemoryMiB: 2 })]),
    { x: id('B') }
  )
})

test('a host is found by name or id; one that is not there, or a name that two have, is refused', () => {
  const hosts = [host('A'), host('B'), { ...host('B'), id: id('other') }]
  assert.equal(findHost('A', hosts).id, id('A'))
  assert.equal(findHost(id('other'), hosts).id, id('other'))
  assert.throws(() => findHost('B', hosts), refusal('ambiguous-name', /^2 hosts are named B$/))
  const left = { ...host('B'), id: id('gone'), left: true }
  assert.equal(findHost('B', [left, host('B')]).id, id('B'))
  assert.equal(findHost(id('gone'), [left, host('B')]).id, id('gone'))
  assert.equal(findHost('B', [left]).id, id('gone'))
  assert.throws(() => findHost('B', [left, ...hosts]), refusal('ambiguous-name', /^2 hosts are named B$/))
  assert.throws(() => findHost('Z', hosts), refusal('unknown-host', /^no host named Z in this mesh$/))
  const wanted = topology([lan('a', '10.0.0.0/24', { vswitch: ['Z'] })], [])
  assert.throws(() => place(wanted, hosts, null, rank), refusal('unknown-host', /Z/))
})

test('the hosts with a port on a vLAN may switch it, most ports first; others only where the file names them', () => {
  const hosts = [host('A'), host('B'), host('C')]
  const on = (name: string, where: string): Topology['entities'][number] => entity(name, ['a'], { on: where })
  const wanted = topology(lans, [on('x', 'A'), on('y', 'B'), on('z', 'B')])
  assert.deepEqual(place(wanted, hosts, null, rank).lans.get('a')?.hosts, [id('B'), id('A')])
  const named = topology([lan('a', '10.0.0.0/24', { vswitch: ['C', 'A', id('A')] })], wanted.entities)
  assert.deepEqual(place(named, hosts, null, rank).lans.get('a')?.hosts, [id('C'), id('A')])
})

test('an order of candidates that still holds is kept, who left goes, who is new comes last', () => {
  const hosts = [host('A'), host('B'), host('C')]
  const two = [lan('a', '10.0.0.0/24'), lan('b', '10.0.1.0/24')]
  const on = (name: string, where: string): Topology['entities'][number] => entity(name, ['a'], { on: where })
  const before = settle(topology(two, [on('v', 'A'), on('x', 'B'), on('y', 'B')]), hosts)
  assert.deepEqual(before.lans[0]?.hosts, [id('B'), id('A')])
  assert.deepEqual(before.lans[1]?.hosts, [])
  const after = settle(
    topology(two, [on('x', 'A'), on('y', 'A'), on('z', 'C'), on('w', 'C'), on('v', 'C'), router('r', ['b'])]),
    hosts,
    before
  )
  assert.deepEqual(after.lans[0]?.hosts, [id('A'), id('C')])
  // Behind the host of the router come those that may come to have it.
  assert.equal(after.lans[1]?.hosts[0], after.entities.find(({ name }) => name === 'r')?.hosts[0])
  assert.equal(after.lans[1]?.hosts.length, 3)
})

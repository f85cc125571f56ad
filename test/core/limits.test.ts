import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { HostId, PublicKey, ViolinId } from '#core/ids.ts'
import {
  type Claim,
  type Limits,
  freeMemoryMiB,
  memoryOf,
  ownerRefusal,
  refusals,
  standardLimits
} from '#core/limits.ts'
import type { ImageHash } from '#core/image.ts'
import type { SpecEntity } from '#core/spec.ts'
import { specEntity } from './topologies.ts'

const entity = (name: string, memoryMiB: number, driver: 'uml' | 'netns' = 'uml'): SpecEntity =>
  specEntity(name, { driver, memoryMiB })

const machine = (memoryMiB: number): Limits => standardLimits({ memoryMiB, cpus: 2 })

const claimOf = (violin: string, ownerHost: string, entities: readonly SpecEntity[]): Claim => ({
  violin: violin as ViolinId,
  owners: [`key of ${ownerHost}` as PublicKey],
  ownerHost: ownerHost as HostId,
  entities
})

test('one owner gets a quarter of the memory, however many VIOLINs it has, and another gets its own', () => {
  const claims = [
    claimOf('a', 'x', [entity('one', 200)]),
    claimOf('b', 'x', [entity('two', 100), entity('three', 50)]),
    claimOf('c', 'y', [entity('four', 250)])
  ]
  const refused = refusals(claims, machine(1024))
  assert.deepEqual([...refused.keys()], ['b'])
  assert.deepEqual([...(refused.get('b' as ViolinId)?.keys() ?? [])], ['two'])
})

const owners = ['x', 'y', 'z'] as const
const anyClaims = fc
  .uniqueArray(
    fc.record({
      violin: fc.stringMatching(/^[a-f]{4}$/),
      owner: fc.constantFrom(...owners),
      sizes: fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 4 }),
      driver: fc.constantFrom('uml' as const, 'netns' as const)
    }),
    { selector: ({ violin }) => violin, maxLength: 6 }
  )
  .map((rows) =>
    rows.map(({ violin, owner, sizes, driver }) =>
      claimOf(
        violin,
        owner,
        sizes.map((size, place) => entity(`e${place}`, size, driver))
      )
    )
  )
const anyOwner = fc.constantFrom(
  ...owners,
  ...owners.map((owner) => `key of ${owner}`)
) as fc.Arbitrary<HostId>
const anyLimits: fc.Arbitrary<Limits> = fc.record({
  vms: fc.integer({ min: 0, max: 12 }),
  memoryMiB: fc.integer({ min: 0, max: 2_048 }),
  ownerMemoryMiB: fc.integer({ min: 0, max: 1_024 }),
  imagesMiB: fc.constant(0),
  cpus: fc.constant(1),
  allow: fc.option(fc.array(anyOwner, { maxLength: 3 })),
  refuse: fc.array(anyOwner, { maxLength: 2 }),
  jetways: fc.constant([])
})

test('no claims, whatever their order, get a host above any limit of its operator, and nobody in who is not let', () => {
  fc.assert(
    fc.property(anyClaims, anyLimits, (claims, limits) => {
      const refused = refusals(claims, limits)
      assert.deepEqual(refusals(claims.toReversed(), limits), refused)
      const taken = claims.flatMap((claim) =>
        claim.entities
          .filter(({ name }) => refused.get(claim.violin)?.has(name) !== true)
          .map((one) => ({ owner: claim.ownerHost, sizeMiB: memoryOf(one) }))
      )
      const sum = (all: typeof taken): number => all.reduce((total, { sizeMiB }) => total + sizeMiB, 0)
      assert.ok(taken.length <= limits.vms)
      assert.ok(sum(taken) <= limits.memoryMiB)
      for (const owner of owners) {
        const own = taken.filter((one) => one.owner === owner)
        assert.ok(sum(own) <= limits.ownerMemoryMiB)
        const named = (list: readonly string[]): boolean =>
          list.includes(owner) || list.includes(`key of ${owner}`)
        if (named(limits.refuse) || (limits.allow !== null && !named(limits.allow)))
          assert.equal(own.length, 0)
      }
    })
  )
})

test('what a placement is told to be free for an owner is taken, and nothing of more', () => {
  fc.assert(
    fc.property(anyClaims, anyLimits, fc.constantFrom(...owners), (claims, limits, owner) => {
      const asking = claimOf('ffff0', owner, [])
      const free = freeMemoryMiB(claims, asking, limits)
      const fits = (size: number): boolean => {
        // The last in order, so that it takes nobody's place.
        const wish = { ...asking, entities: [entity('new', size)] }
        return !refusals([...claims, wish], limits).has(wish.violin)
      }
      if (free > 0) assert.ok(fits(free))
      assert.ok(!fits(free + 1) || free === 0)
      if (free === 0) assert.ok(!fits(1))
    })
  )
})

test('a refusal goes before an allowance, and both know owner keys and hosts', () => {
  const claim = claimOf('a', 'x', [entity('one', 1)])
  const standard = machine(1024)
  assert.equal(ownerRefusal(claim, standard), null)
  for (const name of ['x', 'key of x'] as HostId[]) {
    assert.match(ownerRefusal(claim, { ...standard, refuse: [name] }) ?? '', /refuses/)
    assert.equal(ownerRefusal(claim, { ...standard, allow: [name] }), null)
    assert.match(ownerRefusal(claim, { ...standard, allow: [name], refuse: [name] }) ?? '', /refuses/)
  }
  assert.match(ownerRefusal(claim, { ...standard, allow: [] }) ?? '', /does not allow/)
})

test('who names an allowed owner beside itself is not allowed by that, and a refused one is refused in company', () => {
  const standard = machine(1024)
  const [own, other] = ['key of x', 'key of y'] as PublicKey[] as [PublicKey, PublicKey]
  const claim = { ...claimOf('a', 'x', []), owners: [own, other] }
  assert.match(ownerRefusal(claim, { ...standard, allow: [other] }) ?? '', /does not allow/)
  assert.equal(ownerRefusal(claim, { ...standard, allow: [own, other] }), null)
  assert.match(ownerRefusal(claim, { ...standard, refuse: [other] }) ?? '', /refuses/)
  // Who only asks has named no owner yet.
  assert.match(ownerRefusal({ ...claim, owners: [] }, { ...standard, allow: [own] }) ?? '', /does not allow/)
})

test('namespaces have a bound, too, though each takes little', () => {
  const entities = Array.from({ length: 9 }, (_, place) => entity(`e${place}`, 9_999, 'netns'))
  const refused = refusals([claimOf('a', 'x', entities)], machine(64))
  assert.deepEqual([...(refused.get('a' as ViolinId)?.keys() ?? [])], ['e8'])
})

test('what runs already keeps its room, though another comes before it by its id', () => {
  const [a, b] = [claimOf('a', 'x', [entity('one', 200)]), claimOf('b', 'x', [entity('two', 200)])]
  assert.deepEqual([...refusals([a, b], machine(1024)).keys()], ['b'])
  assert.deepEqual([...refusals([a, { ...b, running: true }], machine(1024)).keys()], ['a'])
})

test('a namespace with routing daemons in it counts for more than an idle one', () => {
  const idle = entity('x', 64, 'netns')
  const image = { name: 'router', hash: 'ab'.repeat(32) as ImageHash }
  assert.ok(memoryOf({ ...idle, image }) > memoryOf(idle))
  assert.equal(memoryOf({ ...idle, image }), memoryOf({ ...idle, image: 'router' }))
  assert.equal(memoryOf({ ...idle, driver: 'uml', image }), 64)
})

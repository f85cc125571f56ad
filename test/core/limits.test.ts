import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { HostId, ViolinId } from '#core/ids.ts'
import { type Claim, ownerMemoryMiB, refusals } from '#core/limits.ts'
import type { SpecEntity } from '#core/spec.ts'

const entity = (name: string, memoryMiB: number, driver: 'uml' | 'netns' = 'uml'): SpecEntity => ({
  name,
  kind: 'host',
  driver,
  memoryMiB,
  nics: [],
  routes: [],
  env: {},
  files: [],
  run: '',
  hosts: [],
  pinned: false
})

test('one owner gets a quarter of the memory, however many VIOLINs it has, and another gets its own', () => {
  const claims: Claim[] = [
    { violin: 'a' as ViolinId, ownerHost: 'x' as HostId, entities: [entity('one', 200)] },
    {
      violin: 'b' as ViolinId,
      ownerHost: 'x' as HostId,
      entities: [entity('two', 100), entity('three', 50)]
    },
    { violin: 'c' as ViolinId, ownerHost: 'y' as HostId, entities: [entity('four', 250)] }
  ]
  const refused = refusals(claims, 1024)
  assert.deepEqual([...refused.keys()], ['b'])
  assert.deepEqual([...(refused.get('b' as ViolinId)?.keys() ?? [])], ['two'])
})

test('what is refused does not depend on the order of the claims, and what is let in always fits', () => {
  const claim = fc.record({
    violin: fc.stringMatching(/^[a-f]{4}$/),
    owner: fc.constantFrom('x', 'y'),
    sizes: fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 4 })
  })
  const distinct = fc.uniqueArray(claim, { selector: ({ violin }) => violin, maxLength: 6 })
  fc.assert(
    fc.property(distinct, fc.integer({ min: 64, max: 4096 }), (rows, memory) => {
      const claims = rows.map(({ violin, owner, sizes }) => ({
        violin: violin as ViolinId,
        ownerHost: owner as HostId,
        entities: sizes.map((size, place) => entity(`e${place}`, size))
      }))
      const refused = refusals(claims, memory)
      assert.deepEqual(refusals(claims.toReversed(), memory), refused)
      for (const owner of ['x', 'y']) {
        const taken = claims
          .filter((one) => one.ownerHost === owner)
          .flatMap((one) => one.entities.filter(({ name }) => refused.get(one.violin)?.has(name) !== true))
        assert.ok(taken.reduce((sum, one) => sum + one.memoryMiB, 0) <= ownerMemoryMiB(memory))
      }
    })
  )
})

test('namespaces have a bound, too, though each takes little', () => {
  const entities = Array.from({ length: 9 }, (_, place) => entity(`e${place}`, 9_999, 'netns'))
  const refused = refusals([{ violin: 'a' as ViolinId, ownerHost: 'x' as HostId, entities }], 64)
  assert.deepEqual([...(refused.get('a' as ViolinId)?.keys() ?? [])], ['e8'])
})

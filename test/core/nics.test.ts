import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ViolinError } from '#core/errors.ts'
import type { ImageHash } from '#core/image.ts'
import { addNic, removeNic, fileOf } from '#core/nics.ts'
import { place } from '#core/placement.ts'
import { resolveTopology } from '#core/resolve.ts'
import { maxNicsPerEntity, type Spec, type SpecEntity, type SpecRoute } from '#core/spec.ts'
import { entity, lan, meshes, nobody, router, settle, topologies, topology } from './topologies.ts'

const of = (spec: Spec, name: string): SpecEntity =>
  spec.entities.find((one) => one.name === name) as SpecEntity
const routes = (spec: Spec, name: string): readonly SpecRoute[] => of(spec, name).routes

const three = resolveTopology(
  topology(
    [lan('a', '10.0.1.0/24'), lan('b', '10.0.2.0/24'), lan('c', '10.0.3.0/24')],
    [
      entity('x', ['a']),
      entity('y', ['c']),
      router('r', ['a', 'b']),
      router('s', ['b']),
      entity('z', ['a'], { driver: 'netns' })
    ]
  ),
  nobody,
  null
)

test('a vLAN that is grafted on a router is led to from everywhere, and out of', () => {
  const { spec, nic } = addNic(three, 'r', { lan: 'c' })
  assert.deepEqual(nic, { name: 'eth2', lan: 'c', ips: ['10.0.3.2/24'] })
  assert.deepEqual(routes(spec, 'y'), [{ to: 'default', via: '10.0.3.2' }])
  assert.deepEqual(routes(spec, 's'), [
    { to: '10.0.1.0/24', via: '10.0.2.1' },
    { to: '10.0.3.0/24', via: '10.0.2.1' }
  ])
  assert.deepEqual(of(spec, 'x'), of(three, 'x'))
  assert.deepEqual(removeNic(spec, 'r', 'eth2').entities, three.entities)
})

test('a vNIC takes the address that is asked for, and the first free name', () => {
  const { spec, nic } = addNic(three, 'x', { lan: 'b', ip: '10.0.2.77' })
  assert.deepEqual(nic, { name: 'eth1', lan: 'b', ips: ['10.0.2.77/24'] })
  const without = removeNic(spec, 'x', 'eth0')
  assert.deepEqual(
    of(without, 'x').nics.map(({ name }) => name),
    ['eth1']
  )
  assert.equal(addNic(without, 'x', { lan: 'a' }).nic.name, 'eth0')
})

test('what cannot be is refused', () => {
  const refuses = (code: string, work: () => unknown): void =>
    assert.throws(work, (error) => error instanceof ViolinError && error.code === code)
  refuses('unknown-lan', () => addNic(three, 'x', { lan: 'd' }))
  refuses('unknown-entity', () => addNic(three, 'w', { lan: 'a' }))
  refuses('topology-invalid', () => addNic(three, 'x', { lan: 'a', ip: '10.0.9.1' }))
  refuses('topology-invalid', () => addNic(three, 'x', { lan: 'b', ip: '10.0.2.1' }))
  refuses('refused', () => removeNic(three, 'x', 'eth1'))
  let full = three
  for (let count = 1; count < maxNicsPerEntity; count++) full = addNic(full, 'x', { lan: 'a' }).spec
  refuses('refused', () => addNic(full, 'x', { lan: 'a' }))
})

test('a machine that has no IPv6 is put on no vLAN that has it, by whatever way', () => {
  const six = lan('six', '10.0.6.0/24', { ipv6: 'fd00:6::/64' })
  const file = topology(
    [lan('a', '10.0.1.0/24'), six],
    [entity('x', ['a'], { driver: 'uml' }), entity('z', ['a'])]
  )
  const spec = resolveTopology(file, nobody, null)
  const wrong = /x is a virtual machine of tiny, which has no IPv6, and six has it/
  assert.throws(() => addNic(spec, 'x', { lan: 'six' }), wrong)
  assert.deepEqual(addNic(spec, 'z', { lan: 'six' }).nic.ips, ['10.0.6.1/24', 'fd00:6::1/64'])
  assert.throws(
    () => resolveTopology({ ...file, entities: [entity('x', ['six'], { driver: 'uml' })] }, nobody, spec),
    wrong
  )
})

test('the vHosts of a vLAN keep their way out when it gets another router', () => {
  const { spec } = addNic(three, 's', { lan: 'a' })
  assert.deepEqual(routes(spec, 'x'), routes(three, 'x'))
})

test('an image stays the one that the record names', () => {
  const image = { name: 'router', hash: 'ab'.repeat(32) as ImageHash }
  const entities = three.entities.map((one) => (one.name === 'r' ? { ...one, image } : one))
  const { spec } = addNic({ ...three, entities }, 'x', { lan: 'b' })
  assert.deepEqual(of(spec, 'r').image, image)
  assert.deepEqual(of(spec, 'x').image, of(three, 'x').image)
})

test('the file that a spec would stand in settles to that spec, and a vNIC that came and went leaves it', () => {
  fc.assert(
    fc.property(topologies, meshes, fc.nat(), fc.nat(), (wanted, hosts, at, lanAt) => {
      fc.pre(wanted.entities.length > 0)
      const spec = settle(wanted, hosts)
      const file = fileOf(spec)
      const placement = place(file, hosts, spec, () => '')
      const again = resolveTopology(file, placement, spec)
      const wires = ({ entities }: Spec): unknown =>
        entities.map(({ name, nics, routes }) => [name, nics, routes])
      assert.deepEqual(wires(again), wires(spec))
      const one = wanted.entities[at % wanted.entities.length]?.name ?? ''
      const lanName = wanted.lans[lanAt % wanted.lans.length]?.name ?? ''
      const { spec: more, nic } = addNic(spec, one, { lan: lanName })
      for (const name of more.entities.map((entity) => entity.name))
        if (name !== one) assert.deepEqual(of(more, name).nics, of(spec, name).nics)
      assert.deepEqual(of(removeNic(more, one, nic.name), one).nics, of(spec, one).nics)
      for (const { hosts: candidates } of more.lans) assert.equal(new Set(candidates).size, candidates.length)
    })
  )
})

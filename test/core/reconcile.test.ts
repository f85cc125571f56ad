import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { lanMembers, namedHosts, partOf, reconcile, withoutHosts } from '#core/reconcile.ts'
import { entity, host, id, lan, meshes, settle, topologies, topology } from './topologies.ts'
import type { HostId, Mac, ViolinId } from '#core/ids.ts'
import type { Part, Step, WantedViolin } from '#core/reconcile.ts'
import type { Spec } from '#core/spec.ts'

const violin = 'ab'.repeat(32) as ViolinId
const other = 'cd'.repeat(32) as ViolinId
const hosts = [host('A'), host('B'), host('C')]
const spec = settle(
  topology(
    [lan('a', '10.0.0.0/24'), lan('b', '10.0.1.0/24', { vswitch: ['C'] })],
    [entity('x', ['a'], { on: 'A' }), entity('y', ['a', 'b'], { on: 'B' })]
  ),
  hosts
)
const macOf = (): Mac => '02:00:00:00:00:01' as Mac
const told = (steps: readonly Step[]): string[] =>
  steps.map((step) =>
    step.kind === 'run'
      ? `run ${step.violin.slice(0, 2)} ${step.part.version}`
      : `stop ${step.violin.slice(0, 2)}: ${step.why}`
  )

/** The claims of a host that has every entity of which it is the first. */
const ownOf = (self: HostId, of: Spec): Map<string, number> =>
  new Map(of.entities.filter(({ hosts: [first] }) => first === self).map(({ name }) => [name, 1]))
const part = (self: HostId, version: number, of: Spec): Part | null =>
  partOf(self, { version, hash: `${version}` }, of, ownOf(self, of), macOf)

test('what runs as it should takes no step; each difference takes one', () => {
  const wanted = (self: string): WantedViolin[] => [{ violin, part: part(id(self), 2, spec), ended: false }]
  const at = (version: number, claims = ownOf(id('A'), spec)): Map<ViolinId, Part | null> =>
    new Map([[violin, partOf(id('A'), { version, hash: `${version}` }, spec, claims, macOf)]])
  assert.deepEqual(reconcile(wanted('A'), at(2)), [])
  assert.deepEqual(told(reconcile(wanted('A'), at(1))), ['run ab 2'])
  assert.deepEqual(told(reconcile(wanted('A'), new Map())), ['run ab 2'])
  assert.deepEqual(told(reconcile(wanted('A'), new Map([[violin, null]]))), ['run ab 2'])
  // Another body of the same version stands.
  const beaten = partOf(id('A'), { version: 2, hash: 'beaten' }, spec, ownOf(id('A'), spec), macOf)
  assert.deepEqual(told(reconcile(wanted('A'), new Map([[violin, beaten]]))), ['run ab 2'])
  // A claim more, less, or another.
  assert.deepEqual(told(reconcile(wanted('A'), at(2, new Map()))), ['run ab 2'])
  assert.deepEqual(told(reconcile(wanted('A'), at(2, new Map([['x', 2]])))), ['run ab 2'])
  assert.deepEqual(reconcile(wanted('Z'), new Map()), [])
  assert.deepEqual(told(reconcile(wanted('Z'), at(1))), ['stop ab: moved off this host'])
  const ended = [{ violin, part: null, ended: true }]
  assert.deepEqual(told(reconcile(ended, at(2))), ['stop ab: deleted by its owner'])
  assert.deepEqual(reconcile(ended, new Map()), [])
  assert.deepEqual(told(reconcile(wanted('A'), new Map([...at(2), [other, null]]))), [
    'stop cd: no record of it is known here'
  ])
  // Who was shut out of the mesh is no peer any more.
  const shut = withoutHosts(wanted('A')[0]?.part as Part, new Set([id('B')]))
  assert.deepEqual(told(reconcile([{ violin, part: shut, ended: false }], at(2))), ['run ab 2'])
})

test('when the steps are done there is nothing left to do', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(topologies, meshes, fc.boolean()), { maxLength: 4 }), (all) => {
      for (const self of ['h0', 'h1', 'h5'].map(id)) {
        const wanted = all.map(([each, on, ended], i): WantedViolin => ({
          violin: String(i) as ViolinId,
          part: ended ? null : part(self, i + 1, settle(each, on)),
          ended
        }))
        const running = new Map<ViolinId, Part | null>([
          ['0' as ViolinId, null],
          ['9' as ViolinId, null]
        ])
        for (const step of reconcile(wanted, running))
          if (step.kind === 'run') running.set(step.violin, step.part)
          else running.delete(step.violin)
        assert.deepEqual(reconcile(wanted, running), [])
      }
    })
  )
})

test('a host’s part is its entities, the vLANs that it has to do with, and whom it needs for them', () => {
  assert.deepEqual(part(id('A'), 7, spec), {
    name: 'net',
    version: 7,
    hash: '7',
    lans: [
      {
        ...spec.lans[0],
        members: lanMembers(spec, 'a'),
        ports: [
          { entity: 'x', nic: 'eth0', hosts: [id('A')], maxClaim: 0xffff },
          { entity: 'y', nic: 'eth0', hosts: [id('B')], maxClaim: 0xffff }
        ]
      }
    ],
    entities: [{ ...spec.entities[0], claim: 1 }],
    names: [
      { name: 'x', ip: '10.0.0.1' },
      { name: 'y', ip: '10.0.0.2' }
    ],
    peers: [id('B')]
  })
  const ofB = part(id('B'), 7, spec)
  assert.deepEqual(
    ofB?.lans.map(({ name, members, ports }) => [name, members, ports.map((port) => port.nic)]),
    [
      ['a', lanMembers(spec, 'a'), ['eth0', 'eth0']],
      ['b', lanMembers(spec, 'b'), ['eth1']]
    ]
  )
  assert.deepEqual(ofB?.peers, [id('A'), id('C')])
  // A candidate without a port switches and nothing else.
  const ofC = part(id('C'), 7, spec)
  assert.deepEqual(
    [ofC?.entities, ofC?.lans.map(({ name }) => name), ofC?.peers],
    [[], [spec.lans[1]?.name], [id('B')]]
  )
  assert.equal(part(id('Z'), 7, spec), null)
  assert.deepEqual(lanMembers(spec, 'b'), [id('B'), id('C')])
  assert.deepEqual(namedHosts(spec), [id('A'), id('B'), id('C')])
})

test('the parts of all hosts together are the whole, each entity at one host', () => {
  fc.assert(
    fc.property(topologies, meshes, (wanted, on) => {
      const whole = settle(wanted, on)
      const parts = namedHosts(whole).map((self) => part(self, 1, whole))
      assert.deepEqual(
        parts.flatMap((each) => each?.entities.map(({ name }) => name) ?? []).toSorted(),
        wanted.entities.map(({ name }) => name).toSorted()
      )
      // Whoever has a port on a vLAN has the vLAN.
      for (const each of parts)
        for (const { nics } of each?.entities ?? [])
          for (const nic of nics) assert.ok(each?.lans.some(({ name }) => name === nic.lan))
    })
  )
})

/** One vLAN with an entity on each of so many hosts. */
function large(count: number): Spec {
  const many = Array.from({ length: count }, (_, i) => host(`h${String(i).padStart(3, '0')}`))
  return settle(
    topology(
      [lan('a', '10.0.0.0/16')],
      many.map(({ name }) => entity(`e${name}`, ['a'], { on: name }))
    ),
    many
  )
}

const peersOf = (self: HostId, of: Spec): readonly HostId[] => part(self, 1, of)?.peers ?? []

test('trunks are wanted from both ends; every edge of a vLAN shares one with each of its first candidates', () => {
  for (const count of [2, 3, 8, 9, 40]) {
    const whole = large(count)
    const all = namedHosts(whole)
    assert.equal(all.length, count)
    for (const self of all) {
      const peers = peersOf(self, whole)
      assert.ok(!peers.includes(self))
      for (const peer of peers) assert.ok(peersOf(peer, whole).includes(self))
      for (const candidate of whole.lans[0]?.hosts.slice(0, 3) ?? [])
        assert.ok(candidate === self || peers.includes(candidate))
    }
  }
})

test('only those that every host of a vLAN keeps a trunk to may switch it', () => {
  for (const count of [2, 8, 9, 40]) {
    const whole = large(count)
    for (const self of namedHosts(whole)) {
      const [one] = part(self, 1, whole)?.lans ?? []
      assert.deepEqual(one?.hosts, whole.lans[0]?.hosts.slice(0, count > 8 ? 3 : count))
      for (const candidate of one?.hosts ?? [])
        assert.ok(candidate === self || peersOf(self, whole).includes(candidate))
    }
  }
})

test('a small vLAN is meshed in full; an edge of a large one has three trunks, however large it is', () => {
  const counts = (of: Spec): number[] => namedHosts(of).map((self) => peersOf(self, of).length)
  assert.deepEqual(new Set(counts(large(8))), new Set([7]))
  const many = counts(large(100)).toSorted((a, b) => a - b)
  assert.deepEqual(
    many.slice(0, 97),
    Array.from({ length: 97 }, () => 3)
  )
  assert.deepEqual(many.slice(97), [99, 99, 99])
})

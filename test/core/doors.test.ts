import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  expectedEntities,
  openJetways,
  withEntity,
  withGuests,
  withOffer,
  withoutEntity,
  withoutOffer
} from '#core/doors.ts'
import { withPower } from '#core/edits.ts'
import { place } from '#core/placement.ts'
import { hostsIn } from '#core/records/view.ts'
import {
  attachedRules,
  bridgeRules,
  hostRules,
  insideRules,
  ownRules,
  transitOf,
  transits
} from '#core/jetway-rules.ts'
import { type ImageHash, tinyImage } from '#core/image.ts'
import type { HostId, PublicKey, ViolinId } from '#core/ids.ts'
import { addNic, withDoor } from '#core/nics.ts'
import { type Limits, refusals, standardLimits } from '#core/limits.ts'
import { overlaps, parseNetwork } from '#core/networks.ts'
import { specFromWire, specToWire } from '#core/records/spec-body.ts'
import { attachedEntity, type Placement, resolveTopology } from '#core/resolve.ts'
import type { Spec, Topology, TopologyEntity } from '#core/spec.ts'
import { hostIdOf } from '#core/admission/host-id.ts'

const [here, there] = ['11', '22'].map((byte) => hostIdOf(byte.repeat(32) as PublicKey)) as [HostId, HostId]

const entity = (name: string, kind: 'host' | 'router', ...lans: string[]): TopologyEntity => ({
  name,
  kind,
  driver: 'netns',
  image: 'tiny',
  memoryMiB: 64,
  on: here,
  nics: lans.map((lan, place) => ({ name: `eth${place}`, lan })),
  env: {},
  files: []
})
const jetway = (name: string, lan: string, bridge = '', enabled?: boolean): TopologyEntity => ({
  name,
  kind: 'jetway',
  driver: 'tap',
  image: 'tiny',
  memoryMiB: 1,
  on: there,
  nics: [{ name: 'lan', lan }],
  env: {},
  files: [],
  jetway: { mode: bridge === '' ? 'nat' : 'bridge', bridge, ...(enabled === undefined ? {} : { enabled }) }
})
const topology = (...entities: TopologyEntity[]): Topology => ({
  name: 'net',
  lans: [
    { name: 'lan1', subnet: '10.0.1.0/24', vswitch: [] },
    { name: 'lan2', subnet: '10.0.2.0/24', vswitch: [] }
  ],
  entities
})
function settle(file: Topology, previous: Spec | null = null, lanHosts: HostId[] = [here]): Spec {
  const placement: Placement = {
    entities: new Map(
      file.entities.map(({ name, on }) => [
        name,
        { hosts: [on as HostId], pinned: true, away: false, why: '' }
      ])
    ),
    lans: new Map(file.lans.map(({ name }) => [name, { hosts: lanHosts, why: '' }]))
  }
  return resolveTopology(file, placement, previous)
}
const routesOf = (spec: Spec, name: string): string[] =>
  (spec.entities.find((one) => one.name === name)?.routes ?? []).map(({ to, via }) => `${to} via ${via}`)

test('an open jetway is the way out of its vLAN, and of those behind its routers', () => {
  const spec = settle(
    topology(
      entity('a', 'host', 'lan1'),
      entity('b', 'host', 'lan2'),
      entity('r', 'router', 'lan1', 'lan2'),
      jetway('out', 'lan1', '', true)
    )
  )
  const [at] = (spec.entities.find(({ name }) => name === 'out')?.nics[0]?.ips[0] ?? '').split('/')
  assert.deepEqual(routesOf(spec, 'r'), [`default via ${at}`])
  assert.deepEqual(routesOf(spec, 'a'), ['default via 10.0.1.2'])
  assert.deepEqual(routesOf(spec, 'b'), ['default via 10.0.2.2'])
  assert.deepEqual(routesOf(spec, 'out'), ['10.0.2.0/24 via 10.0.1.2'])
  const alone = settle(topology(entity('a', 'host', 'lan1'), jetway('out', 'lan1', '', true)))
  assert.deepEqual(routesOf(alone, 'a'), ['default via 10.0.1.2'])
})

test('nothing is led to a shut jetway: the ways follow the one that is opened', () => {
  const file = topology(
    entity('a', 'host', 'lan1'),
    entity('r', 'router', 'lan1', 'lan2'),
    jetway('out1', 'lan2'),
    jetway('out2', 'lan2', '', true),
    entity('b', 'host', 'lan2')
  )
  const shut = withDoor(settle(file), 'out2', false)
  assert.deepEqual(routesOf(shut, 'r'), [])
  const ways = (spec: Spec): string[][] => ['a', 'b', 'r'].map((name) => routesOf(spec, name))
  assert.deepEqual(ways(settle(file)), [
    ['default via 10.0.1.2'],
    ['default via 10.0.2.1'],
    ['default via 10.0.2.3']
  ])
  const [first, both] = [withDoor(shut, 'out1', true), withDoor(settle(file), 'out1', true)]
  assert.deepEqual([routesOf(first, 'r'), routesOf(both, 'r')], Array(2).fill(['default via 10.0.2.2']))
  assert.deepEqual(withDoor(both, 'out1', false), settle(file))
  const [b, door] = [entity('b', 'host', 'lan2'), jetway('out1', 'lan2')]
  const alone = settle(topology(b, door))
  assert.deepEqual(routesOf(alone, 'b'), [])
  assert.deepEqual(routesOf(withDoor(alone, 'out1', true), 'b'), ['default via 10.0.2.2'])
})

test('who is stopped stays so when a jetway is opened, or another is given a vNIC', () => {
  const settled = settle(
    topology(entity('a', 'host', 'lan1'), jetway('out', 'lan1'), jetway('door', 'lan2', 'br0'))
  )
  const spec = withPower(settled, 'a', false)
  const opened = withDoor(spec, 'out', true)
  assert.deepEqual(withDoor(opened, 'out', false), spec)
  assert.equal(opened.entities[0]?.stopped, true)
  assert.equal(addNic(spec, 'a', { lan: 'lan2' }).spec.entities[0]?.stopped, true)
})

test('a jetway to a bridge has no address and is nobody else’s way out', () => {
  const spec = settle(topology(entity('a', 'host', 'lan1'), jetway('out', 'lan1', 'br0')))
  assert.deepEqual(spec.entities.find(({ name }) => name === 'out')?.nics[0]?.ips, [])
  assert.deepEqual(routesOf(spec, 'a'), [])
})

test('a jetway is shut at first, and where the file says nothing it stays as it is', () => {
  const file = topology(jetway('out', 'lan1'))
  const first = settle(file)
  assert.equal(first.entities[0]?.jetway?.enabled, false)
  const opened = {
    ...first,
    entities: first.entities.map((one) => ({
      ...one,
      jetway: { mode: 'nat' as const, bridge: '', enabled: true }
    }))
  }
  assert.equal(settle(file, opened).entities[0]?.jetway?.enabled, true)
  assert.equal(settle(topology(jetway('out', 'lan1', '', false)), opened).entities[0]?.jetway?.enabled, false)
})

test('of two enabled bridges to one vLAN the first is open, and nothing waits for the other', () => {
  const spec = settle(
    topology(
      jetway('one', 'lan1', 'br0', true),
      jetway('two', 'lan1', 'br1', true),
      jetway('three', 'lan2', 'br1', true),
      jetway('four', 'lan1', '', true),
      jetway('five', 'lan1')
    )
  )
  assert.deepEqual([...openJetways(spec)], ['one', 'three', 'four'])
  assert.deepEqual(
    expectedEntities(spec).map(({ name }) => name),
    ['one', 'three', 'four']
  )
})

test('a spec with doors survives the record, and one that is half a door is malformed', () => {
  const spec = settle(topology(entity('a', 'host', 'lan1'), jetway('out', 'lan1', 'br0', true)))
  const attached = withEntity(spec, attachedEntity(spec, { name: 'me', host: there, lan: 'lan1' }))
  assert.deepEqual(specFromWire(specToWire(attached)), attached)
  for (const wrong of [
    { kind: 'host' as const },
    { driver: 'netns' as const },
    { hosts: [here, there] },
    { pinned: false },
    { nics: [] },
    { jetway: { mode: 'bridge' as const, bridge: 'br0; reboot', enabled: true } },
    { jetway: { mode: 'nat' as const, bridge: 'br0', enabled: true } }
  ]) {
    const entities = attached.entities.map((one) => (one.name === 'out' ? { ...one, ...wrong } : one))
    assert.throws(() => specFromWire(specToWire({ ...attached, entities })), JSON.stringify(wrong))
  }
})

test('an attached host has the next free address and ways to the other vLANs, but no default one', () => {
  const spec = settle(
    topology(entity('a', 'host', 'lan1'), entity('r', 'router', 'lan1', 'lan2'), jetway('out', 'lan1'))
  )
  const me = attachedEntity(spec, { name: 'me', host: there, lan: 'lan1' })
  assert.deepEqual(me.nics[0]?.ips, ['10.0.1.4/24'])
  assert.deepEqual(me.routes, [{ to: '10.0.2.0/24', via: '10.0.1.2' }])
  assert.deepEqual(
    attachedEntity(spec, { name: 'me', host: there, lan: 'lan1', ip: '10.0.1.9' }).nics[0]?.ips,
    ['10.0.1.9/24']
  )
  assert.throws(() => attachedEntity(spec, { name: 'me', host: there, lan: 'lan1', ip: '10.0.1.1' }), /taken/)
  assert.throws(
    () => attachedEntity(spec, { name: 'me', host: there, lan: 'lan1', ip: '10.0.1.9/16' }),
    /\/16/
  )
})

test('an attached host that asks for its address has none in the record, whatever else changes', () => {
  const wanted = topology(entity('a', 'host', 'lan1'), entity('r', 'router', 'lan1', 'lan2'))
  const me = { name: 'me', host: there, lan: 'lan1', ip: 'dhcp' }
  assert.throws(() => attachedEntity(settle(wanted), me), /nobody on lan1 gives addresses/)
  const lans = wanted.lans.map((one) =>
    one.name === 'lan1' ? { ...one, ipv6: 'fd00:1::/64', services: { dhcp: '' } } : one
  )
  const spec = settle({ ...wanted, lans })
  assert.throws(() => attachedEntity(spec, { ...me, driver: 'netns' }), /given its address by its owner/)
  const attached = withEntity(spec, attachedEntity(spec, me))
  const ofMe = (one: Spec): readonly unknown[] => {
    const found = one.entities.find(({ name }) => name === 'me')
    return [found?.nics[0]?.ips, found?.routes]
  }
  const said = [['fd00:1::3/64'], [{ to: '10.0.2.0/24', via: '10.0.1.2' }]]
  assert.deepEqual(ofMe(attached), said)
  const again = settle(withGuests({ ...wanted, lans }, attached), attached)
  assert.deepEqual(ofMe(again), said)
  assert.deepEqual(ofMe(addNic(attached, 'a', { lan: 'lan2' }).spec), said)
  // Nobody else has to step aside for it.
  const more = attachedEntity(attached, { name: 'more', host: here, lan: 'lan1' })
  assert.deepEqual(more.nics[0]?.ips, ['10.0.1.3/24', 'fd00:1::4/64'])
})

test('attached hosts switch for one another only where nobody else is, and a file takes none of them off', () => {
  const empty = settle(topology(), null, [])
  const one = withEntity(empty, attachedEntity(empty, { name: 'one', host: here, lan: 'lan1' }))
  const both = withEntity(one, attachedEntity(one, { name: 'two', host: there, lan: 'lan1' }))
  assert.deepEqual(
    both.lans.map(({ hosts }) => hosts),
    [[here, there], []]
  )
  assert.deepEqual(
    withoutEntity(both, 'one').lans.map(({ hosts }) => hosts),
    [[there], []]
  )
  assert.deepEqual(withoutEntity(withoutEntity(both, 'one'), 'two'), empty)
  const mixed = settle(topology(entity('a', 'host', 'lan1')))
  const joined = withEntity(mixed, attachedEntity(mixed, { name: 'two', host: there, lan: 'lan1' }))
  assert.deepEqual(joined.lans, mixed.lans)
  assert.deepEqual(withoutEntity(joined, 'two'), mixed)
  const again = withGuests(topology(entity('a', 'host', 'lan1'), entity('b', 'host', 'lan1')), joined)
  assert.deepEqual(
    again.entities.map(({ name }) => name),
    ['a', 'b', 'two']
  )
  const kept = settle(again, joined).entities.find(({ name }) => name === 'two')
  assert.deepEqual(kept?.nics, joined.entities.at(-1)?.nics)
  const taken = { code: 'name-taken', message: /^two is the name of a guest on lan1/ }
  assert.throws(() => withGuests(topology(entity('two', 'host', 'lan2')), joined), taken)
  // Its vLAN is dropped: so is it.
  const without = { ...topology(), lans: [{ name: 'lan2', subnet: '10.0.2.0/24', vswitch: [] }] }
  assert.deepEqual(withGuests(without, joined).entities, [])
})

test('a virtual machine by an offer has an image that knows what its vLAN has, and keeps it whatever its owner has', () => {
  const wanted = topology(entity('a', 'host', 'lan1'))
  const lans = wanted.lans.map((one) => (one.name === 'lan1' ? { ...one, ipv6: 'fd00:1::/64' } : one))
  const spec = settle({ ...wanted, lans })
  const guest = { name: 'web', driver: 'uml', host: there, by: there } as const
  const hash = 'ab'.repeat(32) as ImageHash
  const refused = { code: 'image-missing', remedy: /--driver netns/ }
  assert.throws(() => attachedEntity(spec, { ...guest, lan: 'lan1' }), refused)
  assert.equal(attachedEntity(spec, { ...guest, lan: 'lan2', routerImage: hash }).image, tinyImage)
  const web = attachedEntity(spec, { ...guest, lan: 'lan1', routerImage: hash })
  assert.deepEqual([web.image, web.memoryMiB], [{ name: 'router', hash }, 96])
  const joined = withEntity(spec, web)
  const again = settle(withGuests({ ...wanted, lans }, joined), joined)
  assert.deepEqual(again.entities.find(({ name }) => name === 'web')?.image, web.image)
})

test('what came by an offer is kept by files, goes with the offer, and never switches what is the owner’s', () => {
  const spec = settle(topology(entity('a', 'host', 'lan1')))
  const offered = withOffer(withOffer(spec, { lan: 'lan1', to: there }), { lan: 'lan2', to: there })
  assert.deepEqual(withOffer(offered, { lan: 'lan1', to: there }), offered)
  const guest = { name: 'web', driver: 'netns', host: there, by: there, lan: 'lan1' } as const
  const joined = withEntity(offered, attachedEntity(offered, guest))
  assert.deepEqual(joined.lans, spec.lans)
  assert.deepEqual(specFromWire(specToWire(joined)), joined)
  assert.ok(hostsIn(offered).has(there))
  const again = settle(withGuests(topology(entity('a', 'host', 'lan1')), joined), joined)
  assert.deepEqual(
    [again.entities.map(({ name, by }) => [name, by]), again.offers],
    [
      [
        ['a', undefined],
        ['web', there]
      ],
      joined.offers
    ]
  )
  const hosts = [here, there].map((id) => ({
    id,
    name: id,
    available: id === here,
    unavailableWhy: 'is away',
    left: false,
    drivers: ['netns' as const],
    freeMemoryMiB: 100,
    load: 0
  }))
  const placed = place(
    withGuests(topology(entity('a', 'host', 'lan1')), joined),
    hosts,
    joined,
    (name) => name
  )
  assert.deepEqual(placed.lans.get('lan1')?.hosts, [here])
  assert.deepEqual(placed.entities.get('web')?.hosts, [there])
  assert.deepEqual(withoutOffer(joined, { lan: 'lan2', to: there }).entities, joined.entities)
  const withdrawn = withoutOffer(withoutOffer(joined, { lan: 'lan1', to: there }), { lan: 'lan2', to: there })
  assert.deepEqual(withdrawn, spec)
})

test('jetways are refused but to whom the operator names, and to the bridges that he names', () => {
  const spec = settle(topology(jetway('nat', 'lan1', '', true), jetway('br', 'lan1', 'br0', true)))
  const key = 'ab'.repeat(32) as PublicKey
  const claim = { violin: 'v' as ViolinId, owners: [key], ownerHost: here, entities: spec.entities }
  const refusedBy = (jetways: Limits['jetways']): string[] => [
    ...(refusals([claim], { ...standardLimits({ memoryMiB: 100, cpus: 1 }), jetways })
      .get(claim.violin)
      ?.keys() ?? [])
  ]
  assert.deepEqual(refusedBy([]), ['nat', 'br'])
  assert.deepEqual(refusedBy([{ owner: there, bridges: ['br0'], reach: [] }]), ['nat', 'br'])
  assert.deepEqual(refusedBy([{ owner: key, bridges: [], reach: [] }]), ['br'])
  assert.deepEqual(refusedBy([{ owner: here, bridges: ['br0'], reach: [] }]), [])
})

test('what a host lets pass: from the jetway outside only, its own networks and itself by name', () => {
  const side = { table: 't', device: 'vj0', transit: transitOf(0) }
  assert.deepEqual(hostRules({ ...side, reach: [] }), [
    'add table inet t { flags owner; }',
    'add set inet t own { type ipv4_addr; flags interval; auto-merge; }',
    'add chain inet t forward { type filter hook forward priority -10; policy accept; }',
    'add rule inet t forward iifname "vj0" ip saddr != 169.254.0.2 drop',
    'add rule inet t forward iifname "vj0" meta nfproto != ipv4 drop',
    'add rule inet t forward iifname "vj0" ip daddr @own drop',
    'add rule inet t forward oifname "vj0" ct state established,related accept',
    'add rule inet t forward oifname "vj0" drop',
    'add chain inet t input { type filter hook input priority -10; policy accept; }',
    'add rule inet t input iifname "vj0" drop',
    'add chain inet t postrouting { type nat hook postrouting priority 100; policy accept; }',
    'add rule inet t postrouting ip saddr 169.254.0.2 oifname != "vj0" masquerade'
  ])
  const named = hostRules({ ...side, reach: ['host', '10.1.0.0/16'] })
  assert.ok(
    named.indexOf('add rule inet t forward iifname "vj0" ip daddr 10.1.0.0/16 accept') <
      named.indexOf('add rule inet t forward iifname "vj0" ip daddr @own drop')
  )
  assert.ok(named.includes('add rule inet t input iifname "vj0" ip saddr != 169.254.0.2 drop'))
  assert.equal(
    ownRules('t', ['default', '0.0.0.0/1', '128.0.0.0/1', '10.1.0.0/16', '10.1.2.3']),
    'flush set inet t own; add element inet t own { 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/4, 240.0.0.0/4, 10.1.0.0/16, 10.1.2.3 }'
  )
  assert.ok(
    insideRules().includes(
      'add chain inet jetway forward { type filter hook forward priority 0; policy drop; }'
    )
  )
  assert.equal(bridgeRules({ table: 't', device: 'd', reach: [] }).length, 5)
  assert.equal(bridgeRules({ table: 't', device: 'd', reach: ['host'] }).length, 3)
  assert.equal(attachedRules({ table: 't', device: 'd' }).length, 4)
})

test('links to jetways have addresses of their own, below those of clouds’ metadata', () => {
  const all = Array.from({ length: transits }, (_, n) => transitOf(n))
  assert.equal(new Set(all.flatMap(({ host, inner }) => [host, inner])).size, 2 * transits)
  assert.deepEqual(all.at(-1), { host: '169.254.127.253', inner: '169.254.127.254' })
  assert.deepEqual(transitOf(transits), transitOf(0))
})

test('networks of both families overlap where they have an address in common', () => {
  const at = (a: string, b: string): boolean => {
    const [one, other] = [parseNetwork(a), parseNetwork(b)]
    assert.ok(one !== null && other !== null)
    return overlaps(one, other)
  }
  assert.ok(at('10.0.0.5/24', '10.0.0.0/8'))
  assert.ok(at('10.0.0.5', '10.0.0.4/30'))
  assert.ok(!at('10.0.0.4/30', '10.0.0.8/30'))
  assert.ok(at('fd00::1', 'fd00::/64'))
  assert.ok(!at('fd00:1::/64', 'fd00::/64'))
  assert.ok(!at('::/0', '0.0.0.0/0'))
  for (const wrong of ['10.0.0.0/33', 'fd00::/129', '10.0.0', 'host', '10.0.0.0/8/8'])
    assert.equal(parseNetwork(wrong), null)
})

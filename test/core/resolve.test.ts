import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ViolinError } from '#core/errors.ts'
import { isHostAddress, parseIpv4, parseSubnet } from '#core/ipv4.ts'
import { addressOf, namesOf, resolveTopology } from '#core/resolve.ts'
import { entity, host, id, lan, meshes, nobody, router, settle, topologies, topology } from './topologies.ts'
import type { Subnet } from '#core/ipv4.ts'
import type { Spec, SpecEntity, SpecNic, Topology, TopologyLan } from '#core/spec.ts'

const resolve = (wanted: Topology, previous: Spec | null = null): Spec =>
  resolveTopology(wanted, nobody, previous)
const bareAddress = (nic: SpecNic): string => addressOf(nic, false) ?? ''
const of = (spec: Spec, name: string): SpecEntity =>
  spec.entities.find((candidate) => candidate.name === name) as SpecEntity
const addressesOf = (spec: Spec): Map<string, string> =>
  new Map(
    spec.entities.flatMap(({ name, nics }) => nics.map((nic) => [`${name}:${nic.name}`, bareAddress(nic)]))
  )
const refusal = (message: RegExp) => (error: unknown) =>
  error instanceof ViolinError && error.code === 'topology-invalid' && message.test(error.message)

test('vNICs without an address take the first that are free, in the order of the file', () => {
  const spec = resolve(
    topology(
      [lan('a', '10.0.0.0/24')],
      [entity('x', ['a']), entity('y', [['a', '10.0.0.2']]), entity('z', ['a', 'a'])]
    )
  )
  assert.deepEqual([...addressesOf(spec).values()], ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'])
  assert.deepEqual(of(spec, 'x').nics[0]?.ips, ['10.0.0.1/24'])
})

test('every vNIC has one address: inside its vLAN, given once, and that which the file names', () => {
  fc.assert(
    fc.property(topologies, (wanted) => {
      const spec = resolve(wanted)
      const taken = new Set<string>()
      for (const { name, nics } of wanted.entities)
        for (const [i, nic] of nics.entries()) {
          const settled = of(spec, name).nics[i]
          assert.equal(settled?.ips.length, 1)
          const [bare, prefix] = (settled?.ips[0] ?? '').split('/')
          const subnet = parseSubnet(
            wanted.lans.find((candidate) => candidate.name === nic.lan)?.subnet ?? ''
          )
          assert.ok(isHostAddress(subnet as Subnet, parseIpv4(bare as string) as number))
          assert.equal(prefix, '24')
          assert.ok(!taken.has(bare as string))
          taken.add(bare as string)
          if (nic.ip !== undefined) assert.equal(bare, nic.ip)
        }
    })
  )
})

test('what is settled comes from the file alone: the same on every host, and again the same from itself', () => {
  fc.assert(
    fc.property(topologies, meshes, (wanted, hosts) => {
      const spec = settle(wanted, hosts)
      assert.deepEqual(settle(wanted, hosts), spec)
      assert.deepEqual(settle(wanted, hosts, spec), spec)
    })
  )
})

test('one more machine, wherever the file names it, renumbers none; one that goes leaves its address', () => {
  fc.assert(
    fc.property(topologies, fc.nat(), (wanted, at) => {
      const before = resolve(wanted)
      const entities = wanted.entities.toSpliced(
        at % (wanted.entities.length + 1),
        0,
        entity('new', ['lan0'])
      )
      const more = addressesOf(resolve({ ...wanted, entities }, before))
      for (const [nic, address] of addressesOf(before)) assert.equal(more.get(nic), address)
      const fewer = wanted.entities.toSpliced(at % (wanted.entities.length + 1), 1)
      for (const [nic, address] of addressesOf(resolve({ ...wanted, entities: fewer }, before)))
        assert.equal(address, addressesOf(before).get(nic))
    })
  )
})

test('a former address yields to one that the file gives to another, and to a new subnet', () => {
  const before = resolve(topology([lan('a', '10.0.0.0/24')], [entity('x', ['a'])]))
  const given = topology([lan('a', '10.0.0.0/24')], [entity('x', ['a']), entity('y', [['a', '10.0.0.1']])])
  assert.deepEqual([...addressesOf(resolve(given, before)).values()], ['10.0.0.2', '10.0.0.1'])
  const moved = topology([lan('a', '10.9.0.0/24')], [entity('x', ['a'])])
  assert.deepEqual([...addressesOf(resolve(moved, before)).values()], ['10.9.0.1'])
})

test('a full subnet is refused by name; a /30 takes two', () => {
  const two = [entity('x', ['a']), entity('y', ['a'])]
  assert.equal(addressesOf(resolve(topology([lan('a', '10.0.0.0/30')], two))).size, 2)
  assert.throws(
    () => resolve(topology([lan('a', '10.0.0.0/30')], [...two, entity('z', ['a'])])),
    refusal(/^no free address for z:eth0 in a$/)
  )
})

test('an address outside, given twice, or that of the network is refused; so is a vNIC on no vLAN', () => {
  const lans = [lan('a', '10.0.0.0/24')]
  for (const ip of ['10.0.1.1', '10.0.0.0', '10.0.0.255', 'x'])
    assert.throws(
      () => resolve(topology(lans, [entity('x', [['a', ip]])])),
      refusal(/of x:eth0 is outside a/)
    )
  assert.throws(
    () => resolve(topology(lans, [entity('x', [['a', '10.0.0.1']]), entity('y', [['a', '10.0.0.1']])])),
    refusal(/^10\.0\.0\.1 of y:eth0 is outside a or taken twice$/)
  )
  assert.throws(
    () => resolve(topology(lans, [entity('x', ['b'])])),
    refusal(/^x:eth0 is on b, which is no vLAN$/)
  )
  assert.throws(
    () => resolve(topology([lan('a', '10.0.0.1/24')], [])),
    refusal(/^10\.0\.0\.1\/24 of a is no subnet$/)
  )
})

test('a vHost goes out by the router of its first vLAN that has one; the file can name which', () => {
  const lans = [lan('a', '10.0.0.0/24'), lan('b', '10.0.1.0/24')]
  const routers = [router('r1', [['b', '10.0.1.1']]), router('r2', [['b', '10.0.1.2']])]
  const hosts = [entity('x', ['a', 'b']), entity('y', ['a'])]
  const spec = resolve(topology(lans, [...hosts, ...routers]))
  assert.deepEqual(of(spec, 'x').routes, [{ to: 'default', via: '10.0.1.1' }])
  assert.deepEqual(of(spec, 'y').routes, [])
  const named = [lans[0] as (typeof lans)[0], lan('b', '10.0.1.0/24', { gateway: 'r2' })]
  assert.deepEqual(of(resolve(topology(named, [...hosts, ...routers])), 'x').routes, [
    { to: 'default', via: '10.0.1.2' }
  ])
})

test('a router knows the way to every vLAN that a chain of routers reaches, the shortest first', () => {
  // a ─ r1 ─ b ─ r2 ─ c ─ r3 ─ d, and r4 from b straight to d; e is alone.
  const lans = ['a', 'b', 'c', 'd', 'e'].map((name, i) => lan(name, `10.0.${i}.0/24`))
  const spec = resolve(
    topology(lans, [
      router('r1', [
        ['a', '10.0.0.1'],
        ['b', '10.0.1.1']
      ]),
      router('r2', [
        ['b', '10.0.1.2'],
        ['c', '10.0.2.2']
      ]),
      router('r3', [
        ['c', '10.0.2.3'],
        ['d', '10.0.3.3']
      ]),
      router('r4', [
        ['b', '10.0.1.4'],
        ['d', '10.0.3.4']
      ])
    ])
  )
  assert.deepEqual(of(spec, 'r1').routes, [
    { to: '10.0.2.0/24', via: '10.0.1.2' },
    { to: '10.0.3.0/24', via: '10.0.1.4' }
  ])
  assert.deepEqual(of(spec, 'r3').routes, [
    { to: '10.0.0.0/24', via: '10.0.2.2' },
    { to: '10.0.1.0/24', via: '10.0.2.2' }
  ])
})

test('following the routes hop by hop arrives wherever routers reach, without a loop', () => {
  fc.assert(
    fc.property(topologies, (wanted) => {
      const spec = resolve(wanted)
      const routers = spec.entities.filter(({ kind }) => kind === 'router')
      const owner = new Map(routers.flatMap((each) => each.nics.map((nic) => [bareAddress(nic), each])))
      for (const from of routers)
        for (const target of reachable(from, routers)) {
          let at = from
          for (let hops = 0; !at.nics.some((nic) => nic.lan === target); hops++) {
            assert.ok(hops < routers.length, `${from.name} to ${target} loops`)
            const subnet = wanted.lans.find(({ name }) => name === target)?.subnet
            const via = at.routes.find(({ to }) => to === subnet)?.via
            const next = owner.get(via ?? '')
            assert.ok(next !== undefined, `${at.name} knows no way to ${target}`)
            // The next hop is on a vLAN of this router.
            assert.ok(
              next.nics.some((nic) => bareAddress(nic) === via && at.nics.some((own) => own.lan === nic.lan))
            )
            at = next
          }
        }
    })
  )
})

/** The vLANs that can be reached from a router, by plain flooding. */
function reachable(from: SpecEntity, routers: readonly SpecEntity[]): Set<string> {
  const lans = new Set(from.nics.map((nic) => nic.lan))
  for (let before = -1; before !== lans.size;) {
    before = lans.size
    for (const { nics } of routers)
      if (nics.some((nic) => lans.has(nic.lan))) for (const nic of nics) lans.add(nic.lan)
  }
  return lans
}

test('names stand for the first vNIC', () => {
  const spec = settle(
    topology(
      [lan('a', '10.0.0.0/24'), lan('b', '10.0.1.0/24')],
      [router('r', ['b', 'a']), entity('x', ['a'], { on: 'h', run: 'echo hello' })]
    ),
    [host('h')]
  )
  assert.deepEqual(namesOf(spec), [
    { name: 'r', ip: '10.0.1.1' },
    { name: 'x', ip: '10.0.0.2' }
  ])
  assert.deepEqual(of(spec, 'x').hosts, [id('h')])
  assert.deepEqual([of(spec, 'x').pinned, of(spec, 'r').pinned], [true, false])
  assert.deepEqual([of(spec, 'x').run, of(spec, 'r').run], ['echo hello', ''])
})

test('a vLAN has IPv4, IPv6, or both; each family has its own addresses, routes and names', () => {
  const six = (name: string, ipv6: string): TopologyLan => ({ name, ipv6, vswitch: [] })
  const lans = [
    lan('a', '10.0.0.0/24', { ipv6: 'fd00:a::/64' }),
    six('b', 'fd00:b::/64'),
    lan('c', '10.0.2.0/24')
  ]
  const spec = resolve(
    topology(lans, [
      entity('x', ['a']),
      { ...entity('y', []), nics: [{ name: 'eth0', lan: 'b', ipv6: 'fd00:b::1' }] },
      entity('z', ['c']),
      router('r', ['a', 'b']),
      router('s', ['a', 'c'])
    ])
  )
  assert.deepEqual(of(spec, 'x').nics[0]?.ips, ['10.0.0.1/24', 'fd00:a::1/64'])
  assert.deepEqual(of(spec, 'y').nics[0]?.ips, ['fd00:b::1/64'])
  assert.deepEqual(of(spec, 'r').nics[1]?.ips, ['fd00:b::2/64'])
  assert.deepEqual(of(spec, 'x').routes, [
    { to: 'default', via: '10.0.0.2' },
    { to: 'default', via: 'fd00:a::2' }
  ])
  assert.deepEqual(of(spec, 'y').routes, [{ to: 'default', via: 'fd00:b::2' }])
  // Over a vLAN without IPv4 no way of IPv4 leads, and the other way round.
  assert.deepEqual(of(spec, 'r').routes, [{ to: '10.0.2.0/24', via: '10.0.0.3' }])
  assert.deepEqual(of(spec, 's').routes, [{ to: 'fd00:b::/64', via: 'fd00:a::2' }])
  assert.deepEqual(
    namesOf(spec).filter(({ name }) => name === 'x' || name === 'y'),
    [
      { name: 'x', ip: '10.0.0.1' },
      { name: 'x', ip: 'fd00:a::1' },
      { name: 'y', ip: 'fd00:b::1' }
    ]
  )
  assert.throws(
    () => resolve(topology([six('b', 'fd00:b::1/64')], [])),
    refusal(/^fd00:b::1\/64 of b is no subnet$/)
  )
})

test('IPv6 addresses stay as IPv4 ones do, and a full prefix is refused', () => {
  const lans = [{ name: 'a', ipv6: 'fd00::/126', vswitch: [] }]
  const before = resolve(topology(lans, [entity('x', ['a']), entity('y', ['a'])]))
  const after = resolve(
    topology(lans, [entity('new', ['a']), entity('x', ['a']), entity('y', ['a'])]),
    before
  )
  assert.deepEqual(
    after.entities.map(({ nics }) => nics[0]?.ips[0]),
    ['fd00::3/126', 'fd00::1/126', 'fd00::2/126']
  )
  const four = ['w', 'x', 'y', 'z'].map((name) => entity(name, ['a']))
  assert.throws(() => resolve(topology(lans, four)), refusal(/^no free address for z:eth0 in a$/))
})

test('only a router that is told so knows static ways', () => {
  const lans = [lan('a', '10.0.0.0/24'), lan('b', '10.0.1.0/24'), lan('c', '10.0.2.0/24')]
  for (const routing of ['none', 'ospf', 'static'] as const) {
    const spec = resolve(topology(lans, [router('r', ['a', 'b'], { routing }), router('s', ['b', 'c'])]))
    const routes = routing === 'static' ? [{ to: '10.0.2.0/24', via: '10.0.1.2' }] : []
    assert.deepEqual(of(spec, 'r').routes, routes)
    assert.equal(of(spec, 'r').routing, routing)
  }
})

test('services that nobody is named for are the router’s; the rendezvous point is the first that forwards', () => {
  const lans = [
    lan('a', '10.0.0.0/24', { services: { dhcp: '', dns: 'x' }, gateway: 's' }),
    lan('b', '10.0.1.0/24', { services: { dhcp: '' } })
  ]
  const wanted = topology(lans, [
    entity('x', ['a']),
    router('r', ['a']),
    router('s', ['a'], { multicast: 'pim' }),
    router('t', ['b'], { multicast: 'pim' })
  ])
  const spec = resolve(wanted)
  assert.deepEqual(
    spec.lans.map(({ services }) => services),
    [{ dhcp: 's', dns: 'x' }, { dhcp: 't' }]
  )
  assert.equal(spec.rendezvous, 's')
  assert.equal(resolve({ ...wanted, rendezvous: 't' }).rendezvous, 't')
})

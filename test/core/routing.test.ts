import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { hostIdOf } from '#core/admission/host-id.ts'
import type { ImageHash } from '#core/image.ts'
import type { Mac, PublicKey } from '#core/ids.ts'
import { parseIpv4 } from '#core/ipv4.ts'
import { withDoor } from '#core/nics.ts'
import { specFromWire, specToWire } from '#core/records/spec-body.ts'
import { withEntity } from '#core/doors.ts'
import { addNic } from '#core/nics.ts'
import { attachedEntity, resolveTopology } from '#core/resolve.ts'
import { frrDaemons } from '#core/routing/frr.ts'
import { protocolOf } from '#core/routing/links.ts'
import { servicesOf } from '#core/routing/services.ts'
import type { Routing, Spec, SpecEntity, Topology } from '#core/spec.ts'
import { entity, lan, nobody, router, topologies, topology } from './topologies.ts'

const macOf = (name: string): Mac => `02:00:00:00:00:0${name.length}` as Mac
const images = new Map([['router', 'ab'.repeat(32) as ImageHash]])
const resolve = (wanted: Topology): Spec => resolveTopology(wanted, nobody, null, images)
const of = (spec: Spec, name: string): SpecEntity =>
  spec.entities.find((candidate) => candidate.name === name) as SpecEntity

/** With a host for each entity, as a record has to have them. */
function placed(spec: Spec): Spec {
  const hosts = [hostIdOf('11'.repeat(32) as PublicKey)]
  return { ...spec, entities: spec.entities.map((one) => ({ ...one, hosts })) }
}

/** What an entity is given, by path. */
function given(spec: Spec, name: string): Record<string, string> {
  const { files, start } = servicesOf(spec, of(spec, name), macOf)
  const texts = files.map(({ path, data }) => [path, new TextDecoder().decode(data)] as const)
  return { ...Object.fromEntries(texts), start }
}

/** Two vLANs with vHosts, and one between their routers. */
function chain(routing: Routing, more: Partial<Topology> = {}): Topology {
  const lans = [
    lan('a', '10.0.1.0/24', { ipv6: 'fd00:1::/64' }),
    lan('b', '10.0.2.0/24', { ipv6: 'fd00:2::/64' }),
    lan('c', '10.0.3.0/24')
  ]
  const entities = [
    entity('h', ['a']),
    router(
      'r',
      [
        ['a', '10.0.1.1'],
        ['b', '10.0.2.1']
      ],
      { routing }
    ),
    router(
      's',
      [
        ['b', '10.0.2.2'],
        ['c', '10.0.3.1']
      ],
      { routing }
    )
  ]
  return { ...topology(lans, entities), ...more }
}

const head = [
  'frr defaults traditional',
  'hostname r',
  'service integrated-vtysh-config',
  '!',
  'bfd',
  ' profile violin'
].concat(['  detect-multiplier 3', '  receive-interval 200', '  transmit-interval 200', ' exit', 'exit', '!'])

const golden: Readonly<Record<'ospf' | 'bgp' | 'isis', readonly string[]>> = {
  ospf: [
    ...head,
    'interface eth0',
    ' ip ospf area 0.0.0.0',
    ' ip ospf passive',
    ' ipv6 ospf6 area 0.0.0.0',
    ' ipv6 ospf6 passive',
    'exit',
    '!',
    'interface eth1',
    ...['ip ospf', 'ipv6 ospf6'].flatMap((word) => [
      ` ${word} hello-interval 1`,
      ` ${word} dead-interval 4`,
      ` ${word} network point-to-point`,
      ` ${word} retransmit-interval 1`,
      ` ${word} bfd`,
      ` ${word} bfd profile violin`,
      ` ${word} area 0.0.0.0`
    ]),
    'exit',
    '!',
    'router ospf',
    ' ospf router-id 10.0.1.1',
    ' timers throttle spf 10 50 500',
    ' timers throttle lsa all 100',
    ' timers lsa min-arrival 50',
    'exit',
    '!',
    'router ospf6',
    ' ospf6 router-id 10.0.1.1',
    ' timers throttle spf 10 50 500',
    ' timers lsa min-arrival 50',
    'exit'
  ],
  bgp: [
    ...head,
    'router bgp 64512',
    ' bgp router-id 10.0.1.1',
    ' no bgp ebgp-requires-policy',
    ' no bgp default ipv4-unicast',
    ' bgp bestpath as-path multipath-relax',
    ' timers bgp 3 9',
    ...['10.0.2.2', 'fd00:2::2'].flatMap((address) => [
      ` neighbor ${address} remote-as 64513`,
      ` neighbor ${address} description s`,
      ` neighbor ${address} timers connect 1`,
      ` neighbor ${address} advertisement-interval 0`,
      ` neighbor ${address} bfd`,
      ` neighbor ${address} bfd profile violin`
    ]),
    ...['4 10.0.2.2', '6 fd00:2::2'].flatMap((family) => [
      ` address-family ipv${family[0]} unicast`,
      '  redistribute connected',
      `  neighbor ${family.slice(2)} activate`,
      '  maximum-paths 8',
      ' exit-address-family'
    ]),
    'exit'
  ],
  isis: [
    ...head,
    'interface eth0',
    ' ip router isis violin',
    ' ipv6 router isis violin',
    ' isis passive',
    'exit',
    '!',
    'interface eth1',
    ' ip router isis violin',
    ' ipv6 router isis violin',
    ' isis circuit-type level-2-only',
    ' isis network point-to-point',
    ' isis hello-interval 1',
    ' isis hello-multiplier 4',
    ' isis bfd',
    ' isis bfd profile violin',
    'exit',
    '!',
    'router isis violin',
    ' lsp-gen-interval 1',
    'exit',
    '!',
    'hostname r',
    '!',
    'router isis violin',
    ' net 49.0001.0000.0000.0001.00',
    ' is-type level-2-only',
    ' metric-style wide',
    ' topology ipv6-unicast',
    ' spf-delay-ietf init-delay 10 short-delay 50 long-delay 500 holddown 1000 time-to-learn 500',
    'exit'
  ]
}

for (const routing of ['ospf', 'bgp', 'isis'] as const)
  test(`a router that speaks ${routing} to one neighbour is configured so`, () => {
    const conf = given(resolve(chain(routing)), 'r')['/etc/frr/frr.conf']
    assert.deepEqual(conf?.trimEnd().split('\n'), golden[routing])
  })

test('a router that speaks rip has no BFD, and asks nobody on a vLAN where nobody answers', () => {
  const conf = given(resolve(chain('rip')), 'r')['/etc/frr/frr.conf'] ?? ''
  assert.deepEqual(conf.trimEnd().split('\n').slice(4), [
    'router rip',
    ' version 2',
    ' timers basic 5 15 10',
    ' network eth0',
    ' network eth1',
    ' passive-interface eth0',
    'exit',
    '!',
    'router ripng',
    ' timers basic 5 15 10',
    ' network eth0',
    ' network eth1',
    ' passive-interface eth0',
    'exit'
  ])
})

test('the daemons are those of which the configuration speaks, and start before it is read', () => {
  const daemonsOf = (routing: Routing): string[] =>
    frrDaemons(given(resolve(chain(routing)), 'r')['/etc/frr/frr.conf'] ?? '')
  assert.deepEqual(daemonsOf('ospf'), ['zebra', 'bfdd', 'ospfd', 'ospf6d'])
  assert.deepEqual(daemonsOf('bgp'), ['zebra', 'bfdd', 'bgpd'])
  assert.deepEqual(daemonsOf('rip'), ['zebra', 'ripd', 'ripngd'])
  assert.deepEqual(daemonsOf('isis'), ['zebra', 'bfdd', 'isisd'])
  const start = given(resolve(chain('isis')), 'r')['start'] ?? ''
  assert.match(start, /^set -e\n(.*\n)*for daemon in zebra bfdd isisd; do .*; done\nvtysh -b\n$/)
})

test('in a configuration of a user’s own daemons are found as FRR’s own programs and people write it', () => {
  for (const [conf, ...wanted] of [
    ['router bgp 65001\n neighbor 10.0.0.2 bfd\n neighbor 10.0.0.2 description bfd\n', 'bfdd', 'bgpd'],
    ['router bgp 65001\n neighbor 10.0.0.2 description no bfd\n', 'bgpd'],
    ['interface eth0\n ip ospf bfd profile fast\n', 'bfdd'],
    ['interface eth0\n isis bfd\n', 'bfdd'],
    ['interface eth0\n ip pim\n ip pim bfd\n', 'bfdd', 'pimd'],
    ['router rip \n network eth0\n', 'ripd'],
    ['router ripng\t\r\n', 'ripngd'],
    ['vrf red\n ip route 10.0.0.0/8 10.0.1.1\nexit-vrf\n', 'staticd'],
    ['router openfabric 1\n', 'fabricd'],
    ['interface gre1\n ip nhrp network-id 1\n', 'nhrpd'],
    ['router isis a\n segment-routing on\n', 'isisd'],
    ['segment-routing\n traffic-eng\n', 'pathd'],
    ['! router rip\n# router bgp 1\n']
  ] as const)
    assert.deepEqual(frrDaemons(conf), ['zebra', ...wanted], conf)
})

test('what nobody asked for is not there: static and silent routers, and vHosts, start nothing', () => {
  for (const routing of ['static', 'none'] as const)
    assert.deepEqual(given(resolve(chain(routing)), 'r'), { start: '' })
  assert.deepEqual(given(resolve(chain('ospf')), 'h'), { start: '' })
})

/** A topology with a jetway at the first router's outer vLAN. */
function doored(routing: Routing, mode: 'nat' | 'bridge', enabled = false): Topology {
  const { lans, entities, ...rest } = chain(routing)
  const jetway = { mode, bridge: mode === 'nat' ? '' : 'br0', enabled }
  return {
    ...rest,
    lans,
    entities: [...entities, entity('out', ['a'], { kind: 'jetway', driver: 'tap', jetway })]
  }
}

for (const [routing, line] of [
  ['ospf', /^router ospf\n( .*\n)* default-information originate$/m],
  ['rip', /^router rip\n( .*\n)* default-information originate$/m],
  ['isis', /^ default-information originate ipv4 level-2$/m],
  ['bgp', /^ address-family ipv4 unicast\n( .*\n)*? {2}network 0\.0\.0\.0\/0$/m]
] as const)
  test(`a router beside an open jetway that translates tells all of it by ${routing}, and no other does`, () => {
    const spec = resolve(doored(routing, 'nat', true))
    assert.deepEqual(of(spec, 'r').routes, [{ to: 'default', via: '10.0.1.3' }])
    assert.deepEqual(of(spec, 's').routes, [])
    const said = (name: string): number =>
      given(spec, name)['/etc/frr/frr.conf']?.match(/default-information|network 0\.0\.0\.0/g)?.length ?? 0
    assert.match(given(spec, 'r')['/etc/frr/frr.conf'] ?? '', line)
    assert.deepEqual([said('r'), said('s')], [1, 0])
    // What is told of it while it runs is no more than that.
    const [shut, open] = [withDoor(spec, 'out', false), spec].map((one) => given(one, 'r'))
    assert.doesNotMatch(shut?.['/etc/frr/frr.conf'] ?? '', line)
    assert.equal(shut?.['start'], open?.['start'])
  })

test('a vLAN that a bridge opens is no stub: others may speak there', () => {
  const confOf = (routing: Routing): string =>
    given(resolve(doored(routing, 'bridge')), 'r')['/etc/frr/frr.conf'] ?? ''
  for (const routing of ['ospf', 'isis', 'rip'] as const) {
    assert.doesNotMatch(confOf(routing), /passive/)
    const [shut, open] = [given(resolve(chain(routing)), 'r')['/etc/frr/frr.conf'] ?? '', confOf(routing)]
    const direct = (text: string): number => text.match(/network point-to-point/g)?.length ?? 0
    assert.equal(direct(open), direct(shut))
  }
})

test('a router with a configuration of its own may speak: beside it no vLAN is a stub, nor one of two', () => {
  const data = new TextEncoder().encode('router ospf\n')
  const files = [{ path: '/etc/frr/frr.conf', mode: 0o644, data }]
  for (const routing of ['ospf', 'isis', 'rip'] as const) {
    const { entities, ...rest } = chain(routing)
    const alone = entities.map((one) =>
      one.name === 's' ? { ...one, routing: 'none' as const, files } : one
    )
    const third = router('t', [['b', '10.0.2.3']], { routing })
    for (const among of [alone, [...alone, third]]) {
      const conf = given(resolve({ ...rest, entities: among }), 'r')['/etc/frr/frr.conf'] ?? ''
      assert.doesNotMatch(conf, /point-to-point|passive-interface eth1/)
      assert.doesNotMatch(conf, /^interface eth1\n( .*\n)* .*passive/m)
      // Where nobody else is, it asks nobody.
      assert.match(conf, /passive-interface eth0|^interface eth0\n( .*\n)* .*passive/m)
    }
  }
})

test('a vHost more in the file changes no number of a router', () => {
  for (const routing of ['bgp', 'isis'] as const) {
    const { entities, ...rest } = chain(routing)
    const more = resolve({ ...rest, entities: [entity('first', ['a']), ...entities] })
    assert.equal(
      given(more, 's')['/etc/frr/frr.conf'],
      given(resolve(chain(routing)), 's')['/etc/frr/frr.conf']
    )
  }
})

test('a file that the topology names stands in place of a made one, and its daemons run', () => {
  const data = new TextEncoder().encode('router bgp 65000\nip route 10.9.0.0/16 10.0.2.2\n')
  const own = { path: '/etc/frr/frr.conf', mode: 0o644, data }
  const wanted = chain('ospf')
  const entities = wanted.entities.map((one) => (one.name === 'r' ? { ...one, files: [own] } : one))
  const made = given(resolve({ ...wanted, entities }), 'r')
  assert.deepEqual(Object.keys(made).toSorted(), ['/etc/frr/vtysh.conf', 'start'])
  assert.match(made['start'] ?? '', /in zebra staticd bgpd; do/)
})

test('a vHost with an anycast address speaks what its router does, and carries nobody else', () => {
  const wanted = chain('ospf')
  const entities = wanted.entities.map((one) => (one.name === 'h' ? { ...one, anycast: ['10.99.0.1'] } : one))
  const spec = resolve({ ...wanted, entities })
  assert.equal(protocolOf(spec, of(spec, 'h')), 'ospf')
  const conf = given(spec, 'h')['/etc/frr/frr.conf'] ?? ''
  assert.match(conf, /interface lo\n ip ospf area 0\.0\.0\.0\nexit/)
  assert.match(conf, /max-metric router-lsa administrative/)
  // The router meets it: its vLAN is a stub no more.
  assert.match(
    given(spec, 'r')['/etc/frr/frr.conf'] ?? '',
    /interface eth0\n(?! ip ospf passive)( .*\n)*? ip ospf bfd\n/
  )
})

test('by BGP and RIP a vHost with an anycast address tells that alone: over it there is no way to anywhere else', () => {
  const of = (routing: Routing): string => {
    const { entities, ...rest } = chain(routing)
    const both = entity('h', ['a', 'b'], { anycast: ['10.99.0.1', '10.99.0.2'] })
    const spec = resolve({ ...rest, entities: entities.map((one) => (one.name === 'h' ? both : one)) })
    assert.doesNotMatch(given(spec, 'r')['/etc/frr/frr.conf'] ?? '', /prefix-list/)
    return given(spec, 'h')['/etc/frr/frr.conf'] ?? ''
  }
  const four = 'ip prefix-list own seq 1 permit 10.99.0.1/32\nip prefix-list own seq 2 permit 10.99.0.2/32\n'
  const six = 'ipv6 prefix-list own seq 1 deny any\n'
  const [bgp, rip] = [of('bgp'), of('rip')]
  for (const conf of [bgp, rip]) assert.ok(conf.includes(four) && conf.includes(six), conf)
  const neighbours = [...bgp.matchAll(/^ {2}neighbor (\S+) activate$/gm)].map(([, address]) => address)
  // Two routers, one of which is on both vLANs, in both families.
  assert.equal(neighbours.length, 6)
  for (const one of neighbours) assert.ok(bgp.includes(`  neighbor ${one} prefix-list own out\n`), one)
  assert.match(rip, /^router rip\n( .*\n)* distribute-list prefix own out\n/m)
  assert.match(rip, /^router ripng\n( .*\n)* ipv6 distribute-list prefix own out\n/m)
})

test('by RIPng, which passes over a loopback interface, a vHost tells its anycast address with what is connected', () => {
  const wanted = chain('rip')
  const anycast = ['10.99.0.1', 'fd99::1']
  const entities = wanted.entities.map((one) => (one.name === 'h' ? { ...one, anycast } : one))
  const spec = resolve({ ...wanted, entities })
  const conf = given(spec, 'h')['/etc/frr/frr.conf'] ?? ''
  assert.match(conf, /router rip\n( .*\n)* network lo\n/)
  assert.match(conf, /router ripng\n( .*\n)* redistribute connected\n/)
  assert.doesNotMatch(given(spec, 'r')['/etc/frr/frr.conf'] ?? '', /redistribute/)
})

test('routers that forward multicast agree on the rendezvous point, and ask every vLAN who listens', () => {
  const wanted = chain('ospf')
  const entities = wanted.entities.map((one) =>
    one.kind === 'router' ? { ...one, multicast: 'pim' as const } : one
  )
  const spec = resolve({ ...wanted, entities, rendezvous: 's' })
  for (const name of ['r', 's']) {
    const conf = given(spec, name)['/etc/frr/frr.conf'] ?? ''
    assert.match(conf, /^ip pim rp 10\.0\.2\.2 224\.0\.0\.0\/4$/m)
    assert.equal(conf.match(/^ ip pim$/gm)?.length, 2)
    assert.equal(conf.match(/^ ip igmp$/gm)?.length, 2)
    assert.equal(conf.match(/^ ip pim bfd$/gm)?.length, 1)
    assert.ok(frrDaemons(conf).includes('pimd'))
  }
})

test('a router that translates does so on its way to the vLAN outside alone', () => {
  const wanted = chain('static')
  const entities = wanted.entities.map((one) => (one.name === 'r' ? { ...one, nat: 'b' } : one))
  const made = given(resolve({ ...wanted, entities }), 'r')
  assert.match(made['/etc/violin/nat.nft'] ?? '', /oifname \{ "eth1" \} masquerade/)
  assert.match(made['start'] ?? '', /nft -f \/etc\/violin\/nat\.nft/)
  const [driver, image] = ['uml', 'router'] as const
  const machine = entities.map((one) => (one.name === 'r' ? { ...one, driver, image } : one))
  const commands = (given(resolve({ ...wanted, entities: machine }), 'r')['start'] ?? '').split('\n')
  for (const program of ['iptables', 'ip6tables'])
    assert.ok(commands.includes(`${program} -t nat -A POSTROUTING -o eth1 -j MASQUERADE`), program)
})

test('rules of a router lead what they say to whom they name, in the families that both have', () => {
  const wanted = chain('static')
  const rules = [
    { from: 'a', proto: 'tcp' as const, port: 80, via: 's' },
    { from: '10.0.1.9/32', to: 'fd00:2::/64', via: 's' },
    { proto: 'icmp' as const, via: 'fd00:2::2' },
    // On none of its vLANs, as where a vNIC went: the kernel would take no way over it.
    { to: '10.9.0.0/16', via: '10.0.3.1' }
  ]
  const entities = wanted.entities.map((one) => (one.name === 'r' ? { ...one, rules } : one))
  const spec = resolve({ ...wanted, entities })
  assert.deepEqual(specFromWire(specToWire(placed(spec))), placed(spec))
  const made = given(spec, 'r')
  assert.match(made['start'] ?? '', /^sh -e \/etc\/violin\/rules$/m)
  assert.deepEqual(
    (made['/etc/violin/rules'] ?? '').split('\n').filter((line) => !line.includes('flush')),
    [
      // Before all of them: none is for what the router says itself.
      ...['4', '6'].map((family) => `/sbin/ip -${family} rule add pref 999 iif lo goto 32766 protocol 201`),
      '/sbin/ip -4 route replace default via 10.0.2.2 table 1000',
      '/sbin/ip -4 rule add pref 1000 from 10.0.1.0/24 to all ipproto tcp dport 80 lookup 1000 protocol 201',
      '/sbin/ip -6 route replace default via fd00:2::2 table 1000',
      '/sbin/ip -6 rule add pref 1000 from fd00:1::/64 to all ipproto tcp dport 80 lookup 1000 protocol 201',
      '/sbin/ip -6 route replace default via fd00:2::2 table 1002',
      '/sbin/ip -6 rule add pref 1002 from all to all ipproto ipv6-icmp lookup 1002 protocol 201',
      ''
    ]
  )
})

test('a router’s own program is started, again when it ends, and stands in a record as a plain path alone', () => {
  const wanted = chain('none')
  const withProgram = (click: string): Spec => {
    const entities = wanted.entities.map((one) => (one.name === 'r' ? { ...one, click } : one))
    return placed(resolve({ ...wanted, entities }))
  }
  const spec = withProgram('/usr/local/bin/click')
  assert.deepEqual(specFromWire(specToWire(spec)), spec)
  const start = given(spec, 'r')['start'] ?? ''
  assert.match(start, /while :; do \/usr\/local\/bin\/click \/etc\/click\.conf; .*sleep 1; done/)
  for (const wrong of ['click', '/bin/click; reboot', '/bin/../click', '/bin/click -f'])
    assert.throws(() => specFromWire(specToWire(withProgram(wrong))), /no plain path/, wrong)
})

test('a vLAN’s router gives everybody his own address, strangers a free one, and knows the names', () => {
  const wanted = chain('static')
  const lans = wanted.lans.map((one) =>
    one.name === 'a' ? { ...one, services: { dhcp: '', dns: '', ra: '' } } : one
  )
  const spec = resolve({ ...wanted, lans })
  const made = given(spec, 'r')
  const conf = (made['/etc/dnsmasq.conf'] ?? '').split('\n')
  for (const line of [
    'interface=eth0',
    'port=53',
    'local=/net/',
    'dhcp-range=set:a,10.0.1.155,10.0.1.254,255.255.255.0,1h',
    'dhcp-hostsfile=/etc/violin/dhcp-hosts',
    'dhcp-optsfile=/etc/violin/dhcp-options',
    'enable-ra',
    'dhcp-range=::,constructor:eth0,ra-only,64'
  ])
    assert.ok(conf.includes(line), line)
  assert.equal(made['/etc/violin/dhcp-hosts'], '02:00:00:00:00:01,10.0.1.2,h\n02:00:00:00:00:01,10.0.1.1,r\n')
  assert.equal(made['/etc/violin/dhcp-options'], 'tag:a,option:router,10.0.1.1\n')
  assert.deepEqual(given(spec, 's'), { start: '' })
  // A record's map has another order than the file's.
  const turned = spec.lans.map((one) =>
    one.services === undefined
      ? one
      : { ...one, services: Object.fromEntries(Object.entries(one.services).toReversed()) }
  )
  assert.deepEqual(given({ ...spec, lans: turned }, 'r'), given(spec, 'r'))
})

test('machines ask those who serve names on their vLANs, as they come there, unless a file says whom', () => {
  const lans = [
    lan('a', '10.0.1.0/24', { services: { dns: 'r' }, ipv6: 'fd00:1::/64' }),
    lan('b', '10.0.2.0/24', { services: { dns: 's' } }),
    lan('c', '10.0.3.0/24')
  ]
  const file = { path: '/etc/resolv.conf', mode: 0o644, data: new Uint8Array([10]) }
  const machines = [entity('x', ['a', 'b', 'c']), entity('y', ['c']), entity('own', ['a'], { files: [file] })]
  const spec = resolve(topology(lans, [...machines, router('r', ['a', 'c']), router('s', ['b'])]))
  const asked = (name: string): string | undefined => given(spec, name)['/etc/resolv.conf']
  const [r4, r6, s4] = ['10.0.1.3', 'fd00:1::3', '10.0.2.2'].map((one) => `nameserver ${one}\n`)
  assert.equal(asked('x'), `search net\n${r4}${r6}${s4}`)
  assert.equal(asked('y'), undefined)
  assert.equal(asked('own'), undefined)
  assert.equal(asked('r'), `search net\n${r4}${r6}`)
})

test('who serves a vLAN goes on when somebody comes there, also one who asks for his address', () => {
  const lans = [lan('a', '10.0.1.0/28', { services: { dhcp: '', dns: '' } }), lan('b', '10.0.2.0/24')]
  const spec = resolve(topology(lans, [entity('x', ['b']), router('r', ['a'])]))
  const before = given(spec, 'r')
  const host = hostIdOf('11'.repeat(32) as PublicKey)
  const guest = { name: 'me', host, lan: 'a' }
  for (const [changed, line] of [
    [addNic(spec, 'x', { lan: 'a', ip: '10.0.1.14' }).spec, '10.0.1.14,x'],
    [withEntity(spec, attachedEntity(spec, guest)), '10.0.1.2,me'],
    [withEntity(spec, attachedEntity(spec, { ...guest, ip: 'dhcp' })), '02,me']
  ] as const) {
    const {
      '/etc/violin/dhcp-hosts': hosts = '',
      '/etc/violin/dhcp-options': _,
      ...rest
    } = given(changed, 'r')
    const { '/etc/violin/dhcp-hosts': __, '/etc/violin/dhcp-options': ___, ...former } = before
    assert.deepEqual(rest, former)
    assert.ok(hosts.includes(`${line}\n`), hosts)
  }
})

test('neighbours agree: who is configured to speak to another is spoken to by it, in one protocol', () => {
  const routings = fc.constantFrom<Routing>('ospf', 'bgp', 'rip', 'isis', 'static')
  fc.assert(
    fc.property(topologies, fc.array(routings, { minLength: 12, maxLength: 12 }), (wanted, words) => {
      const entities = wanted.entities.map((one, place) =>
        one.kind === 'router' ? { ...one, routing: words[place] as Routing } : one
      )
      const spec = resolve({ ...wanted, entities })
      const conf = new Map(
        spec.entities.map(({ name }) => [name, given(spec, name)['/etc/frr/frr.conf'] ?? ''])
      )
      const seen = new Set<string>()
      for (const { name, nics } of spec.entities) {
        const text = conf.get(name) ?? ''
        const own = /^router bgp (\d+)$/m.exec(text)?.[1]
        if (own !== undefined) assert.ok(!seen.has(own), `${own} is two systems`)
        seen.add(own ?? '')
        for (const [, address, as] of text.matchAll(/^ neighbor (\S+) remote-as (\d+)$/gm)) {
          const there = spec.entities.find((one) =>
            one.nics.some(({ ips }) =>
              ips.some((ip) => parseIpv4(ip.split('/')[0] ?? '') === parseIpv4(address ?? ''))
            )
          )
          const back = conf.get(there?.name ?? '') ?? ''
          assert.match(back, new RegExp(`^router bgp ${as}$`, 'm'))
          const mine = nics.map(({ ips }) => ips[0]?.split('/')[0] ?? '')
          assert.ok(mine.some((ip) => back.includes(` neighbor ${ip} remote-as ${own}\n`)))
        }
        // A link is point-to-point at both of its ends, or at none.
        const ends = (word: string, one: string): number =>
          (conf.get(one) ?? '').split(`${word} network point-to-point`).length - 1
        if (protocolOf(spec, of(spec, name)) === 'ospf') {
          const others = spec.entities.filter((one) => one.name !== name && protocolOf(spec, one) === 'ospf')
          const alone = nics.filter(
            ({ lan: on }) => others.flatMap((one) => one.nics).filter((nic) => nic.lan === on).length === 1
          )
          assert.equal(ends(' ip ospf', name), alone.length)
        }
      }
    })
  )
})

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ViolinError } from '#core/errors.ts'
import type { Topology } from '#core/spec.ts'
import { parseTopology } from '#topology/parse.ts'

const files: Readonly<Record<string, string>> = {
  'r.click': 'Idle;\n',
  'rules.nft': 'flush ruleset\n',
  'r.conf': 'router bgp 1\n'
}

function parse(...text: readonly string[]): Topology {
  const readFile = (path: string): { data: Uint8Array; mode: number } => {
    const file = files[path]
    if (file === undefined) throw new Error('no such file')
    return { data: new TextEncoder().encode(file), mode: 0o644 }
  }
  return parseTopology(`${text.join('\n')}\n`, { file: 't.yaml', readFile })
}

function refusal(...text: readonly string[]): string {
  try {
    parse(...text)
  } catch (error: unknown) {
    assert.ok(error instanceof ViolinError, String(error))
    return `${error.message}; ${error.remedy}`
  }
  return 'it was taken'
}

describe('a vLAN', () => {
  it('is of IPv4, of IPv6, or of both; addresses are written in one way', () => {
    const { lans, entities } = parse(
      'name: net',
      'driver: netns',
      'lans:',
      '  a: { subnet: 10.0.0.0/24, ipv6: "FD00:0001:0::/64" }',
      '  b: { ipv6: "fd00:2::/64" }',
      'hosts:',
      '  x: { lan: a, ip: 10.0.0.9, ipv6: "fd00:1::9" }',
      '  y: { nics: [{ lan: b, ipv6: "fd00:2::9" }] }'
    )
    assert.deepEqual(lans, [
      { name: 'a', subnet: '10.0.0.0/24', ipv6: 'fd00:1::/64', vswitch: [] },
      { name: 'b', ipv6: 'fd00:2::/64', vswitch: [] }
    ])
    assert.deepEqual(
      entities.map(({ nics }) => nics),
      [
        [{ name: 'eth0', lan: 'a', ip: '10.0.0.9', ipv6: 'fd00:1::9' }],
        [{ name: 'eth0', lan: 'b', ipv6: 'fd00:2::9' }]
      ]
    )
  })

  const wrong: readonly (readonly [what: string, lines: readonly string[], refusal: string])[] = [
    [
      'without a network',
      ['  a: {}'],
      't.yaml:4:3: a vLAN without a network; add `subnet: 192.168.1.0/24` or `ipv6: fd00:1::/64`'
    ],
    [
      'with host bits in its prefix',
      ['  a: { ipv6: "fd00::1/64" }'],
      't.yaml:4:14: fd00::1/64 is no IPv6 network; write it as fd00:1::/64, host bits zero'
    ],
    [
      'of two addresses, as routers have them between them (RFC 3021)',
      ['  a: { subnet: 10.2.0.0/31 }'],
      "t.yaml:4:16: 10.2.0.0/31 is too small for a vLAN; use a /30 or a wider one: not all of its addresses are machines'"
    ],
    [
      'of two addresses of IPv6',
      ['  a: { ipv6: "fd00::2/127" }'],
      "t.yaml:4:14: fd00::2/127 is too small for a vLAN; use a /126 or a wider one: not all of its addresses are machines'"
    ],
    [
      'whose machine has an address of a family that it has not',
      ['  a: { ipv6: "fd00::/64" }', 'hosts: { x: { lan: a, ip: 10.0.0.1 } }'],
      't.yaml:5:27: a has no IPv4 network; add `subnet:` to it'
    ],
    [
      'whose machine has an IPv6 address outside',
      ['  a: { ipv6: "fd00::/64" }', 'hosts: { x: { lan: a, ipv6: "fd00:0:0:1::1" } }'],
      't.yaml:5:29: fd00:0:0:1::1 is no address of a machine in fd00::/64 (a); choose one such as fd00::1'
    ],
    [
      'whose machine has what is no IPv6 address',
      ['  a: { ipv6: "fd00::/64" }', 'hosts: { x: { lan: a, ipv6: 10.0.0.1 } }'],
      't.yaml:5:29: 10.0.0.1 is no IPv6 address; write it as fd00:1::7, without a prefix length'
    ],
    [
      'where an IPv6 address stands twice, in two ways',
      [
        '  a: { ipv6: "fd00::/64" }',
        'hosts:',
        '  x: { lan: a, ipv6: "fd00::1" }',
        '  y: { lan: a, ipv6: "fd00::0:1" }'
      ],
      't.yaml:7:22: fd00::0:1 stands twice on a: x has it too; change one, or leave it out'
    ],
    [
      'whose network is a part of another’s',
      ['  a: { subnet: 10.0.0.0/16 }', '  b: { subnet: 10.1.0.0/16 }', '  c: { subnet: 10.0.7.0/24 }'],
      't.yaml:6:16: 10.0.7.0/24 of c and 10.0.0.0/16 of a overlap; give each vLAN addresses of its own'
    ],
    [
      'whose IPv6 network is another’s as well',
      ['  a: { ipv6: "fd00:1::/64" }', '  b: { ipv6: "fd00:1::/64" }'],
      't.yaml:5:14: fd00:1::/64 of b and fd00:1::/64 of a overlap; give each vLAN addresses of its own'
    ]
  ]
  for (const [network, what] of [
    ['127.0.0.0/24', '127.0.0.0/8 is loopback'],
    ['224.0.1.0/24', '224.0.0.0/4 is multicast'],
    ['0.0.0.0/1', '0.0.0.0/8 is for who has no address yet'],
    ['255.255.255.0/24', '240.0.0.0/4 is reserved'],
    ['169.254.1.0/24', '169.254.0.0/16 is link-local, which no router leads on'],
    ['fe80::/64', 'fe80::/10 is link-local, which no router leads on'],
    ['ff00::/8', 'ff00::/8 is multicast'],
    ['::/64', '::/8 is reserved, loopback among it']
  ] as const)
    it(`is refused in ${network}`, () => {
      const word = network.includes(':') ? 'ipv6' : 'subnet'
      const said = refusal('name: net', 'lans:', `  a: { ${word}: "${network}" }`)
      assert.equal(
        said.split('; ')[0],
        `t.yaml:3:${word === 'ipv6' ? 14 : 16}: ${network} is for no machines: ${what}`
      )
    })
  for (const [what, lines, expected] of wrong)
    it(`is refused ${what}`, () =>
      assert.equal(refusal('name: net', 'driver: netns', 'lans:', ...lines), expected))
})

const lans: readonly string[] = [
  'name: net',
  'driver: netns',
  'lans: { a: { subnet: 10.0.1.0/24 }, b: { subnet: 10.0.2.0/24, ipv6: "fd00:2::/64" } }'
]

describe('what a router does', () => {
  it('is its own word, or that of the defaults, which concern routers alone', () => {
    const { entities } = parse(
      ...lans,
      'defaults: { routing: ospf, multicast: pim }',
      'hosts: { x: { lan: a, anycast: [10.9.0.1, "FD99::1"] } }',
      'routers: { r: { nics: [{ lan: a }, { lan: b }] }, s: { lan: b, routing: static, nat: b }, t: { lan: b, frr: r.conf } }'
    )
    assert.deepEqual(
      entities.map(({ name, image, routing, multicast, nat, anycast }) => [
        name,
        image,
        routing,
        multicast,
        nat,
        anycast
      ]),
      [
        ['x', 'router', undefined, undefined, undefined, ['10.9.0.1', 'fd99::1']],
        ['r', 'router', 'ospf', 'pim', undefined, undefined],
        ['s', 'router', 'static', 'pim', 'b', undefined],
        ['t', 'router', 'none', undefined, undefined, undefined]
      ]
    )
    assert.deepEqual(
      entities[3]?.files.map(({ path }) => path),
      ['/etc/frr/frr.conf']
    )
  })

  it('takes the image router only where programs of it are needed', () => {
    const imageOf = (router: string, ...more: readonly string[]): string | undefined =>
      parse(...(more.length > 0 ? more : lans), `routers: { r: ${router} }`).entities[0]?.image
    assert.equal(imageOf('{ lan: a, routing: none }'), 'tiny')
    assert.equal(imageOf('{ lan: a, firewall: rules.nft }'), 'router')
    assert.equal(imageOf('{ lan: a, routing: ospf, image: own }'), 'own')
    assert.equal(imageOf('{ lan: b, driver: uml }'), 'router')
    assert.equal(imageOf('{ lan: a, driver: uml }'), 'tiny')
    assert.equal(
      imageOf('{ lan: a }', 'name: net', 'lans: { a: { subnet: 10.0.0.0/24, dns: true } }'),
      'router'
    )
  })

  const wrong: readonly (readonly [what: string, lines: readonly string[], refusal: RegExp])[] = [
    [
      'a vHost that routes',
      ['hosts: { x: { lan: a, routing: ospf } }'],
      /^t\.yaml:4:23: `routing` is for a router; /
    ],
    [
      'a router with anycast',
      ['routers: { r: { lan: a, anycast: 10.9.0.1 } }'],
      /`anycast` is for a vHost; /
    ],
    [
      'two ways to say how it routes',
      ['routers: { r: { lan: a, frr: r.conf, routing: bgp } }'],
      /`routing` and `frr` both/
    ],
    [
      'translation to a vLAN that it is not on',
      ['routers: { r: { lan: a, nat: b } }'],
      /^t\.yaml:4:30: r is not on b; it is on a$/
    ],
    [
      'rules for a kernel without nftables',
      ['routers: { r: { lan: a, firewall: rules.nft, driver: uml } }'],
      /no nftables; say `driver: netns`/
    ],
    [
      'IPv6 for a machine without',
      ['hosts: { x: { lan: b, driver: uml, image: tiny } }'],
      /^t\.yaml:4:43: .*has no IPv6, which b has; /
    ],
    [
      'an anycast address of a vLAN',
      ['hosts: { x: { lan: a, anycast: 10.0.2.9 } }'],
      /10\.0\.2\.9 is one of b; /
    ],
    [
      'an anycast address of no machine',
      ['hosts: { x: { lan: a, anycast: [127.0.0.1, 10.9.0.1] } }'],
      /^t\.yaml:4:32: 127\.0\.0\.1 is no machine's: 127\.0\.0\.0\/8 is loopback; choose/
    ],
    [
      'a multicast address for anycast',
      ['hosts: { x: { lan: a, anycast: "ff05::1" } }'],
      /ff05::1 is no machine's: ff00::\/8 is multicast; /
    ],
    [
      'a routing protocol without its programs',
      ['routers: { r: { lan: a, routing: ospf, image: tiny } }'],
      /^t\.yaml:4:47: r has `routing: ospf`, for which tiny has no programs; leave `image` out, or say `image: router`$/
    ],
    [
      'rules without their programs, by what all begin with',
      ['defaults: { image: tiny }', 'routers: { r: { lan: a, rules: [{ via: 10.0.1.9 }] } }'],
      /^t\.yaml:4:20: r has `rules:`, for which tiny/
    ],
    ['an anycast address that is none', ['hosts: { x: { lan: a, anycast: nine } }'], /nine is no address; /],
    [
      'anycast where nobody would hear of it',
      ['hosts: { x: { lan: a, anycast: 10.9.0.1 } }', 'routers: { r: { lan: a } }'],
      /no router beside x speaks/
    ],
    [
      'a rendezvous that is no router',
      ['rendezvous: s', 'routers: { r: { lan: a, multicast: pim } }'],
      /^t\.yaml:4:13: s is no router that forwards multicast; did you mean r\?$/
    ],
    [
      'a protocol that is none',
      ['routers: { r: { lan: a, routing: egp } }'],
      /is none of none, static, ospf, bgp, rip, isis/
    ]
  ]
  for (const [what, more, expected] of wrong)
    it(`is refused with ${what}`, () => assert.match(refusal(...lans, ...more), expected))

  it('forwards multicast on IPv6 alone, but as a virtual machine', () => {
    const router = (text: string): string =>
      refusal('name: net', 'lans: { a: { ipv6: "fd00::/64" } }', `routers: { r: ${text} }`)
    assert.match(
      router('{ lan: a, multicast: pim }'),
      /^t\.yaml:3:36: the kernel of virtual machines forwards no IPv6 multicast, and r has no IPv4; say `driver: netns`/
    )
    assert.equal(router('{ lan: a, multicast: pim, driver: netns }'), 'it was taken')
    assert.equal(router('{ lan: a }'), 'it was taken')
  })
})

describe('a service of a vLAN', () => {
  const of = (lan: string, ...more: readonly string[]): string =>
    refusal('name: net', 'driver: netns', `lans: { a: ${lan} }`, ...more)

  it('is its router’s, or that of the entity named', () => {
    const parsed = parse(
      'name: net',
      'driver: netns',
      'lans: { a: { subnet: 10.0.0.0/24, dhcp: true, dns: x } }',
      'hosts: { x: { lan: a } }',
      'routers: { r: { lan: a } }'
    )
    assert.deepEqual(parsed.lans[0]?.services, { dhcp: '', dns: 'x' })
    assert.deepEqual(
      parsed.entities.map(({ image }) => image),
      ['router', 'router']
    )
  })

  it('is refused where nobody could do it', () => {
    assert.match(
      of('{ subnet: 10.0.0.0/24, dhcp: true }'),
      /0 routers are on a; name who does it: `dhcp: NAME`/
    )
    assert.match(
      of('{ ipv6: "fd00::/64", dhcp: true }', 'routers: { r: { lan: a } }'),
      /a has no IPv4 network/
    )
    assert.match(of('{ ipv6: "fd00::/80", ra: true }', 'routers: { r: { lan: a } }'), /fd00::\/80 is no \/64/)
    assert.match(
      of('{ subnet: 10.0.0.0/24, dns: rr }', 'routers: { r: { lan: a } }'),
      /rr is not on a; did you mean r\?/
    )
  })
})

describe('a rule of a router', () => {
  const head = [
    'name: net',
    'driver: netns',
    'lans: { a: { subnet: 10.0.1.0/24 }, b: { subnet: 10.0.2.0/24, ipv6: "fd00:2::/64" } }'
  ]
  const withRule = (rule: string): string[] => [
    ...head,
    'routers:',
    '  s: { lan: b }',
    `  r: { nics: [{ lan: a }, { lan: b }], rules: [${rule}] }`
  ]

  it('names networks, vLANs and neighbours, and is written in one way', () => {
    const { entities } = parse(
      ...withRule(
        '{ from: a, proto: tcp, port: 80, via: s }, { to: 10.9.0.1, via: 10.0.2.7 }, { from: "FD00:0::/16", via: s }'
      )
    )
    assert.deepEqual(entities[1]?.rules, [
      { from: 'a', proto: 'tcp', port: 80, via: 's' },
      { to: '10.9.0.1/32', via: '10.0.2.7' },
      { from: 'fd00::/16', via: 's' }
    ])
    assert.equal(entities[1]?.image, 'router')
  })

  const wrong: readonly (readonly [rule: string, refusal: string])[] = [
    ['{ from: c, via: s }', 't.yaml:6:56: no vLAN c; did you mean a?'],
    [
      '{ from: 10.0.1.1/24, via: s }',
      't.yaml:6:56: 10.0.1.1/24 is no network, no address and no vLAN; write it as 10.0.1.0/24, host bits zero, or name a vLAN'
    ],
    [
      '{ via: 10.0.9.1 }',
      't.yaml:6:55: 10.0.9.1 is on no vLAN of r; name a neighbour, or an address in 10.0.1.0/24, 10.0.2.0/24, fd00:2::/64'
    ],
    [
      '{ via: 10.0.2.255 }',
      't.yaml:6:55: 10.0.2.255 is on no vLAN of r; name a neighbour, or an address in 10.0.1.0/24, 10.0.2.0/24, fd00:2::/64'
    ],
    ['{ via: t }', 't.yaml:6:55: t is on no vLAN of r; did you mean s?'],
    ['{ port: 80, via: s }', 't.yaml:6:50: a port is one of tcp or udp; add `proto: tcp`'],
    ['{ from: a, over: s }', 't.yaml:6:59: unknown word `over`; words here: from, to, proto, port, via'],
    ['{ from: a }', 't.yaml:6:48: `via:` is missing; add it']
  ]
  for (const [rule, told] of wrong)
    it(`is refused as ${rule}`, () => assert.equal(refusal(...withRule(rule)), told))

  it('belongs to a router', () => {
    assert.match(refusal(...head, 'hosts: { x: { lan: a, rules: [{ via: s }] } }'), /`rules` is for a router/)
  })
})

describe('a program that forwards', () => {
  it('is a path inside, with a file beside the topology for its configuration', () => {
    const of = (click: string): string[] => [
      'name: net',
      'driver: netns',
      'lans: { a: { subnet: 10.0.1.0/24 } }',
      `routers: { r: { lan: a, click: ${click} } }`
    ]
    const [router] = parse(...of('{ program: /usr/local/bin/click, config: r.click }')).entities
    assert.equal(router?.click, '/usr/local/bin/click')
    assert.deepEqual(
      router?.files.map(({ path }) => path),
      ['/etc/click.conf']
    )
    assert.equal(
      refusal(...of('{ program: click, config: r.click }')),
      't.yaml:4:43: "click" is no path of a program inside; write it as /usr/local/bin/click, and lay it there by `files:` or an image'
    )
    assert.match(refusal(...of('{ program: /bin/click, config: none }')), /none cannot be read/)
    assert.match(refusal(...of('{ program: /bin/click }')), /`config:` is missing/)
  })
})

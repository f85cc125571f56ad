import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { ViolinError } from '#core/errors.ts'
import type { Topology } from '#core/spec.ts'
import type { LocalFile } from '#topology/files.ts'
import { parseTopology } from '#topology/parse.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

function parse(text: string, files: Readonly<Record<string, LocalFile>> = {}): Topology {
  const readFile = (path: string): LocalFile => {
    const file = files[path]
    if (file === undefined) throw new Error('no such file')
    return file
  }
  return parseTopology(text, { file: 't.yaml', readFile })
}

/** What a file is refused with, as a person reads it. */
function refusal(text: string, files: Readonly<Record<string, LocalFile>> = {}): string {
  try {
    parse(text, files)
  } catch (error: unknown) {
    assert.ok(error instanceof ViolinError, `not a refusal: ${String(error)}`)
    assert.equal(error.code, 'topology-invalid')
    return `${error.message}; ${error.remedy}`
  }
  return 'it was taken'
}

const lines = (...text: readonly string[]): string => `${text.join('\n')}\n`
const head: readonly string[] = ['name: net', 'lans:', '  lan1: { subnet: 10.0.0.0/24 }']

describe('a topology file', () => {
  it('becomes entities with the vNICs, addresses and settings that it gives them', () => {
    const topology = parse(
      lines(
        'name: net',
        'driver: netns',
        'defaults: { memory: 128M, env: { A: one, B: 2 } }',
        'lans:',
        '  lan1: { subnet: 10.0.0.0/24, vswitch: [princeton, purdue], gateway: r }',
        '  lan2: { subnet: 10.1.0.0/16 }',
        'hosts:',
        '  a: { lan: lan1, ip: 10.0.0.9, on: princeton, driver: uml, memory: 1G, env: { B: true } }',
        '  b: { lan: lan2, count: 2 }',
        '  lonely:',
        'routers:',
        '  r: { nics: [{ lan: lan1, name: uplink }, { lan: lan2, ip: 10.1.0.1 }] }'
      )
    )
    assert.deepEqual(topology.lans, [
      { name: 'lan1', subnet: '10.0.0.0/24', vswitch: ['princeton', 'purdue'], gateway: 'r' },
      { name: 'lan2', subnet: '10.1.0.0/16', vswitch: [] }
    ])
    const [a, b1, b2, lonely, r] = topology.entities
    assert.deepEqual(a, {
      name: 'a',
      kind: 'host',
      driver: 'uml',
      image: 'tiny',
      memoryMiB: 1024,
      on: 'princeton',
      nics: [{ name: 'eth0', lan: 'lan1', ip: '10.0.0.9' }],
      env: { A: 'one', B: 'true' },
      files: []
    })
    assert.deepEqual([b1?.name, b1?.driver, b1?.memoryMiB], ['b1', 'netns', 128])
    assert.deepEqual(b2, { ...b1, name: 'b2' })
    assert.deepEqual(lonely?.nics, [])
    assert.equal(r?.kind, 'router')
    assert.deepEqual(r?.nics, [
      { name: 'uplink', lan: 'lan1' },
      { name: 'eth1', lan: 'lan2', ip: '10.1.0.1' }
    ])
    assert.equal(topology.entities.length, 5)
  })

  it('gives an image other than tiny more memory, unless the file says how much', () => {
    const text = lines(
      ...head,
      'defaults: { image: router }',
      'hosts:',
      '  a: { image: tiny }',
      '  b:',
      '  c: { memory: 64M }',
      '  d: { image: host }'
    )
    const said = parse(text).entities.map(({ image, memoryMiB }) => [image, memoryMiB])
    assert.deepEqual(said, [
      ['tiny', 64],
      ['router', 96],
      ['router', 64],
      ['host', 256]
    ])
  })

  it('brings the files and the script that it names, with their modes', () => {
    const files = {
      'motd.txt': { data: bytes('hi\n'), mode: 0o644 },
      'setup.sh': { data: bytes('#!/bin/sh\n'), mode: 0o755 }
    }
    const text = lines(...head, 'hosts:', '  a: { lan: lan1, files: { /etc/motd: motd.txt }, run: setup.sh }')
    const [a] = parse(text, files).entities
    assert.deepEqual(a?.files, [{ path: '/etc/motd', mode: 0o644, data: bytes('hi\n') }])
    assert.equal(a?.run, '#!/bin/sh\n')
  })

  for (const [example, name] of [
    ['hello', 'hello'],
    ['figure2', 'figure2'],
    ['jetway', 'doors'],
    ['vpn', 'vpn']
  ]) {
    it(`is understood as in the example ${example}`, () => {
      const text = readFileSync(new URL(`../../examples/${example}.yaml`, import.meta.url), 'utf8')
      assert.equal(parse(text).name, name)
    })
  }

  it('of figure 2 has the paths that the paper draws', () => {
    const text = readFileSync(new URL('../../examples/figure2.yaml', import.meta.url), 'utf8')
    const { lans, entities } = parse(text)
    const router = entities.find(({ kind }) => kind === 'router')
    assert.deepEqual(
      router?.nics.map(({ lan, ip }) => [lan, ip]),
      [
        ['lan1', '192.168.1.1'],
        ['lan2', '192.168.2.1']
      ]
    )
    assert.equal(entities.find(({ name }) => name === 'vhost3')?.nics[0]?.ip, '192.168.2.3')
    const first = lans.find(({ name }) => name === 'lan1')?.vswitch[0]
    assert.ok(first !== undefined)
    assert.ok(entities.every(({ on }) => on !== undefined && on !== first))
  })
})

const mistakes: readonly (readonly [what: string, text: string, refusal: string])[] = [
  ['an empty file', '', 't.yaml:1:1: is no topology; begin with `name:` and `lans:`'],
  ['a list', '- a\n', 't.yaml:1:1: is no topology; begin with `name:` and `lans:`'],
  ['no name', 'lans: {}\n', 't.yaml:1:1: `name:` is missing; add it'],
  ['no vLANs', 'name: net\n', 't.yaml:1:1: `lans:` is missing; add it'],
  [
    'broken YAML',
    lines('name: net', '\tlans: {}'),
    't.yaml:2:1: Tabs are not allowed as indentation; mend the YAML'
  ],
  ['a word twice', lines('name: a', 'name: b'), 't.yaml:2:1: Map keys must be unique; mend the YAML'],
  [
    'two documents',
    lines('name: a', '---', 'name: b'),
    't.yaml:2:1: a second document begins here; mend the YAML'
  ],
  ['an unknown tag', 'name: !x a\n', 't.yaml:1:7: Unresolved tag: !x; mend the YAML'],
  [
    'a key that plain data would lose',
    lines('name: net', 'lans: { __proto__: { subnet: 10.0.0.0/24 } }'),
    't.yaml:2:9: a key that is no word; use a name as the key'
  ],
  [
    'an unknown word at the top',
    lines('name: net', 'lan: {}', 'lans: {}'),
    't.yaml:2:1: unknown word `lan`; did you mean `lans`?'
  ],
  [
    'an unknown word of a vLAN',
    lines('name: net', 'lans:', '  lan1: { subnett: 10.0.0.0/24 }'),
    't.yaml:3:11: unknown word `subnett`; did you mean `subnet`?'
  ],
  [
    'an unknown word of a vHost',
    lines(...head, 'hosts:', '  a:', '    lan: lan1', '    memry: 64M'),
    't.yaml:7:5: unknown word `memry`; did you mean `memory`?'
  ],
  [
    'an unknown word of a vNIC',
    lines(...head, 'hosts:', '  a:', '    nics:', '      - { lna: lan1 }'),
    't.yaml:7:11: unknown word `lna`; did you mean `lan`?'
  ],
  [
    'a word unlike any',
    lines(...head, 'defaults: { quux: 1 }'),
    't.yaml:4:13: unknown word `quux`; words here: driver, image, memory, files, run, restart, env, routing, multicast'
  ],
  [
    'offers, which come later',
    lines(...head, 'offer: { lan1: purdue }'),
    't.yaml:4:1: `offer:` is not yet supported; leave it out'
  ],
  [
    'a jetway without its host',
    lines(...head, 'jetways: { out: { lan: lan1, mode: nat } }'),
    't.yaml:4:17: `on:` is missing; add it'
  ],
  [
    'a jetway that translates what its vLAN has not',
    lines(
      'name: net',
      'lans: { six: { ipv6: "fd00::/64" } }',
      'jetways: { out: { lan: six, on: h, mode: nat } }'
    ),
    't.yaml:3:42: a jetway translates IPv4, which the vLAN has not; add `subnet:` to the vLAN, or write `mode: bridge`'
  ],
  [
    'a jetway to a bridge that is not named',
    lines(...head, 'jetways: { out: { lan: lan1, on: h, mode: bridge } }'),
    't.yaml:4:37: which bridge of the host?; add `bridge: br0`'
  ],
  [
    'a bridge that a shell might take for more',
    lines(...head, 'jetways: { out: { lan: lan1, on: h, mode: bridge, bridge: "br0;reboot" } }'),
    't.yaml:4:59: "br0;reboot" is no name of an interface; write it as br0'
  ],
  [
    'two live bridges of one vLAN',
    lines(
      ...head,
      'jetways:',
      '  out: { lan: lan1, on: h, mode: bridge, bridge: br0, enabled: true }',
      '  too: { lan: lan1, on: i, mode: bridge, bridge: br0, enabled: true }'
    ),
    't.yaml:6:64: lan1 has a live bridge already, out: two would make a loop; enable one of them'
  ],
  [
    'a name that a path could misread',
    lines('name: ../net', 'lans: {}'),
    't.yaml:1:7: "../net" is no name for a VIOLIN; use letters a-z, digits and hyphens, at most 40'
  ],
  [
    'a name that a shell could misread',
    lines(...head, 'hosts: { $(id): { lan: lan1 } }'),
    't.yaml:4:10: "$(id)" is no name for a vHost; use letters a-z, digits and hyphens, at most 40'
  ],
  [
    'a name that a command could take for a flag',
    lines(...head, 'routers: { -r: { lan: lan1 } }'),
    't.yaml:4:12: "-r" is no name for a vRouter; use letters a-z, digits and hyphens, at most 40'
  ],
  [
    'a name that is too long once it is numbered',
    lines(...head, 'hosts:', `  ${'a'.repeat(40)}: { lan: lan1, count: 2 }`),
    `t.yaml:5:3: "${'a'.repeat(40)}1" is no name for a vHost; use letters a-z, digits and hyphens, at most 40`
  ],
  [
    'a network with host bits',
    lines('name: net', 'lans:', '  lan1: { subnet: 10.0.0.1/24 }'),
    't.yaml:3:19: 10.0.0.1/24 is no IPv4 network; write it as 192.168.1.0/24, host bits zero'
  ],
  [
    'a switch host that stands twice',
    lines('name: net', 'lans:', '  lan1: { subnet: 10.0.0.0/24, vswitch: [a, b, a] }'),
    't.yaml:3:41: a stands twice; name each host once'
  ],
  [
    'a vLAN that is not there',
    lines(...head, 'hosts: { a: { lan: lan2 } }'),
    't.yaml:4:20: no vLAN lan2; did you mean lan1?'
  ],
  [
    'a vLAN named like something of JavaScript',
    lines(...head, 'hosts: { a: { lan: constructor } }'),
    't.yaml:4:20: no vLAN constructor; add it under `lans:`'
  ],
  [
    'an address outside its subnet',
    lines(...head, 'hosts:', '  a: { lan: lan1, ip: 10.0.1.5 }'),
    't.yaml:5:23: 10.0.1.5 is no address of a machine in 10.0.0.0/24 (lan1); choose one such as 10.0.0.1'
  ],
  [
    'the address of the network itself',
    lines(...head, 'hosts:', '  a: { lan: lan1, ip: 10.0.0.0 }'),
    't.yaml:5:23: 10.0.0.0 is no address of a machine in 10.0.0.0/24 (lan1); choose one such as 10.0.0.1'
  ],
  [
    'an address in an ambiguous notation',
    lines(...head, 'hosts:', '  a: { lan: lan1, ip: 010.0.0.7 }'),
    't.yaml:5:23: 010.0.0.7 is no IPv4 address; write it as 192.168.1.7, without a prefix length'
  ],
  [
    'an address that stands twice',
    lines(
      ...head,
      'hosts:',
      '  a: { lan: lan1, ip: 10.0.0.7 }',
      '  b: { nics: [{ lan: lan1, ip: 10.0.0.7 }] }'
    ),
    't.yaml:6:32: 10.0.0.7 stands twice on lan1: a has it too; change one, or leave it out'
  ],
  [
    'an address that several entities would share',
    lines(...head, 'hosts:', '  a: { lan: lan1, ip: 10.0.0.7, count: 2 }'),
    't.yaml:5:40: entities made by `count` cannot share one address; leave `ip` and `ipv6` out: each gets the next free one'
  ],
  [
    'an address without a vLAN',
    lines(...head, 'hosts:', '  a: { ip: 10.0.0.7 }'),
    't.yaml:5:8: an address without a vLAN; add `lan:`'
  ],
  [
    'lan and nics together',
    lines(...head, 'hosts:', '  a: { lan: lan1, nics: [] }'),
    't.yaml:5:19: `nics` and `lan` both say what it is plugged into; use one of them'
  ],
  [
    'an entity named like a vLAN',
    lines(...head, 'hosts: { lan1: { lan: lan1 } }'),
    't.yaml:4:10: the name lan1 stands twice; entities, jetways and vLANs share one name space: rename one'
  ],
  [
    'a router named like a host that count makes',
    lines(...head, 'hosts: { a: { lan: lan1, count: 2 } }', 'routers: { a2: { lan: lan1 } }'),
    't.yaml:5:12: the name a2 stands twice; entities, jetways and vLANs share one name space: rename one'
  ],
  [
    'a vNIC that stands twice',
    lines(...head, 'hosts:', '  a: { nics: [{ lan: lan1 }, { lan: lan1, name: eth0 }] }'),
    't.yaml:5:49: the vNIC eth0 stands twice; rename one'
  ],
  [
    'a vNIC named like the loopback',
    lines(...head, 'hosts:', '  a: { nics: [{ lan: lan1, name: lo }] }'),
    't.yaml:5:34: "lo" is no name for a vNIC; use letters, digits, dots and hyphens, at most 15'
  ],
  [
    'two routers and none chosen',
    lines(...head, 'hosts: { a: { lan: lan1 } }', 'routers: { r1: { lan: lan1 }, r2: { lan: lan1 } }'),
    't.yaml:3:3: 2 routers on lan1 (r1, r2) and none chosen as gateway; add `gateway: r1`'
  ],
  [
    'a gateway that is no router there',
    lines(
      'name: net',
      'lans:',
      '  lan1: { subnet: 10.0.0.0/24, gateway: r2 }',
      'routers: { r1: { lan: lan1 } }'
    ),
    't.yaml:3:41: r2 is no router on lan1; did you mean r1?'
  ],
  [
    'too little memory for a machine',
    lines(...head, 'hosts:', '  a: { lan: lan1, memory: 8M }'),
    't.yaml:5:27: 8M is too little for a virtual machine; give it 64M or more'
  ],
  [
    'a file that cannot be read',
    lines(...head, 'hosts:', '  a: { lan: lan1, run: gone.sh }'),
    't.yaml:5:24: gone.sh cannot be read: no such file; paths are relative to the topology file'
  ],
  [
    'a file that would lie outside of the entity',
    lines(...head, 'hosts:', '  a: { lan: lan1, files: { /../etc/passwd: x } }'),
    't.yaml:5:28: "/../etc/passwd" is no absolute path of a file; write it as /etc/motd'
  ],
  [
    'a variable that a shell could misread',
    lines(...head, 'hosts:', '  a: { lan: lan1, env: { "A;id": x } }'),
    't.yaml:5:26: "A;id" is no name of a variable; use letters, digits and underscores'
  ]
]

describe('a topology file is refused with its place and what to do for', () => {
  for (const [what, text, expected] of mistakes) it(what, () => assert.equal(refusal(text), expected))

  it('a driver that does not exist', () => {
    assert.match(
      refusal(lines('name: net', 'driver: uml2', 'lans: {}')),
      /^t\.yaml:2:9: .*is none of uml, netns/
    )
  })

  it('too many vNICs', () => {
    const nics = Array.from({ length: 17 }, () => '{ lan: lan1 }').join(', ')
    assert.match(refusal(lines(...head, 'hosts:', `  a: { nics: [${nics}] }`)), /^t\.yaml:5:14: /)
  })

  it('too many entities', () => {
    const text = lines(...head, 'hosts: { a: { count: 1000 }, b: {} }')
    assert.match(refusal(text), /^t\.yaml:1:7: 1001 entities, at most 1000 fit; /)
  })

  it('files that are too large for its record, counted for every copy', () => {
    const files = { blob: { data: new Uint8Array(16_000), mode: 0o644 } }
    const text = (count: number): string =>
      lines(...head, 'hosts:', `  a: { lan: lan1, files: { /blob: blob }, count: ${count} }`)
    assert.equal(parse(text(2), files).entities.length, 2)
    assert.match(refusal(text(3), files), /^t\.yaml:5:35: the files are 48000 bytes together, 40960 fit; /)
  })

  it('a file that is no file any more', () => {
    assert.match(refusal('x'.repeat(1024 * 1024 + 1)), /^t\.yaml is larger than 1048576 bytes; /)
  })

  it('aliases that would grow without end', () => {
    const step = (name: string, of: string): string => `${name}: &${name} [${Array(9).fill(of).join(',')}]`
    const text = lines(step('a', 'x'), step('b', '*a'), step('c', '*b'), step('d', '*c'), step('e', '*d'))
    assert.match(refusal(text), /^t\.yaml: /)
  })

  it('brackets that never end', () => {
    assert.match(refusal('['.repeat(20_000)), /^t\.yaml:1:\d+: nested too deeply; /)
  })
})

describe('the link of a vNIC', () => {
  it('is said in words, of the one vNIC or of each', () => {
    const { entities } = parse(
      lines(
        ...head,
        'hosts:',
        '  a: { lan: lan1, link: { delay: 20ms, jitter: 1.5ms, loss: 1%, rate: 10mbit, queue: 50 } }',
        '  b: { nics: [{ lan: lan1, link: { duplicate: 0.1%, reorder: 5%, down: true } }, { lan: lan1, link: { loss: 0 } }] }'
      )
    )
    assert.deepEqual(
      entities.map(({ nics }) => nics.map(({ link }) => link)),
      [
        [{ delayUs: 20_000, jitterUs: 1_500, lossPpm: 10_000, rateBps: 10_000_000, queueFrames: 50 }],
        [{ duplicatePpm: 1_000, reorderPpm: 50_000, down: true }, undefined]
      ]
    )
  })

  it('is refused with its place where a word or a value is wrong', () => {
    const refuses = (link: string): string =>
      refusal(lines(...head, 'hosts:', `  a: { lan: lan1, link: ${link} }`))
    assert.match(refuses('{ delay: 20 }'), /^t.yaml:5:\d+: `delay`: write it as 20ms, or 0; /)
    assert.match(refuses('{ loss: 200% }'), /`loss`: write it as 1%, or 0/)
    assert.match(refuses('{ dely: 20ms }'), /unknown word `dely`; did you mean `delay`\?/)
    assert.match(refuses('{ down: 1 }'), /`down`: /)
    assert.match(
      refusal(lines(...head, 'hosts:', '  a: { link: { delay: 1ms } }')),
      /a link without a vLAN; add `lan:`/
    )
  })
})

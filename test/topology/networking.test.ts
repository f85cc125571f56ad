import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ViolinError } from '#core/errors.ts'
import type { Topology } from '#core/spec.ts'
import { parseTopology } from '#topology/parse.ts'

const files: Readonly<Record<string, string>> = { 'rules.nft': 'flush ruleset\n', 'r.conf': 'router bgp 1\n' }

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
    ]
  ]
  for (const [what, lines, expected] of wrong)
    it(`is refused ${what}`, () =>
      assert.equal(refusal('name: net', 'driver: netns', 'lans:', ...lines), expected))
})

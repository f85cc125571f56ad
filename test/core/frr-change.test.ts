import assert from 'node:assert/strict'
import { test } from 'node:test'
import { frrChange } from '#core/routing/frr-change.ts'
import { frrConf } from '#core/routing/frr.ts'
import { addNic } from '#core/nics.ts'
import { resolveTopology } from '#core/resolve.ts'
import type { Routing, Spec, SpecEntity } from '#core/spec.ts'
import { entity, lan, nobody, router, topology } from './topologies.ts'

const before = `frr defaults traditional
!
interface eth0
 ip ospf area 0.0.0.0
 ip ospf network point-to-point
exit
!
interface eth1
 ip ospf area 0.0.0.0
 ip ospf passive
exit
!
router bgp 64512
 neighbor 10.0.0.2 remote-as 64513
 address-family ipv4 unicast
  neighbor 10.0.0.2 activate
 exit-address-family
exit
!
router ospf
 ospf router-id 10.0.0.1
exit
`

test('what stays is not said again, what is new stands in its block, what goes is taken back', () => {
  const after = before
    .replace(' ip ospf network point-to-point\n', '')
    .replace('ip ospf passive', 'ip ospf hello-interval 1')
    .replace('  neighbor 10.0.0.2 activate\n', '  neighbor 10.0.0.2 activate\n  neighbor 10.0.0.3 activate\n')
  assert.deepEqual(frrChange(before, after), {
    undo: 'interface eth1\n no ip ospf passive\nexit\ninterface eth0\n no ip ospf network point-to-point\nexit\n',
    add: [
      'interface eth1\n ip ospf hello-interval 1\nexit\n',
      'router bgp 64512\n address-family ipv4 unicast\n  neighbor 10.0.0.3 activate\n exit-address-family\nexit\n'
    ].join('')
  })
})

test('nothing is said when nothing changed, and a router goes with all of its lines', () => {
  assert.deepEqual(frrChange(before, before), { undo: '', add: '' })
  const after = before.slice(0, before.indexOf('router bgp'))
  assert.deepEqual(frrChange(before, after), { undo: 'no router ospf\nno router bgp 64512\n', add: '' })
  assert.deepEqual(frrChange(after, before).undo, '')
})

test('a negated line is taken back by saying it', () => {
  const one = 'router bgp 1\n no bgp default ipv4-unicast\n bgp router-id 1.1.1.1\nexit\n'
  const other = 'router bgp 1\n bgp router-id 1.1.1.1\nexit\n'
  assert.equal(frrChange(one, other).undo, 'router bgp 1\n bgp default ipv4-unicast\nexit\n')
})

/** What stands after both parts were carried out, by the rules that FRR goes by, as lines with their blocks. */
function carriedOut(conf: string, change: { readonly undo: string; readonly add: string }): Set<string> {
  const lines = (text: string): string[] => {
    const blocks: string[] = []
    return text.split('\n').flatMap((line, at, all) => {
      const depth = line.length - line.trimStart().length
      if (/^\s*(!|exit|exit-address-family|)$/.test(line)) return []
      blocks.length = Math.min(depth, blocks.length)
      const isBlock = (all[at + 1]?.length ?? 0) - (all[at + 1]?.trimStart().length ?? 0) > depth
      if (isBlock) blocks.push(line.trim())
      return isBlock ? [] : [[...blocks, line.trim()].join(' / ')]
    })
  }
  const standing = new Set(lines(conf))
  for (const line of lines(change.undo)) {
    const path = line.split(' / ')
    const last = path.pop() as string
    const meant = [...path, last.startsWith('no ') ? last.slice(3) : `no ${last}`].join(' / ')
    for (const one of standing) if (one === meant || one.startsWith(`${meant} / `)) standing.delete(one)
  }
  for (const line of lines(change.add)) standing.add(line)
  return standing
}

for (const routing of ['ospf', 'bgp', 'rip', 'isis'] as const) {
  test(`${routing}: a vNIC more or less on any router leads to what its configuration says`, () => {
    const spec = settled(routing)
    for (const { name } of spec.entities) {
      for (const { name: on } of spec.lans) {
        const { spec: more } = addNic(spec, name, { lan: on })
        for (const one of spec.entities) {
          const [a, b] = [spec, more].map((each) => frrConf(each, of(each, one.name)) ?? '') as [
            string,
            string
          ]
          for (const [from, to] of [
            [a, b],
            [b, a]
          ] as const)
            assert.deepEqual(
              carriedOut(from, frrChange(from, to)),
              carriedOut('', { undo: '', add: to }),
              `${one.name} when ${name} is plugged into ${on}`
            )
        }
      }
    }
  })
}

function of(spec: Spec, name: string): SpecEntity {
  return spec.entities.find((one) => one.name === name) as SpecEntity
}

function settled(routing: Routing): Spec {
  const lans = ['a', 'b', 'c', 'd'].map((name, at) =>
    lan(name, `10.0.${at}.0/24`, { ipv6: `fd00:${at}::/64` })
  )
  const more = { routing, multicast: 'pim' } as const
  return resolveTopology(
    topology(lans, [
      entity('x', ['a'], { anycast: ['10.99.0.1'] }),
      router('r', ['a', 'b'], more),
      router('s', ['b', 'c'], more),
      router('t', ['c', 'd'], more)
    ]),
    nobody,
    null
  )
}

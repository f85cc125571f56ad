/** Routers that speak to one another, as people write them: every protocol, both families, cut links, multicast. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Pinging } from '#lab/gap.ts'
import type { Outcome } from '#lab/host.ts'
import { giveRouterImage } from '../images/router-image.ts'
import { apply, exec, inside, meshOf, remove, until } from './world.ts'

/** Longest silence after a cut that only missing signs of life tell of. */
const maxHealMs = 1_000
/** Adjacencies, and what follows from them, on a busy machine. */
const convergedMs = 60_000

const lab = await meshOf('p1', 'p2')
after(() => lab[Symbol.asyncDispose]())
const home = lab.host('p1')
for (const host of lab.hosts) await giveRouterImage(host.folder)

async function reaches(from: string, address: string): Promise<void> {
  const argv = ['ping', ...(address.includes(':') ? ['-6'] : []), '-c', '1', '-W', '1', address]
  const good = ({ status }: Outcome): boolean => status === 0
  await until(`${from} reaches ${address}`, () => exec(home, from, ...argv), good, convergedMs)
}

/** Addresses of the routers on the way, without the target. */
async function wayTo(from: string, address: string): Promise<string[]> {
  const text = await inside(home, from, 'traceroute', '-n', '-q', '1', '-w', '2', address)
  return [...text.matchAll(/^ *\d+ +(\d\S+)/gm)].map(([, hop]) => hop as string).slice(0, -1)
}

const routers = 12
/** Those that are virtual machines; all others are namespaces. */
const machines = [2, 6, 10]

/** Routers in a ring, 10.0.N.0/24 between N and the next; `a` is at the first, `b` half way round. */
const ring = `
name: ring
driver: netns
defaults: { routing: ospf }
lans:
  left: { subnet: 10.1.0.0/24, ipv6: 'fd01::/64' }
  right: { subnet: 10.2.0.0/24, ipv6: 'fd02::/64' }
${Array.from({ length: routers }, (_, i) => `  l${i}: { subnet: 10.0.${i}.0/24, ipv6: 'fd00:${i}::/64' }\n`).join('')}
hosts:
  a: { lan: left, on: p1 }
  b: { lan: right, on: p2 }
routers:
${Array.from({ length: routers }, (_, i) => {
  const lans = [
    `l${i}`,
    `l${(i + routers - 1) % routers}`,
    ...(i === 0 ? ['left'] : i === 5 ? ['right'] : [])
  ]
  const nics = lans.map((lan) => `{ lan: ${lan} }`).join(', ')
  return `  r${i}: { nics: [${nics}]${machines.includes(i) ? ', driver: uml' : ''} }\n`
}).join('')}
`

test('a ring of twelve routers, three of them virtual machines, converges in both families', async (t) => {
  await apply(home, ring)
  const startedAt = performance.now()
  await reaches('ring/a', '10.2.0.1')
  await reaches('ring/a', 'fd02::1')
  t.diagnostic(`converged ${Math.round(performance.now() - startedAt)} ms after the last was up`)
  assert.deepEqual(await wayTo('ring/a', '10.2.0.1'), [
    '10.1.0.2',
    ...[0, 1, 2, 3, 4].map((lan) => `10.0.${lan}.2`)
  ])
})

test('what `show --config` prints is what runs', async () => {
  const config = await home.violin('show', 'ring/r2', '--config')
  const running = await inside(home, 'ring/r2', 'vtysh', '-c', 'show running-config')
  for (const line of [
    'ospf router-id 10.0.2.1',
    'ip ospf network point-to-point',
    'ip ospf bfd profile violin'
  ]) {
    assert.ok(config.includes(` ${line}\n`), line)
    assert.ok(running.includes(` ${line}\n`), line)
  }
})

test('a ring heals within a second of a cut that nothing but missing signs of life tells of', async (t) => {
  const pings = 600
  const pinging = new Pinging(home, 'ring/a', '10.2.0.1', pings)
  await pinging.answered(100)
  // One direction of one link is lost; both ends keep their carrier.
  const drop =
    'add table netdev cut; add chain netdev cut in { type filter hook ingress device eth1 priority 0; policy drop; }'
  await inside(home, 'ring/r3', 'nft', drop)
  const { gapMs, lost } = await pinging.silence(pings)
  t.diagnostic(`silent for ${gapMs} ms, ${lost} pings lost`)
  assert.ok(lost > 0, 'no ping took the link that was cut')
  assert.ok(gapMs <= maxHealMs, `silent for ${gapMs} ms`)
  assert.equal((await wayTo('ring/a', '10.2.0.1'))[1], '10.0.11.2')
  await reaches('ring/a', 'fd02::1')
  await inside(home, 'ring/r3', 'nft', 'delete table netdev cut')
  await until(
    'the short way, without a loop on it',
    () => wayTo('ring/a', '10.2.0.1'),
    (way) => way.length === 6 && way[1] === '10.0.0.2',
    convergedMs
  )
  await remove(home, 'ring')
})

for (const routing of ['bgp', 'isis', 'rip'] as const)
  test(`${routing} leads over two routers in both families, and the plan is kept when it is applied again`, async () => {
    const topology = `
name: ${routing}
driver: netns
defaults: { routing: ${routing} }
lans:
  a: { subnet: 10.0.1.0/24, ipv6: 'fd00:1::/64' }
  b: { subnet: 10.0.2.0/24, ipv6: 'fd00:2::/64' }
  c: { subnet: 10.0.3.0/24, ipv6: 'fd00:3::/64' }
  d: { subnet: 10.0.4.0/24, ipv6: 'fd00:4::/64' }
hosts: { x: { lan: a }, y: { lan: d } }
routers:
  r: { nics: [{ lan: a }, { lan: b }], on: p1 }
  s: { nics: [{ lan: b }, { lan: c }], on: p2 }
  t: { nics: [{ lan: c }, { lan: d }], on: p1 }
`
    await apply(home, topology)
    await reaches(`${routing}/x`, '10.0.4.1')
    await reaches(`${routing}/x`, 'fd00:4::1')
    const planned = await home.try(['plan', '-'], { input: topology })
    assert.match(planned.stdout, /9 unchanged|nothing to change/)
    await remove(home, routing)
  })

test('a vLAN may have IPv6 alone, with a virtual machine for its router', async () => {
  await apply(
    home,
    `
name: six
driver: netns
lans: { a: { ipv6: 'fd00:a::/64' }, b: { ipv6: 'fd00:b::/64' }, c: { ipv6: 'fd00:c::/64' } }
hosts: { x: { lan: a }, y: { lan: c } }
routers:
  r: { nics: [{ lan: a }, { lan: b }], driver: uml, routing: ospf }
  s: { nics: [{ lan: b }, { lan: c }], routing: ospf }
`
  )
  await reaches('six/x', 'fd00:c::1')
  assert.doesNotMatch(await inside(home, 'six/x', 'ip', '-4', 'addr', 'show', 'eth0'), /inet /)
  // The names of both are in /etc/hosts.
  await inside(home, 'six/y', 'ping', '-6', '-c', '1', '-W', '2', 'x')
  await remove(home, 'six')
})

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { withPower } from '#core/edits.ts'
import { addNic, removeNic } from '#core/nics.ts'
import { planChanges } from '#core/plan.ts'
import type { ImageHash } from '#core/image.ts'
import { resolveTopology } from '#core/resolve.ts'
import { multicast6Path } from '#core/routing/paths.ts'
import { unableOfMulticast6 } from '#core/routing/multicast-tree.ts'
import { servicesOf } from '#core/routing/services.ts'
import type { Mac } from '#core/ids.ts'
import type { Spec, SpecEntity, Topology, TopologyEntity } from '#core/spec.ts'
import { entity, lan, nobody, router, topology } from './topologies.ts'

const macOf = (): Mac => '' as Mac
const images = new Map([['router', 'ab'.repeat(32) as ImageHash]])
const resolve = (wanted: Topology): Spec => resolveTopology(wanted, nobody, null, images)
const pim = { multicast: 'pim' as const }
const six = (name: string, at: number) => lan(name, `10.0.${at}.0/24`, { ipv6: `fd00:${at}::/64` })

function of(spec: Spec, name: string): SpecEntity {
  return spec.entities.find((one) => one.name === name) as SpecEntity
}

function scriptOf(spec: Spec, name: string): string {
  const file = servicesOf(spec, of(spec, name), macOf).files.find(({ path }) => path === multicast6Path)
  return file === undefined ? '' : new TextDecoder().decode(file.data)
}

/** What a router does, as its script says it: from the vLAN of a vNIC to others, and which of these it asks for listeners. */
function routesOf(spec: Spec, self: SpecEntity): { from: string; to: { lan: string; asked: boolean }[] }[] {
  if (self.stopped === true) return []
  const script = scriptOf(spec, self.name)
  const lanOf = (nic: string): string => self.nics.find(({ name }) => name === nic)?.lan as string
  return [...script.matchAll(/^mroute from (\S+) group ff00::\/8 to (.+)$/gm)].map(([, from, to]) => ({
    from: lanOf(from as string),
    to: (to as string).split(' ').map((nic) => {
      const asked = script.includes(`IP6-SENDTO:[ff02::1%${nic}]:58`)
      assert.equal(asked, script.includes(`oifname "${nic}" `), 'who is asked counts, and nobody else')
      assert.equal(
        asked,
        script.includes(`iifname "${nic}" ip6 hoplimit 1 icmpv6 type mld-listener-report update`)
      )
      return { lan: lanOf(nic), asked }
    })
  }))
}

/** How often one datagram, sent on a vLAN, comes to each, where everybody listens, or only those who listen on `listening`. */
function flood(spec: Spec, source: string, listening: ReadonlySet<string> | null): Map<string, number> {
  const routes = spec.entities.flatMap((one) =>
    routesOf(spec, one).map((route) => ({ by: one.name, ...route }))
  )
  const came = new Map<string, number>()
  const queue = [{ on: source, by: '' }]
  for (const { on, by } of queue) {
    came.set(on, (came.get(on) ?? 0) + 1)
    assert.ok(queue.length < 10_000, 'it goes round')
    for (const route of routes)
      if (route.from === on && route.by !== by)
        for (const { lan: next, asked } of route.to)
          if (!asked || listening === null || listening.has(next)) queue.push({ on: next, by: route.by })
  }
  return came
}

/** vLANs with IPv6 that routers which can pass multicast on lead to. */
function reachable(spec: Spec, source: string): Set<string> {
  const found = new Set([source])
  const isSix = (name: string): boolean =>
    spec.lans.some((one) => one.name === name && one.ipv6 !== undefined)
  const routers = spec.entities
    .filter((one) => one.kind === 'router' && one.multicast !== undefined && one.driver === 'netns')
    .filter((one) => one.click === undefined && one.stopped !== true)
    .map((one) => one.nics.map((nic) => nic.lan).filter(isSix))
  for (const name of found)
    for (const lans of routers)
      if (isSix(name) && lans.includes(name)) for (const next of lans) found.add(next)
  return found
}

/** Up to seven vLANs, most with IPv6, and up to nine routers on some of them: rings, meshes, islands, and routers that cannot. */
const networks: fc.Arbitrary<Spec> = fc
  .record({
    lans: fc.array(fc.boolean(), { minLength: 1, maxLength: 7 }),
    routers: fc.array(
      fc.record({
        nics: fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 4 }),
        can: fc.constantFrom('yes', 'yes', 'yes', 'yes', 'uml', 'click', 'unasked', 'stopped')
      }),
      { maxLength: 9 }
    ),
    rendezvous: fc.nat({ max: 8 })
  })
  .map(({ lans, routers, rendezvous }) => {
    const entities = routers.map(({ nics, can }, at): TopologyEntity =>
      router(
        `r${at}`,
        nics.map((nic) => `lan${nic % lans.length}`),
        {
          ...(can === 'unasked' ? {} : pim),
          ...(can === 'click' ? { click: '/click' } : {}),
          driver: can === 'uml' ? 'uml' : 'netns',
          image: 'router'
        }
      )
    )
    const plain = lans.map((one, at) =>
      one ? six(`lan${at}`, at + 1) : lan(`lan${at}`, `10.0.${at + 1}.0/24`)
    )
    const point = entities[rendezvous]?.multicast === undefined ? {} : { rendezvous: `r${rendezvous}` }
    const spec = resolve({ ...topology(plain, entities), ...point })
    return routers.reduce(
      (made, { can }, at) => (can === 'stopped' ? withPower(made, `r${at}`, false) : made),
      spec
    )
  })

test('what is sent on a vLAN comes to all that routers lead to once, to no other, and to those without listeners only on its way', () => {
  fc.assert(
    fc.property(networks, fc.nat({ max: 6 }), fc.array(fc.nat({ max: 6 })), (spec, source, listeners) => {
      const from = spec.lans[source % spec.lans.length]?.name as string
      const all = flood(spec, from, null)
      assert.deepEqual([...all.keys()].toSorted(), [...reachable(spec, from)].toSorted())
      assert.ok([...all.values()].every((times) => times === 1))
      const listening = new Set(listeners.map((at) => `lan${at}`))
      const some = flood(spec, from, listening)
      for (const name of reachable(spec, from)) if (listening.has(name)) assert.equal(some.get(name), 1)
      // What nobody listens to beyond a vLAN with one router on its way is not sent there.
      const passing = spec.entities.filter((one) => routesOf(spec, one).length > 0)
      for (const name of some.keys()) {
        const routers = passing.filter((one) => routesOf(spec, one).some((route) => route.from === name))
        assert.ok(name === from || listening.has(name) || routers.length > 1)
      }
    }),
    { numRuns: 500 }
  )
})

const ring = resolve(
  topology(
    [six('a', 1), six('b', 2), six('c', 3), six('ab', 4), six('bc', 5), six('ca', 6)],
    [
      entity('x', ['a']),
      router('r', ['a', 'ab', 'ca'], pim),
      router('s', ['b', 'ab', 'bc'], pim),
      router('t', ['c', 'bc', 'ca'], pim)
    ]
  )
)

test('the tree has its root at the rendezvous point, and another when that is stopped', () => {
  const routes = (spec: Spec, name: string) => routesOf(spec, of(spec, name)).map(({ from }) => from)
  assert.deepEqual(routes(ring, 'r'), ['a', 'ab', 'ca'])
  assert.deepEqual(routes(ring, 's'), ['ab', 'b', 'bc'])
  assert.deepEqual(routes(ring, 't'), ['ca', 'c'])
  const without = withPower(ring, 'r', false)
  assert.deepEqual(routes(without, 's'), ['b', 'ab', 'bc'])
  assert.deepEqual(routes(without, 't'), ['bc', 'c', 'ca'])
  assert.deepEqual(withPower(without, 'r', true), ring)
})

test('routers that run are told of another tree, and go on', () => {
  const stopped = withPower(ring, 'r', false)
  const kinds = planChanges(ring, stopped, nobody).flatMap(({ kind, what, name }) =>
    what === 'entity' && name !== 'r' ? [[name, kind]] : []
  )
  assert.deepEqual(kinds, [
    ['x', 'keep'],
    ['s', 'change'],
    ['t', 'change']
  ])
  const { spec, nic } = addNic(ring, 's', { lan: 'c' })
  assert.deepEqual(scriptOf(removeNic(spec, 's', nic.name), 't'), scriptOf(ring, 't'))
})

test('routers of virtual machines are named where they would have to pass on', () => {
  const uml = { ...pim, driver: 'uml' as const, image: 'router' }
  const lans = [six('a', 1), six('b', 2), lan('c', '10.0.3.0/24')]
  const spec = resolve(
    topology(lans, [
      router('r', ['a', 'b'], uml),
      router('s', ['a', 'c'], uml),
      router('t', ['a', 'b'], pim),
      router('u', ['a', 'b'], { driver: 'uml', image: 'router' })
    ])
  )
  assert.deepEqual(unableOfMulticast6(spec), ['r'])
  assert.equal(scriptOf(spec, 'r'), '')
})

test('a router on IPv6 alone runs no daemon of FRR for multicast', () => {
  const only = { name: 'a', ipv6: 'fd00:1::/64', vswitch: [] }
  const spec = resolve(
    topology([only, { ...only, name: 'b', ipv6: 'fd00:2::/64' }], [router('r', ['a', 'b'], pim)])
  )
  const { files, start } = servicesOf(spec, of(spec, 'r'), macOf)
  assert.deepEqual(
    files.map(({ path }) => path),
    [multicast6Path]
  )
  assert.equal(start, `set -e\nsh -e ${multicast6Path}\n`)
})

test('a router that has IPv4 goes on where the kernel has no multicast routing of IPv6', () => {
  const ends = (ipv4: boolean): RegExpMatchArray | null => {
    const lans = ['a', 'b'].map((name, at) => ({
      name,
      ipv6: `fd00:${at}::/64`,
      ...(ipv4 ? { subnet: `10.0.${at}.0/24` } : {}),
      vswitch: []
    }))
    return (scriptOf(resolve(topology(lans, [router('r', ['a', 'b'], pim)])), 'r') ?? '').match(
      /MROUTE;.*exit (\d)/
    )
  }
  assert.deepEqual([ends(true)?.[1], ends(false)?.[1]], ['0', '1'])
})

test('a router says what it lacks, and begins nothing', () => {
  // Without programs nothing of the script but its questions can be run.
  const { status, stdout } = spawnSync('/bin/sh', ['-e'], {
    input: scriptOf(ring, 'r'),
    env: { PATH: '/nowhere' },
    encoding: 'utf8'
  })
  assert.equal(status, 1)
  assert.match(
    stdout,
    /^it can forward no IPv6 multicast: (its image has no smcrouted; build it with smcroute|.*MROUTE; .*)\n$/
  )
})

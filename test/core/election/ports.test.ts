import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type Owners, PortTable, type Port } from '#core/election/ports.ts'
import { beatMs } from '#core/election/settings.ts'
import type { HostKey, Mac } from '#core/ids.ts'
import { macOf, Network } from './virtual.ts'

const shared = '02:00:00:00:00:aa' as Mac
const keyOf = (place: number): HostKey => new Network({ hosts: 5, seed: 1 }).host(place).key
/** Hosts that may have one port, under claims up to 9. */
const sharedBy = (places: readonly number[], maxClaim = 9): Owners =>
  new Map([[shared, { hosts: places.map(keyOf), maxClaim }]])
/** A network whose hosts 0 and 1 may both have it. */
function network(seed: number, active: number, owners: readonly number[] = [0, 1]): Network {
  const made = new Network({
    hosts: 4,
    seed,
    candidates: [active, 3 - active],
    owners: sharedBy(owners)
  })
  made.until('one active', 3_000, () => made.settled)
  return made
}

test('after a partition the lower port is shut within a beat of contact, whoever is the active', () => {
  for (const active of [0, 1, 2, 3]) {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 9_999 }), fc.boolean(), (seed, swap) => {
        const [low, high] = swap ? [1, 0] : [0, 1]
        const net = network(seed, active)
        net.setPorts(low, [{ mac: shared, claim: 1 }])
        net.partition([
          [low, 2],
          [high, 3]
        ])
        net.run(2_000)
        net.setPorts(high, [{ mac: shared, claim: 2 }])
        net.run(1_000)
        assert.deepEqual(net.host(low).superseded, [], 'nobody knows yet')
        net.heal()
        // Contact is when both are edges of one vSwitch, or one is that vSwitch.
        net.until('one vSwitch', 3_000, () => net.settled)
        net.run(beatMs)
        assert.deepEqual(net.host(low).superseded[0], {
          kind: 'superseded',
          mac: shared,
          claim: 2,
          by: net.host(high).key
        })
        assert.deepEqual(net.host(high).superseded, [])
      }),
      { numRuns: 10 }
    )
  }
})

test('the word is said again until the port is shut, though datagrams are lost', () => {
  const net = new Network({
    hosts: 4,
    seed: 5,
    loss: 0.4,
    candidates: [2],
    owners: sharedBy([0, 1])
  })
  net.until('one active', 9_000, () => net.actives.length === 1)
  net.setPorts(0, [{ mac: shared, claim: 7 }])
  net.setPorts(1, [{ mac: shared, claim: 8 }])
  net.run(10_000)
  assert.ok(net.host(0).superseded.length > 0)
  assert.equal(net.host(1).superseded.length, 0)
})

test('what a host announces that is not listed for it counts for nothing', () => {
  const net = network(3, 2, [0])
  net.setPorts(0, [{ mac: shared, claim: 1 }])
  net.setPorts(1, [
    { mac: shared, claim: 2 },
    { mac: macOf(1), claim: 1 }
  ])
  net.run(2_000)
  assert.deepEqual(net.host(0).superseded, [])
  const [active] = net.actives
  assert.deepEqual(active?.fdb.get(keyOf(0)), [shared])
  assert.deepEqual(active?.fdb.get(keyOf(1)), [])
})

test('a claim above those that the record lets anybody make counts for nothing, though its host is listed', () => {
  for (const active of [0, 1, 2]) {
    const net = network(4, active)
    net.setPorts(0, [{ mac: shared, claim: 1 }])
    net.setPorts(1, [{ mac: shared, claim: 10 }])
    net.run(2_000)
    assert.deepEqual(net.host(0).superseded, [], `host ${active} switches`)
    assert.deepEqual(net.host(active).fdb.get(keyOf(0)) ?? [shared], [shared])
    assert.deepEqual(net.host(active).fdb.get(keyOf(1)) ?? [], [])
  }
})

test('what was announced before the record said so counts as soon as it does, at the one that switches too', () => {
  for (const active of [0, 2]) {
    for (const before of [sharedBy([0]), sharedBy([0, 1], 5)]) {
      const net = network(6, active)
      for (const { place } of net.hosts) net.own(place, before)
      net.setPorts(0, [{ mac: shared, claim: 1 }])
      net.setPorts(1, [{ mac: shared, claim: 6 }])
      net.run(1_000)
      assert.deepEqual(net.host(0).superseded, [])
      for (const { place } of net.hosts) net.own(place, sharedBy([0, 1]))
      net.run(2 * beatMs)
      const [told] = net.host(0).superseded
      assert.deepEqual(told, { kind: 'superseded', mac: shared, claim: 6, by: keyOf(1) })
    }
  }
})

test('a port is behind one host at most: of those listed, the highest claim there can be, of equal ones the first', () => {
  const hosts = [0, 1, 2, 3].map(keyOf)
  const macs = [1, 2, 3].map(macOf)
  const ports: fc.Arbitrary<Port[]> = fc.uniqueArray(
    fc.record({ mac: fc.constantFrom(...macs), claim: fc.nat({ max: 3 }) }),
    { selector: ({ mac }) => mac }
  )
  const owner = fc.record({ hosts: fc.subarray(hosts), maxClaim: fc.nat({ max: 3 }) })
  const owners = fc.tuple(...macs.map(() => owner))
  const steps = fc.array(fc.tuple(fc.constantFrom(...hosts), ports), { maxLength: 12 })
  fc.assert(
    fc.property(owners, steps, (lists, all) => {
      const table = new PortTable(hosts[0] as HostKey)
      table.setOwners(new Map(macs.map((mac, place) => [mac, lists[place] as (typeof lists)[number]])))
      const now = new Map<HostKey, Port[]>()
      for (const [host, announced] of all) {
        table.set(host, announced)
        now.set(host, announced)
      }
      for (const [place, mac] of macs.entries()) {
        const { hosts: list, maxClaim } = lists[place] as (typeof lists)[number]
        const claimOf = (host: HostKey): number =>
          now.get(host)?.find((port) => port.mac === mac)?.claim ?? -1
        const best = list
          .filter((host) => claimOf(host) >= 0 && claimOf(host) <= maxClaim)
          .toSorted((a, b) => claimOf(b) - claimOf(a) || list.indexOf(a) - list.indexOf(b))[0]
        assert.deepEqual(
          hosts.filter((host) => table.behind(host).includes(mac)),
          best === undefined ? [] : [best]
        )
        for (const host of hosts) {
          const told = table.supersededOf(host).find((port) => port.mac === mac)
          const lower = claimOf(host) >= 0 && best !== undefined && best !== host
          assert.deepEqual(told, lower ? { mac, by: best, claim: claimOf(best) } : undefined)
        }
      }
    })
  )
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { HostId } from '#core/ids.ts'
import { fullyConnectedHolders, holderNeighbours, holderToAsk } from '#core/records/holders.ts'

const hostsOf = (count: number): ReadonlySet<HostId> =>
  new Set(Array.from({ length: count }, (_, i) => `host-${String((i * 7919) % 10_007)}` as HostId))

/** Hops until a message is with all, each handing it to its neighbours. */
function hopsToAll(holders: ReadonlySet<HostId>): number {
  const [first] = holders
  let reached = new Set<HostId>(first === undefined ? [] : [first])
  for (let hops = 0; ; hops++) {
    if (reached.size === holders.size) return hops
    const next = new Set(reached)
    for (const host of reached) for (const one of holderNeighbours(holders, host)) next.add(one)
    assert.ok(next.size > reached.size, 'the topic is in pieces')
    reached = next
  }
}

test('holders name each other, at most six, and not themselves', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 80 }), (count) => {
      const holders = hostsOf(count)
      for (const host of holders) {
        const neighbours = holderNeighbours(holders, host)
        assert.ok(neighbours.length <= fullyConnectedHolders - 1)
        assert.ok(!neighbours.includes(host))
        for (const one of neighbours) assert.ok(holderNeighbours(holders, one).includes(host))
      }
    })
  )
})

test('few holders are all connected, and a thousand are reached in fifteen hops', () => {
  assert.equal(hopsToAll(hostsOf(1)), 0)
  assert.equal(hopsToAll(hostsOf(7)), 1)
  assert.ok(hopsToAll(hostsOf(50)) <= 6)
  assert.ok(hopsToAll(hostsOf(1_000)) <= 15)
})

test('who is no holder has no part in the topic', () => {
  assert.deepEqual(holderNeighbours(hostsOf(5), 'stranger' as HostId), [])
})

test('every second time a holder asks the owner, else whom chance names, never itself', () => {
  const holders = hostsOf(20)
  const [self, owner] = [...holders] as [HostId, HostId]
  const asked = Array.from({ length: 1_000 }, (_, i) =>
    holderToAsk(holders, new Set([owner]), self, i / 1_000)
  )
  assert.ok(asked.filter((host) => host === owner).length >= 500)
  assert.equal(new Set(asked).size, 19)
  assert.ok(!asked.includes(self))
  assert.equal(holderToAsk(new Set([self]), new Set([self]), self, 0.3), null)
})

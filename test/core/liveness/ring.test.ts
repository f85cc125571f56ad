import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { HostId } from '#core/ids.ts'
import { Ring } from '#core/liveness/ring.ts'
import { crypto, root } from '../admission/keys.ts'

const names = (count: number): HostId[] => Array.from({ length: count }, (_, i) => `host-${i}` as HostId)

function ringOf(hosts: readonly HostId[]): Ring {
  const ring = new Ring(root.publicKey, crypto)
  for (const host of hosts) ring.add(host)
  return ring
}

test('a host watches those that watch it, whoever is skipped', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.array(fc.nat({ max: 39 })), (count, out) => {
      const hosts = names(count)
      const ring = ringOf(hosts)
      const gone = new Set(out.map((place) => hosts[place % count] as HostId))
      const living = hosts.filter((host) => !gone.has(host))
      const nearest = (host: HostId): readonly HostId[] => ring.nearest(host, 4, (one) => gone.has(one))
      for (const host of living) {
        const watched = nearest(host)
        assert.equal(watched.length, Math.min(8, living.length - 1))
        assert.equal(new Set([...watched, host]).size, watched.length + 1)
        for (const other of watched) assert.ok(nearest(other).includes(host))
      }
    })
  )
})

test('the ring is the same in whatever order members came and went', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray(names(30)), fc.shuffledSubarray(names(30)), (came, went) => {
      const left = came.filter((host) => !went.includes(host))
      const ring = ringOf(came)
      for (const host of went) assert.equal(ring.delete(host), came.includes(host))
      const fresh = ringOf(left.toSorted())
      assert.equal(ring.size, left.length)
      for (const host of left) {
        assert.deepEqual(
          ring.nearest(host, 4, () => false),
          fresh.nearest(host, 4, () => false)
        )
        assert.deepEqual(ring.across(host, 8), fresh.across(host, 8))
      }
    })
  )
})

test('another mesh has another ring, and a newcomer changes the watchers of eight hosts only', () => {
  const hosts = names(200)
  const ring = ringOf(hosts)
  const before = new Map(hosts.map((host) => [host, ring.nearest(host, 4, () => false)]))
  const other = new Ring('0'.repeat(64) as typeof root.publicKey, crypto)
  for (const host of hosts) other.add(host)
  assert.ok(hosts.some((host) => String(other.nearest(host, 4, () => false)) !== String(before.get(host))))
  ring.add('newcomer' as HostId)
  const changed = hosts.filter(
    (host) => String(ring.nearest(host, 4, () => false)) !== String(before.get(host))
  )
  assert.equal(changed.length, 8)
})

test('ways across the ring hang a large mesh together within few steps, and load nobody much', () => {
  const hosts = names(2_000)
  const ring = ringOf(hosts)
  const ways = new Map(hosts.map((host) => [host, new Set(ring.nearest(host, 4, () => false))]))
  for (const host of hosts) {
    for (const other of ring.across(host, 8)) {
      ways.get(host)?.add(other)
      ways.get(other)?.add(host)
    }
  }
  let reached = new Set([hosts[0] as HostId])
  let steps = 0
  for (; reached.size < hosts.length && steps < 20; steps++)
    reached = new Set([...reached, ...[...reached].flatMap((host) => [...(ways.get(host) ?? [])])])
  assert.ok(steps <= 5, `${steps} steps`)
  assert.ok(Math.max(...[...ways.values()].map(({ size }) => size)) < 128)
})

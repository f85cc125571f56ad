/** What befalls a world does what its name says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { befall } from '../../sim/befall.ts'
import type { Fault } from '../../sim/faults.ts'
import { scenario } from '../../sim/scenario.ts'
import { World } from '../../sim/world.ts'

/** A mesh of four that ran for ten seconds, to be befallen. */
function meshOf(hosts = 4): { world: World; runMs: (ms: number) => void; befall: (fault: Fault) => void } {
  const world = new World(scenario('test', 'to be befallen', hosts, { lans: [], traffic: null }), { seed: 1 })
  world.begin()
  for (const host of world.hosts) host.start()
  world.changed(null)
  const runMs = (ms: number): void => world.clock.run(world.clock.now + ms)
  runMs(10_000)
  return { world, runMs, befall: (fault) => befall(world, fault) }
}

function versionAt(world: World, place: number, of: number): number {
  const { publicKey } = world.host(of).signer
  return world.host(place).records.set.get('host', publicKey, '')?.version ?? 0
}

test('a host that is restored from a backup speaks above what it said since', () => {
  const { world, runMs, befall } = meshOf()
  befall({ kind: 'backup', host: 1, forMs: 5_000 })
  for (let i = 0; i < 3; i++) befall({ kind: 'publish', host: 1 })
  runMs(4_000)
  assert.equal(versionAt(world, 2, 1), 4)
  runMs(1_001)
  assert.equal(versionAt(world, 1, 1), 1)
  runMs(10_000)
  assert.equal(versionAt(world, 2, 1), 5)
  assert.equal(versionAt(world, 1, 1), 5)
})

test('what a full disk did not take is gone after a restart, and comes again from neighbours', () => {
  const { world, runMs, befall } = meshOf()
  befall({ kind: 'disk-full', host: 1, forMs: 5_000 })
  befall({ kind: 'publish', host: 2 })
  runMs(4_000)
  assert.equal(versionAt(world, 1, 2), 2)
  befall({ kind: 'kill', host: 1, forMs: 100 })
  runMs(101)
  assert.equal(versionAt(world, 1, 2), 1)
  runMs(10_000)
  assert.equal(versionAt(world, 1, 2), 2)
})

test('a host whose disk is lost knows nobody, then all again, and speaks above what it forgot', () => {
  const { world, runMs, befall } = meshOf()
  befall({ kind: 'publish', host: 1 })
  runMs(1_000)
  befall({ kind: 'disk-lost', host: 1, forMs: 100 })
  runMs(101)
  assert.equal(world.host(1).records.set.size, 1)
  runMs(10_000)
  assert.equal(world.host(1).records.set.size, 4)
  assert.equal(versionAt(world, 3, 1), 3)
})

test('a host that sleeps hears nothing and tells nothing, and goes on when it wakes', () => {
  const { world, runMs, befall } = meshOf()
  befall({ kind: 'suspend', host: 1, forMs: 60_000 })
  runMs(10)
  befall({ kind: 'publish', host: 2 })
  befall({ kind: 'publish', host: 1 })
  runMs(59_000)
  assert.equal(versionAt(world, 1, 2), 1)
  assert.equal(versionAt(world, 2, 1), 1)
  runMs(11_000)
  assert.equal(versionAt(world, 1, 2), 2)
  assert.equal(versionAt(world, 2, 1), 2)
})

test('two hosts behind NATs hear of each other through the rest alone', () => {
  const { world, runMs, befall } = meshOf(3)
  befall({ kind: 'nat', hosts: [0, 1], forMs: 30_000 })
  runMs(5_000)
  assert.equal(world.network.connects(0, 1), false)
  assert.equal(world.network.connects(0, 2), true)
  befall({ kind: 'publish', host: 0 })
  runMs(1_000)
  assert.equal(versionAt(world, 1, 0), 2)
  befall({ kind: 'power', host: 2, forMs: 10_000 })
  befall({ kind: 'publish', host: 0 })
  runMs(9_000)
  assert.equal(versionAt(world, 1, 0), 2)
  runMs(11_000)
  assert.equal(versionAt(world, 1, 0), 3)
})

test('what a clock that is hours ahead has signed is taken by nobody, and is said anew when it is right', () => {
  const { world, runMs, befall } = meshOf()
  befall({ kind: 'skew', host: 1, byMs: 3_600_000, forMs: 20_000 })
  befall({ kind: 'publish', host: 1 })
  runMs(19_000)
  assert.equal(versionAt(world, 2, 1), 1)
  assert.equal(versionAt(world, 1, 1), 2)
  runMs(10_000)
  assert.equal(versionAt(world, 2, 1), 3)
})

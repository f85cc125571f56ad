import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { HostId } from '#core/ids.ts'
import { sealRefutation, sealSuspicion } from '#core/liveness/message.ts'
import { maxMuteMs, tickMs } from '#core/liveness/settings.ts'
import { root } from '../admission/keys.ts'
import { Virtual, type VirtualHost } from './virtual.ts'

const statesAt = (world: Virtual, about: VirtualHost): readonly string[] =>
  world.hosts
    .filter((host) => host !== about && host.running)
    .map(({ liveness }) => liveness.stateOf(about.id))

/** A watcher and a host that does not watch the first. */
function near(world: Virtual): { watcher: VirtualHost; stranger: VirtualHost } {
  const { watched } = world.at(0).liveness
  const watcher = world.byId(watched[0] as HostId)
  const far = world.hosts.find(
    ({ id }) => id !== world.at(0).id && !world.ring.nearest(world.at(0).id, 8, () => false).includes(id)
  )
  return { watcher, stranger: far as VirtualHost }
}

for (const count of [2, 3, 4, 9, 10, 60]) {
  test(`of ${count} hosts one dies: all others hold it dead within 4 s, and alive again when it is back`, () => {
    const world = new Virtual(count)
    world.run(5_000)
    const [victim] = world.hosts as [VirtualHost]
    victim.running = false
    world.run(2_000)
    assert.deepEqual(new Set(statesAt(world, victim)), new Set(['alive']))
    world.run(2_000)
    assert.deepEqual(new Set(statesAt(world, victim)), new Set(['dead']))
    world.restart(victim)
    world.run(1_000)
    assert.deepEqual(new Set(statesAt(world, victim)), new Set(['alive']))
    for (const host of world.hosts) assert.deepEqual(host.liveness.dead, [])
    // And a second time, in the incarnation that came of the first.
    victim.running = false
    world.run(4_000)
    assert.deepEqual(new Set(statesAt(world, victim)), new Set(['dead']))
    // And a third time, before it could say anything: the same incarnation dies again.
    world.restart(victim, { silently: true })
    victim.running = false
    assert.deepEqual(new Set(statesAt(world, victim)), new Set(['alive']))
    world.run(4_000)
    assert.deepEqual(new Set(statesAt(world, victim)), new Set(['dead']))
  })
}

test('a host that stands still for 300 ms now and then accuses nobody and is accused by nobody', () => {
  const world = new Virtual(12)
  world.run(20_000, (host) => (world.now + world.hosts.indexOf(host) * 250) % 3_000 < 500)
  assert.ok(world.hosts.every(({ states, told }) => states.length === 0 && told === 0))
})

test('who stood still for long reads first and accuses nobody, and says that it is there when it was accused', () => {
  const world = new Virtual(12)
  world.run(5_000)
  const [sleeper] = world.hosts as [VirtualHost]
  world.run(5_000, (host) => host === sleeper)
  assert.deepEqual(new Set(statesAt(world, sleeper)), new Set(['dead']))
  world.run(2_000)
  assert.equal(sleeper.states.length, 0)
  assert.deepEqual(new Set(statesAt(world, sleeper)), new Set(['alive']))
})

test('one broken link is told among the watchers only, and ever more rarely while it lasts', () => {
  const world = new Virtual(60)
  world.run(5_000)
  const [victim] = world.hosts as [VirtualHost]
  const { watcher } = near(world)
  world.reaches = (from, to) => from !== victim.id || to !== watcher.id
  world.run(4_000)
  const first = watcher.told
  assert.ok(first > 0)
  world.run(10 * maxMuteMs)
  assert.ok(watcher.told < 40 * first, `${watcher.told} after ${first}`)
  assert.ok(world.hosts.every(({ published }) => published === 0))
  for (const host of world.hosts) assert.ok(host.states.every(({ state }) => state !== 'dead'))
})

test('who loses all that it hears at once takes itself for the lost one and holds nobody dead for ten seconds', () => {
  const world = new Virtual(20)
  world.run(5_000)
  const [lonely] = world.hosts as [VirtualHost]
  world.reaches = (from, to) => from !== lonely.id && to !== lonely.id
  world.run(9_000)
  assert.deepEqual([lonely.liveness.isolated, lonely.liveness.dead, lonely.told], [true, [], 0])
  assert.deepEqual(new Set(statesAt(world, lonely)), new Set(['dead']))
  assert.ok(world.hosts.every(({ liveness }) => liveness.isolated === (liveness === lonely.liveness)))
  world.run(600_000)
  assert.ok(lonely.liveness.isolated)
  world.reaches = () => true
  for (const { id } of world.hosts.slice(1)) {
    lonely.heard.set(id, world.instant)
    world.carry(lonely, lonely.liveness.connected(id, world.instant))
    world.byId(id).heard.set(lonely.id, world.instant)
    world.carry(world.byId(id), world.byId(id).liveness.connected(lonely.id, world.instant))
  }
  world.run(3_000)
  assert.equal(lonely.liveness.isolated, false)
  for (const host of world.hosts) assert.deepEqual(host.liveness.dead, [])
})

test('the silence of a time in which a host was cut off, or stood still, is the loss of nobody', () => {
  const world = new Virtual(20)
  world.run(5_000)
  const [lonely, first, silent] = world.hosts as [VirtualHost, VirtualHost, VirtualHost]
  const lostForMs = (): number => lonely.liveness.lostForMs(silent.id, world.instant) as number
  world.reaches = (from, to) => from !== lonely.id && to !== lonely.id
  world.run(60_000)
  assert.ok(lostForMs() >= 59_000)
  // All but one are heard again.
  world.reaches = (from, to) => ![from, to].includes(silent.id) || ![from, to].includes(lonely.id)
  for (const { id } of world.hosts.slice(1).filter((host) => host !== silent)) {
    lonely.heard.set(id, world.instant)
    world.carry(lonely, lonely.liveness.connected(id, world.instant))
  }
  world.run(2_000)
  assert.deepEqual(
    [lonely.liveness.isolated, lonely.liveness.lostForMs(first.id, world.instant)],
    [false, null]
  )
  assert.ok(lostForMs() <= 2_000, `${lostForMs()}`)
  world.run(10_000)
  assert.ok(lostForMs() >= 10_000)
  world.run(20_000, (host) => host === lonely)
  world.run(tickMs)
  assert.ok(lostForMs() <= 2 * tickMs, `${lostForMs()}`)
})

test('two hosts without a way between them hear by a third that the other is back', () => {
  const world = new Virtual(3)
  const [one, other, third] = world.hosts as [VirtualHost, VirtualHost, VirtualHost]
  const ends = new Set([one.id, other.id])
  const isCut = (from: HostId, to: HostId): boolean => ends.has(from) && ends.has(to)
  world.run(5_000)
  world.reaches = (from, to) => !isCut(from, to)
  world.run(30_000)
  const views = (): string[] => [one.liveness.stateOf(other.id), other.liveness.stateOf(one.id)]
  assert.ok(!views().includes('dead'))
  world.reaches = (from, to) => !isCut(from, to) && from !== other.id && to !== other.id
  world.run(30_000)
  assert.equal(one.liveness.stateOf(other.id), 'dead')
  // It has no neighbours of gossip at first.
  world.gossips = (from) => from !== other.id
  world.reaches = (from, to) => !isCut(from, to)
  for (const [a, b] of [
    [other, third],
    [third, other]
  ] as const) {
    a.heard.set(b.id, world.instant)
    world.carry(a, a.liveness.connected(b.id, world.instant))
  }
  for (let second = 0; second < 60; second++) {
    world.run(1_000)
    assert.ok(!views().includes('dead'), `${second}`)
  }
})

test('each part of a mesh that is cut in two holds the other dead, for as long as that lasts', () => {
  const world = new Virtual(5)
  world.run(5_000)
  const part = new Set(world.hosts.slice(0, 2).map(({ id }) => id))
  world.reaches = (from, to) => part.has(from) === part.has(to)
  world.run(60_000)
  for (const { id, liveness } of world.hosts) {
    const others = world.hosts.filter((host) => part.has(host.id) !== part.has(id))
    assert.deepEqual(new Set(liveness.dead), new Set(others.map((host) => host.id)))
  }
  const told = world.hosts.map(({ states }) => states.length)
  world.run(60_000)
  assert.deepEqual(
    world.hosts.map(({ states }) => states.length),
    told
  )
})

test('a suspicion that is told among watchers concerns nobody else', () => {
  const world = new Virtual(60)
  world.run(5_000)
  const [victim] = world.hosts as [VirtualHost]
  const { watcher, stranger } = near(world)
  const { bytes } = sealSuspicion(watcher.signer, victim.id, null, 1, root.publicKey)
  const told = stranger.liveness.receive(bytes, { from: watcher.id, spread: false }, world.instant)
  assert.deepEqual([told.verdict, told.effects], ['ignore', []])
  world.run(20_000)
  assert.deepEqual(new Set(statesAt(world, victim)), new Set(['alive']))
})

test('a rack that dies together is held dead by all others', () => {
  const world = new Virtual(60)
  world.run(5_000)
  const rack = world.hosts.slice(0, 6)
  for (const host of rack) host.running = false
  world.run(20_000)
  for (const host of rack) assert.deepEqual(new Set(statesAt(world, host)), new Set(['dead']))
})

test("a liar's word counts once and only of those next to it, and the accused ends it", () => {
  const world = new Virtual(60)
  world.run(5_000)
  const [victim] = world.hosts as [VirtualHost]
  const { watcher, stranger } = near(world)
  const observer = world.hosts.findLast((host) => host !== watcher && host !== stranger) as VirtualHost
  const told = { from: watcher.id, spread: true }
  const far = sealSuspicion(stranger.signer, victim.id, null, 1, root.publicKey)
  assert.equal(observer.liveness.receive(far.bytes, told, world.instant).verdict, 'ignore')
  const lie = sealSuspicion(watcher.signer, victim.id, null, 1, root.publicKey)
  assert.equal(observer.liveness.receive(lie.bytes, told, world.instant).verdict, 'accept')
  assert.equal(observer.liveness.receive(lie.bytes, told, world.instant).verdict, 'ignore')
  world.publish(watcher, lie.bytes)
  world.run(60_000)
  for (const host of world.hosts) assert.ok(host.states.every(({ state }) => state !== 'dead'))
  // The lie is of an incarnation that is over.
  assert.equal(observer.liveness.receive(lie.bytes, told, world.instant).verdict, 'ignore')
})

test('a host that starts learns from a neighbour who is dead, and finds out who is not', () => {
  const world = new Virtual(12)
  world.run(5_000)
  const [dead, living, newcomer] = world.hosts as [VirtualHost, VirtualHost, VirtualHost]
  dead.running = false
  world.run(5_000)
  world.restart(newcomer)
  const lie = sealSuspicion(world.at(5).signer, living.id, null, 1, root.publicKey)
  const evidence = [...world.at(4).liveness.evidence().messages, lie.bytes]
  world.carry(newcomer, newcomer.liveness.learn(evidence, world.instant))
  assert.deepEqual(
    [dead, living].map(({ id }) => newcomer.liveness.stateOf(id)),
    ['dead', 'dead']
  )
  newcomer.heard.set(living.id, world.instant)
  world.carry(newcomer, newcomer.liveness.connected(living.id, world.instant))
  world.run(3_000)
  assert.deepEqual(newcomer.liveness.dead, [dead.id])
})

test('own evidence: lost for as long as nothing was heard, whatever others say', () => {
  const world = new Virtual(12)
  world.run(5_000)
  const [victim] = world.hosts as [VirtualHost]
  const watcher = world.byId(victim.liveness.watched[0] as HostId)
  assert.equal(watcher.liveness.lostForMs(victim.id, world.instant), null)
  victim.running = false
  world.run(4_000)
  assert.ok((watcher.liveness.lostForMs(victim.id, world.instant) ?? 0) >= 3_500)
})

test('whatever messages come in whatever order, nothing throws, and what is kept is of members only', () => {
  const small = fc.integer({ min: 0, max: 5 })
  const step = fc.record({
    who: small,
    about: small,
    incarnation: small,
    kind: fc.constantFrom('suspicion', 'refutation', 'tick', 'connected', 'learn'),
    spread: fc.boolean(),
    ms: fc.constantFrom(0, 1, 250, 3_000)
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const world = new Virtual(5)
      // The sixth signs well but is no member.
      const signers = [...world.hosts.map(({ signer }) => signer), new Virtual(6).at(5).signer]
      const ids = [...world.hosts.map(({ id }) => id), new Virtual(6).at(5).id]
      const { liveness } = world.at(0)
      for (const { who, about, incarnation, kind, spread, ms } of steps) {
        world.now += ms
        const signer = signers[who] as VirtualHost['signer']
        const refutation =
          incarnation === 0
            ? null
            : sealRefutation(signers[about] as VirtualHost['signer'], incarnation, root.publicKey)
        const suspicion = sealSuspicion(signer, ids[about] as HostId, refutation, 1, root.publicKey)
        const way = { from: ids[who] as HostId, spread }
        if (kind === 'tick') liveness.tick(world.instant)
        else if (kind === 'connected') liveness.connected(ids[about] as HostId, world.instant)
        else if (kind === 'learn') liveness.learn([suspicion.bytes], world.instant)
        else if (kind === 'suspicion') liveness.receive(suspicion.bytes, way, world.instant)
        else if (refutation !== null) liveness.receive(refutation.bytes, way, world.instant)
        assert.equal(liveness.stateOf(world.at(0).id), 'alive')
        for (const host of [...liveness.dead, ...liveness.watched]) assert.ok(world.ring.has(host))
        assert.ok(liveness.watched.every((host) => !liveness.dead.includes(host)))
      }
    }),
    { numRuns: 50 }
  )
})

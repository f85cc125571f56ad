import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ownerChain } from '#core/admission/chain.ts'
import type { HostId, WallTime } from '#core/ids.ts'
import type { Founding } from '#core/records/bodies.ts'
import { ViolinError } from '#core/errors.ts'
import { authorBurst } from '#core/records/budget.ts'
import { type Draft, type SignedRecord, maxVersion } from '#core/records/record.ts'
import type { ViolinView } from '#core/records/view.ts'
import { Records } from '#daemon/records.ts'
import type { Store } from '#store/contract.ts'
import { memoryStore } from '#store/memory.ts'
import {
  type TestHost,
  crypto,
  dayMs,
  founder,
  hourMs,
  invite,
  join,
  root,
  start,
  witnessOf
} from '../core/admission/keys.ts'
import {
  freshFounding,
  hostBody,
  hostRecord,
  setOf,
  specOn,
  violinId,
  violinRecord
} from '../core/records/records.ts'
import { PlayedNetwork } from './played-mesh.ts'

const minuteMs = 60_000
const first = founder()
const { token } = invite(first, 'token', { slots: 20 })
const others = Array.from({ length: 4 }, (_, i) => join(token, `host ${i}`, witnessOf(first), i))
const idOf = (host: TestHost): HostId => host.chain.host as HostId

/** A host of a played network, whose clock is off the true time by `skewMs`. */
class Node {
  readonly host: TestHost
  readonly told: string[] = []
  readonly records: Records
  skewMs: number

  constructor(host: TestHost, network: PlayedNetwork, store: Store = memoryStore(), skewMs = 0) {
    this.host = host
    this.skewMs = skewMs
    const began = performance.now()
    this.records = new Records({
      root: root.publicKey,
      self: idOf(host),
      store,
      wallNow: () => (start + performance.now() - began + this.skewMs) as WallTime,
      tell: (kind) => void this.told.push(kind),
      log: () => {}
    })
    this.records.attach(network.join(idOf(host)).asMesh)
    // The test decides when there is an exchange.
    this.records.close()
  }

  publish(name: string, change: { readonly lifeMs?: number } = {}): ReturnType<Records['publish']> {
    const now = Math.floor(this.records.now) as WallTime
    const draft: Draft = {
      kind: 'host',
      version: this.records.nextVersion('host', this.host.signer.publicKey, ''),
      issuedAt: now,
      expiresAt: (now + (change.lifeMs ?? 20 * dayMs)) as WallTime,
      body: hostBody(this.host, { name }),
      chain: this.host.chain
    }
    return this.records.publish(draft, this.host.signer)
  }

  nameOf(other: TestHost): string | undefined {
    return this.records.view.members.get(idOf(other))?.body.name
  }

  async exchange(...nodes: readonly Node[]): Promise<void> {
    for (const node of nodes) await this.records.exchange(idOf(node.host), [], AbortSignal.timeout(10_000))
  }
}

test('clocks that differ by less than ten minutes do no harm: all see the same, and forget it at its end', async () => {
  const network = new PlayedNetwork()
  const early = new Node(first, network, memoryStore(), -4.9 * minuteMs)
  const late = new Node(others[0] as TestHost, network, memoryStore(), 4.9 * minuteMs)
  await early.publish('early', { lifeMs: hourMs })
  await late.publish('late', { lifeMs: hourMs })
  await early.exchange(late)
  for (const node of [early, late]) {
    assert.equal(node.nameOf(first), 'early')
    assert.equal(node.nameOf(others[0] as TestHost), 'late')
  }
  for (const node of [early, late]) node.skewMs += hourMs + 20 * minuteMs
  for (const node of [early, late]) node.records.tick()
  assert.equal(early.records.set.size, 0)
  assert.equal(late.records.set.size, 0)
})

test('a host whose clock is far off most others says so, forgets nothing, and goes on when it is set', async () => {
  const network = new PlayedNetwork()
  const store = memoryStore()
  const nodes = [first, ...others.slice(0, 2)].map((host) => new Node(host, network))
  for (const node of nodes) await node.publish('right', { lifeMs: hourMs })
  const wrong = new Node(others[3] as TestHost, network, store)
  await wrong.exchange(...nodes)
  assert.equal(wrong.records.set.size, 3)
  wrong.skewMs = 5 * hourMs
  await wrong.exchange(...nodes)
  assert.equal(wrong.records.clockIsWrong, true)
  assert.ok(Math.abs((wrong.records.clockAheadMs ?? 0) - 5 * hourMs) < minuteMs)
  wrong.records.tick()
  assert.deepEqual(wrong.told, ['clock-wrong'])
  assert.equal(wrong.records.set.size, 3)
  assert.equal(store.entries('records').length, 3)
  // Started anew while the clock is wrong, it knows no neighbour yet, and still forgets nothing.
  const again = new Node(others[3] as TestHost, network, store, 5 * hourMs)
  again.records.tick()
  assert.equal(store.entries('records').length, 3)
  again.skewMs = 0
  await again.exchange(...nodes)
  again.records.tick()
  assert.equal(again.records.set.size, 3)
  wrong.skewMs = 0
  await wrong.exchange(...nodes)
  wrong.records.tick()
  assert.deepEqual(wrong.told, ['clock-wrong', 'clock-right'])
})

test('what ended while a host was away leaves its store once the clock is known to be right', async () => {
  const network = new PlayedNetwork()
  const store = memoryStore()
  const before = new Node(first, network, store)
  await before.publish('short', { lifeMs: hourMs })
  const node = new Node(first, network, store, 5 * hourMs)
  assert.equal(node.records.set.size, 0)
  node.records.tick()
  assert.equal(store.entries('records').length, 1)
  const other = new Node(others[0] as TestHost, network, memoryStore(), 5 * hourMs)
  await node.exchange(other)
  node.records.tick()
  await Promise.resolve()
  assert.equal(store.entries('records').length, 0)
})

test('with gossip delivering nothing twenty hosts come to hold the same by exchanges alone', async () => {
  const network = new PlayedNetwork()
  const invited = invite(first, 'crowd', { slots: 20 }).token
  const nodes = Array.from(
    { length: 20 },
    (_, i) => new Node(join(invited, `crowd ${i}`, witnessOf(first), i), network)
  )
  for (const [i, node] of nodes.entries()) await node.publish(`host-${i}`)
  for (let round = 1; round <= 32; round *= 2)
    for (const [i, node] of nodes.entries()) await node.exchange(nodes[(i + round) % nodes.length] as Node)
  const whole = setOf(nodes.flatMap((node) => [...node.records.set.all()])).tree('hosts')?.sum
  for (const node of nodes) assert.equal(node.records.set.tree('hosts')?.sum, whole)
  assert.equal(nodes[7]?.records.set.size, 20)
})

test('a host restored from an old backup speaks above what others hold of it', async () => {
  const network = new PlayedNetwork()
  const disk = new Map<string, Map<string, Uint8Array>>()
  const node = new Node(first, network, memoryStore(disk))
  const other = new Node(others[0] as TestHost, network)
  await node.publish('old')
  const backup = new Map([...disk].map(([name, values]) => [name, new Map(values)] as const))
  for (const name of ['newer', 'newest']) await node.publish(name)
  await other.exchange(node)
  assert.equal(other.nameOf(first), 'newest')
  const restored = new Node(first, network, memoryStore(backup))
  assert.equal(restored.nameOf(first), 'old')
  await restored.exchange(other)
  assert.equal(restored.nameOf(first), 'newest')
  const spoken = await restored.publish('restored')
  assert.equal(spoken.version, 4)
  await other.exchange(restored)
  assert.equal(other.nameOf(first), 'restored')
  assert.ok(hostRecord(first, {}, { version: 3 }).version < spoken.version)
})

/** A host on which the owner key of `first` lies, too, changes a VIOLIN of that owner. */
function change(node: Node, founding: Founding, name: string, version = 1): Promise<SignedRecord> {
  const now = Math.floor(node.records.now) as WallTime
  const spec = specOn([idOf(first), idOf(others[0] as TestHost)], name)
  const until = (now + dayMs) as WallTime
  const { chain, signer } = node.host
  const draft: Draft = {
    ...{ kind: 'violin', version, issuedAt: now, expiresAt: until },
    body: { founding, spec, ended: null },
    chain: ownerChain(chain, signer, first.owner.publicKey, until, crypto)
  }
  return node.records.publish(draft, first.owner)
}

test('one owner key on two machines: one of two bodies stands everywhere, and who signed the other is told once', async () => {
  const network = new PlayedNetwork()
  const stores = [memoryStore(), memoryStore()]
  const nodes = [first, others[0] as TestHost].map((host, place) => new Node(host, network, stores[place]))
  const [left, right] = nodes as [Node, Node]
  const founding = freshFounding(first.owner.publicKey)
  const bodies = [await change(left, founding, 'laptop'), await change(right, founding, 'copied')]
  const violin = violinId(founding)
  await left.records.exchange(idOf(right.host), [violin], AbortSignal.timeout(10_000))
  const standing = bodies.map(({ hash }) => hash).toSorted()[0]
  const viewOf = (node: Node): ViolinView => node.records.view.violins.get(violin) as ViolinView
  for (const node of nodes) assert.equal(viewOf(node).record.hash, standing)
  const [winner, loser] = bodies[0]?.hash === standing ? [0, 1] : [1, 0]
  const lost = (nodes[loser] as Node).told.filter((kind) => kind === 'version-lost')
  assert.equal(lost.length, 1)
  assert.ok(!(nodes[winner] as Node).told.includes('version-lost'))
  const again = new Node((nodes[loser] as Node).host, new PlayedNetwork(), stores[loser])
  assert.ok(!again.told.includes('version-lost'), 'it was told before the restart')
  const known = again.records.signings.lost(viewOf(again))
  assert.deepEqual([known?.version, known?.standing.hash], [1, standing])
  again.records.signings.settle(viewOf(again))
  assert.equal(again.records.signings.lost(viewOf(again)), null)
})

test('what a store keeps of signed versions and is not as it was written holds no daemon up', () => {
  const words = ['{', '{"version":1}', 'null', '']
  const signed = new Map(words.map((text, place) => [`${place}`.repeat(64), Buffer.from(text)]))
  const disk = new Map([['signed', new Map<string, Uint8Array>(signed)]])
  const node = new Node(first, new PlayedNetwork(), memoryStore(disk))
  assert.deepEqual(node.records.signings.violins(), [])
})

test('a version that is beaten while it is written does not stand, and that is told', async () => {
  const network = new PlayedNetwork()
  const store = memoryStore()
  const gate = Promise.withResolvers<void>()
  let isHeld = false
  const slow: Store = {
    get: (section, key) => store.get(section, key),
    entries: (section) => store.entries(section),
    close: () => store.close(),
    async write(changes, options) {
      const waits = isHeld
      isHeld = false
      if (waits) await gate.promise
      await store.write(changes, options)
    }
  }
  const held = new Node(first, network, slow)
  const other = new Node(others[0] as TestHost, network)
  const founding = freshFounding(first.owner.publicKey)
  const violin = violinId(founding)
  const rival = await change(other, founding, 'rival', 2)
  isHeld = true
  const writing = change(held, founding, 'slow', 1)
  await other.records.exchange(idOf(held.host), [violin], AbortSignal.timeout(10_000))
  assert.equal(held.records.view.violins.get(violin)?.record.hash, rival.hash)
  gate.resolve()
  await writing
  assert.equal(held.records.view.violins.get(violin)?.record.hash, rival.hash)
  assert.ok(held.told.includes('version-lost'))
})

test('a counter that ran to its end is refused with what to do, and a VIOLIN can still be ended', async () => {
  const network = new PlayedNetwork()
  const node = new Node(first, network)
  const top = hostRecord(first, {}, { version: maxVersion, issuedAt: start })
  node.records.set.merge(top.bytes, start)
  await assert.rejects(
    async () => node.publish('above'),
    (error: unknown) => error instanceof ViolinError && /above which there is none/.test(error.message)
  )
  const founding = freshFounding(first.owner.publicKey)
  const last = violinRecord(first, founding, specOn([idOf(first)]), { version: maxVersion })
  const set = setOf([last, violinRecord(first, founding, null, { version: maxVersion })])
  assert.equal(set.get('violin', first.owner.publicKey, violinId(founding))?.body.spec, null)
  assert.throws(() => hostRecord(first, {}, { version: maxVersion + 1 }), ViolinError)
})

test('what an author floods exchanges with is passed on within its budget', async () => {
  const network = new PlayedNetwork()
  const [honest, author] = others.slice(0, 2).map((host) => new Node(host, network)) as [Node, Node]
  for (let n = 0; n < 3 * authorBurst; n++) {
    await author.publish(`version-${n}`)
    await author.exchange(honest)
  }
  assert.equal(honest.nameOf(author.host), `version-${3 * authorBurst - 1}`)
  const passedOn = network.nodes.get(idOf(honest.host))?.published ?? 0
  // One more may have been earned meanwhile.
  assert.ok(passedOn >= authorBurst && passedOn <= authorBurst + 1, `${passedOn} were passed on`)
})

/** A member that sends what is wrong, or too much: it is passed over, and the others are not. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { HostId } from '#core/ids.ts'
import {
  GOSSIP_BURST,
  GOSSIP_BURST_BYTES,
  GOSSIP_BYTES_PER_SECOND,
  GOSSIP_PER_SECOND,
  MAX_STREAM_WINDOW_BYTES
} from '#mesh/bounds.ts'
import { type Rogue, type Rpc, rogueMember } from '../net/rogue/member.ts'
import { badge, bytes, join, meshId, node, soon, text, type Node } from './nodes.ts'

async function rogue(at: Node): Promise<Rogue> {
  const seed = createHash('sha256').update('rogue').digest()
  const peer = peerIdFromPrivateKey(await generateKeyPairFromSeed('Ed25519', seed))
  return rogueMember({
    seed,
    meshId,
    presentation: badge(peer.toString() as HostId),
    address: at.mesh.addresses()[0] ?? ''
  })
}

const packet = (topic: string, ...messages: readonly string[]): Rpc => ({
  subscriptions: [],
  messages: messages.map((message) => ({ topic, data: bytes(message) }))
})

test('who sends wrong messages is passed over for a while, and heard again later', async () => {
  await using victim = await node('victim')
  await using honest = await node('honest')
  let heard: string[] = []
  let news = Promise.withResolvers<void>()
  victim.mesh.subscribe('records', (data) => {
    heard.push(text(data))
    news.resolve()
    return text(data).startsWith('wrong') ? 'reject' : 'accept'
  })
  await join(honest, victim)
  await honest.mesh.whenTopicPeers('records', 1, soon())
  await using enemy = await rogue(victim)
  await enemy.gossip([packet('records', ...Array.from({ length: 12 }, (_, i) => `wrong ${i}`))])
  while (heard.length < 12) {
    await news.promise
    news = Promise.withResolvers()
  }
  // Scores are cached for a second.
  await setTimeout(1_100)
  heard = []
  await enemy.gossip([packet('records', 'from the enemy')])
  await honest.mesh.publish('records', bytes('from the honest'))
  await news.promise
  assert.deepEqual(heard, ['from the honest'])
  for (let i = 0; !heard.includes(`again ${i - 1}`); i++) {
    assert.ok(i < 40, 'it is never heard again')
    await enemy.gossip([packet('records', `again ${i}`)])
    await setTimeout(250)
  }
})

test('who sends more than its share is not asked about, and neither are topics that nobody takes', async () => {
  await using victim = await node('victim')
  let asked = 0
  victim.mesh.subscribe('records', () => {
    asked++
    return 'accept'
  })
  await using enemy = await rogue(victim)
  const messages = 3 * GOSSIP_BURST
  const packets = (topic: string): Rpc[] =>
    Array.from({ length: messages / 500 }, (_, i) =>
      packet(topic, ...Array.from({ length: 500 }, (_, j) => `${topic} ${i} ${j}`))
    )
  await enemy.gossip(packets('nobody takes this'))
  const began = performance.now()
  await enemy.gossip(packets('records'))
  await enemy.answered()
  const share = GOSSIP_BURST + (GOSSIP_PER_SECOND * (performance.now() - began)) / 1000
  assert.ok(asked > 0 && asked <= share, `${asked} of ${messages}, where ${share} are allowed`)
})

test('who sends more bytes than its share waits, whatever they are, and nobody else does', async () => {
  await using victim = await node('victim')
  await using honest = await node('honest')
  const { promise: heard, resolve: hear } = Promise.withResolvers<void>()
  victim.mesh.subscribe('records', () => {
    hear()
    return 'accept'
  })
  await join(honest, victim)
  await honest.mesh.whenTopicPeers('records', 1, soon())
  await using enemy = await rogue(victim)
  const seconds = 3
  const messageBytes = 512 * 1024
  const messages = (GOSSIP_BURST_BYTES + seconds * GOSSIP_BYTES_PER_SECOND) / messageBytes
  // The last window that was read is owed, and the next one waits.
  const unread = (2 * MAX_STREAM_WINDOW_BYTES) / messageBytes
  const long = packet('nobody takes this', 'x'.repeat(messageBytes))
  const began = performance.now()
  const flooding = enemy.gossip(Array.from({ length: messages + unread }, () => long))
  await honest.mesh.publish('records', bytes('from the honest'))
  await heard
  assert.equal(await flooding, messages + unread)
  const tookMs = performance.now() - began
  assert.ok(tookMs > seconds * 1000, `${tookMs} ms`)
})

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createConnection } from 'node:net'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { ViolinError } from '#core/errors.ts'
import { MAX_STRANGERS_ASKING_AT_ONCE, MAX_STRANGERS_ASKING_PER_SECOND } from '#mesh/bounds.ts'
import { bytes, found, join, meshId, node, soon, text } from './nodes.ts'
import type { Connection, Stream } from '@libp2p/interface'
import type { Libp2p } from 'libp2p'
import type { Node } from './nodes.ts'

const prefix = `/violin/${meshId.slice(0, 16)}`
const refused = (error: unknown) => error instanceof ViolinError && error.code === 'refused'

/** A libp2p node that keeps to none of our rules: it never shows a membership unless a test does it. */
async function rogue(): Promise<Libp2p & AsyncDisposable> {
  const made = await createLibp2p({
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false }
  })
  return Object.assign(made, { [Symbol.asyncDispose]: async () => made.stop() })
}

async function connect(from: Libp2p, to: Node): Promise<Connection> {
  return from.dial(multiaddr(to.mesh.addresses()[0] ?? ''), { signal: soon() })
}

/** How a stream ended: the bytes that came before, and whether it was reset. */
async function outcome(stream: Stream): Promise<{ received: number; reset: boolean }> {
  let received = 0
  stream.addEventListener('message', ({ data }) => {
    received += data.byteLength
  })
  if (stream.status !== 'open') return { received, reset: stream.status !== 'closed' }
  const [event] = (await once(stream as unknown as EventTarget, 'close', { signal: soon() })) as [
    { error?: Error }
  ]
  return { received, reset: event.error !== undefined }
}

async function closed(connection: Connection): Promise<void> {
  if (connection.status !== 'open') return
  await once(connection as unknown as EventTarget, 'close', { signal: soon() })
}

test('a stranger is answered on the join protocol, and refused on every other', async () => {
  await using member = await node('member')
  await using stranger = await node('stranger', { member: false })
  const reached: string[] = []
  member.mesh.serve('join', { strangers: true, maxRequestBytes: 100 }, async (body) => body)
  member.mesh.serve('sync', { maxRequestBytes: 100 }, async (body) => {
    reached.push('sync')
    return body
  })
  member.mesh.serveStream('console', () => reached.push('console'))
  await stranger.mesh.dial(member.mesh.addresses(), soon())
  assert.deepEqual([stranger.mesh.members(), member.mesh.members()], [[], []])
  assert.equal(text(await stranger.mesh.request(member.id, 'join', bytes('please'), soon())), 'please')
  await assert.rejects(stranger.mesh.request(member.id, 'sync', bytes('x'), soon()), refused)
  const duplex = await stranger.mesh.open(member.id, 'console', soon())
  duplex.write('x')
  await assert.rejects(once(duplex, 'end', { signal: soon() }), /reset/)
  assert.deepEqual(reached, [])
})

test('a stranger that opens gossip, DHT or any other protocol by hand gets a reset and no byte', async () => {
  await using member = await node('member', { bounds: { proofMs: 2_000 } })
  await using other = await node('other')
  member.mesh.subscribe('records', () => 'accept')
  await join(other, member)
  await using enemy = await rogue()
  const connection = await connect(enemy, member)
  const served = ['/meshsub/1.2.0', '/meshsub/1.1.0', `${prefix}/kad/1`]
  for (const protocol of served) {
    const stream = await connection.newStream(protocol, { signal: soon() })
    const ending = outcome(stream)
    // A subscription, in gossipsub's form, and enough for a DHT message. After the wait for its proof was in
    // vain, a stream is reset at once.
    if (stream.status === 'open') stream.send(Uint8Array.from([11, 10, 9, 8, 1, 18, 5, ...bytes('other')]))
    assert.deepEqual(await ending, { received: 0, reset: true }, protocol)
  }
  assert.deepEqual(await member.mesh.whenTopicPeers('records', 0, soon()), [])
})

test('what a stranger publishes reaches nobody, and what members publish does not reach it', async () => {
  await using member = await node('member')
  await using other = await node('other')
  await using stranger = await node('stranger', { member: false })
  const heard: string[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  for (const at of [member, other, stranger]) {
    at.mesh.subscribe('records', (data) => {
      heard.push(`${text(data)} at ${at === stranger ? 'stranger' : 'a member'}`)
      resolve()
      return 'accept'
    })
  }
  await join(other, member)
  await stranger.mesh.dial(member.mesh.addresses(), soon())
  await member.mesh.whenTopicPeers('records', 1, soon())
  await stranger.mesh.publish('records', bytes('lie'))
  await member.mesh.publish('records', bytes('truth'))
  await promise
  assert.deepEqual(heard, ['truth at a member'])
  assert.deepEqual(await stranger.mesh.whenTopicPeers('records', 0, soon()), [])
})

test('a stranger neither puts into the DHT nor gets from it', async () => {
  await using member = await node('member')
  await using stranger = await node('stranger', { member: false })
  for (const { mesh } of [member, stranger]) {
    mesh.setDhtValidator(
      () => true,
      () => 0
    )
  }
  await stranger.mesh.dial(member.mesh.addresses(), soon())
  await member.mesh.put('secret', bytes('s'), soon())
  await stranger.mesh.put('lie', bytes('l'), soon())
  assert.equal(await stranger.mesh.get('secret', soon()), null)
  assert.equal(await member.mesh.get('lie', soon()), null)
})

test('who joined is proven on the connection that it has, by present() or by dialling again', async () => {
  await using member = await node('member')
  for (const again of ['present', 'dial', 'dialled'] as const) {
    await using joiner = await node(`joiner ${again}`, { member: false })
    await joiner.mesh.dial(member.mesh.addresses(), soon())
    assert.ok(!member.mesh.members().includes(joiner.id))
    joiner.member = true
    if (again === 'present') await joiner.mesh.present()
    else if (again === 'dial') await joiner.mesh.dial(member.mesh.addresses(), soon())
    else await member.mesh.present()
    await Promise.all([
      joiner.event('member-connected', member.id),
      member.event('member-connected', joiner.id)
    ])
    await joiner.mesh.whenTopicPeers('records', 0, soon())
  }
})

test('gossip and DHT take a host that joined on an open connection', async () => {
  await using member = await node('member')
  await using joiner = await node('joiner', { member: false })
  const { promise, resolve } = Promise.withResolvers<string>()
  member.mesh.subscribe('records', (data) => {
    resolve(text(data))
    return 'accept'
  })
  for (const { mesh } of [member, joiner]) {
    mesh.setDhtValidator(
      () => true,
      () => 0
    )
  }
  await joiner.mesh.dial(member.mesh.addresses(), soon())
  joiner.member = true
  await joiner.mesh.present()
  await joiner.mesh.whenTopicPeers('records', 1, soon())
  await joiner.mesh.publish('records', bytes('news'))
  assert.equal(await promise, 'news')
  await joiner.mesh.put('key', bytes('v'), soon())
  await found(member, 'key', 'v')
})

test('a stranger that does nothing is disconnected after its time', async () => {
  await using member = await node('member', { bounds: { strangerMs: 100, proofMs: 50 } })
  await using enemy = await rogue()
  const connection = await connect(enemy, member)
  await closed(connection)
  assert.deepEqual(member.mesh.members(), [])
})

test('a stranger whose join is being answered is not cut off, but for the longest life of all', async () => {
  await using member = await node('member', { bounds: { strangerMs: 500, strangerBusyMs: 5_000 } })
  await using stranger = await node('stranger', { member: false })
  const { promise: over, resolve } = Promise.withResolvers<void>()
  member.mesh.serve('join', { strangers: true, maxRequestBytes: 100 }, async (body, _from, signal) => {
    // Three times the time of an idle one.
    if (text(body) === 'slow') await setTimeout(1_500)
    else {
      await once(signal, 'abort')
      resolve()
    }
    return body
  })
  await stranger.mesh.dial(member.mesh.addresses(), soon())
  assert.equal(text(await stranger.mesh.request(member.id, 'join', bytes('slow'), soon())), 'slow')
  await assert.rejects(
    stranger.mesh.request(member.id, 'join', bytes('endless'), soon()),
    (error: unknown) => error instanceof ViolinError && error.code !== 'timeout'
  )
  await over
})

test('strangers ask so much together and no more, from however many connections, and members are answered still', async () => {
  await using member = await node('member')
  await using other = await node('other')
  await using one = await node('one', { member: false })
  await using two = await node('two', { member: false })
  let joins = 0
  member.mesh.serve('join', { strangers: true, maxRequestBytes: 100 }, async (body) => {
    joins++
    return body
  })
  member.mesh.serve('echo', { maxRequestBytes: 100 }, async (body) => body)
  await join(other, member)
  for (const { mesh } of [one, two]) await mesh.dial(member.mesh.addresses(), soon())
  const started = performance.now()
  const asked = Array.from({ length: 200 }, (_, i) =>
    (i % 2 === 0 ? one : two).mesh.request(member.id, 'join', bytes('x'), soon())
  )
  const refusals = (await Promise.allSettled(asked)).filter(({ status }) => status === 'rejected').length
  const seconds = (performance.now() - started) / 1000
  assert.ok(refusals > 0)
  assert.equal(joins + refusals, 200)
  assert.ok(joins <= MAX_STRANGERS_ASKING_AT_ONCE + MAX_STRANGERS_ASKING_PER_SECOND * seconds, `${joins}`)
  assert.equal(text(await other.mesh.request(member.id, 'echo', bytes('still'), soon())), 'still')
})

test('strangers are so many at once: the oldest goes, and members stay', async () => {
  await using member = await node('member', { bounds: { maxStrangers: 4 } })
  await using other = await node('other')
  await join(other, member)
  const enemies: (Libp2p & AsyncDisposable)[] = []
  try {
    const connections: Connection[] = []
    while (enemies.length < 5) {
      const enemy = await rogue()
      enemies.push(enemy)
      connections.push(await connect(enemy, member))
    }
    await closed(connections[0] as Connection)
    assert.deepEqual(member.mesh.members(), [other.id])
    // The last one is answered still.
    const last = connections.at(-1) as Connection
    const stream = await last.newStream('/ipfs/ping/1.0.0', { signal: soon() })
    const echo = once(stream as unknown as EventTarget, 'message', { signal: soon() })
    stream.send(new Uint8Array(32))
    await echo
  } finally {
    await Promise.all(enemies.map(async (enemy) => enemy.stop()))
  }
})

test('hostile presentations are taken for what they are', async () => {
  await using member = await node('member', { bounds: { proofMs: 300 } })
  const frames: readonly [string, Uint8Array][] = [
    ['a length of 2^53', Uint8Array.from([255, 255, 255, 255, 255, 255, 255, 15])],
    ['a length that never ends', new Uint8Array(64).fill(0x80)],
    ['more than is allowed', Uint8Array.from([0x82, 0x80, 0x01, ...new Uint8Array(16_386)])],
    ['another host’s badge', Uint8Array.from([5, ...bytes('badge')])]
  ]
  for (const [name, frame] of frames) {
    await using enemy = await rogue()
    const connection = await connect(enemy, member)
    const stream = await connection.newStream(`${prefix}/member/1`, { signal: soon() })
    stream.send(frame)
    // The refusal waits for the verdict that the protocol owes it.
    if (name.startsWith('another')) stream.send(Uint8Array.from([1, 1]))
    await closed(connection)
    assert.deepEqual(member.mesh.members(), [], name)
  }
})

test('bytes that are no libp2p end without harm', async () => {
  await using member = await node('member')
  await using other = await node('other')
  const [, host, port] = /ip4\/([^/]+)\/tcp\/(\d+)/.exec(member.mesh.addresses()[0] ?? '') ?? []
  for (const garbage of [
    new Uint8Array(4096),
    createHash('sha512').update('x').digest(),
    bytes('GET / HTTP/1.1\r\n\r\n')
  ]) {
    const socket = createConnection(Number(port), host)
    await once(socket, 'connect', { signal: soon() })
    const { promise: ended, resolve } = Promise.withResolvers<void>()
    socket.on('close', () => resolve())
    // Refused with a reset or with an end, as it comes.
    socket.on('error', () => undefined)
    socket.end(garbage)
    socket.resume()
    await ended
  }
  await join(other, member)
})

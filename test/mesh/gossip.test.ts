import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { ViolinError } from '#core/errors.ts'
import { MAX_GOSSIP_BYTES } from '#mesh/bounds.ts'
import { bytes, join, node, soon, text } from './nodes.ts'
import { relayTo } from './relay.ts'
import type { Verdict } from '#mesh/contract.ts'
import type { Node } from './nodes.ts'

/** Subscribes a node; what its validator was asked, with a wait for the n-th. */
function listen(
  at: Node,
  topic: string,
  verdict: (message: string) => Verdict = () => 'accept'
): { readonly heard: string[]; count(wanted: number): Promise<void> } {
  const heard: string[] = []
  const waiting = new Map<number, () => void>()
  at.mesh.subscribe(topic, (data) => {
    heard.push(text(data))
    waiting.get(heard.length)?.()
    return verdict(text(data))
  })
  return {
    heard,
    count: async (wanted) => {
      const { promise, resolve } = Promise.withResolvers<void>()
      waiting.set(wanted, resolve)
      if (heard.length >= wanted) resolve()
      await promise
    }
  }
}

test('what is accepted goes on from host to host, what is ignored or rejected stays', async () => {
  await using a = await node('a')
  await using b = await node('b')
  await using c = await node('c')
  const verdicts: Record<string, Verdict> = { good: 'accept', dull: 'ignore', bad: 'reject' }
  const atB = listen(b, 'records', (message) => verdicts[message] ?? 'accept')
  const atC = listen(c, 'records')
  await join(a, b)
  await join(b, c)
  await a.mesh.whenTopicPeers('records', 1, soon())
  await b.mesh.whenTopicPeers('records', 1, soon())
  for (const message of ['bad', 'dull', 'good']) await a.mesh.publish('records', bytes(message))
  await atC.count(1)
  assert.deepEqual(atB.heard, ['bad', 'dull', 'good'])
  assert.deepEqual(atC.heard, ['good'])
})

test('a host publishes without a subscription and without a subscriber, and equal bytes are heard once', async () => {
  await using a = await node('a')
  await using b = await node('b')
  await a.mesh.publish('records', bytes('to nobody'))
  const atB = listen(b, 'records')
  await join(a, b)
  assert.deepEqual(await a.mesh.whenTopicPeers('records', 1, soon()), [b.id])
  for (const message of ['x', 'x', 'y']) await a.mesh.publish('records', bytes(message))
  await atB.count(2)
  assert.deepEqual(atB.heard, ['x', 'y'])
})

test('a validator that throws, as one that says no, passes nothing on and harms nobody', async () => {
  await using a = await node('a')
  await using b = await node('b')
  b.mesh.subscribe('broken', () => {
    throw new TypeError('x is not a function')
  })
  const atB = listen(b, 'whole')
  await join(a, b)
  await a.mesh.whenTopicPeers('broken', 1, soon())
  await a.mesh.whenTopicPeers('whole', 1, soon())
  await a.mesh.publish('broken', bytes('1'))
  await a.mesh.publish('whole', bytes('2'))
  await atB.count(1)
  assert.ok(b.logged.some((line) => line.includes('validator failed')))
})

test('a message above the bound is refused before it leaves', async () => {
  await using a = await node('a')
  await assert.rejects(
    a.mesh.publish('records', new Uint8Array(MAX_GOSSIP_BYTES + 1)),
    (error: unknown) => error instanceof ViolinError && error.code === 'too-large'
  )
})

test('waiting for subscribers ends with its signal', async () => {
  await using a = await node('a')
  const reason = new Error('enough')
  await assert.rejects(a.mesh.whenTopicPeers('records', 1, AbortSignal.abort(reason)), reason)
  const control = new AbortController()
  const waiting = a.mesh.whenTopicPeers('records', 1, control.signal)
  control.abort(reason)
  await assert.rejects(waiting, reason)
})

test('sixteen members on one address are scored like any others: everyone hears everyone', async () => {
  const stack = new AsyncDisposableStack()
  await using _ = stack
  const nodes: Node[] = []
  for (let i = 0; i < 16; i++) nodes.push(stack.use(await node(`n${i}`)))
  const hub = nodes[0] as Node
  const ears = nodes.map((at) => listen(at, 'records'))
  await Promise.all(nodes.slice(1).map(async (at) => join(at, hub)))
  await hub.mesh.whenTopicPeers('records', 15, soon())
  await Promise.all(nodes.slice(1).map(async (at) => at.mesh.whenTopicPeers('records', 1, soon())))
  for (const [i, at] of nodes.entries()) await at.mesh.publish('records', bytes(`from ${i}`))
  // Each hears of all but itself.
  await Promise.all(ears.map(async (ear) => ear.count(15)))
  for (const [i, ear] of ears.entries()) assert.ok(!ear.heard.includes(`from ${i}`))
})

test('gossip goes on over the connection that is left when one of two is lost', async () => {
  await using a = await node('a')
  await using b = await node('b')
  await using first = await relayTo(b)
  await using second = await relayTo(a)
  const atA = listen(a, 'records')
  const atB = listen(b, 'records')
  await a.mesh.dial([first.address], soon())
  await Promise.all([a.event('member-connected', b.id), b.event('member-connected', a.id)])
  await a.mesh.whenTopicPeers('records', 1, soon())
  await b.mesh.whenTopicPeers('records', 1, soon())
  await a.mesh.publish('records', bytes('on the first'))
  await atB.count(1)
  await b.mesh.dial([second.address], soon())
  for (const { mesh } of [a, b]) mesh.serve('echo', { maxRequestBytes: 100 }, async (body) => body)
  // Its way back shows that the other side has come to know the second connection, too.
  await b.mesh.request(a.id, 'echo', bytes('x'), soon())
  first.cut()
  await repeat(async (i) => a.mesh.publish('records', bytes(`a ${i}`)), atB.count(2))
  await repeat(async (i) => b.mesh.publish('records', bytes(`b ${i}`)), atA.count(1))
  assert.equal(text(await a.mesh.request(b.id, 'echo', bytes('x'), soon())), 'x')
  assert.deepEqual(a.lost(), [])
  assert.deepEqual(b.lost(), [])
})

/** Publishes again until it is heard: what was sent into a connection that is being lost is lost with it. */
async function repeat(publish: (i: number) => Promise<void>, heard: Promise<void>): Promise<void> {
  const control = new AbortController()
  void heard.then(() => control.abort())
  for (let i = 0; !control.signal.aborted; i++) {
    assert.ok(i < 300, 'never heard')
    await publish(i)
    await setTimeout(20, undefined, { signal: control.signal }).catch(() => undefined)
  }
}

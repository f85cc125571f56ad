import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ViolinError } from '#core/errors.ts'
import { MAX_DHT_VALUE_BYTES } from '#mesh/bounds.ts'
import { Dht } from '#mesh/dht.ts'
import { bytes, found, join, node, soon, text } from './nodes.ts'
import type { KadDHT } from '@libp2p/kad-dht'
import type { Node } from './nodes.ts'

const code = (expected: string) => (error: unknown) => error instanceof ViolinError && error.code === expected

/** Values `version text` under keys; the higher version is the better one. */
function judge(at: Node, asked: string[] = []): void {
  const version = (value: Uint8Array): number => Number(text(value).split(' ')[0])
  at.mesh.setDhtValidator(
    (key, value) => {
      asked.push(key)
      return Number.isInteger(version(value))
    },
    (_key, values) => {
      let best = 0
      for (const [i, value] of values.entries())
        if (version(value) > version(values[best] as Uint8Array)) best = i
      return best
    }
  )
}

test('what one member puts, another gets over a third; the keys are those that were given', async () => {
  await using a = await node('a')
  await using b = await node('b')
  await using c = await node('c')
  const asked: string[] = []
  for (const at of [a, c]) judge(at)
  judge(b, asked)
  await join(a, b)
  await join(c, b)
  await a.mesh.put('host/1', bytes('1 first'), soon())
  await found(c, 'host/1', '1 first')
  assert.ok(asked.length > 0)
  assert.ok(asked.every((key) => key === 'host/1'))
  assert.equal(await c.mesh.get('host/2', soon()), null)
})

test('of several values the best is found, whoever holds which', async () => {
  await using a = await node('a')
  await using b = await node('b')
  await using c = await node('c')
  for (const at of [a, b, c]) judge(at)
  // Put while alone: each has its own.
  await a.mesh.put('k', bytes('1 old'), soon())
  await b.mesh.put('k', bytes('2 new'), soon())
  await join(c, a)
  await join(c, b)
  await found(c, 'k', '2 new')
  // Who had the worse one is corrected.
  await found(a, 'k', '2 new')
})

test('one who keeps to an older value hides the newer one from nobody', async () => {
  await using a = await node('a')
  await using liar = await node('liar')
  await using c = await node('c')
  for (const at of [a, c]) judge(at)
  liar.mesh.setDhtValidator(
    (_key, value) => text(value) === '1 old',
    () => 0
  )
  await a.mesh.put('k', bytes('2 new'), soon())
  await liar.mesh.put('k', bytes('1 old'), soon())
  await join(c, liar)
  await found(c, 'k', '1 old')
  await join(c, a)
  await found(c, 'k', '2 new')
})

test('what was told before one kept the look-up waiting counts, but for what belongs to another key', async () => {
  const dht = new Dht()
  dht.setValidator(
    (key, value) => text(value).startsWith(key),
    () => 0
  )
  /** A look-up that these values answer, and then nobody. */
  const answered = (...values: readonly string[]): KadDHT =>
    ({
      async *get(_key: Uint8Array, { signal }: { signal: AbortSignal }) {
        for (const value of values) yield { name: 'PEER_RESPONSE', record: { value: bytes(value) } }
        const { promise, reject } = Promise.withResolvers<never>()
        signal.addEventListener('abort', () => reject(signal.reason as Error))
        await promise
      }
    }) as unknown as KadDHT
  const found = await dht.get(answered('other 1', 'k 1'), 'k', AbortSignal.timeout(30))
  assert.equal(found === null ? null : text(found), 'k 1')
  await assert.rejects(dht.get(answered('other 1'), 'k', AbortSignal.timeout(30)), { name: 'TimeoutError' })
})

test('a value that the validator refuses is not put, and not taken from one that has it', async () => {
  await using a = await node('a')
  await using b = await node('b')
  a.mesh.setDhtValidator(
    () => true,
    () => 0
  )
  judge(b)
  await join(a, b)
  await assert.rejects(b.mesh.put('k', bytes('no version'), soon()), code('refused'))
  await a.mesh.put('k', bytes('no version'), soon())
  assert.equal(await b.mesh.get('k', soon()), null)
})

test('without a validator nothing is put; what is too large is refused', async () => {
  await using a = await node('a')
  await assert.rejects(a.mesh.put('k', bytes('1'), soon()), code('refused'))
  judge(a)
  await assert.rejects(a.mesh.put('k', new Uint8Array(MAX_DHT_VALUE_BYTES + 1), soon()), code('too-large'))
  await assert.rejects(a.mesh.put('k'.repeat(600), bytes('1'), soon()), code('too-large'))
  await assert.rejects(a.mesh.get('', soon()), code('too-large'))
})

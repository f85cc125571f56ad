import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PeerId, PeerStore } from '@libp2p/interface'
import { ViolinError } from '#core/errors.ts'
import type { HostId } from '#core/ids.ts'
import { defaultBounds } from '#mesh/bounds.ts'
import { withoutKeepAlive } from '#mesh/dht.ts'
import { Redial } from '#mesh/redial.ts'

test('one that announces itself over and over and refuses is dialled once, another each time', async () => {
  const dialled: string[] = []
  const refusal = new ViolinError('not-a-member', 'is none', 'join')
  const closing = new AbortController()
  const redial = new Redial(
    {
      remembered: () => [],
      connections: () => 0,
      connected: () => false,
      addressesOf: () => Promise.resolve([]),
      dial: ([address]) => {
        dialled.push(address as string)
        return address?.includes('stranger') === true ? Promise.reject(refusal) : Promise.resolve()
      },
      log: () => {},
      bounds: defaultBounds
    },
    closing.signal
  )
  try {
    for (let round = 0; round < 3; round++) {
      redial.heard({ id: 'stranger' as HostId, addresses: ['/stranger'] })
      redial.heard({ id: 'member' as HostId, addresses: ['/member'] })
      // One turn of the loop: all that needs no time is done then.
      await new Promise(setImmediate)
    }
    const count = (name: string): number => dialled.filter((address) => address.includes(name)).length
    assert.deepEqual([count('stranger'), count('member')], [1, 3])
  } finally {
    redial.stop()
    closing.abort()
  }
})

test('the DHT keeps its tags of peers, and has libp2p dial none of them again by itself', async () => {
  const merged: unknown[] = []
  class Store {
    readonly #peers = ['a peer']
    all(): string[] {
      return this.#peers
    }
    merge(_peer: PeerId, data: unknown): Promise<void> {
      merged.push(data)
      return Promise.resolve()
    }
  }
  const store = withoutKeepAlive(new Store() as unknown as PeerStore)
  const peer = {} as PeerId
  await store.merge(peer, { tags: { 'kad-close': { value: 50 }, 'keep-alive-kad-dht': { value: 1 } } })
  await store.merge(peer, { tags: { 'kad-close': undefined, 'keep-alive-kad-dht': undefined } })
  assert.deepEqual(merged, [{ tags: { 'kad-close': { value: 50 } } }, { tags: { 'kad-close': undefined } }])
  assert.deepEqual(await store.all(), ['a peer'])
})

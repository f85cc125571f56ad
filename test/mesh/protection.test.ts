import assert from 'node:assert/strict'
import { test } from 'node:test'
import { node, soon } from './nodes.ts'

const key = new Uint8Array(32).fill(1)
const otherKey = new Uint8Array(32).fill(2)

test('a node whose network key nobody has is told once, when peers hung up on it twice', async () => {
  let times = 0
  await using lost = await node('lost', { networkKey: otherKey, keyRefused: () => (times += 1) })
  await using other = await node('other', { networkKey: key })
  // What the other takes the first bytes for is chance: now and then for a line of which it waits for the rest.
  const dial = (): Promise<void> =>
    assert.rejects(lost.mesh.dial(other.mesh.addresses(), AbortSignal.timeout(2_000)))
  await dial()
  assert.equal(times, 0)
  for (let tries = 0; times === 0 && tries < 16; tries++) await dial()
  for (let tries = 0; tries < 3; tries++) await dial()
  assert.equal(times, 1)
})

test('a node with the key of the mesh is told nothing when peers have another, or are away', async () => {
  let times = 0
  await using member = await node('member', { networkKey: key, keyRefused: () => (times += 1) })
  await using other = await node('other', { networkKey: key })
  await using stranger = await node('stranger', { networkKey: otherKey })
  await member.mesh.dial(other.mesh.addresses(), soon())
  const away = other.mesh.addresses()
  await other.mesh.close()
  for (const addresses of [stranger.mesh.addresses(), stranger.mesh.addresses(), away])
    await assert.rejects(member.mesh.dial(addresses, soon()))
  assert.equal(times, 0)
})

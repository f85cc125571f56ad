/** Closed networks: who dials into another network, or an open one, is told by the first bytes, and nothing hangs. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { ViolinError } from '#core/errors.ts'
import type { NetworkMismatch } from '#mesh/contract.ts'
import { join, node, soon } from './nodes.ts'

const key = new Uint8Array(32).fill(1)
const otherKey = new Uint8Array(32).fill(2)
const networks = { open: null, closed: key, 'other-key': otherKey } as const

const refusedFor = (why: RegExp) => (error: unknown) =>
  error instanceof ViolinError && error.code === 'refused' && why.test(error.message)

for (const [from, to, told, why] of [
  ['open', 'closed', 'closed', /a closed network, and this one has no key/],
  ['closed', 'open', 'open', /a network that is open, and this one has a key/],
  ['closed', 'other-key', 'other-key', /a closed network with another key/]
] as const) {
  // What is sent first is chance, and so is what a host that cannot read it would take it for.
  test(`from a network that is ${from} into one that is ${to}: every dial is refused at once, and it is told once`, async () => {
    const mismatches: NetworkMismatch[] = []
    await using lost = await node('lost', {
      networkKey: networks[from],
      otherNetwork: (mismatch) => void mismatches.push(mismatch)
    })
    const heard: NetworkMismatch[] = []
    await using other = await node('other', {
      networkKey: networks[to],
      otherNetwork: (mismatch) => void heard.push(mismatch)
    })
    for (let tries = 0; tries < 12; tries++)
      await assert.rejects(lost.mesh.dial(other.mesh.addresses(), soon()), refusedFor(why))
    assert.deepEqual(mismatches, [told])
    // Who is dialled by others has nothing to mend.
    assert.deepEqual(heard, [])
  })
}

test('a node whose key some member has is told nothing when others have another, or are away', async () => {
  let times = 0
  await using member = await node('member', { networkKey: key, otherNetwork: () => (times += 1) })
  await using other = await node('other', { networkKey: key })
  await using stranger = await node('stranger', { networkKey: otherKey })
  await join(member, other)
  const away = other.mesh.addresses()
  await other.mesh.close()
  await assert.rejects(member.mesh.dial(stranger.mesh.addresses(), soon()), refusedFor(/another key/))
  await assert.rejects(member.mesh.dial(away, soon()), { code: 'nobody-reachable' })
  assert.equal(times, 0)
})

test('an open network hangs up on who begins as nobody of it does', async () => {
  await using open = await node('open')
  const port = /tcp\/(\d+)/.exec(open.mesh.addresses()[0] ?? '')?.[1]
  const socket = connect(Number(port), '127.0.0.1')
  const ended = new Promise((resolve) => socket.once('close', resolve))
  // A length of which the rest never comes.
  socket.write(new Uint8Array(24).fill(100))
  socket.resume()
  await ended
})

/** Where a host says that it is found. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { publishHost } from '#daemon/host.ts'
import { meshOf, type TestHost } from './hosts.ts'

test('a host without a network for now is found where it was, not at the loopback of whoever looks', async () => {
  await using stack = new AsyncDisposableStack()
  const [{ host, records }] = (await meshOf(['princeton'], stack)) as [TestHost]
  const { id } = host.identity
  const say = async (
    listen: string,
    addresses: readonly string[]
  ): Promise<readonly string[] | undefined> => {
    const identity = { ...host.identity, listen: [listen] }
    await publishHost({ ...host, identity }, records, { addresses, draining: false, left: false })
    return records.view.members.get(id)?.body.addresses
  }
  const [wide, own, other] = ['/ip4/0.0.0.0/tcp/4780', '/ip4/192.0.2.1/tcp/4780', '/ip4/192.0.2.9/tcp/4780']
  const loopback = ['/ip4/127.0.0.1/tcp/4780', '/ip6/::1/tcp/4780']
  // Nobody knows it elsewhere yet, and others of its machine find it there.
  assert.deepEqual(await say(wide, loopback), loopback)
  assert.deepEqual(await say(wide, [own]), [own])
  assert.deepEqual(await say(wide, loopback), [own])
  assert.deepEqual(await say(wide, [other]), [other])
  assert.deepEqual(await say(wide, []), [])
  assert.deepEqual(await say(wide, [other]), [other])
  // It listens nowhere else.
  assert.deepEqual(await say('/ip4/127.0.0.1/tcp/4780', loopback), loopback)
})

import assert from 'node:assert/strict'
import { appendFile, rm } from 'node:fs/promises'
import { join as joinPath } from 'node:path'
import { test } from 'node:test'
import { loadIdentity } from '#daemon/identity.ts'
import { meshOf, startHost, type TestHost, until } from './hosts.ts'

/** The peers whose addresses lie in a host's identity, in their order. */
async function keptAt({ dir }: TestHost): Promise<string[]> {
  const { addresses } = await loadIdentity(dir)
  return addresses.map((address) => address.split('/p2p/')[1] as string)
}

test('the identity keeps where members are, admins first, and drops who was shut out', async () => {
  await using stack = new AsyncDisposableStack()
  const hosts = (await meshOf(['princeton', 'purdue', 'chicago'], stack)) as [TestHost, TestHost, TestHost]
  const [founder = '', member = '', other = ''] = hosts.map(({ host }): string => host.identity.id)
  await hosts[1].renewal.look()
  assert.deepEqual(await keptAt(hosts[1]), [founder, other])
  await hosts[0].renewal.look()
  assert.deepEqual((await keptAt(hosts[0])).toSorted(), [member, other].toSorted())
  await hosts[0].admission.revoke('chicago')
  await until([hosts[1]], () => hosts[1].peers.isShutOut(hosts[2].host.identity.id))
  await hosts[1].renewal.look()
  assert.deepEqual(await keptAt(hosts[1]), [founder])
})

test('what the identity keeps stays while nobody else is known, and lines that are no addresses are passed over', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, member] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  const { id } = founder.host.identity
  await member.renewal.look()
  await founder.close()
  await member.close()
  await rm(joinPath(member.dir, 'store'), { recursive: true })
  const lines = [
    '',
    'here',
    '/ip4/127.0.0.1/tcp/1',
    '/ip4/127.0.0.1/tcp/1/p2p/',
    `/${'x'.repeat(300)}/p2p/${id}`
  ]
  await appendFile(joinPath(member.dir, 'identity', 'addresses'), lines.join('\n'))
  const back = await startHost(member.dir)
  stack.defer(() => back.close())
  assert.deepEqual(await keptAt(back), [id])
  await back.renewal.look()
  assert.deepEqual(await keptAt(back), [id])
})

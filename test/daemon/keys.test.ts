/** What docs/keys.md says, done. */
import assert from 'node:assert/strict'
import { copyFile, cp, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { doctor } from '#daemon/doctor.ts'
import { rootKeyFile } from '#daemon/identity.ts'
import { refuseOwner } from '#daemon/refusing.ts'
import { collect, meshOf, oneLan, startHost, type TestHost, until } from './hosts.ts'

type Three = [TestHost, TestHost, TestHost]

test('a host that lost all but a copy of its identity comes back as itself, and owns what it owned', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, host] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(host.violins.apply(oneLan('net', ['princeton', 'purdue']), true, 20_000))
  const copy = join(founder.dir, '..', 'copy')
  await cp(join(host.dir, 'identity'), copy, { recursive: true })
  await host.close()
  await rm(host.dir, { recursive: true })
  const dir = join(founder.dir, '..', 'anew')
  await cp(copy, join(dir, 'identity'), { recursive: true })
  const back = await startHost(dir)
  stack.defer(() => back.close())
  assert.equal(back.host.identity.id, host.host.identity.id)
  await back.mesh.dial(founder.mesh.addresses(), AbortSignal.timeout(10_000))
  await until(
    [back, founder],
    () => back.records.view.violins.size === 1 && founder.mesh.members().length === 1
  )
  await collect(back.violins.delete('net', 20_000))
  await until([founder], () => [...founder.records.view.violins.values()].every(({ spec }) => spec === null))
})

test('an owner key that was copied to another member changes the same VIOLINs there', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, other] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(owner.violins.apply(oneLan('net', ['princeton', 'purdue']), true, 20_000))
  await other.close()
  await copyFile(join(owner.dir, 'identity', 'owner.key'), join(other.dir, 'identity', 'owner.key'))
  const again = await startHost(other.dir)
  stack.defer(() => again.close())
  await until([again], () => again.mesh.members().length === 1)
  await collect(again.violins.apply(oneLan('net', ['princeton']), true, 20_000))
  await until([owner], () => [...owner.records.view.violins.values()].some(({ version }) => version === 2))
  assert.equal((await owner.violins.show('net')).entities.length, 1)
})

test('doctor tells while the root key lies on the host, and revoking works from wherever it is put', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, member, other] = (await meshOf(['princeton', 'purdue', 'washington'], stack)) as Three
  const detail = async (): Promise<string> =>
    (await doctor(founder.dir)).find(({ name }) => name === 'root key')?.detail ?? ''
  assert.match(await detail(), /put it away/)
  await rename(rootKeyFile(founder.dir), rootKeyFile(member.dir))
  assert.match(await detail(), /not here/)
  await member.admission.revoke('princeton')
  await until([other], () => !other.mesh.members().includes(founder.host.identity.id))
})

test('VIOLINs whose owner key is lost or stolen are ended by an admin above the owner', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, owner] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(owner.violins.apply(oneLan('net', ['princeton']), true, 20_000))
  await refuseOwner(founder.refusing, { owner: 'net', undo: false, everywhere: true })
  await founder.reconciled(() => founder.slices.wishes.size === 0)
})

test('every secret of a host is a file for its user alone', async () => {
  await using stack = new AsyncDisposableStack()
  const [host] = (await meshOf(['princeton'], stack)) as [TestHost]
  for (const name of ['root.key', 'host.key', 'owner.key'])
    assert.equal((await stat(join(host.dir, 'identity', name))).mode & 0o777, 0o600, name)
})

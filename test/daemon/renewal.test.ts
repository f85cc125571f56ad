import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join as joinPath } from 'node:path'
import { test } from 'node:test'
import { type Chain, foundChain, renewChain, verifyChain } from '#core/admission/chain.ts'
import { ViolinError } from '#core/errors.ts'
import type { ViolinId, WallTime } from '#core/ids.ts'
import { crypto, signerOf } from '#daemon/crypto.ts'
import { loadIdentity, loadRootSeed, rootKeyFile } from '#daemon/identity.ts'
import { collect, meshOf, oneLan, startHost, type TestHost, until } from './hosts.ts'

const dayMs = 24 * 3600 * 1000
const inDays = (days: number): WallTime => (Date.now() + days * dayMs) as WallTime

/** Gives a stopped host another membership, as time would have left it. */
async function store(host: TestHost, chain: Chain): Promise<void> {
  await writeFile(joinPath(host.dir, 'identity', 'membership'), chain.bytes)
}

/** The member's membership as if it ended in so many days. */
async function endsIn(days: number, member: TestHost, founder: TestHost): Promise<void> {
  const { chain, identity } = founder.host
  const wish = { role: 'member', notAfter: inDays(days) } as const
  await store(member, renewChain(chain, identity.host, member.host.chain, wish, crypto))
}

test('a member in its second half-year is renewed by an admin, goes on at once, and its VIOLINs stand', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, member] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(member.changes.apply(oneLan('net', ['princeton', 'purdue']), true, 20_000))
  const { id } = await member.violins.show('net')
  await member.close()
  await endsIn(100, member, founder)
  const back = await startHost(member.dir)
  stack.defer(() => back.close())
  await until([back, founder], () => back.mesh.members().length === 1 && founder.mesh.members().length === 1)
  const self = back.host.identity.id
  const ends = (at: TestHost): number => at.records.view.members.get(self)?.membershipEndsAt ?? 0
  await until([founder], () => ends(founder) < inDays(101))
  await back.renewal.look()
  assert.ok(back.host.chain.endsAt > inDays(364))
  assert.equal(back.host.chain.path.length, 2)
  await until([founder], () => ends(founder) > inDays(364))
  assert.ok(founder.records.view.violins.get(id as ViolinId)?.spec)
  // It is stored: the next start has it.
  const stored = verifyChain((await loadIdentity(back.dir)).membership, back.host.identity.mesh, crypto)
  assert.ok(!('refused' in stored) && stored.endsAt === back.host.chain.endsAt)
})

test('a host whose membership ended is renewed at its start, as a stranger, and does not start where no admin is', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, member] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await member.close()
  await endsIn(-1, member, founder)
  const back = await startHost(member.dir)
  stack.defer(() => back.close())
  assert.ok(back.host.chain.endsAt > inDays(364))
  await until([back, founder], () => founder.mesh.members().includes(back.host.identity.id))
  await back.close()
  await endsIn(-1, member, founder)
  await founder.close()
  const gone = (error: unknown): boolean =>
    error instanceof ViolinError && error.code === 'not-a-member' && /no admin renewed it/.test(error.message)
  await assert.rejects(startHost(member.dir), gone)
})

test('the founding host renews itself by the root key where it lies here, and tells its end where it does not', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder] = (await meshOf(['princeton'], stack)) as [TestHost]
  const root = signerOf((await loadRootSeed(founder.dir)) as Uint8Array)
  const { publicKey } = founder.host.identity.host
  await founder.close()
  await store(founder, foundChain(root, publicKey, inDays(20), crypto))
  const again = await startHost(founder.dir)
  await again.renewal.look()
  assert.ok(again.host.chain.endsAt > inDays(3_600))
  await again.close()
  await store(founder, foundChain(root, publicKey, inDays(20), crypto))
  await rm(rootKeyFile(founder.dir))
  const rootless = await startHost(founder.dir)
  stack.defer(() => rootless.close())
  await rootless.renewal.look()
  await rootless.renewal.look()
  const told: string[] = []
  for await (const { kind } of rootless.journal.read(false)) told.push(kind)
  assert.deepEqual(told.filter((kind) => kind === 'membership-ends').length, 1)
})

import assert from 'node:assert/strict'
import { access, stat } from 'node:fs/promises'
import { join as joinPath } from 'node:path'
import { test } from 'node:test'
import { slotOf } from '#core/admission/chain.ts'
import { firstSlot } from '#core/admission/join.ts'
import { type Token, parseToken } from '#core/admission/token.ts'
import { crypto, freshSeed, keyOfSeed, signerOf } from '#daemon/crypto.ts'
import { join } from '#daemon/founding.ts'
import { defaultPorts, saveIdentity } from '#daemon/identity.ts'
import { hosts } from '#daemon/service.ts'
import { redeem } from '#daemon/stranger.ts'
import { meshOf, startHost, type TestHost, until } from './hosts.ts'

const listen = ['/ip4/127.0.0.1/tcp/0']

/** Joins at one member with a key whose first slot is the wanted one, as two partitions would see it. */
async function joinAt(dir: string, text: string, member: TestHost, slot: number): Promise<void> {
  const token = parseToken(text, crypto, keyOfSeed) as Token
  let seed = freshSeed()
  while (firstSlot(token, keyOfSeed(seed), crypto) !== slot) seed = freshSeed()
  const name = dir.split('/').at(-1) as string
  const { answer } = await redeem(
    token,
    { seed, signer: signerOf(seed), name, networkKey: null },
    member.mesh.addresses()
  )
  const identity = { name, mesh: token.root, listen, ports: defaultPorts, hostSeed: seed, invite: text }
  await saveIdentity(dir, { ...identity, ownerSeed: freshSeed(), membership: answer.bytes })
}

async function meet(a: TestHost, b: TestHost): Promise<void> {
  await a.mesh.dial(b.mesh.addresses(), AbortSignal.timeout(10_000))
}

/** Two hosts that took one slot of an invite at two members which did not see each other. */
async function joinApart(
  founder: TestHost,
  member: TestHost,
  token: string,
  stack: AsyncDisposableStack
): Promise<[TestHost, TestHost]> {
  await founder.mesh.hangUp(member.host.identity.id)
  const dirs = ['one', 'two'].map((name) => joinPath(founder.dir, '..', name)) as [string, string]
  await joinAt(dirs[0], token, founder, 0)
  await joinAt(dirs[1], token, member, 0)
  const one = await startHost(dirs[0])
  stack.defer(() => one.close())
  const two = await startHost(dirs[1])
  stack.defer(() => two.close())
  return [one, two]
}

test('of two hosts that took one slot in two partitions, one takes the next by itself when they heal', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, member] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  const { token } = await founder.admission.invite({ expiresMs: 60_000, uses: 2, role: 'member' })
  const [one, two] = await joinApart(founder, member, token, stack)
  await meet(one, founder)
  await meet(two, member)
  await meet(founder, member)
  const all = [founder, member, one, two]
  const settled = (host: TestHost): boolean =>
    host.records.view.members.size === 4 && host.records.view.displaced.size === 0
  await until(all, () => all.every(settled))
  const slots = [one, two].map(({ host }) => slotOf(host.chain)?.slot)
  assert.deepEqual(new Set(slots), new Set([0, 1]))
  const moved = slots[0] === 0 ? two : one
  // The new place survives a restart, and members let it in by it.
  await moved.close()
  const again = await startHost(moved.dir)
  stack.defer(() => again.close())
  assert.equal(slotOf(again.host.chain)?.slot, 1)
  await meet(again, founder)
  await until([founder], () => founder.mesh.members().includes(again.host.identity.id))
})

test('an invite’s secret is kept after a join only where another of its slots may be needed, for its user alone', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder] = (await meshOf(['princeton'], stack)) as [TestHost]
  const dir = joinPath(founder.dir, '..')
  for (const [name, uses] of [
    ['single', 1],
    ['shared', 3]
  ] as const) {
    const { token } = await founder.admission.invite({ expiresMs: 60_000, uses, role: 'member' })
    await join(joinPath(dir, name), token, { name, listen })
  }
  await assert.rejects(access(joinPath(dir, 'single', 'identity', 'invite')))
  assert.equal((await stat(joinPath(dir, 'shared', 'identity', 'invite'))).mode & 0o777, 0o600)
})

test('an invite is redeemed at another member while the host that made it is away', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, member] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  const { token } = await founder.admission.invite({ expiresMs: 60_000, uses: 1, role: 'member' })
  await founder.close()
  const joined = await join(joinPath(founder.dir, '..', 'late'), token, { name: 'late', listen })
  assert.equal(joined.through, member.host.identity.id)
})

test('a host that lost its slot where none is free is shown by itself, as one without a slot', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, member] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  const { token } = await founder.admission.invite({ expiresMs: 60_000, uses: 1, role: 'member' })
  const [one, two] = await joinApart(founder, member, token, stack)
  await meet(one, two)
  const lost = (): TestHost | undefined =>
    [one, two].find(({ host, records }) => records.view.displaced.has(host.identity.id))
  await until([one, two], () => lost() !== undefined)
  const rows = await hosts(lost() as TestHost)
  assert.deepEqual(
    rows.filter(({ self }) => self).map(({ id, state }) => ({ id, state })),
    [{ id: lost()?.host.identity.id, state: 'displaced' }]
  )
})

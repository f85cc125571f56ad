import assert from 'node:assert/strict'
import { access, stat } from 'node:fs/promises'
import { join as joinPath } from 'node:path'
import { test } from 'node:test'
import { slotOf } from '#core/admission/chain.ts'
import { firstSlot } from '#core/admission/join.ts'
import { type Token, parseToken } from '#core/admission/token.ts'
import { isWorthKeeping } from '#core/admission/seat.ts'
import type { PublicKey } from '#core/ids.ts'
import { winsSlot } from '#core/records/slots.ts'
import { crypto, freshSeed, keyOfSeed, signerOf } from '#daemon/crypto.ts'
import { join } from '#daemon/founding.ts'
import { defaultPorts, saveIdentity } from '#daemon/identity.ts'
import { hosts } from '#daemon/service.ts'
import { redeem } from '#daemon/stranger.ts'
import { meshOf, startHost, type TestHost, until } from './hosts.ts'

const listen = ['/ip4/127.0.0.1/tcp/0']

/** Joins at one member with a key whose first slot is the wanted one, as two partitions would see it; gives the key. */
async function joinAt(dir: string, text: string, member: TestHost, slot: number): Promise<PublicKey> {
  const token = parseToken(text, crypto, keyOfSeed) as Token
  let seed = freshSeed()
  while (firstSlot(token, keyOfSeed(seed), crypto) !== slot) seed = freshSeed()
  const name = dir.split('/').at(-1) as string
  const { answer } = await redeem(
    token,
    { seed, signer: signerOf(seed), name, networkKey: null },
    member.mesh.addresses()
  )
  const invite = isWorthKeeping(token.invite) ? { invite: text } : {}
  const identity = { name, mesh: token.root, listen, ports: defaultPorts, hostSeed: seed, ...invite }
  await saveIdentity(dir, { ...identity, ownerSeed: freshSeed(), membership: answer.bytes })
  return keyOfSeed(seed)
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

/** The texts of one kind that a host noted so far. */
async function noted({ journal }: TestHost, wanted: string): Promise<readonly string[]> {
  const texts: string[] = []
  for await (const { kind, text } of journal.read(false)) if (kind === wanted) texts.push(text)
  return texts
}

const out =
  'another host took the same slot of the invite and keeps it: ask for a new invite and join in a new folder'

/** The folders of two hosts that took one slot at two members: who keeps it, and who loses it as soon as both are known. */
async function contested(
  [founder, member]: readonly [TestHost, TestHost],
  text: string
): Promise<{ keeping: string; losing: string }> {
  const { subject } = (parseToken(text, crypto, keyOfSeed) as Token).invite
  const [one, two] = ['one', 'two'].map((name) => joinPath(founder.dir, '..', name)) as [string, string]
  // Neither member hears what the other gave: neither host has said anything yet.
  const keys = [await joinAt(one, text, founder, 0), await joinAt(two, text, member, 0)] as const
  return winsSlot(subject, 0, ...keys, crypto) ? { keeping: one, losing: two } : { keeping: two, losing: one }
}

/** Resolves when a host is there for these. */
async function joined(host: TestHost, members: readonly TestHost[]): Promise<void> {
  const { id } = host.host.identity
  for (const member of members) await meet(host, member)
  await until(members, () =>
    members.every(({ mesh, records }) => mesh.isMember(id) && records.view.members.has(id))
  )
}

test('a host that loses its slot says so once, where it was started too, and is told of as that by others', async () => {
  await using stack = new AsyncDisposableStack()
  const names = ['princeton', 'purdue', 'washington']
  const [founder, member, other] = (await meshOf(names, stack)) as [TestHost, TestHost, TestHost]
  const members = [founder, member] as const
  const { token } = await founder.admission.invite({ expiresMs: 60_000, uses: 1, role: 'member' })
  const { keeping, losing } = await contested(members, token)
  const loser = await startHost(losing)
  stack.defer(() => loser.close())
  const { id, name } = loser.host.identity
  await joined(loser, members)
  const keeper = await startHost(keeping)
  stack.defer(() => keeper.close())
  await meet(keeper, founder)
  await until([loser], () => loser.warned.length > 0)
  assert.deepEqual([loser.warned, await noted(loser, 'displaced')], [[out], [out]])
  await until(members, () => members.every(({ records }) => records.view.displaced.has(id)))
  // Connections are looked through now and then, and when anybody is shut out.
  await founder.admission.revoke('washington')
  await until(members, () => members.every(({ mesh }) => !mesh.isMember(id)))
  for (const one of members) {
    assert.deepEqual(await noted(one, 'host-revoked'), ['washington was shut out of the mesh'])
    assert.deepEqual(await noted(one, 'host-displaced'), [
      `${name} lost its slot of an invite: ${keeper.host.identity.name} keeps it`
    ])
  }
  await other.close()
  await until([loser], () => loser.mesh.members().length === 0)
  assert.deepEqual(loser.warned, [out])
  const rows = await hosts(loser)
  assert.ok(rows.length >= 3)
  assert.deepEqual(
    rows.map(({ self, state }) => [self, state]),
    rows.map(({ self }) => [self, self ? 'displaced' : 'unknown'])
  )
})

test('a host that lost its slot while it was away hears so from the first that refuses it, and tells it once no other is free', async () => {
  await using stack = new AsyncDisposableStack()
  const members = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  const [founder] = members
  const { token } = await founder.admission.invite({ expiresMs: 60_000, uses: 2, role: 'member' })
  const { keeping, losing } = await contested(members, token)
  // Its invite is worth keeping, and has no other slot by now.
  const dir = joinPath(founder.dir, '..', 'three')
  await joinAt(dir, token, founder, 1)
  for (const one of [dir, losing]) {
    const host = await startHost(one)
    await joined(host, members)
    await host.close()
  }
  const keeper = await startHost(keeping)
  stack.defer(() => keeper.close())
  for (const member of members) await meet(keeper, member)
  await until(members, () => members.every(({ records }) => records.view.displaced.size === 1))
  const back = await startHost(losing)
  stack.defer(() => back.close())
  await assert.rejects(meet(back, founder), { code: 'not-a-member' })
  assert.ok(back.records.view.displaced.has(back.host.identity.id))
  await back.seat.look(false)
  assert.deepEqual(back.warned, [out])
})

import assert from 'node:assert/strict'
import { rename, rm } from 'node:fs/promises'
import { join as joinPath } from 'node:path'
import { test } from 'node:test'
import { hostIdOf, publicKeyOf } from '#core/admission/host-id.ts'
import { type Token, parseToken } from '#core/admission/token.ts'
import { ViolinError } from '#core/errors.ts'
import type { HostId } from '#core/ids.ts'
import { crypto, freshSeed, keyOfSeed, signerOf } from '#daemon/crypto.ts'
import { join } from '#daemon/founding.ts'
import { rootKeyFile } from '#daemon/identity.ts'
import { hosts } from '#daemon/service.ts'
import { redeem } from '#daemon/stranger.ts'
import { createMesh } from '#mesh/mesh.ts'
import { collect, meshOf, oneLan, startHost, type TestHost, until } from './hosts.ts'

type Three = [TestHost, TestHost, TestHost]

const idOf = (host: TestHost): HostId => host.host.identity.id

function refusal(code: string): (error: unknown) => boolean {
  return (error) => error instanceof ViolinError && error.code === code
}

test('a member that is revoked loses its connections, its records and its trunks, on every host', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, stays, goes] = (await meshOf(['princeton', 'purdue', 'washington'], stack)) as Three
  await collect(owner.changes.apply(oneLan('net', ['princeton', 'purdue', 'washington']), true, 20_000))
  const peers = (): boolean =>
    [...stays.slices.wishes.values()].every((wish) => !wish.peers.includes(idOf(goes)))
  assert.equal(peers(), false)
  await owner.admission.revoke('washington')
  const remaining = [owner, stays]
  await until(remaining, () =>
    remaining.every(
      ({ mesh, records }) => !mesh.members().includes(idOf(goes)) && !records.view.members.has(idOf(goes))
    )
  )
  await stays.reconciled(peers)
  // It cannot come back: its membership is shown, and refused. What it still has of a connection is no new one.
  await until([goes], () => goes.mesh.members().length === 0)
  await assert.rejects(goes.mesh.dial(owner.mesh.addresses(), AbortSignal.timeout(5_000)))
  assert.deepEqual(owner.mesh.members(), [idOf(stays)])
})

test('only who let a member in, or the root key, revokes it', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, member, other] = (await meshOf(['princeton', 'purdue', 'washington'], stack)) as Three
  await assert.rejects(member.admission.revoke('washington'), refusal('refused'))
  await assert.rejects(member.admission.revoke('princeton'), refusal('refused'))
  await assert.rejects(founder.admission.revoke('princeton'), refusal('refused'))
  await assert.rejects(founder.admission.revoke('nobody'), refusal('unknown-host'))
  // The root key, carried to a plain member for the moment, shuts even the founder out.
  await rename(rootKeyFile(founder.dir), rootKeyFile(member.dir))
  await member.admission.revoke('princeton')
  await until([other], () => !other.mesh.members().includes(idOf(founder)))
  assert.equal(other.records.view.members.has(idOf(founder)), false)
})

/** A host that redeems an invite at one member, and then says nothing of itself: it connects, no more. */
async function quietHost(
  inviter: TestHost,
  witness: TestHost,
  stack: AsyncDisposableStack
): Promise<{
  readonly id: HostId
  readonly meet: (host: TestHost) => Promise<HostId>
  /** Resolves when it has lost all members. */
  readonly parted: Promise<void>
}> {
  const { token } = await inviter.admission.invite({ expiresMs: 60_000, uses: 1, role: 'admin' })
  const seed = freshSeed()
  const { answer } = await redeem(
    parseToken(token, crypto, keyOfSeed) as Token,
    { seed, signer: signerOf(seed), name: 'quiet', networkKey: null },
    witness.mesh.addresses()
  )
  const mesh = await createMesh({
    hostSeed: seed,
    listen: [],
    meshId: answer.root,
    presentation: () => answer.bytes,
    admit: () => true,
    remembered: () => [],
    mdns: false,
    log: () => {}
  })
  stack.defer(() => mesh.close())
  const meet = (host: TestHost): Promise<HostId> =>
    mesh.dial(host.mesh.addresses(), AbortSignal.timeout(5_000))
  const parted = new Promise<void>((resolve) =>
    mesh.on(({ kind }) => {
      if (kind === 'member-disconnected' && mesh.members().length === 0) resolve()
    })
  )
  return { id: mesh.self, meet, parted }
}

/** Whether a host holds a revocation of that one's key. */
function knows({ records }: TestHost, revoked: HostId): boolean {
  const key = publicKeyOf(revoked)
  return records.set.entries('mesh').some((one) => one.kind === 'revocation' && one.body.key === key)
}

test('a host that joined and says nothing is revoked by its id, though who revokes it has never seen it', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, witness] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await rm(rootKeyFile(founder.dir))
  const quiet = await quietHost(founder, witness, stack)
  const out = await founder.admission.revoke(quiet.id, true)
  assert.deepEqual(out, { id: quiet.id, name: quiet.id, isKnown: false, others: [] })
  await until([witness], () => knows(witness, quiet.id))
  for (const member of [founder, witness]) {
    await assert.rejects(quiet.meet(member), refusal('not-a-member'))
    assert.equal(member.mesh.isMember(quiet.id), false)
  }
  assert.deepEqual(
    [founder, witness].map(({ mesh }) => mesh.members().length),
    [1, 1]
  )
  // Once more is no mistake, and takes nothing back.
  assert.equal((await founder.admission.revoke(quiet.id)).isKnown, false)
  await assert.rejects(witness.admission.revoke(quiet.id), refusal('refused'))
})

test('a quiet host that is connected is cut off by every member when it is revoked', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, witness] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  const quiet = await quietHost(founder, witness, stack)
  await quiet.meet(founder)
  await quiet.meet(witness)
  const isIn = ({ mesh }: TestHost): boolean => mesh.isMember(quiet.id)
  await until([founder, witness], () => isIn(founder) && isIn(witness))
  assert.equal(founder.records.view.members.has(quiet.id), false)
  assert.equal((await founder.admission.revoke(quiet.id)).isKnown, true)
  await until([founder, witness], () => !isIn(founder) && !isIn(witness))
  await quiet.parted
  await assert.rejects(quiet.meet(witness), refusal('not-a-member'))
})

test('who stands above nobody revokes no key that it does not know, and an admin not who let it in', async () => {
  await using stack = new AsyncDisposableStack()
  const [first] = (await meshOf(['princeton'], stack)) as [TestHost]
  const { token } = await first.admission.invite({ expiresMs: 60_000, uses: 1, role: 'admin' })
  const dir = joinPath(first.dir, '..', 'admin')
  await join(dir, token, { name: 'admin', listen: ['/ip4/127.0.0.1/tcp/0'] })
  await first.close()
  const admin = await startHost(dir)
  stack.defer(() => admin.close())
  // It has not met the founder, knows nothing of it, and revokes its key.
  assert.equal((await admin.admission.revoke(idOf(first), true)).isKnown, false)
  const founder = await startHost(first.dir)
  stack.defer(() => founder.close())
  await admin.mesh.dial(founder.mesh.addresses(), AbortSignal.timeout(10_000))
  await until([founder, admin], () => knows(founder, idOf(founder)) && admin.records.view.members.size === 2)
  assert.ok(founder.mesh.isMember(idOf(admin)) && admin.mesh.isMember(idOf(founder)))
  assert.equal(founder.records.view.members.size, 2)
})

/** The kinds of all that a host noted so far. */
async function noted({ journal }: TestHost): Promise<readonly string[]> {
  const kinds: string[] = []
  for await (const { kind } of journal.read(false)) kinds.push(kind)
  return kinds
}

async function ownState(host: TestHost): Promise<string | undefined> {
  return (await hosts(host)).find(({ self }) => self)?.state
}

test('a host that was shut out while it was away hears so from whom it meets, says it once, and seeks no more', async () => {
  await using stack = new AsyncDisposableStack()
  // Their invite has a slot for each, so its text is kept and could be used again.
  const [founder, goes, stays] = (await meshOf(['princeton', 'purdue', 'washington'], stack)) as Three
  await goes.close()
  await founder.admission.revoke('purdue')
  await until([stays], () => knows(stays, idOf(goes)))
  const letIn = async (host: TestHost): Promise<number> =>
    (await noted(host)).filter((kind) => kind === 'admitted').length
  const before = [await letIn(founder), await letIn(stays)]
  const back = await startHost(goes.dir)
  stack.defer(() => back.close())
  await until([back], () => back.warned.length > 0)
  assert.match(back.warned[0] ?? '', /shut out of the mesh by princeton on .*: ask for a new invite/)
  assert.equal(await ownState(back), 'revoked')
  await back.seat.look(true)
  await assert.rejects(back.peers.reach(idOf(founder)), refusal('revoked'))
  assert.deepEqual(
    (await noted(back)).filter((kind) => kind === 'shut-out' || kind === 'another-slot'),
    ['shut-out']
  )
  assert.deepEqual([await letIn(founder), await letIn(stays)], before)
  // It knows so after a restart, too, with nobody to tell it.
  await founder.close()
  await stays.close()
  await back.close()
  const again = await startHost(goes.dir)
  stack.defer(() => again.close())
  assert.equal(again.warned.length, 1)
})

test('a key that was shut out is let in by no invite, and nobody says that it was', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder] = (await meshOf(['princeton'], stack)) as [TestHost]
  const { token } = await founder.admission.invite({ expiresMs: 60_000, uses: 2, role: 'member' })
  const seed = freshSeed()
  const enter = (): Promise<unknown> =>
    redeem(
      parseToken(token, crypto, keyOfSeed) as Token,
      { seed, signer: signerOf(seed), name: 'thief', networkKey: null },
      founder.mesh.addresses()
    )
  await enter()
  await founder.admission.revoke(hostIdOf(keyOfSeed(seed)))
  const before = await noted(founder)
  await assert.rejects(enter(), refusal('revoked'))
  assert.deepEqual(await noted(founder), before)
})

test('hosts whose join the revoked one countersigned are named before they are shut out with it, and after', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, witness] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  const { token } = await founder.admission.invite({ expiresMs: 60_000, uses: 1, role: 'member' })
  const { dir } = founder
  await founder.close()
  const inDir = joinPath(dir, '..', 'washington')
  await join(inDir, token, { name: 'washington', listen: ['/ip4/127.0.0.1/tcp/0'] })
  const seen = await startHost(inDir)
  stack.defer(() => seen.close())
  const back = await startHost(dir)
  stack.defer(() => back.close())
  await back.mesh.dial(witness.mesh.addresses(), AbortSignal.timeout(10_000))
  await until([back], () => back.records.view.members.size === 3)
  const others = [{ id: idOf(seen), name: 'washington' }]
  const told = { id: idOf(witness), name: 'purdue', isKnown: true, others }
  assert.deepEqual(await back.admission.revoke('purdue', false, true), told)
  assert.equal(back.records.view.members.size, 3)
  assert.deepEqual(await back.admission.revoke('purdue'), told)
  assert.equal(back.records.view.members.size, 1)
  await until([seen], () => seen.warned.length > 0)
  const events: string[] = []
  for await (const { kind, text } of back.journal.read(false)) if (kind === 'revoked') events.push(text)
  assert.match(events[0] ?? '', /purdue \(.*\) was shut out of the mesh; with it went washington \(/)
})

test('what ran on a host that was shut out, and the end of it, is told with that and by its name', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, goes] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(owner.changes.apply(oneLan('net', ['princeton', 'purdue']), true, 20_000))
  await owner.admission.revoke('purdue')
  await until([owner], () => !owner.mesh.members().includes(idOf(goes)))
  const { entities, stale } = await owner.violins.show('net')
  assert.deepEqual(
    entities.map(({ host, state, reason }) => [host, state, reason]),
    [
      ['princeton', 'running', ''],
      ['purdue', 'unreachable', 'its hosts were shut out of the mesh: apply again to place it']
    ]
  )
  assert.deepEqual(stale, [])
  const said = (await collect(owner.changes.delete('net', 20_000))).flatMap((row) =>
    'text' in row ? [row.text] : []
  )
  assert.deepEqual(said, [
    'its end is signed and stored',
    'purdue is not told: it was shut out of the mesh',
    'net is gone'
  ])
})

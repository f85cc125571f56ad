import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join as joinPath } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Chain, foundChain, renewChain, verifyChain } from '#core/admission/chain.ts'
import { ViolinError } from '#core/errors.ts'
import type { ViolinId, WallTime } from '#core/ids.ts'
import { crypto, signerOf } from '#daemon/crypto.ts'
import { join } from '#daemon/founding.ts'
import { publishHost } from '#daemon/host.ts'
import { loadIdentity, loadRootSeed, rootKeyFile } from '#daemon/identity.ts'
import { collect, meshOf, oneLan, startHost, type TestHost, until } from './hosts.ts'

type Three = [TestHost, TestHost, TestHost]

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

/** So many days from now, for all hosts alike, whose connections do not see that. */
function shiftClock(t: TestContext): (days: number) => void {
  const real = Date.now.bind(Date)
  let shiftMs = 0
  t.mock.method(Date, 'now', () => real() + shiftMs)
  return (days) => (shiftMs = days * dayMs)
}

/** What a daemon does every minute. */
async function say(host: TestHost): Promise<void> {
  const state = { addresses: host.mesh.addresses(), draining: false, left: false }
  await publishHost(host.host, host.records, state)
  await host.renewal.look()
}

/** From its next start on a host listens where it does now. */
async function stay({ dir, mesh }: TestHost): Promise<void> {
  const path = joinPath(dir, 'identity', 'host.json')
  const settings = JSON.parse(await readFile(path, 'utf8')) as object
  const listen = mesh.addresses().map((address) => address.replace(/\/p2p\/.*$/, ''))
  await writeFile(path, JSON.stringify({ ...settings, listen }))
}

function knowEachOther(hosts: readonly TestHost[]): Promise<void> {
  const all = ({ records, mesh }: TestHost): boolean =>
    records.view.members.size === hosts.length && mesh.members().length === hosts.length - 1
  return until(hosts, () => hosts.every(all))
}

test('a host that was off for more than a year is renewed where it was remembered: by its store, or by a copy of its identity alone', async (t) => {
  const pass = shiftClock(t)
  await using stack = new AsyncDisposableStack()
  const [founder, member] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  const membership = member.host.chain
  await member.renewal.look()
  await member.close()
  pass(400)
  await say(founder)
  // Of records none is left that names an admin.
  const back = await startHost(member.dir)
  stack.defer(() => back.close())
  await knowEachOther([founder, back])
  assert.ok(back.host.chain.endsAt > inDays(364))
  await back.close()
  await store(member, membership)
  await rm(joinPath(member.dir, 'store'), { recursive: true })
  const restored = await startHost(member.dir)
  stack.defer(() => restored.close())
  await knowEachOther([founder, restored])
})

test('a copy of the identity that was made right after the join gets back in', async (t) => {
  const pass = shiftClock(t)
  await using stack = new AsyncDisposableStack()
  const [founder] = (await meshOf(['princeton'], stack)) as [TestHost]
  const dir = joinPath(founder.dir, '..', 'purdue')
  const { token } = await founder.admission.invite({ expiresMs: 60_000, uses: 1, role: 'member' })
  await join(dir, token, { name: 'purdue', listen: ['/ip4/127.0.0.1/tcp/0'] })
  pass(400)
  await say(founder)
  const back = await startHost(dir)
  stack.defer(() => back.close())
  await knowEachOther([founder, back])
})

/** A host that is renewed at its start, tried again as by systemd where who was asked did not reach an admin in time. */
async function startedAt(dir: string): Promise<TestHost> {
  for (let left = 5; ; left--) {
    try {
      return await startHost(dir)
    } catch (error: unknown) {
      if (left === 0 || !(error instanceof ViolinError) || error.code !== 'not-a-member') throw error
    }
  }
}

test('a member that is no admin passes the request of a lapsed host on to an admin, which it dials for that', async (t) => {
  const pass = shiftClock(t)
  await using stack = new AsyncDisposableStack()
  const [founder, member, lapsed] = (await meshOf(['princeton', 'purdue', 'chicago'], stack)) as Three
  await lapsed.close()
  pass(200)
  await say(founder)
  await until([member], () => member.records.view.members.has(founder.host.identity.id))
  await member.renewal.look()
  assert.ok(member.host.chain.endsAt > inDays(364))
  pass(400)
  // Where the founder listens now the lapsed host never heard.
  await founder.close()
  const moved = await startHost(founder.dir)
  stack.defer(() => moved.close())
  await say(member)
  await knowEachOther([moved, member])
  for (const { mesh } of [moved, member]) mesh.rest()
  await member.mesh.hangUp(moved.host.identity.id)
  await until([moved, member], () => moved.mesh.members().length + member.mesh.members().length === 0)
  const back = await startedAt(lapsed.dir)
  stack.defer(() => back.close())
  assert.ok(back.host.chain.endsAt > inDays(364))
  // By the founder's own link.
  assert.equal(back.host.chain.path.length, 2)
})

test('a host that is on and alone while its membership ends is renewed once somebody that it remembers is back', async (t) => {
  const pass = shiftClock(t)
  await using stack = new AsyncDisposableStack()
  const [founder, member] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await stay(founder)
  await founder.close()
  await until([member], () => member.mesh.members().length === 0)
  pass(400)
  await member.renewal.look()
  assert.ok(member.host.chain.endsAt < inDays(0))
  const back = await startHost(founder.dir)
  stack.defer(() => back.close())
  await member.renewal.look()
  assert.ok(member.host.chain.endsAt > inDays(364))
})

test('a mesh whose hosts were all off for more than a year comes together again around its founder, lapsed admins included', async (t) => {
  const pass = shiftClock(t)
  await using stack = new AsyncDisposableStack()
  const [founder, member] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  const dir = joinPath(founder.dir, '..', 'admin')
  const { token } = await founder.admission.invite({ expiresMs: 60_000, uses: 1, role: 'admin' })
  await join(dir, token, { name: 'admin', listen: ['/ip4/127.0.0.1/tcp/0'] })
  const admin = await startHost(dir)
  stack.defer(() => admin.close())
  const all = [founder, admin, member]
  await knowEachOther(all)
  for (const host of all) await stay(host)
  for (const host of all) await host.close()
  pass(400)
  const gone = (error: unknown): boolean => error instanceof ViolinError && error.code === 'not-a-member'
  for (const host of [admin, member]) await assert.rejects(startHost(host.dir), gone)
  const again: TestHost[] = []
  for (const host of all) {
    const started = await startHost(host.dir)
    stack.defer(() => started.close())
    again.push(started)
  }
  await knowEachOther(again)
  assert.equal(again[1]?.host.chain.role, 'admin')
  for (const { host } of again) assert.ok(host.chain.endsAt > inDays(364))
})

test('the founding host renews itself by the root key where it lies here, and tells its end where it does not, whatever cannot be written', async (t) => {
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
  t.mock.method(rootless.renewal, 'resign', () => Promise.reject(new Error('no space left on the disk')))
  await rootless.renewal.look()
  await rootless.renewal.look()
  const told: string[] = []
  for await (const { kind } of rootless.journal.read(false)) told.push(kind)
  assert.deepEqual(told.filter((kind) => kind === 'membership-ends').length, 1)
})

test('who was shut out stays so: past a renewal that it kept to itself, and for years while who did it is there', async (t) => {
  const pass = shiftClock(t)
  await using stack = new AsyncDisposableStack()
  const [founder, host, owner] = (await meshOf(['princeton', 'purdue', 'washington'], stack)) as Three
  await collect(owner.changes.apply(oneLan('net', ['washington']), true, 20_000))
  pass(180)
  for (const one of [founder, host, owner]) await say(one)
  await until([founder], () => founder.records.view.members.size === 3)
  const wish = { role: 'member', notAfter: inDays(365) } as const
  const { host: signer } = founder.host.identity
  const hidden = renewChain(founder.host.chain, signer, host.host.chain, wish, crypto)
  await Promise.all([host, owner].map((one) => one.close()))
  await founder.admission.revoke('purdue')
  // Also where nobody is left who would sign it anew.
  const lasts = founder.records.set.revocationOf(hidden)?.endsAt ?? 0
  assert.ok(lasts >= hidden.endsAt + 90 * dayMs, `${(hidden.endsAt - lasts) / dayMs} days`)
  const { owner: key } = owner.host.identity
  await founder.admission.revokeOwner(key.publicKey, [owner.host.identity.id], 'washington')
  for (const day of [400, 600, 644, 800, 1_000, 1_200]) {
    pass(day)
    founder.records.tick()
    const of = (chain: Chain): boolean => founder.records.set.revocationOf(chain) !== null
    assert.deepEqual([of(hidden), of(owner.host.ownerChain)], [true, true], `on day ${day}`)
    await say(founder)
  }
})

test('what the root key shut out is told when it ends, where that key is put away, and lasts when it is back', async (t) => {
  const pass = shiftClock(t)
  await using stack = new AsyncDisposableStack()
  const [founder, host] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  const key = await readFile(rootKeyFile(founder.dir))
  await host.close()
  // The founder let it in: only as the root does it shut that one out by the root key.
  const root = signerOf((await loadRootSeed(founder.dir)) as Uint8Array)
  const { set } = founder.records
  const body = { key: host.host.identity.host.publicKey, andBelow: false, target: host.host.chain.links }
  const draft = { kind: 'revocation', version: 1, issuedAt: inDays(0), expiresAt: inDays(400), body } as const
  await founder.records.publish({ ...draft, chain: null }, root)
  const told = async (): Promise<string[]> => {
    const texts: string[] = []
    for await (const { text } of founder.journal.read(false))
      if (text.includes('root key shut')) texts.push(text)
    return texts
  }
  await rm(rootKeyFile(founder.dir))
  pass(385)
  await say(founder)
  await say(founder)
  assert.equal((await told()).length, 1)
  await writeFile(rootKeyFile(founder.dir), key)
  await say(founder)
  pass(420)
  assert.notEqual(set.revocationOf(host.host.chain), null)
})

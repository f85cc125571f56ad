import assert from 'node:assert/strict'
import { access, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { test } from 'node:test'
import { ViolinError } from '#core/errors.ts'
import { found, identifyBeforeJoin, join } from '#daemon/founding.ts'
import { rootKeyFile } from '#daemon/identity.ts'
import { meshOf, startHost, type TestHost, until } from './hosts.ts'

function refusal(code: string): (error: unknown) => boolean {
  return (error) => error instanceof ViolinError && error.code === code && !error.message.includes('\n')
}

async function folder(stack: AsyncDisposableStack): Promise<string> {
  const dir = await mkdtemp(joinPath(tmpdir(), 'violin-founding-'))
  stack.defer(() => rm(dir, { recursive: true, force: true }))
  return dir
}

const missing = (path: string): Promise<boolean> =>
  access(path).then(
    () => false,
    () => true
  )

test('founding a mesh leaves keys that only their user can read, once', async () => {
  await using stack = new AsyncDisposableStack()
  const dir = await folder(stack)
  await found(dir, { name: 'princeton' })
  assert.equal((await stat(rootKeyFile(dir))).mode & 0o777, 0o600)
  const before = await readFile(rootKeyFile(dir), 'utf8')
  await assert.rejects(found(dir, { name: 'other' }), refusal('already-initialised'))
  assert.equal(await readFile(rootKeyFile(dir), 'utf8'), before)
})

test('a name that a shell or a path could misread founds nothing', async () => {
  await using stack = new AsyncDisposableStack()
  const dir = joinPath(await folder(stack), 'host')
  for (const name of ['../x', 'a b', '-rf', '', 'A', 'ü', 'a'.repeat(200)]) {
    await assert.rejects(found(dir, { name }), refusal('usage'), name)
    assert.ok(await missing(dir))
  }
})

test('a token lets in as many hosts as it has uses, and no host more', async () => {
  await using stack = new AsyncDisposableStack()
  const [inviter] = (await meshOf(['princeton'], stack)) as [TestHost]
  const { token } = await inviter.admission.invite({ expiresMs: 60_000, uses: 2, role: 'member' })
  const dir = await folder(stack)
  await join(joinPath(dir, 'a'), token, { name: 'a' })
  await join(joinPath(dir, 'b'), token, { name: 'b' })
  await assert.rejects(join(joinPath(dir, 'c'), token, { name: 'c' }), refusal('token-used-up'))
  assert.ok(await missing(joinPath(dir, 'c')))
})

test('an invite for one host lets that host in, which tells its id before, and no other', async () => {
  await using stack = new AsyncDisposableStack()
  const [inviter] = (await meshOf(['princeton'], stack)) as [TestHost]
  const dir = await folder(stack)
  const { id } = await identifyBeforeJoin(joinPath(dir, 'a'))
  assert.equal((await identifyBeforeJoin(joinPath(dir, 'a'))).id, id)
  assert.equal((await stat(joinPath(dir, 'a', 'join.key'))).mode & 0o777, 0o600)
  const { token } = await inviter.admission.invite({ expiresMs: 60_000, uses: 1, role: 'member', for: id })
  await assert.rejects(join(joinPath(dir, 'b'), token, { name: 'b' }), ViolinError)
  assert.equal((await join(joinPath(dir, 'a'), token, { name: 'a' })).id, id)
  assert.ok(await missing(joinPath(dir, 'a', 'join.key')))
  await assert.rejects(identifyBeforeJoin(joinPath(dir, 'a')), refusal('already-initialised'))
})

test('a token that was altered, cut short, taken back, or is nobody reachable, leaves nothing half-made', async () => {
  await using stack = new AsyncDisposableStack()
  const [inviter] = (await meshOf(['princeton'], stack)) as [TestHost]
  const { token } = await inviter.admission.invite({ expiresMs: 60_000, uses: 5, role: 'member' })
  const dir = joinPath(await folder(stack), 'host')
  const at = Math.floor(token.length / 2)
  const altered = `${token.slice(0, at)}${token[at] === 'a' ? 'b' : 'a'}${token.slice(at + 1)}`
  for (const bad of [altered, token.slice(0, -9), 'hello', '']) {
    await assert.rejects(join(dir, bad, { name: 'a' }), refusal('token-malformed'))
    assert.ok(await missing(dir))
  }
  await inviter.admission.cancel(token)
  await assert.rejects(join(dir, token, { name: 'a' }), refusal('token-revoked'))
  const second = await inviter.admission.invite({ expiresMs: 60_000, uses: 1, role: 'member' })
  await inviter.close()
  await assert.rejects(join(dir, second.token, { name: 'a' }), refusal('nobody-reachable'))
  assert.ok(await missing(dir))
})

test('an invite is taken back by who made it or stands above, and another is told who that is', async () => {
  await using stack = new AsyncDisposableStack()
  const [inviter, member] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  const { token } = await inviter.admission.invite({ expiresMs: 60_000, uses: 5, role: 'member' })
  await assert.rejects(
    member.admission.cancel(token),
    (error) =>
      error instanceof ViolinError && error.code === 'refused' && /princeton made it/.test(error.message)
  )
  await rename(rootKeyFile(inviter.dir), rootKeyFile(member.dir))
  await member.admission.cancel(token)
  const dir = joinPath(await folder(stack), 'host')
  await until([inviter], () => inviter.records.view.revoked.size === 1)
  await assert.rejects(join(dir, token, { name: 'a' }), refusal('token-revoked'))
})

test('who took an invite back hears of a host that used it where that was not known yet', async () => {
  await using stack = new AsyncDisposableStack()
  const [inviter, member] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  const { token } = await inviter.admission.invite({ expiresMs: 60_000, uses: 5, role: 'member' })
  const again = async ({ dir }: { dir: string }): Promise<TestHost> => {
    const host = await startHost(dir)
    stack.defer(() => host.close())
    return host
  }
  await inviter.close()
  const dir = joinPath(await folder(stack), 'host')
  await join(dir, token, { name: 'late' })
  const late = await again({ dir })
  await late.mesh.dial(member.mesh.addresses(), AbortSignal.timeout(10_000))
  await until([member], () => member.records.view.members.size === 3)
  await late.close()
  await member.close()
  const back = await again(inviter)
  await back.admission.cancel(token)
  const knows = await again(member)
  await knows.mesh.dial(back.mesh.addresses(), AbortSignal.timeout(10_000))
  await until([back], () => back.records.view.members.size === 3)
  const told = []
  for await (const { kind, text } of back.journal.read(false)) if (kind === 'invite-used') told.push(text)
  assert.equal(told.length, 1)
  assert.match(told[0] as string, /^late used an invite that was taken back here/)
})

test("an invite's end is strict by the clock of the member that is asked", async () => {
  await using stack = new AsyncDisposableStack()
  const [inviter] = (await meshOf(['princeton'], stack)) as [TestHost]
  // Ends are told in whole seconds: less than one is over at once.
  const { token } = await inviter.admission.invite({ expiresMs: 1, uses: 1, role: 'member' })
  const dir = joinPath(await folder(stack), 'host')
  await assert.rejects(join(dir, token, { name: 'a' }), refusal('token-expired'))
})

test('a plain member may not invite', async () => {
  await using stack = new AsyncDisposableStack()
  const [, member] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await assert.rejects(
    () => member.admission.invite({ expiresMs: 60_000, uses: 1, role: 'member' }),
    refusal('refused')
  )
})

import assert from 'node:assert/strict'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { test } from 'node:test'
import { ViolinError } from '#core/errors.ts'
import { found, join } from '#daemon/founding.ts'
import { loadIdentity } from '#daemon/identity.ts'
import { createMesh } from '#mesh/mesh.ts'
import { startHost, until } from './hosts.ts'

const listen = ['/ip4/127.0.0.1/tcp/0']
const told = (pattern: RegExp) => (error: unknown) =>
  error instanceof ViolinError && pattern.test(error.message)

test('into a closed network come only hosts with its key; a wrong one is told at once, not by silence', async () => {
  await using stack = new AsyncDisposableStack()
  const dir = await mkdtemp(joinPath(tmpdir(), 'violin-network-'))
  stack.defer(() => rm(dir, { recursive: true, force: true }))
  const at = (name: string): string => joinPath(dir, name)
  await found(at('a'), { name: 'a', listen, networkKey: 'new' })
  const keyFile = joinPath(at('a'), 'identity', 'network.key')
  assert.equal((await stat(keyFile)).mode & 0o777, 0o600)
  const a = await startHost(at('a'))
  stack.defer(() => a.close())
  const wish = { expiresMs: 60_000, uses: 4, role: 'member' } as const
  const whole = (await a.admission.invite(wish)).token
  const bare = (await a.admission.invite({ ...wish, withoutNetworkKey: true })).token
  const started = performance.now()
  const wrong = at('wrong.key')
  await writeFile(wrong, '00'.repeat(32))
  await assert.rejects(join(at('x'), bare, { listen }), told(/does not carry it/))
  for (const token of [whole, bare])
    await assert.rejects(join(at('x'), token, { listen, networkKey: wrong }), told(/is not the mesh's/))
  await assert.rejects(join(at('x'), bare, { listen, networkKey: at('none') }), told(/holds no network key/))
  assert.ok(performance.now() - started < 1_000)
  await join(at('b'), whole, { name: 'b', listen })
  await join(at('c'), bare, { name: 'c', listen, networkKey: keyFile })
  const b = await startHost(at('b'))
  stack.defer(() => b.close())
  const c = await startHost(at('c'))
  stack.defer(() => c.close())
  for (const one of [b, c]) await one.mesh.dial(a.mesh.addresses(), AbortSignal.timeout(10_000))
  await until([a, b, c], () => [a, b, c].every(({ records }) => records.view.members.size === 3))
  // Who has no key gets no further than the TCP connection, however good its membership.
  const { host, hostSeed, mesh: meshId } = await loadIdentity(at('b'))
  await b.close()
  const presentation = (): Uint8Array => b.host.chain.bytes
  const open = {
    hostSeed,
    listen: [],
    meshId,
    presentation,
    admit: () => true,
    remembered: () => [],
    mdns: false
  }
  const keyless = await createMesh({ ...open, log: () => {} })
  stack.defer(() => keyless.close())
  await assert.rejects(keyless.dial(a.mesh.addresses(), AbortSignal.timeout(2_000)))
  assert.ok(host.publicKey.length > 0 && keyless.members().length === 0)
})

test('a mesh without a network key takes none', async () => {
  await using stack = new AsyncDisposableStack()
  const dir = await mkdtemp(joinPath(tmpdir(), 'violin-network-'))
  stack.defer(() => rm(dir, { recursive: true, force: true }))
  await found(joinPath(dir, 'a'), { name: 'a', listen })
  const a = await startHost(joinPath(dir, 'a'))
  stack.defer(() => a.close())
  const { token } = await a.admission.invite({ expiresMs: 60_000, uses: 1, role: 'member' })
  const networkKey = joinPath(dir, 'any.key')
  await writeFile(networkKey, 'ab'.repeat(32))
  await assert.rejects(join(joinPath(dir, 'b'), token, { listen, networkKey }), told(/has no network key/))
})

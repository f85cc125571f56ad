/** Closed networks of real daemons: a wrong key, a missing one and one too many are told at once, wherever it shows. */
import assert from 'node:assert/strict'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import type { HostRow } from '#api/contract.ts'
import type { LabHost } from '#lab/host.ts'
import { Lab } from '#lab/lab.ts'
import { nearMs, refused, succeeded, until } from './world.ts'

const lab = await Lab.create(['closed', 'open', 'guest'].map((name) => ({ name, delayMs: nearMs })))
after(() => lab[Symbol.asyncDispose]())
const [closed, open, guest] = [lab.host('closed'), lab.host('open'), lab.host('guest')]

const wrongKey = '00'.repeat(32)
const keyOf = (host: LabHost): string => join(host.folder, 'identity', 'network.key')

async function invite(host: LabHost, ...flags: readonly string[]): Promise<string> {
  return ((await host.json('invite', '--uses', '8', ...flags)) as { token: string }).token
}

async function joins(token: string, ...flags: readonly string[]): Promise<void> {
  await rm(guest.folder, { recursive: true, force: true })
  succeeded(await guest.try(['join', '-', '--name', 'guest', ...flags], { input: token }))
}

/** Starts the guest's daemon, which must say by itself what is wrong, as `violin doctor` does. */
async function told(t: TestContext, what: RegExp): Promise<void> {
  await guest.startDaemon()
  const began = performance.now()
  await until(
    `a word of ${what.source}`,
    () => guest.try(['doctor']),
    ({ stdout }) => what.test(stdout)
  )
  t.diagnostic(`told ${Math.round(performance.now() - began)} ms after its daemon was up`)
  assert.match(await readFile(guest.log, 'utf8'), what)
  await guest.stopDaemon()
}

/** The guest's daemon meets the other one. */
async function meets(): Promise<void> {
  await guest.startDaemon()
  await until(
    'the other host',
    async () => (await guest.json('hosts')) as HostRow[],
    (rows) => rows.filter(({ state }) => state === 'alive').length === 2
  )
  await guest.stopDaemon()
}

test('a closed network and an open one, each with an invite', async () => {
  await closed.violin('init', '--name', 'closed', '--network-key', 'new')
  await open.violin('init', '--name', 'open')
  for (const host of [closed, open]) await host.startDaemon()
})

test('a join with a wrong key, without one, or with one too many is refused before anything is made', async () => {
  const bare = await invite(closed, '--without-network-key')
  const file = join(guest.folder, '..', 'wrong.key')
  await writeFile(file, wrongKey)
  for (const [token, flags, why] of [
    [bare, [], /does not carry it/],
    [bare, ['--network-key', file], /is not the mesh's/],
    [await invite(closed), ['--network-key', file], /is not the mesh's/],
    [await invite(open), ['--network-key', file], /has no network key/]
  ] as const)
    refused(await guest.try(['join', '-', '--name', 'guest', ...flags], { input: token }), why)
})

test('a daemon with another key than its mesh, or without one, says so; with the right one it meets the others', async (t) => {
  await joins(await invite(closed, '--without-network-key'), '--network-key', keyOf(closed))
  await meets()
  const right = `${keyOf(guest)}.right`
  await rename(keyOf(guest), right)
  await told(t, /members have a network key, and this host has none/)
  await writeFile(keyOf(guest), wrongKey, { mode: 0o600 })
  await told(t, /members have another network key than this host's \([0-9a-f]+\)/)
  await rename(right, keyOf(guest))
  await meets()
})

test('a daemon with a key in an open mesh says so', async (t) => {
  await joins(await invite(open))
  await writeFile(keyOf(guest), wrongKey, { mode: 0o600 })
  await told(t, /members have no network key, and this host has one/)
  await rm(keyOf(guest))
  await meets()
})

test('a join to a host that has another key than its invite says is refused by what it hears', async () => {
  const token = await invite(open)
  await open.stopDaemon()
  await writeFile(keyOf(open), wrongKey, { mode: 0o600 })
  await open.startDaemon()
  await rm(guest.folder, { recursive: true, force: true })
  const began = performance.now()
  refused(
    await guest.try(['join', '-', '--name', 'guest'], { input: token }),
    /a closed network, and this one has no key/
  )
  // A member that does not answer is waited for ten seconds.
  assert.ok(performance.now() - began < 10_000)
})

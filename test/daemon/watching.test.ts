import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { createInterface } from 'node:readline'
import { test, type TestContext } from 'node:test'
import { setTimeout as after } from 'node:timers/promises'
import { join } from '#daemon/founding.ts'
import type { HostId } from '#core/ids.ts'
import { meshOf, until, type TestHost } from './hosts.ts'

const names = ['princeton', 'purdue', 'washington']
const victim = 'victim'
/** A bound on a test that fails; how long it took is printed. */
const patience = { timeout: 180_000 }

/** A host in a process of its own that all others are connected to. */
async function killable(
  others: readonly TestHost[],
  stack: AsyncDisposableStack
): Promise<{ readonly id: HostId; readonly child: () => ChildProcess; readonly start: () => Promise<void> }> {
  const dir = await mkdtemp(joinPath(tmpdir(), 'violin-victim-'))
  stack.defer(() => rm(dir, { recursive: true, force: true }))
  const [founder] = others as [TestHost]
  const { token } = await founder.admission.invite({ expiresMs: 60_000, uses: 1, role: 'member' })
  await join(dir, token, { name: victim, listen: ['/ip4/127.0.0.1/tcp/0'] })
  let child: ChildProcess | null = null
  let id = '' as HostId
  const end = async (): Promise<void> => {
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  stack.defer(end)
  const start = async (): Promise<void> => {
    await end()
    const file = new URL('./killed-host.ts', import.meta.url).pathname
    const started = spawn(process.execPath, [file, dir], { stdio: ['ignore', 'pipe', 'inherit'] })
    child = started
    const [line] = (await once(createInterface(started.stdout), 'line')) as [string]
    id = line as HostId
    await until(others, () =>
      others.every(({ mesh, records }) => mesh.isMember(id) && records.view.members.has(id))
    )
  }
  await start()
  return { id, child: () => child as unknown as ChildProcess, start }
}

/** Resolves when a host has told of the victim in this way so often. */
async function told({ journal }: TestHost, kind: string, times = 1): Promise<void> {
  let count = 0
  for await (const row of journal.read(true))
    if (row.kind === kind && row.text.startsWith(victim) && ++count === times) return
}

async function takes(t: TestContext, what: string, wait: Promise<unknown>): Promise<void> {
  const begin = performance.now()
  await wait
  t.diagnostic(`${what} after ${Math.round(performance.now() - begin)} ms`)
}

for (const count of [1, 3]) {
  test(
    `a host that is killed is dead for ${count} others, and alive when it is back`,
    patience,
    async (t) => {
      await using stack = new AsyncDisposableStack()
      const others = await meshOf(names.slice(0, count), stack)
      const { id, child, start } = await killable(others, stack)
      for (const { peers } of others)
        assert.deepEqual([peers.stateOf(id), peers.lostForMs(id)], ['alive', null])
      for (const times of [1, 2]) {
        child().kill('SIGKILL')
        await takes(t, 'dead', Promise.all(others.map((host) => told(host, 'host-lost', times))))
        for (const { peers } of others) {
          assert.equal(peers.stateOf(id), 'dead')
          assert.ok((peers.lostForMs(id) ?? 0) > 1_000)
          assert.equal(peers.isolated, false)
        }
        await start()
        await takes(t, 'back', Promise.all(others.map((host) => told(host, 'host-back', times))))
        for (const { peers } of others) assert.equal(peers.stateOf(id), 'alive')
      }
    }
  )
}

test(
  'a host that is frozen for 300 ms again and again is suspected by nobody, and frozen for long is dead',
  patience,
  async (t) => {
    await using stack = new AsyncDisposableStack()
    const others = await meshOf(names, stack)
    const { id, child } = await killable(others, stack)
    for (let round = 0; round < 8; round++) {
      child().kill('SIGSTOP')
      await after(300)
      child().kill('SIGCONT')
      await after(300)
    }
    for (const { journal, peers } of others) {
      assert.equal(peers.stateOf(id), 'alive')
      for await (const { kind, text } of journal.read(false))
        assert.doesNotMatch(kind, /^host-(suspect|lost)$/, text)
    }
    child().kill('SIGSTOP')
    await takes(t, 'dead', Promise.all(others.map((host) => told(host, 'host-lost'))))
    child().kill('SIGCONT')
    await takes(t, 'back', Promise.all(others.map((host) => told(host, 'host-back'))))
    for (const { peers } of others) assert.equal(peers.stateOf(id), 'alive')
  }
)

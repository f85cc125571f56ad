import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { bytes, join, node, soon, text } from './nodes.ts'
import { relayTo } from './relay.ts'
import type { HostId } from '#core/ids.ts'

/** Pings quick enough for a test; the defaults are 1 s and 2.5 s. */
const quick = { pingIntervalMs: 50, pingTimeoutMs: 250, lostDialMs: 20, maxLostDialMs: 100 }

interface Child extends AsyncDisposable {
  readonly id: HostId
  readonly addresses: readonly string[]
  kill(signal: NodeJS.Signals): void
  readonly ended: Promise<unknown>
}

/** A member in a process of its own, which a test can kill. */
async function child(seed: string, port: number, remembered: readonly string[] = []): Promise<Child> {
  const file = new URL('./member.ts', import.meta.url).pathname
  const started = spawn(process.execPath, [file, seed, String(port), ...remembered], {
    stdio: ['pipe', 'pipe', 'inherit']
  })
  const ended = once(started, 'exit')
  const [line] = (await once(createInterface(started.stdout), 'line', { signal: soon() })) as [string]
  const { id, addresses } = JSON.parse(line) as { id: HostId; addresses: string[] }
  return {
    id,
    addresses,
    ended,
    kill: (signal) => started.kill(signal),
    [Symbol.asyncDispose]: async () => {
      started.kill('SIGKILL')
      await ended
    }
  }
}

const portOf = (addresses: readonly string[]): number => Number(/tcp\/(\d+)/.exec(addresses[0] ?? '')?.[1])

test('a member that is killed is lost at once, and a member again when it is back', async () => {
  // Pings that would take far longer than the test: the kernel's reset tells.
  await using a = await node('a', { bounds: { ...quick, pingIntervalMs: 60_000, pingTimeoutMs: 60_000 } })
  let port = 0
  {
    await using b = await child('b', 0)
    port = portOf(b.addresses)
    await a.mesh.dial(b.addresses, soon())
    await a.event('member-connected', b.id)
    b.kill('SIGKILL')
    await a.event('member-disconnected', b.id)
    assert.deepEqual(a.mesh.members(), [])
    a.forget()
  }
  // It remembers nobody: whoever lost it finds it.
  await using b = await child('b', port)
  await a.event('member-connected', b.id)
  assert.equal(text(await a.mesh.request(b.id, 'echo', bytes('x'), soon())), 'x')
})

test('a member whose host stands still is lost after the silence, and a member again when it goes on', async () => {
  await using a = await node('a', { bounds: quick })
  await using b = await child('b', 0)
  await a.mesh.dial(b.addresses, soon())
  await a.event('member-connected', b.id)
  b.kill('SIGSTOP')
  await a.event('member-disconnected', b.id)
  a.forget()
  b.kill('SIGCONT')
  await a.event('member-connected', b.id)
  assert.equal(text(await a.mesh.request(b.id, 'echo', bytes('x'), soon())), 'x')
})

test('a path that swallows everything in silence is noticed on both sides', async () => {
  await using a = await node('a', { bounds: quick })
  await using b = await node('b', { bounds: quick })
  await using path = await relayTo(b)
  await a.mesh.dial([path.address], soon())
  await Promise.all([a.event('member-connected', b.id), b.event('member-connected', a.id)])
  path.silence()
  await Promise.all([a.event('member-disconnected', b.id), b.event('member-disconnected', a.id)])
  // Both go on by the addresses that they told each other.
  a.forget()
  await a.event('member-connected', b.id)
})

test('a member that was hung up is not dialled again, and one that refuses is not dialled for ever', async () => {
  await using a = await node('a', { bounds: quick })
  const refusing = { member: true }
  await using b = await node('b', { bounds: quick, admit: () => refusing.member })
  await join(a, b)
  refusing.member = false
  await b.mesh.hangUp(a.id)
  assert.deepEqual(b.mesh.members(), [])
  // The one that did not hang up tries once, is refused, and gives up.
  await a.event('member-disconnected', b.id)
  await a.logs('peer not reached')
  assert.deepEqual([a.mesh.members(), b.mesh.members()], [[], []])
})

test('a remembered peer is dialled at the start, and one that was not there is found later', async () => {
  await using b = await node('b')
  await using a = await node('a', { remembered: () => [{ id: b.id, addresses: b.mesh.addresses() }] })
  await Promise.all([a.event('member-connected', b.id), b.event('member-connected', a.id)])
  const gone = await node('c')
  const addresses = gone.mesh.addresses()
  await gone.mesh.close()
  await using d = await node('d', {
    remembered: () => [{ id: gone.id, addresses }],
    bounds: { ...quick, redialMs: 50 }
  })
  await d.logs('peer not reached')
  await using c = await node('c', { listen: [`/ip4/127.0.0.1/tcp/${portOf(addresses)}`] })
  await d.event('member-connected', c.id)
})

test('the round trip to a member is measured, and forgotten with it', async () => {
  await using a = await node('a')
  const b = await node('b')
  await join(a, b)
  assert.equal(a.mesh.rttMs(a.id), null)
  await new Promise<void>((resolve) => {
    const look = setInterval(() => {
      if (a.mesh.rttMs(b.id) === null) return
      clearInterval(look)
      resolve()
    }, 5)
  })
  assert.ok((a.mesh.rttMs(b.id) ?? 0) > 0)
  await b.mesh.close()
  await a.event('member-disconnected', b.id)
  assert.equal(a.mesh.rttMs(b.id), null)
})

test('a process whose mesh is closed ends by itself', async () => {
  await using b = await child('b', 0)
  b.kill('SIGTERM')
  assert.deepEqual(await b.ended, [0, null])
})

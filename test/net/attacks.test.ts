/**
 * Attacks on real daemons in namespaces: a hijacked member, and a stranger. Before and after each the honest hosts
 * are asked by their API; during each they serve, and the host that is attacked stays within its memory.
 */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { after, test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { HostRow, ListRow } from '#api/contract.ts'
import { apply, exec, inside, meshOf, remove, show, succeeded } from '../e2e/world.ts'

const lab = await meshOf('victim', 'honest', 'member')
after(() => lab[Symbol.asyncDispose]())
const [victim, honest, member] = [lab.host('victim'), lab.host('honest'), lab.host('member')]

const program = fileURLToPath(new URL('rogue/main.ts', import.meta.url))
/** How long each attack goes on, seconds. */
const seconds = 4
/** What a daemon may take above what it had, at the height of an attack, MiB. */
const maxGrowthMiB = 200

const topology = (name: string, change = ''): string => `
name: ${name}
driver: netns
lans:
  lan1: { subnet: 10.0.0.0/24 }
hosts:
  a: { lan: lan1, on: victim }
  b: { lan: lan1, on: honest }
${change}`

function daemonOf(host: typeof victim): number {
  const [daemon] = host.daemonProcesses()
  assert.ok(daemon !== undefined, `the daemon of ${host.name} is gone`)
  return daemon.pid
}

/** Resident memory now, or at its height since {@link forgetHeight}, MiB. */
function memoryMiB(pid: number, which: 'VmRSS' | 'VmHWM'): number {
  const line = new RegExp(`${which}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  return Number(line?.[1]) / 1024
}

function forgetHeight(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

type Did = Readonly<Record<string, number>>

/** Runs an attack on the victim while honest hosts work; gives what the attacker did. */
async function withstand(t: TestContext, attack: string, ...more: readonly string[]): Promise<Did> {
  const pid = daemonOf(victim)
  const before = memoryMiB(pid, 'VmRSS')
  forgetHeight(pid)
  const hosts = await names()
  const argv = [process.execPath, program, attack, String(seconds), member.folder, victim.address, ...more]
  let over = false
  const attacking = member.run(argv, { timeoutMs: 60_000 }).finally(() => (over = true))
  let served = 0
  do {
    // Through the attacked host's daemon, and between the entities of both.
    assert.equal(await inside(honest, 'net/a', 'hostname'), 'a')
    const ping = await exec(honest, 'net/a', 'ping', '-c', '1', '-W', '3', '10.0.0.2')
    assert.equal(ping.status, 0, ping.stdout + ping.stderr)
    served++
  } while (!over)
  const outcome = succeeded(await attacking)
  const growth = memoryMiB(pid, 'VmHWM') - before
  t.diagnostic(
    `${attack}: ${outcome.stdout.trim()}, ${served} rounds served, ${growth.toFixed(0)} MiB at its height`
  )
  assert.equal(daemonOf(victim), pid, 'the daemon is another one')
  assert.ok(growth < maxGrowthMiB, `${growth} MiB`)
  // A change of a VIOLIN still reaches both.
  await apply(honest, topology('after'))
  assert.equal(await inside(honest, 'after/a', 'hostname'), 'a')
  await remove(honest, 'after')
  assert.deepEqual(await names(), hosts)
  return JSON.parse(outcome.stdout) as Did
}

/** What the honest host knows of hosts and VIOLINs, without what changes by itself. */
async function names(): Promise<unknown> {
  const hosts = (await honest.json('hosts')) as HostRow[]
  const violins = (await honest.json('list')) as ListRow[]
  return [hosts.map(({ name, id }) => [name, id]), violins.map(({ name, id }) => [name, id])]
}

test('the mesh runs, and the member’s daemon makes room for another program', async () => {
  await apply(honest, topology('net'))
  await member.stopDaemon()
})

test('forged, replayed, truncated, oversize and future records change nothing on any host', async (t) => {
  const did = await withstand(t, 'records')
  assert.ok((did['wrong'] ?? 0) > 20)
  const rows = (await victim.json('hosts')) as HostRow[]
  assert.deepEqual(rows.map(({ name }) => name).toSorted(), ['honest', 'member', 'victim'])
  assert.equal((await show(honest, 'net')).entities.length, 2)
})

for (const [attack, what] of Object.entries({
  topics: 'subscriptions to topics without end',
  messages: 'messages of all topics as fast as they go out',
  controls: 'control messages with ids without end and measure',
  streams: 'requests that begin and never end',
  junk: 'bytes that mean nothing, on every protocol',
  pointers: 'pointers of others in the DHT that nobody signed'
})) {
  test(`a member that sends ${what} keeps nobody from working`, async (t) => {
    const did = await withstand(t, attack)
    if (attack !== 'pointers') return
    assert.equal(did['taken'], 0)
    // What its author signed is taken, whoever brings it: so the others were understood.
    assert.ok((did['genuine'] ?? 0) > 0)
  })
}

test('a member that says of all others that they are dead buries nobody', async (t) => {
  let sampling = true
  const dead: string[] = []
  const sampled = (async () => {
    while (sampling)
      for (const at of [honest, victim])
        for (const { name, state } of (await at.json('hosts')) as HostRow[])
          if (name !== 'member' && state === 'dead') dead.push(`${name} at ${at.name}`)
  })()
  try {
    await withstand(t, 'deaths')
  } finally {
    sampling = false
    await sampled
  }
  assert.deepEqual(dead, [])
})

test('thousands of connections that go no further than their beginning keep nobody out', async (t) => {
  const did = await withstand(t, 'half-open')
  assert.ok((did['opened'] ?? 0) > 100)
})

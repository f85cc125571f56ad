/**
 * Attacks on real daemons in namespaces: a hijacked member, and a stranger. Before and after each the honest hosts
 * are asked by their API; during each they serve, and the host that is attacked stays within its memory.
 */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { after, test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { HostRow, ListRow, Show } from '#api/contract.ts'
import { outcomeOf, type Outcome } from '#lab/host.ts'
import { join } from '#lab/lab.ts'
import { apply, exec, inside, jails, meshOf, refused, remove, show, succeeded, until } from '../e2e/world.ts'
import { foundedNames } from './rogue/violins.ts'

const lab = await meshOf('victim', 'honest', 'member')
after(() => lab[Symbol.asyncDispose]())
const [victim, honest, member] = [lab.host('victim'), lab.host('honest'), lab.host('member')]

const program = fileURLToPath(new URL('rogue/main.ts', import.meta.url))
/** How long each attack goes on, seconds. */
const seconds = 3
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

const three = `
name: three
driver: netns
lans:
  lan1: { subnet: 10.0.3.0/24 }
hosts:
  a: { lan: lan1, on: victim }
  b: { lan: lan1, on: honest }
  c: { lan: lan1, on: member }
`

const alone = (name: string, ...hosts: readonly string[]): string => `
name: ${name}
driver: netns
lans:
  lan1: { subnet: 10.0.4.0/24 }
hosts:
${hosts.map((host) => `  ${host}: { lan: lan1, on: honest }`).join('\n')}
`

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
  let over = false
  const attacking = attacker(attack, seconds, ...more).finally(() => (over = true))
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

/** Runs a program of the member's to its end. */
function attacker(attack: string, forSeconds: number, ...words: readonly string[]): Promise<Outcome> {
  return member.run(argvOf(attack, forSeconds, words), { timeoutMs: 60_000 })
}

/** Starts a program of the member's; resolves once its members are in place. */
async function inPlace(
  attack: string,
  forSeconds: number,
  ...words: readonly string[]
): Promise<ChildProcess> {
  const child = member.spawn(argvOf(attack, forSeconds, words))
  const placed = Promise.withResolvers<ChildProcess>()
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString()
    if (said.includes('in place')) placed.resolve(child)
  })
  child.once('close', (status) => placed.reject(new Error(`${attack} ended with status ${status}: ${said}`)))
  return placed.promise
}

function argvOf(attack: string, forSeconds: number, words: readonly string[]): string[] {
  return [process.execPath, program, attack, String(forSeconds), member.folder, victim.address, ...words]
}

function hostsAt(host: typeof victim): Promise<HostRow[]> {
  return host.json('hosts') as Promise<HostRow[]>
}

/** What the honest host knows of the lab's hosts and of its own VIOLINs, without what changes by itself. */
async function names(): Promise<unknown> {
  const hosts = (await hostsAt(honest)).filter(({ name }) => lab.hosts.some((host) => host.name === name))
  const violins = ((await honest.json('list')) as ListRow[]).filter(({ mine }) => mine)
  return [hosts.map(({ name, id }) => [name, id]), violins.map(({ name, id }) => [name, id])]
}

test('the mesh runs, and the member’s daemon makes room for another program', async () => {
  await apply(honest, topology('net'))
  await apply(honest, three)
  await member.stopDaemon()
})

test('forged, replayed, truncated, oversize and future records change nothing on any host', async (t) => {
  const did = await withstand(t, 'records')
  assert.ok((did['wrong'] ?? 0) > 20)
  assert.equal(did['genuine'], 1)
  const rows = await hostsAt(victim)
  assert.deepEqual(rows.map(({ name }) => name).toSorted(), ['honest', 'member', 'victim'])
  assert.equal((await show(honest, 'net')).entities.length, 2)
})

test('a host of a VIOLIN that lies about the rest of it starts nothing, stops nothing and is shown for nothing', async (t) => {
  const whole = async (): Promise<unknown> =>
    (await show(honest, 'three')).entities.slice(0, 2).map(({ name, host, state }) => [name, host, state])
  const parts = [
    ['a', 'victim', 'running'],
    ['b', 'honest', 'running']
  ]
  assert.deepEqual(await whole(), parts)
  const { id, version } = await show(honest, 'three')
  for (const host of [victim, honest]) await host.violin('refuse', 'member')
  const before = [jails(victim), jails(honest)]
  const did = await withstand(t, 'violins', id)
  assert.ok((did['wrong'] ?? 0) > 10)
  assert.equal(did['versions'], 0)
  assert.deepEqual(await whole(), parts)
  assert.deepEqual(
    [(await show(honest, 'three')).version, (await show(victim, 'three')).version],
    [version, version]
  )
  assert.deepEqual([jails(victim), jails(honest)], before)
  for (const host of [victim, honest]) {
    const rows = ((await host.json('list')) as ListRow[]).filter(({ name }) =>
      foundedNames.some((one) => one === name)
    )
    // They are known, so they were understood; they run nowhere.
    assert.deepEqual(
      rows.map(({ name, running, mine }) => [name, running, mine]),
      foundedNames.map((name) => [name, 0, false]).toReversed()
    )
  }
  const [, shared] = foundedNames
  refused(await honest.try(['apply', '-'], { input: topology(shared) }), /belongs to member/)
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
    assert.ok(Object.values(did).some((count) => count > 0))
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
        for (const { name, state } of await hostsAt(at))
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

/** The id of the member when it is an admin. */
let admin = ''

test('an admin that mints members by the hundred is taken in within bounds, and nobody is held dead for it', async (t) => {
  const { token } = (await victim.json('invite', '--role', 'admin')) as { token: string }
  await member.kill9()
  await member.run(['rm', '-rf', member.folder])
  await join(member, token)
  await lab.settled([victim, honest])
  admin = (await hostsAt(member)).find(({ self }) => self)?.id ?? ''
  await member.stopDaemon()
  const did = await withstand(t, 'mint')
  assert.equal(did['refused'], 0)
  for (const host of [victim, honest]) {
    const rows = await until(
      'the minted',
      () => hostsAt(host),
      (known) => known.filter(({ name }) => name.startsWith('minted')).length === did['minted']
    )
    const living = rows.filter(({ name }) => name === 'victim' || name === 'honest')
    assert.deepEqual(new Set(living.map(({ state }) => state)), new Set(['alive']))
  }
})

test('members around a key of the DHT who tell nothing, old or wrong values, or never answer, hide no VIOLIN', async (t) => {
  await apply(honest, alone('here', 'a'))
  const { id: owner } = (await hostsAt(honest)).find(({ name }) => name === 'honest') as HostRow
  const keys = ['hidden', 'here'].map((name) => `name/${owner}/${name}`)
  const surrounding = await inPlace('eclipse', 100, ...keys.toSpliced(1, 0, honest.address))
  const near = ({ name }: HostRow): boolean => name.startsWith('near')
  await until(
    'the surrounding members',
    () => hostsAt(victim),
    (rows) => rows.filter(near).length === 24
  )
  await apply(honest, alone('here', 'a', 'b'))
  await apply(honest, alone('hidden', 'a'))
  const { id } = await show(honest, 'hidden')
  const look = (wanted: string): Promise<Show> => victim.json('show', wanted) as Promise<Show>
  const [byName, byId, changed] = await Promise.all(['hidden@honest', id, 'here@honest'].map(look))
  for (const shown of [byName, byId])
    assert.deepEqual([shown?.id, shown?.version, shown?.state, shown?.hosts], [id, 1, 'running', ['honest']])
  assert.equal(changed?.version, 2)
  refused(await victim.try(['show', 'nothing@honest']), /nothing@honest/)
  const did = JSON.parse(succeeded(await outcomeOf(surrounding, '')).stdout) as Did
  t.diagnostic(JSON.stringify(did))
  assert.ok((did['surrounded'] ?? 0) > 0 && (did['old'] ?? 0) > 0)
  for (const name of ['here', 'hidden']) await remove(honest, name)
})

test('one revocation puts an admin and all that it let in out on every host, at once and for good', async (t) => {
  const sitting = outcomeOf(await inPlace('sit', 30, honest.address), '')
  await until(
    'members of the admin',
    () => hostsAt(honest),
    (rows) => rows.filter(({ name }) => name.startsWith('sitting')).length === 3
  )
  const at = performance.now()
  await victim.violin('revoke', admin, '--and-below', '--yes')
  for (const host of [victim, honest])
    await until(
      'the end of all',
      () => hostsAt(host),
      (rows) => rows.every(({ name, id }) => id !== admin && !/\d$/.test(name)),
      10_000
    )
  t.diagnostic(`out on every host after ${Math.round(performance.now() - at)} ms`)
  const did = JSON.parse(succeeded(await sitting).stdout) as Did
  assert.deepEqual(did, { sitting: 6, cut: 6, again: 0 })
  assert.ok((await hostsAt(victim)).length <= 3)
  assert.equal(await inside(honest, 'net/a', 'hostname'), 'a')
})

/** An entity outlives its host: it comes up on the next one, once, and moves when it is told to. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { LabHost } from '#lab/host.ts'
import { Pinging } from '#lab/gap.ts'
import { apply, inside, meshOf, show, succeeded, until } from './world.ts'

/** Longest silence of an entity that is moved while its host lives. */
const maxMoveGapMs = 1_000
/** The silence that makes a host lost, and time to start its entities. */
const takeoverMs = 40_000

const lab = await meshOf('p1', 'p2', 'p3')
after(() => lab[Symbol.asyncDispose]())
const home = lab.host('p1')

const topology = `
name: net
driver: netns
lans:
  lan1: { subnet: 10.0.0.0/24 }
hosts:
  w: { lan: lan1, on: p1, ip: 10.0.0.1 }
  x: { lan: lan1, ip: 10.0.0.2 }
`

/** Where x runs, as its owner sees it; null: nowhere. */
async function whereX(at: LabHost = home): Promise<string | null> {
  const x = (await show(at, 'net')).entities.find(({ name }) => name === 'x')
  return x?.state === 'running' ? x.host : null
}

async function answers(): Promise<void> {
  assert.equal(await inside(home, 'net/x', 'hostname'), 'x')
  await inside(home, 'net/w', 'sh', '-c', 'until ping -c 1 -W 1 10.0.0.2; do :; done')
}

test('an entity that is migrated is silent for less than a second, and runs on its new host alone', async (t) => {
  await apply(home, topology)
  for (const to of ['p3', 'p2']) {
    if ((await whereX()) === to) continue
    const pings = 500
    await answers()
    const pinging = new Pinging(home, 'net/w', '10.0.0.2', pings)
    await pinging.answered(30)
    succeeded(await home.try(['migrate', 'net/x', '--to', to]))
    const { gapMs, lost } = await pinging.silence(pings)
    t.diagnostic(`moved to ${to}: ${gapMs} ms of silence, ${lost} pings lost`)
    assert.equal(await whereX(), to)
    assert.ok(gapMs <= maxMoveGapMs, `silent for ${gapMs} ms`)
    await answers()
  }
})

test('when everything on its host is killed it comes up on the next, which keeps it', async (t) => {
  const dead = lab.host((await whereX()) as string)
  assert.equal(dead.name, 'p2')
  const killedAt = performance.now()
  await dead.kill9()
  const next = await until(
    'x on another host',
    whereX,
    (host) => host !== null && host !== dead.name,
    takeoverMs
  )
  t.diagnostic(`x ran on ${next} ${Math.round((performance.now() - killedAt) / 100) / 10} s after the kill`)
  await answers()
  await dead.startDaemon()
  await until(
    'the host is back',
    () => home.json('hosts') as Promise<{ name: string; state: string }[]>,
    (hosts) => hosts.some(({ name, state }) => name === dead.name && state === 'alive')
  )
  // It has all records, and every reason to start x, were it not for the claim.
  assert.equal(
    await until(
      'it sees x',
      () => whereX(dead),
      (host) => host !== null
    ),
    next
  )
  await home.violin('wait', 'net', '--for', 'running')
  assert.equal(await whereX(), next)
  await answers()
  // Nor does it go back when it is started anew.
  succeeded(await home.try(['restart', 'net/x']))
  assert.equal(await whereX(), next)
  succeeded(await home.try(['stop', 'net/x']))
  const moved = succeeded(await home.try(['migrate', 'net/x', '--to', dead.name]))
  assert.match(moved.stdout + moved.stderr, /x is stopped: it starts on p2/)
  succeeded(await home.try(['start', 'net/x']))
  assert.equal(await whereX(), dead.name)
  await answers()
})

test('a way that is cut between two of its hosts starts it nowhere else while others hear its host', async () => {
  if ((await whereX()) !== 'p2') succeeded(await home.try(['migrate', 'net/x', '--to', 'p2']))
  await inside(home, 'net/x', 'touch', '/tmp/mark')
  const x = (await show(home, 'net')).entities.find(({ name }) => name === 'x')
  const [runs, next] = [lab.host('p2'), lab.host(x?.hosts[1] as string)]
  const third = lab.hosts.find((host) => host !== runs && host !== next) as LabHost
  // Not over the way that is cut.
  succeeded(await home.try(['migrate', 'net/lan1', '--to', third.name]))
  const told = async (what: string): Promise<number> => (await next.violin('events')).split(what).length - 1
  const [boots, doubts] = [await told('x is booting'), await told('p2 may be lost')]
  const way = ['blackhole', `${runs.address}/32`]
  succeeded(await next.run(['ip', 'route', 'replace', ...way]))
  await until(
    'it is missed there',
    () => told('p2 may be lost'),
    (times) => times > doubts
  )
  // Longer than the silence that would make its host lost.
  const pings = home.try(['exec', 'net/w', '--', 'ping', '-i', '0.1', '-c', '120', '10.0.0.2'])
  await pings.finally(() => next.run(['ip', 'route', 'del', ...way]))
  assert.match(succeeded(await pings).stdout, / 0% packet loss/)
  assert.equal(await told('x is booting'), boots)
  assert.equal(await whereX(), 'p2')
  await inside(home, 'net/x', 'cat', '/tmp/mark')
})

test('after a partition one of the two that run it goes on, and no ping is answered twice', async (t) => {
  if ((await whereX()) !== 'p2') succeeded(await home.try(['migrate', 'net/x', '--to', 'p2']))
  const lost = lab.host('p2')
  lost.cut()
  const next = await until(
    'x on another host',
    whereX,
    (host) => host !== null && host !== lost.name,
    takeoverMs
  )
  // It goes on there, too, where nobody hears of the other.
  assert.equal(await inside(lost, 'net/x', 'hostname'), 'x')
  lost.heal()
  const events = await until(
    'the lower port is shut',
    () => lost.violin('events'),
    (text) => text.includes('the ports of x are shut') || text.includes('x is stopped')
  )
  t.diagnostic(
    events
      .split('\n')
      .filter((line) => / x /.test(line))
      .slice(-4)
      .join('\n')
  )
  const pings = await inside(home, 'net/w', 'ping', '-i', '0.02', '-c', '100', '10.0.0.2')
  assert.doesNotMatch(pings, /DUP/)
  assert.match(pings, /0% packet loss/)
  await until(
    'one of them',
    async () => (await show(lost, 'net')).entities,
    (entities) => entities.every(({ state }) => state === 'running')
  )
  assert.equal(await whereX(), next)
  await until(
    'it stops',
    () => lost.violin('events'),
    (text) => text.includes('x is stopped')
  )
  await answers()
})

test('what runs only where it ran, or never again, starts nowhere else when its host dies', async () => {
  await apply(
    home,
    `${topology}  y: { lan: lan1, restart: on-failure }\n  z: { lan: lan1, restart: never }\n`
  )
  const [drained, dies] = [lab.host('p2'), lab.host('p3')]
  // So the one that dies is the second of their lists.
  for (const to of [dies, drained])
    for (const name of ['x', 'y', 'z']) succeeded(await home.try(['migrate', `net/${name}`, '--to', to.name]))
  succeeded(await drained.try(['drain']))
  succeeded(await drained.try(['drain', '--off']))
  const rows = async (): Promise<string[]> =>
    (await show(home, 'net')).entities.slice(1).map(({ name, host, state }) => `${name} ${host} ${state}`)
  assert.deepEqual(await rows(), ['x p3 running', 'y p3 running', 'z p3 running'])
  await dies.kill9()
  await until('x on another host', whereX, (host) => host !== null && host !== dies.name, takeoverMs)
  assert.deepEqual((await rows()).slice(1), ['y p3 unreachable', 'z p3 unreachable'])
  await dies.startDaemon()
  await until('y where it ran', rows, ([, y, z]) => y === 'y p3 running' && z === 'z p3 failed')
  await apply(home, topology)
})

test('a host that is drained, or leaves, hands its entities over first', async () => {
  if ((await whereX()) !== 'p2') succeeded(await home.try(['migrate', 'net/x', '--to', 'p2']))
  const busy = lab.host('p2')
  const drained = succeeded(await busy.try(['drain']))
  assert.match(drained.stdout + drained.stderr, /net\/x runs elsewhere now/)
  assert.notEqual(await whereX(), 'p2')
  await answers()
  // What is pinned stays, and is named.
  const stays = succeeded(await home.try(['drain']))
  assert.match(stays.stdout + stays.stderr, /net\/w cannot move: it is pinned here/)
  await home.violin('drain', '--off')
  await busy.violin('drain', '--off')
  if ((await whereX()) !== 'p2') succeeded(await home.try(['migrate', 'net/x', '--to', 'p2']))
  succeeded(await busy.try(['leave', '--yes']))
  const host = await until('x elsewhere', whereX, (one) => one !== null)
  assert.notEqual(host, 'p2')
  await answers()
})

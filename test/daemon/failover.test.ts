import assert from 'node:assert/strict'
import { test } from 'node:test'
import { publishHost } from '#daemon/host.ts'
import { collect, free, meshOf, type TestHost, until } from './hosts.ts'

/** The hosts whose slices were told to run an entity. */
function runners(hosts: readonly TestHost[]): string[] {
  return hosts
    .filter(({ slices }) =>
      [...slices.wishes.values()].some(({ entities }) => entities.some(({ name }) => name === 'vhost1'))
    )
    .map(({ host }) => host.identity.name)
}

/** Resolves when a condition holds; it is looked at whenever what runs on one of the hosts changes. */
async function settled(hosts: readonly TestHost[], condition: () => boolean): Promise<void> {
  await Promise.race(hosts.map((host) => host.reconciled(condition)))
}

test('an entity moves when it is told to, from a host that is drained, and from one that is lost', async () => {
  await using stack = new AsyncDisposableStack()
  const hosts = await meshOf(['a', 'b', 'c'], stack)
  const [a] = hosts as [TestHost]
  await collect(a.changes.apply(free('net'), true, 20_000))
  const [first] = runners(hosts)
  assert.equal(runners(hosts).length, 1)
  const shown = await a.violins.show('net')
  assert.deepEqual([shown.entities[0]?.host, shown.entities[0]?.hosts[0]], [first, first])
  assert.equal(shown.entities[0]?.hosts.length, 3)

  const target = ['b', 'c'].find((name) => name !== first) as string
  const rows = await collect(a.moves.entity('net', 'vhost1', target, 20_000))
  const last = rows.at(-1)
  assert.ok(last?.kind === 'done' && last.text.startsWith(`vhost1 runs on ${target} `))
  assert.deepEqual(runners(hosts), [target])

  const drained = hosts.find(({ host }) => host.identity.name === target) as TestHost
  const say = (draining: boolean): Promise<boolean> =>
    publishHost(drained.host, drained.records, { addresses: drained.mesh.addresses(), draining, left: false })
  await say(true)
  await settled(hosts, () => runners(hosts).length === 1 && runners(hosts)[0] !== target)
  const [next] = runners(hosts)
  // It is not taken back.
  await say(false)
  assert.deepEqual(runners(hosts), [next])

  const dead = hosts.find(({ host }) => host.identity.name === next) as TestHost
  const others = hosts.filter((host) => host !== dead)
  const diedAt = performance.now()
  await dead.close()
  await settled(others, () => runners(others).length === 1)
  // The silence began with its last sign of life, up to a heartbeat before its end.
  assert.ok(performance.now() - diedAt >= 8_000)
  const [heir] = runners(others)
  const survivor = others.find(({ host }) => host.identity.name !== heir) as TestHost
  const { entities } = await survivor.violins.show('net')
  assert.equal(entities[0]?.host, heir)
  // Everybody has it from the record of the one that runs it.
  const [violin] = survivor.records.view.violins.keys()
  const told = (): { claim: number; state: string }[] =>
    [...(survivor.records.view.runs.get(violin as never)?.values() ?? [])].flatMap(({ body }) =>
      body.entities.map(({ claim, state }) => ({ claim, state }))
    )
  await until(others, () => told().length === 2 && told().every(({ state }) => state === 'running'))
  assert.equal(new Set(told().map(({ claim }) => claim)).size, 2)
})

test('what runs on a host that does not answer is told to be there, wherever that host stands in the list', async () => {
  await using stack = new AsyncDisposableStack()
  const hosts = await meshOf(['a', 'b', 'c'], stack)
  const [a] = hosts as [TestHost]
  await collect(a.changes.apply(free('net'), true, 20_000))
  const [first] = runners(hosts)
  const drained = hosts.find(({ host }) => host.identity.name === first) as TestHost
  const say = (draining: boolean): Promise<boolean> =>
    publishHost(drained.host, drained.records, {
      addresses: drained.mesh.addresses(),
      draining,
      left: false
    })
  await say(true)
  await settled(hosts, () => runners(hosts).length === 1 && runners(hosts)[0] !== first)
  await say(false)
  const [next] = runners(hosts)
  const runner = hosts.find(({ host }) => host.identity.name === next) as TestHost
  const { id } = runner.host.identity
  const others = hosts.filter((host) => host !== runner)
  const [violin] = a.records.view.violins.keys()
  await until(others, () =>
    others.every(({ records }) => {
      const said = records.view.runs.get(violin as never)?.get(id)?.body.entities
      return said?.some(({ state }) => state === 'running') === true
    })
  )
  await runner.close()
  for (const { violins, waiting } of others) {
    const { entities } = await violins.show('net')
    const [shown] = entities
    assert.notEqual(shown?.hosts[0], next)
    assert.deepEqual(
      [shown?.host, shown?.state, shown?.reason],
      [next, 'unreachable', 'its host does not answer']
    )
    const view = violins.find('net')
    assert.equal(await violins.whereRuns(view, view.spec?.entities[0] as never), id)
    await assert.rejects(
      waiting.wait('net', 'running', 500),
      /net is not running after \d s: vhost1 is unreachable \(its host does not answer\)/
    )
  }
})

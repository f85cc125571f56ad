import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { ViolinError } from '#core/errors.ts'
import type { PublicKey, ViolinId, WallTime } from '#core/ids.ts'
import { RequestGuard, sealRequest } from '#daemon/owner-request.ts'
import { ask } from '#daemon/wire.ts'
import * as z from 'zod'
import { specOn } from '../core/records/records.ts'
import { collect, meshOf, oneLan, startHost, until, type TestHost } from './hosts.ts'

function refusal(code: string): (error: unknown) => boolean {
  return (error) => error instanceof ViolinError && error.code === code
}

test('a VIOLIN that a member makes runs on the hosts that it names, and is gone from them when it is deleted', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, b, c] = (await meshOf(['princeton', 'purdue', 'washington'], stack)) as [
    TestHost,
    TestHost,
    TestHost
  ]
  await collect(owner.changes.apply(oneLan('net', ['purdue', 'washington']), true, 20_000))
  const show = await owner.violins.show('net')
  assert.equal(show.state, 'running')
  assert.deepEqual(
    show.entities.map(({ host }) => host),
    ['purdue', 'washington']
  )
  assert.deepEqual(show.stale, [])
  assert.equal(b.slices.wishes.size, 1)
  await collect(owner.changes.delete('net', 20_000))
  assert.deepEqual([...b.slices.wishes, ...c.slices.wishes], [])
  assert.deepEqual(await owner.violins.list(), [])
})

test('applying the same file again changes nothing, and a changed file restarts nothing that it leaves alone', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost]
  const topology = oneLan('net', ['princeton', 'purdue'])
  await collect(owner.changes.apply(topology, true, 20_000))
  const again = await collect(owner.changes.apply(topology, true, 20_000))
  assert.ok(again.some((row) => row.kind === 'step' && row.text.includes('nothing to change')))
  assert.equal((await owner.violins.show('net')).version, 1)
  const larger = {
    ...topology,
    entities: [
      ...topology.entities,
      { ...oneLan('net', ['purdue']).entities[0], name: 'vhost9' } as (typeof topology.entities)[0]
    ]
  }
  const plan = await owner.changes.plan(larger)
  assert.deepEqual(
    plan.steps.filter(({ what }) => what === 'entity').map(({ name, kind }) => [name, kind]),
    [
      ['vhost1', 'keep'],
      ['vhost2', 'keep'],
      ['vhost9', 'add']
    ]
  )
})

test("an entity that is pinned elsewhere stops where it ran, also on its owner's host", async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, other] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(owner.changes.apply(oneLan('net', ['princeton', 'princeton']), true, 20_000))
  await collect(owner.changes.apply(oneLan('net', ['princeton', 'purdue']), true, 20_000))
  const namesAt = ({ slices }: TestHost): readonly string[] =>
    [...slices.wishes.values()].flatMap(({ entities }) => entities.map(({ name }) => name))
  await owner.reconciled(() => namesAt(owner).length === 1)
  assert.deepEqual([namesAt(owner), namesAt(other)], [['vhost1'], ['vhost2']])
})

test('a VIOLIN that another founds in the names of both is not taken for the own one, whatever it is called', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, liar] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(owner.changes.apply(oneLan('net', ['princeton']), true, 20_000))
  const { id } = await owner.violins.show('net')
  for (const name of ['net', 'next']) {
    const owners = [liar, owner].map(({ host }): PublicKey => host.identity.owner.publicKey)
    const { now } = liar.records
    const draft = {
      kind: 'violin',
      version: 1,
      issuedAt: now,
      expiresAt: (now + 3_600_000) as WallTime,
      body: {
        founding: { nonce: randomBytes(16), owners },
        spec: specOn([owner.host.identity.id], name),
        ended: null
      },
      chain: liar.host.ownerChain
    } as const
    await liar.records.publish(draft, liar.host.identity.owner)
  }
  await owner.records.exchange(liar.host.identity.id, [], AbortSignal.timeout(5_000))
  await until([owner], () => owner.records.view.violins.size === 3)
  assert.equal((await owner.violins.show('net')).id, id)
  const mine = (await owner.violins.list()).flatMap((row) => (row.mine ? [row.id] : []))
  assert.deepEqual(mine, [id])
  // Else this host's topology would become that of a VIOLIN which the other may change.
  await assert.rejects(owner.changes.plan(oneLan('next', ['princeton'])), refusal('not-owner'))
})

test('who asks for a VIOLIN that is not known is told each name that is, once, and none that ended', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, other] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  const knows = (host: TestHost, remedy: string): void => {
    for (const alsoEnded of [false, true])
      assert.throws(
        () => host.violins.find('nosuch', alsoEnded),
        (error) => error instanceof ViolinError && error.code === 'unknown-violin' && error.remedy === remedy
      )
  }
  const one = oneLan('one', ['princeton'])
  await collect(owner.changes.apply(one, true, 20_000))
  await collect(owner.changes.delete('one', 20_000))
  knows(owner, 'make one: violin apply FILE')
  await collect(owner.changes.apply(oneLan('two', ['princeton']), true, 20_000))
  await collect(owner.changes.apply(one, true, 20_000))
  await collect(other.changes.apply(oneLan('one', ['princeton', 'purdue']), true, 20_000))
  knows(owner, 'it knows one, two')
})

test('two changes at once are made one after the other, upon one VIOLIN', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost]
  const small = oneLan('net', ['princeton'])
  const large = oneLan('net', ['princeton', 'purdue'])
  await Promise.all([small, large].map((topology) => collect(owner.changes.apply(topology, false, 20_000))))
  assert.equal((await owner.violins.list()).length, 1)
  assert.equal((await owner.violins.show('net')).version, 2)
})

test("another member's change, end and requests are refused by its own host and by every other", async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, other] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(owner.changes.apply(oneLan('net', ['princeton', 'purdue']), true, 20_000))
  const { id } = await owner.violins.show('net')
  await assert.rejects(collect(other.changes.delete('net', 1_000)), refusal('not-owner'))
  await assert.rejects(
    collect(other.changes.apply(oneLan('net', ['purdue']), true, 1_000)),
    refusal('not-owner')
  )
  await assert.rejects(other.moves.vswitch('net', 'lan1', undefined), refusal('not-owner'))
  // As a changed program would: signed by its own owner key, sent past its own checks.
  const { identity } = other.host
  const target = owner.host.identity.id
  const sealed = sealRequest(
    'handoff',
    target,
    id as ViolinId,
    { lan: 'lan1', to: null },
    identity.mesh,
    identity.owner
  )
  await assert.rejects(
    ask(other.mesh, target, 'handoff', sealed, z.unknown(), AbortSignal.timeout(5_000)),
    refusal('not-owner')
  )
  // And a record: no host can even sign one for a founding block that does not name it.
  const founding = owner.records.view.violins.get(id as ViolinId)?.founding
  assert.ok(founding !== undefined)
  const { now } = other.records
  await assert.rejects(
    other.records.publish(
      {
        kind: 'violin',
        version: 9,
        issuedAt: now,
        expiresAt: (now + 60_000) as typeof now,
        body: { founding, spec: null, ended: { name: 'net', hosts: [] } },
        chain: other.host.ownerChain
      },
      identity.owner
    ),
    ViolinError
  )
  assert.equal((await owner.violins.show('net')).state, 'running')
})

test("an owner's request serves once, on one host, within ten minutes", async () => {
  await using stack = new AsyncDisposableStack()
  const [owner] = (await meshOf(['princeton'], stack)) as [TestHost]
  await collect(owner.changes.apply(oneLan('net', ['princeton']), true, 20_000))
  const id = (await owner.violins.show('net')).id as ViolinId
  const { identity } = owner.host
  const guard = new RequestGuard(identity.id, owner.records)
  const any = z.unknown()
  const seal = (to = identity.id): ReturnType<typeof sealRequest> =>
    sealRequest('session', to, id, {}, identity.mesh, identity.owner)
  const sealed = seal()
  guard.open('session', sealed, any)
  assert.throws(() => guard.open('session', sealed, any), refusal('refused'))
  assert.throws(() => guard.open('handoff', seal(), any), refusal('refused'))
  assert.throws(
    () => guard.open('session', seal('12D3KooWelsewhere' as typeof identity.id), any),
    refusal('refused')
  )
  const altered = { ...seal(), signature: randomBytes(64).toString('hex') }
  assert.throws(() => guard.open('session', altered, any), refusal('refused'))
})

test('a host that is away holds up no change of what others run, and is named', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, other] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(owner.changes.apply(oneLan('net', ['purdue']), true, 20_000))
  await other.close()
  await until([owner], () => owner.mesh.members().length === 0)
  const said = await collect(owner.changes.apply(oneLan('net', ['purdue', 'princeton']), true, 20_000))
  assert.ok(said.some((row) => row.kind === 'warning' && /vhost1 stays on purdue, which/.test(row.text)))
  assert.match((said.at(-1) as { text: string }).text, /^net runs, but for vhost1/)
  const { entities } = await owner.violins.show('net')
  assert.deepEqual(
    entities.map(({ name, state }) => [name, state]),
    [
      ['vhost1', 'unreachable'],
      ['vhost2', 'running']
    ]
  )
})

test('who was away when a VIOLIN changed hears of it when it is back', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, away] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(owner.changes.apply(oneLan('net', ['princeton', 'purdue']), true, 20_000))
  await away.close()
  const told = await collect(owner.changes.delete('net', 20_000))
  assert.ok(told.some((row) => row.kind === 'done' && row.text.includes('purdue')))
  const back = await startHost(away.dir)
  stack.defer(() => back.close())
  await until([back], () => [...back.records.view.violins.values()].every(({ spec }) => spec === null))
})

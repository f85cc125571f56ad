/** Changes that are waited for while others are made, and hosts that do not do what they are told. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ViolinError } from '#core/errors.ts'
import type { Progress } from '#api/contract.ts'
import { EntityChanges } from '#daemon/entity-changes.ts'
import { collect, free, meshOf, oneLan, type TestHost } from './hosts.ts'

type Four = [TestHost, TestHost, TestHost, TestHost]
const names = ['princeton', 'purdue', 'washington', 'chicago']
const timeoutMs = 20_000

/** A mesh with vhost1 of a VIOLIN on purdue, which princeton owns. */
async function movable(stack: AsyncDisposableStack): Promise<Four> {
  const hosts = (await meshOf(names, stack)) as Four
  await collect(hosts[0].changes.apply(free('net'), true, timeoutMs))
  await collect(hosts[0].moves.entity('net', 'vhost1', 'purdue', timeoutMs))
  return hosts
}

/** Whatever a host is told from now on never comes to run there. */
function starve({ slices }: TestHost): void {
  slices.ensure = () => new Promise(() => undefined)
}

/** Runs a stream until a row of it tells that a version is signed; gives the rest of it. */
async function signed(rows: AsyncIterable<Progress>): Promise<{ readonly ended: Promise<Progress[]> }> {
  const iterator = rows[Symbol.asyncIterator]()
  assert.match(JSON.stringify((await iterator.next()).value), /is signed and stored/)
  const ended = collect({ [Symbol.asyncIterator]: () => iterator })
  ended.catch(() => undefined)
  return { ended }
}

function refusal(code: string, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ViolinError)
    assert.match(error.message, message)
    assert.equal(error.code, code)
    return true
  }
}

test('who moves an entity is told at once when it is moved elsewhere, stopped or deleted meanwhile', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, , washington, chicago] = await movable(stack)
  const { changes, moves, statuses, journal } = owner
  const power = new EntityChanges({ changes, statuses, journal })
  starve(washington)
  const startedAt = performance.now()
  const moving = (): ReturnType<typeof signed> =>
    signed(moves.entity('net', 'vhost1', 'washington', timeoutMs))
  const changed = refusal('refused', /^net was changed again meanwhile \(version \d+\)$/)

  const first = await moving()
  await collect(moves.entity('net', 'vhost1', 'purdue', timeoutMs))
  await assert.rejects(first.ended, changed)

  const second = await moving()
  await power.power({ violin: 'net', entity: 'vhost1', on: false, timeoutMs })
  await assert.rejects(second.ended, changed)
  await power.power({ violin: 'net', entity: 'vhost1', on: true, timeoutMs: 1 }).catch(() => undefined)

  // What leaves it on its way is none of these.
  const third = await moving()
  const link = { entity: 'vhost1', nic: 'eth0', set: { delayUs: 5_000 } }
  await assert.rejects(power.link({ ...link, violin: 'net', timeoutMs: 1 }), refusal('timeout', /acts on/))
  // Where nothing that is told comes to be it is not gone, either.
  const end = (name: string): Promise<void> =>
    assert.rejects(collect(changes.delete(name, 1)), refusal('timeout', /not gone/))
  const deleted = (name: string): typeof changed =>
    refusal('refused', new RegExp(`^${name} was deleted meanwhile$`))
  await end('net')
  await assert.rejects(third.ended, deleted('net'))

  await collect(changes.apply(oneLan('two', ['chicago']), true, timeoutMs))
  starve(chicago)
  const linking = assert.rejects(power.link({ ...link, violin: 'two', timeoutMs }), deleted('two'))
  await end('two')
  await linking
  assert.ok(performance.now() - startedAt < timeoutMs, 'none waited for its whole time')
})

test('who moves an entity is told of the former copy that goes on, and of hosts that do not answer', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, purdue, washington] = await movable(stack)
  const { moves } = owner
  starve(purdue)
  await assert.rejects(
    collect(moves.entity('net', 'vhost1', 'washington', 5_000)),
    refusal('timeout', /^vhost1 runs on washington, and after 5 s still on purdue$/)
  )
  assert.equal(washington.slices.wishes.size, 1)
  // It cannot be asked any more.
  await purdue.close()
  const rows = await collect(moves.entity('net', 'vhost1', 'washington', timeoutMs))
  const last = rows.at(-1)
  assert.ok(last?.kind === 'done')
  assert.match(
    last.text,
    /^vhost1 runs on washington .*, and on no other that answers \(purdue may run it\)$/
  )
})

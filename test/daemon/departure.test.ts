/** A host that leaves: what becomes of what it owned on hosts that were away. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ViolinError } from '#core/errors.ts'
import type { ViolinId } from '#core/ids.ts'
import type { Progress } from '#api/contract.ts'
import { Departure } from '#daemon/departure.ts'
import { publishHost } from '#daemon/host.ts'
import { refuseOwner } from '#daemon/refusing.ts'
import { hosts } from '#daemon/service.ts'
import type { Slices } from '#daemon/slices/slices.ts'
import { collect, free, meshOf, oneLan, startHost, type TestHost, until } from './hosts.ts'

function departureOf(host: TestHost): Departure {
  return new Departure({
    ...host,
    slices: host.slices as unknown as Slices,
    reconciler: host.refusing.reconciler,
    gone: () => Promise.resolve(),
    end: () => undefined
  })
}

/** A host leaves with `--yes`, and its daemon ends. */
async function leaves(host: TestHost): Promise<Progress[]> {
  const said = await collect(departureOf(host).leave(true))
  await host.close()
  return said
}

function texts(said: readonly Progress[]): string {
  return said.map((row) => ('text' in row ? row.text : '')).join('\n')
}

test('what the owner that left ran on a host that was away ends when that is back, told by who is there', async () => {
  await using stack = new AsyncDisposableStack()
  const [stays, owner, away] = (await meshOf(['princeton', 'purdue', 'washington'], stack)) as [
    TestHost,
    TestHost,
    TestHost
  ]
  await collect(owner.changes.apply(oneLan('net', ['purdue', 'washington']), true, 20_000))
  const id = (await owner.violins.show('net')).id as ViolinId
  await away.close()
  await until([owner], () => owner.mesh.members().length === 1)
  assert.match(texts(await leaves(owner)), /washington was not told: .*; princeton will tell it/)
  await until([stays], () => stays.records.view.violins.get(id)?.ended != null)
  const back = await startHost(away.dir, away.slices)
  stack.defer(() => back.close())
  assert.deepEqual([...back.slices.wishes.keys()], [id])
  await back.mesh.dial(stays.mesh.addresses(), AbortSignal.timeout(10_000)).catch(() => undefined)
  await back.reconciled(() => back.slices.wishes.size === 0)
  assert.equal(stays.slices.wishes.size, 0)
})

test('where nobody is there to tell, leaving says who stops what is left, and that does', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, away] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(owner.changes.apply(oneLan('net', ['princeton', 'purdue']), true, 20_000))
  await away.close()
  await until([owner], () => owner.mesh.members().length === 0)
  const said = texts(await leaves(owner))
  assert.match(
    said,
    /purdue was not told: .*; nobody is there .*: its operator stops it by violin refuse net/
  )
  const back = await startHost(away.dir, away.slices)
  stack.defer(() => back.close())
  await back.reconciled(() => back.slices.wishes.size === 1)
  await refuseOwner(back.refusing, { owner: 'net', undo: false, everywhere: false })
  await back.reconciled(() => back.slices.wishes.size === 0)
})

test('a host stays whose leave is broken off, and takes part again', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, host] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(owner.changes.apply(oneLan('net', ['purdue']), true, 20_000))
  const departure = departureOf(host)
  const { id } = host.host.identity
  const drains = (): boolean => host.records.view.members.get(id)?.body.draining === true
  for await (const row of departure.leave(true)) {
    assert.match(texts([row]), /net\/vhost1 cannot move: it is pinned here/)
    assert.ok(departure.draining && drains())
    break
  }
  assert.ok(!departure.draining && !drains())
  assert.equal(host.slices.wishes.size, 1)
})

test('who would change the VIOLIN of an owner that left is told how to stop it here', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, host] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(owner.changes.apply(oneLan('net', ['purdue']), true, 20_000))
  const { identity } = owner.host
  await publishHost(owner.host, owner.records, { addresses: [], draining: true, left: true })
  await until([host], () => host.records.view.members.get(identity.id)?.body.left === true)
  await assert.rejects(collect(host.changes.delete('net', 5_000)), (error) => {
    assert.ok(error instanceof ViolinError)
    assert.match(`${error.message}; ${error.remedy}`, /princeton, which left the mesh; .*violin refuse net/)
    return true
  })
})

test('a host that is drained is not taken for one that is away by what is applied there', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner] = (await meshOf(['princeton'], stack)) as [TestHost]
  const net = oneLan('net', ['princeton'])
  await collect(owner.changes.apply(net, true, 20_000))
  await publishHost(owner.host, owner.records, {
    addresses: owner.mesh.addresses(),
    draining: true,
    left: false
  })
  const [row] = await hosts(owner)
  assert.deepEqual([row?.name, row?.draining], ['princeton', true])
  const said = texts(await collect(owner.changes.apply(net, true, 20_000)))
  assert.match(
    said,
    /vhost1 stays on princeton, which is being drained: .* waits there for `violin drain --off`/
  )
  assert.doesNotMatch(said, /when that is back/)
  // Who asks for what it does not take now is told which host that is.
  await assert.rejects(
    collect(owner.changes.apply(oneLan('more', ['princeton']), true, 20_000)),
    /^ViolinError: vhost1 cannot run on princeton, which is being drained$/
  )
  await assert.rejects(
    collect(owner.changes.apply(free('more'), true, 20_000)),
    /^ViolinError: no host can run vhost1 \(princeton is being drained\)$/
  )
})

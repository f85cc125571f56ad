import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { ViolinError } from '#core/errors.ts'
import type { ViolinId } from '#core/ids.ts'
import { idPointerKey, namePointerKey, openPointer } from '#core/records/pointer.ts'
import { crypto } from '#daemon/crypto.ts'
import type { Show } from '#api/contract.ts'
import { collect, meshOf, oneLan, type TestHost } from './hosts.ts'

type Five = [TestHost, TestHost, TestHost, TestHost, TestHost]
const soon = (): AbortSignal => AbortSignal.timeout(20_000)

/** Looks until the answer is as wanted: the DHT takes a member for one after a ping of its own. */
async function look(
  at: TestHost,
  wanted: string,
  good: (shown: Show | null) => boolean
): Promise<Show | null> {
  for (const signal = soon(); ; await setTimeout(20, undefined, { signal })) {
    const shown = await at.pointers.look(wanted)
    if (good(shown)) return shown
  }
}

test('a VIOLIN is found by id and by name@owner on a host that is not in it, which learns only where it is', async () => {
  await using stack = new AsyncDisposableStack()
  const names = ['princeton', 'purdue', 'washington', 'chicago', 'seattle']
  const [owner, in1, in2, out, far] = (await meshOf(names, stack)) as Five
  await collect(owner.changes.apply(oneLan('net', ['purdue', 'washington']), true, 20_000))
  const { id } = await owner.violins.show('net')
  await owner.pointers.putAll()
  for (const [at, wanted] of [
    [out, 'net@princeton'],
    [far, id],
    [far, `net@${owner.host.identity.id}`]
  ] as const) {
    const shown = await look(at, wanted, (one) => one !== null)
    assert.deepEqual(
      [shown?.id, shown?.name, shown?.owner, shown?.state],
      [id, 'net', 'princeton', 'running']
    )
    assert.deepEqual(new Set(shown?.hosts), new Set(['princeton', 'purdue', 'washington']))
    assert.deepEqual([shown?.lans, shown?.entities], [[], []])
    assert.deepEqual(at.records.set.violins(), [])
  }
  assert.equal(await out.pointers.look('other@princeton'), null)
  assert.equal(await out.pointers.look('net@nobody'), null)
  assert.equal(await out.pointers.look('net'), null)
  // The owner's host and one more go: the third of those named still says.
  await owner.close()
  await in1.close()
  const shown = await look(out, id, (one) => one !== null && one.stale.length > 0)
  assert.deepEqual([...(shown?.stale ?? [])].includes('princeton'), true)
  await in2.close()
  const silent = (error: unknown): boolean =>
    error instanceof ViolinError && error.code === 'nobody-reachable'
  await assert.rejects(out.pointers.look(id), silent)
})

test('the end of a VIOLIN ends its pointers, and only its owner points to it', async () => {
  await using stack = new AsyncDisposableStack()
  const names = ['princeton', 'purdue', 'washington', 'chicago', 'seattle']
  const [owner, , , out, liar] = (await meshOf(names, stack)) as Five
  await collect(owner.changes.apply(oneLan('net', ['purdue']), true, 20_000))
  const { id } = await owner.violins.show('net')
  await look(out, id, (one) => one !== null)
  // What a member puts under keys of others is refused by its own node, as by every other.
  await collect(liar.changes.apply(oneLan('mine', ['seattle']), true, 20_000))
  await liar.pointers.putAll()
  const own = await liar.mesh.get(namePointerKey('mine', liar.host.identity.id), soon())
  assert.ok(own !== null)
  for (const key of [idPointerKey(id as ViolinId), namePointerKey('net', owner.host.identity.id)])
    await assert.rejects(liar.mesh.put(key, own, soon()), ViolinError)
  await collect(owner.changes.delete('net', 20_000))
  await owner.pointers.putAll()
  for (const key of [idPointerKey(id as ViolinId), namePointerKey('net', owner.host.identity.id)]) {
    for (const signal = soon(); ; await setTimeout(20, undefined, { signal })) {
      const value = await out.mesh.get(key, signal)
      if (value !== null && openPointer(value, out.records.set.root, crypto)?.hosts === null) break
    }
  }
  assert.equal(await out.pointers.look(id), null)
})

test('where the DHT tells nothing the owner’s host does', async () => {
  await using stack = new AsyncDisposableStack()
  const names = ['princeton', 'purdue', 'washington']
  const [owner, other, out] = (await meshOf(names, stack)) as [TestHost, TestHost, TestHost]
  // Whoever holds or asks for it takes nothing for valid: a DHT that knows nothing.
  for (const { mesh } of [owner, other, out])
    mesh.setDhtValidator(
      () => false,
      () => 0
    )
  await collect(owner.changes.apply(oneLan('net', ['princeton']), true, 20_000))
  const { id } = await owner.violins.show('net')
  for (const wanted of ['net@princeton', id]) {
    const shown = await out.pointers.look(wanted)
    assert.deepEqual([shown?.id, shown?.version, shown?.hosts], [id, 1, ['princeton']])
  }
  assert.equal(await out.pointers.look('net@purdue'), null)
  assert.equal(await out.pointers.look('ab'.repeat(32)), null)
  assert.equal(await out.pointers.endOf('net@princeton'), null)
  await collect(owner.changes.delete('net', 20_000))
  assert.equal(await out.pointers.look(id), null)
  // The owner's host knows who ran it, and whether any does still.
  for (const wanted of ['net@princeton', id]) assert.equal(await out.pointers.endOf(wanted), 'gone')
  assert.equal(await out.pointers.endOf('never@princeton'), null)
})

test('a VIOLIN is gone for a stranger when its owner says so, and not while a host runs it or nobody answers', async () => {
  await using stack = new AsyncDisposableStack()
  const names = ['princeton', 'purdue', 'washington', 'chicago']
  const [owner, runner, out] = (await meshOf(names, stack)) as Five
  await collect(owner.changes.apply(oneLan('net', ['purdue']), true, 20_000))
  runner.slices.remove = () => Promise.reject(new Error('it does not stop'))
  await assert.rejects(collect(owner.changes.delete('net', 500)), /not gone everywhere/)
  assert.equal(await out.pointers.endOf('net@princeton'), 'stopping')
  await owner.pointers.putAll()
  const { id } = owner.violins.find('net', true)
  for (const signal = soon(); ; await setTimeout(20, undefined, { signal })) {
    const value = await out.mesh.get(idPointerKey(id), signal)
    if (value !== null && openPointer(value, out.records.set.root, crypto)?.hosts === null) break
  }
  await owner.close()
  const silent = (error: unknown): boolean =>
    error instanceof ViolinError && error.code === 'nobody-reachable' && /was deleted/.test(error.message)
  await assert.rejects(out.pointers.endOf(id), silent)
})

test('a name that several hosts have names no owner: what is asked for by it is neither found nor guessed', async () => {
  await using stack = new AsyncDisposableStack()
  const names = ['princeton', 'purdue', 'purdue', 'washington']
  const [out, owner, other, third] = (await meshOf(names, stack)) as Five
  await collect(owner.changes.apply(oneLan('net', [owner.host.identity.id]), true, 20_000))
  await collect(third.changes.apply(oneLan('net', ['washington']), true, 20_000))
  const ambiguous = (error: unknown): boolean => {
    assert.ok(error instanceof ViolinError)
    assert.deepEqual([error.code, error.message], ['ambiguous-name', '2 hosts are named purdue'])
    assert.match(error.remedy, /by its id/)
    return true
  }
  await assert.rejects(out.pointers.look('net@purdue'), ambiguous)
  assert.throws(() => out.violins.find('net@purdue'), ambiguous)
  // A VIOLIN of the other purdue that runs here is not taken for the one that was meant, nor the owner's own for it.
  await collect(other.changes.apply(oneLan('net', ['princeton']), true, 20_000))
  for (const { violins } of [out, owner, other]) assert.throws(() => violins.find('net@purdue'), ambiguous)
  assert.throws(() => out.violins.find('net@purdue', true), ambiguous)
  const idOf = ({ violins }: TestHost): string => violins.find('net').id
  assert.equal(out.violins.find(`net@${other.host.identity.id}`).id, idOf(other))
  assert.equal((await out.pointers.look(`net@${owner.host.identity.id}`))?.id, idOf(owner))
  assert.equal((await out.pointers.look('net@washington'))?.id, idOf(third))
})

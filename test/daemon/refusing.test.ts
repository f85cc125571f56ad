import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { test } from 'node:test'
import { ViolinError } from '#core/errors.ts'
import type { ViolinId } from '#core/ids.ts'
import { refuseOwner, rereadSettings } from '#daemon/refusing.ts'
import { Settings } from '#daemon/settings.ts'
import { collect, meshOf, oneLan, startHost, type TestHost, until } from './hosts.ts'

type Three = [TestHost, TestHost, TestHost]

function refusal(code: string): (error: unknown) => boolean {
  return (error) => error instanceof ViolinError && error.code === code
}

/** What a host's played slice of a VIOLIN runs. */
function runs(host: TestHost, violin: string): readonly string[] {
  return host.slices.wishes.get(violin as ViolinId)?.entities.map(({ name }) => name) ?? []
}

/** Why an entity does not run on a host. */
function reason(host: TestHost, violin: string, entity: string): string {
  const entities = host.refusing.reconciler.entities(violin as ViolinId)
  return entities.find(({ name }) => name === entity)?.reason ?? ''
}

test('a host whose operator refuses an owner stops all that it ran of it, says so, and takes it again', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, host] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(owner.changes.apply(oneLan('net', ['princeton', 'purdue']), true, 20_000))
  const { id, ownerKey } = await owner.violins.show('net')
  assert.deepEqual(runs(host, id), ['vhost2'])
  await refuseOwner(host.refusing, { owner: ownerKey, undo: false, everywhere: false })
  await host.reconciled(() => reason(host, id, 'vhost2').startsWith('refused: '))
  assert.deepEqual(runs(host, id), [])
  assert.equal(host.slices.wishes.has(id as ViolinId), false, 'not even an empty slice stays')
  const shown = (await owner.violins.show('net')).entities[1]
  assert.deepEqual([shown?.state, shown?.reason], ['refused', "this host's operator refuses its owner"])
  // It lasts: a restart runs none of it either.
  await host.close()
  const again = await startHost(host.dir)
  stack.defer(() => again.close())
  await again.reconciled(() => again.refusing.reconciler.running(id as ViolinId)?.part != null)
  assert.equal(again.slices.wishes.has(id as ViolinId), false)
  assert.match(reason(again, id, 'vhost2'), /^refused: /)
  await refuseOwner(again.refusing, { owner: ownerKey, undo: true, everywhere: false })
  await again.reconciled(() => runs(again, id).length === 1)
})

test('an admin above an owner shuts its key out everywhere: its VIOLINs end, and its host stays', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, owner, host] = (await meshOf(['princeton', 'purdue', 'washington'], stack)) as Three
  await collect(owner.changes.apply(oneLan('net', ['princeton', 'washington']), true, 20_000))
  const { id, ownerKey } = await owner.violins.show('net')
  const everywhere = { owner: 'net', undo: false, everywhere: true }
  await assert.rejects(refuseOwner(host.refusing, everywhere), refusal('refused'))
  await refuseOwner(founder.refusing, everywhere)
  await host.reconciled(() => !host.slices.wishes.has(id as ViolinId))
  await founder.reconciled(() => !founder.slices.wishes.has(id as ViolinId))
  await until([owner], () => !owner.records.view.violins.has(id as ViolinId))
  assert.equal(founder.records.view.members.size, 3)
  // Its owner hears by whom, and that nobody takes it back: where it tries, and unasked.
  const told = /^this host's owner key was shut out of the mesh by princeton on /
  for (const attempt of [
    () => owner.changes.plan(oneLan('other', ['washington'])),
    () => collect(owner.changes.apply(oneLan('other', ['washington']), false, 5_000))
  ])
    await assert.rejects(attempt(), (error) => {
      assert.ok(error instanceof ViolinError)
      assert.equal(error.code, 'revoked')
      assert.match(error.message, told)
      assert.match(error.remedy, /nobody can take that back; .* new invite/)
      return true
    })
  assert.deepEqual(
    owner.warned.map((text) => told.test(text)),
    [true]
  )
  const again = await refuseOwner(founder.refusing, { ...everywhere, owner: ownerKey })
  assert.match(again.text, /shut out of the mesh already/)
  await assert.rejects(
    refuseOwner(founder.refusing, { ...everywhere, owner: 'ab'.repeat(32) }),
    refusal('unknown-violin')
  )
})

test('an owner is shut out everywhere by a name of its host, before it makes a VIOLIN and after', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, owner, other] = (await meshOf(['princeton', 'purdue', 'washington'], stack)) as Three
  await collect(other.changes.apply(oneLan('net', ['princeton', 'washington']), true, 20_000))
  const { id } = await other.violins.show('net')
  const everywhere = { undo: false, everywhere: true }
  await refuseOwner(founder.refusing, { ...everywhere, owner: 'washington' })
  await founder.reconciled(() => !founder.slices.wishes.has(id as ViolinId))
  // Nothing of this one is known: its key is cut in what it comes to show.
  await assert.rejects(
    refuseOwner(other.refusing, { ...everywhere, owner: 'purdue' }),
    (error) => error instanceof ViolinError && /the owner of purdue/.test(error.message)
  )
  const { text } = await refuseOwner(founder.refusing, { ...everywhere, owner: 'purdue' })
  assert.match(text, /the owner of purdue \([0-9a-f]{64}\) .*no VIOLIN of it is known here/)
  await until([owner], () => owner.warned.length > 0)
  await assert.rejects(
    collect(owner.changes.apply(oneLan('late', ['purdue']), false, 5_000)),
    refusal('revoked')
  )
})

test('what refuses an owner is taken back by any name of it, and where nothing does that is said', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, host] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(owner.changes.apply(oneLan('alpha', ['princeton', 'purdue']), true, 20_000))
  const { id, ownerKey } = await owner.violins.show('alpha')
  const names = ['princeton', owner.host.identity.id, ownerKey, 'alpha']
  for (const [place, name] of names.entries()) {
    const back = names[(place + 1) % names.length] as string
    await refuseOwner(host.refusing, { owner: name, undo: false, everywhere: false })
    await host.reconciled(() => !host.slices.wishes.has(id as ViolinId))
    const { text } = await refuseOwner(host.refusing, { owner: back, undo: true, everywhere: false })
    assert.match(text, / is taken on this host$/)
    await host.reconciled(() => runs(host, id).length === 1)
    assert.deepEqual(host.refusing.settings.limits.refuse, [])
  }
  const nothing = await refuseOwner(host.refusing, { owner: 'alpha', undo: true, everywhere: false })
  assert.equal(nothing.text, 'nothing refuses princeton on this host')
})

test("a host does not refuse its own operator's VIOLINs, by whatever name", async () => {
  await using stack = new AsyncDisposableStack()
  const [owner] = (await meshOf(['princeton'], stack)) as [TestHost]
  await collect(owner.changes.apply(oneLan('alpha', ['princeton']), true, 20_000))
  const { ownerKey } = await owner.violins.show('alpha')
  for (const name of ['princeton', ownerKey, 'alpha'])
    for (const everywhere of [false, true])
      await assert.rejects(
        refuseOwner(owner.refusing, { owner: name, undo: false, everywhere }),
        (error) => error instanceof ViolinError && /own owner/.test(error.message)
      )
})

test('the settings of a host are read anew when they change, and a mistake in them changes nothing', async () => {
  await using stack = new AsyncDisposableStack()
  const [host] = (await meshOf(['princeton'], stack)) as [TestHost]
  await collect(host.changes.apply(oneLan('net', ['princeton']), true, 20_000))
  const { id } = await host.violins.show('net')
  const path = joinPath(host.dir, 'settings.json')
  await writeFile(path, '{"vms": 0}')
  await rereadSettings(host.refusing)
  await host.reconciled(() => /1 entities, 0 allowed/.test(reason(host, id, 'vhost1')))
  assert.deepEqual(runs(host, id), [])
  for (const wrong of ['{"vms": -1}', '{"vmz": 1}', '{', '{"refuse": ["x"]}', '{"jetways": ["out"]}']) {
    await writeFile(path, wrong)
    for (let look = 0; look < 3; look++) await rereadSettings(host.refusing)
    assert.equal(host.refusing.settings.limits.vms, 0)
  }
  const told: string[] = []
  for await (const { kind, text } of host.refusing.journal.read(false))
    if (kind === 'settings') told.push(text)
  assert.equal(told.filter((text) => text.includes('is not valid')).length, 5, told.join('\n'))
})

test('settings that are no JSON, or no file, are refused with the place and the reason', async () => {
  const dir = await mkdtemp(joinPath(tmpdir(), 'violin-settings-'))
  try {
    const path = joinPath(dir, 'settings.json')
    const said = async (): Promise<string> => {
      const error: unknown = await Settings.of(dir, 4_096).catch((one: unknown) => one)
      assert.ok(error instanceof ViolinError && error.code === 'usage')
      return error.message.replace(path, 'FILE')
    }
    await writeFile(path, '{\n  "vms": 5,\n}')
    assert.match(await said(), /^FILE is not valid: no JSON: .* \(line 3 column 1\)$/)
    await writeFile(path, '{ "vms"\n: many }')
    assert.match(await said(), /^FILE is not valid: no JSON: Unexpected token 'm', .*: many/)
    await writeFile(path, '{"vms": -1}')
    assert.match(await said(), /^FILE is not valid: vms: /)
    await rm(path)
    await mkdir(path)
    assert.equal(await said(), 'FILE is not valid: it is a folder, not a file')
  } finally {
    await rm(dir, { recursive: true })
  }
})

test('what is refused stands in the settings beside what the operator wrote, for its user alone', async () => {
  await using stack = new AsyncDisposableStack()
  const [host] = (await meshOf(['princeton'], stack)) as [TestHost]
  const path = joinPath(host.dir, 'settings.json')
  await writeFile(path, '{"memoryMiB": 512}')
  const key = 'ab'.repeat(32)
  await refuseOwner(host.refusing, { owner: key, undo: false, everywhere: false })
  await refuseOwner(host.refusing, { owner: key, undo: false, everywhere: false })
  assert.deepEqual(JSON.parse(await readFile(path, 'utf8')), { memoryMiB: 512, refuse: [key] })
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  const { limits } = await Settings.of(host.dir, 4_096)
  assert.deepEqual([limits.memoryMiB, limits.ownerMemoryMiB], [512, 128])
})

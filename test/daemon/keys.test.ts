/** What docs/keys.md says, done. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, copyFile, cp, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { Departure } from '#daemon/departure.ts'
import { doctor } from '#daemon/doctor.ts'
import { openSecrets, rootKeyFile } from '#daemon/identity.ts'
import { refuseOwner } from '#daemon/refusing.ts'
import type { Slices } from '#daemon/slices/slices.ts'
import type { ViolinView } from '#core/records/view.ts'
import { withLink } from '#core/edits.ts'
import type { Spec, SpecEntity, SpecNic, Topology, TopologyEntity } from '#core/spec.ts'
import { collect, meshOf, oneLan, startHost, type TestHost, until } from './hosts.ts'

type Three = [TestHost, TestHost, TestHost]

test('a host that lost all but a copy of its identity comes back as itself, and owns what it owned', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, host] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(host.changes.apply(oneLan('net', ['princeton', 'purdue']), true, 20_000))
  const copy = join(founder.dir, '..', 'copy')
  await cp(join(host.dir, 'identity'), copy, { recursive: true })
  await host.close()
  await rm(host.dir, { recursive: true })
  const dir = join(founder.dir, '..', 'anew')
  await cp(copy, join(dir, 'identity'), { recursive: true })
  const back = await startHost(dir)
  stack.defer(() => back.close())
  assert.equal(back.host.identity.id, host.host.identity.id)
  await back.mesh.dial(founder.mesh.addresses(), AbortSignal.timeout(10_000))
  await until(
    [back, founder],
    () => back.records.view.violins.size === 1 && founder.mesh.members().length === 1
  )
  await collect(back.changes.delete('net', 20_000))
  await until([founder], () => [...founder.records.view.violins.values()].every(({ spec }) => spec === null))
})

test('an owner key that was copied to another member changes the same VIOLINs there', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, other] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(owner.changes.apply(oneLan('net', ['princeton', 'purdue']), true, 20_000))
  await other.close()
  await copyFile(join(owner.dir, 'identity', 'owner.key'), join(other.dir, 'identity', 'owner.key'))
  const again = await startHost(other.dir)
  stack.defer(() => again.close())
  await until([again], () => again.mesh.members().length === 1)
  await collect(again.changes.apply(oneLan('net', ['princeton']), true, 20_000))
  await until([owner], () => [...owner.records.view.violins.values()].some(({ version }) => version === 2))
  assert.equal((await owner.violins.show('net')).entities.length, 1)
})

/** The owner key of one host on another of its mesh, too. */
async function copyOwner(from: TestHost, to: TestHost, stack: AsyncDisposableStack): Promise<TestHost> {
  await to.close()
  await copyFile(join(from.dir, 'identity', 'owner.key'), join(to.dir, 'identity', 'owner.key'))
  return again(to, stack)
}

/** A host that was closed, back from its folder. */
async function again({ dir, slices }: TestHost, stack: AsyncDisposableStack): Promise<TestHost> {
  const back = await startHost(dir, slices)
  stack.defer(() => back.close())
  return back
}

/** The texts of the events of a kind that a host told. */
async function textsOf({ journal }: TestHost, kind: string): Promise<string[]> {
  const texts: string[] = []
  for await (const event of journal.read(false)) if (event.kind === kind) texts.push(event.text)
  return texts
}

async function told(host: TestHost, kind: string): Promise<number> {
  return (await textsOf(host, kind)).length
}

/** The one VIOLIN that a host knows. */
function onlyViolin({ records }: TestHost): ViolinView | undefined {
  return [...records.view.violins.values()][0]
}

test('what an owner key signed comes to every host on which it lies, and stays there', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, other] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(owner.changes.apply(oneLan('net', ['princeton']), true, 20_000))
  const copied = await copyOwner(owner, other, stack)
  await until([copied], () => onlyViolin(copied)?.version === 1)
  assert.equal((await copied.violins.show('net')).state, 'running')
  for (const { violins } of [owner, copied]) {
    assert.equal((await violins.show('net')).owner, 'princeton, purdue')
    assert.deepEqual(
      (await violins.list()).map((row) => row.owner),
      ['princeton, purdue']
    )
    assert.equal(violins.find('net@purdue').id, onlyViolin(owner)?.id)
  }
  await copied.close()
  const back = await again(other, stack)
  await until([back], () => onlyViolin(back)?.version === 1 && back.mesh.members().length === 1)
  await collect(back.changes.delete('net', 20_000))
  await owner.reconciled(() => owner.slices.wishes.size === 0)
})

test('a laptop is shut out, and what its owner signed on it goes on: the same key lies elsewhere', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, runner, other] = (await meshOf(['princeton', 'chicago', 'purdue'], stack)) as Three
  await collect(owner.changes.apply(oneLan('net', ['chicago']), true, 20_000))
  const laptop = await copyOwner(owner, other, stack)
  await until([laptop], () => onlyViolin(laptop)?.version === 1 && laptop.mesh.members().length === 2)
  await collect(laptop.changes.apply(oneLan('net', ['chicago', 'princeton']), true, 20_000))
  await until([owner, runner], () => [owner, runner].every((one) => onlyViolin(one)?.version === 2))
  await owner.admission.revoke(laptop.host.identity.id)
  await until([owner, runner], () => [owner, runner].every((one) => onlyViolin(one)?.version === 3))
  await runner.reconciled(() => [...runner.slices.wishes.values()].every(({ version }) => version === 3))
  for (const one of [owner, runner]) {
    assert.equal(onlyViolin(one)?.spec?.entities.length, 2)
    assert.equal(await told(one, 'stopped'), 0)
  }
  assert.equal(await told(owner, 'signed-anew'), 1)
})

test('what runs goes on without a record until its host has heard of one, or that there is none', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, runner] = (await meshOf(['princeton', 'chicago'], stack)) as [TestHost, TestHost]
  await collect(owner.changes.apply(oneLan('net', ['chicago']), true, 20_000))
  await runner.close()
  await rm(join(runner.dir, 'store'), { recursive: true })
  const back = await again(runner, stack)
  assert.equal(back.slices.wishes.size, 1)
  await back.mesh.dial(owner.mesh.addresses(), AbortSignal.timeout(10_000))
  await until([back], () => onlyViolin(back)?.version === 1)
  await back.reconciled(() => back.reconciler.all().values().next().value?.part?.version === 1)
  assert.equal(await told(back, 'stopped'), 0)
  assert.deepEqual(await textsOf(back, 'adopted'), ['1 entity went on without a daemon'])
  await collect(owner.changes.delete('net', 20_000))
  await back.reconciled(() => back.slices.wishes.size === 0)
})

test('two versions that an owner signed on two hosts, each away for the other, become one', async () => {
  await using stack = new AsyncDisposableStack()
  const [first, second] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  const wherever = (name: string, ...others: TopologyEntity[]): Topology => {
    const topology = oneLan('net', ['princeton'])
    const { on: _, ...entity } = topology.entities[0] as TopologyEntity
    return { ...topology, entities: [{ ...entity, name }, ...others] }
  }
  const pinned = (name: string, on: string): TopologyEntity => ({
    ...(oneLan('net', [on]).entities[0] as TopologyEntity),
    name
  })
  await collect(first.changes.apply(wherever('h1'), true, 20_000))
  let two = await copyOwner(first, second, stack)
  await until([two, first], () => onlyViolin(two) !== undefined && first.mesh.members().length === 1)
  await first.close()
  await until([two], () => two.mesh.members().length === 0)
  await collect(two.changes.apply(wherever('h1', pinned('h4', 'purdue')), false, 20_000))
  await two.close()
  const one = await again(first, stack)
  await collect(one.changes.apply(wherever('h1', pinned('h5', 'princeton')), false, 20_000))
  two = await again(second, stack)
  const hash = (host: TestHost): string | undefined => onlyViolin(host)?.record.hash
  const bodies = [hash(one), hash(two)]
  assert.notEqual(bodies[0], bodies[1])
  await two.mesh.dial(one.mesh.addresses(), AbortSignal.timeout(10_000))
  const both = [one, two]
  await until(both, () => hash(one) === hash(two))
  assert.equal(
    hash(one),
    (bodies as string[]).reduce((a, b) => (a < b ? a : b))
  )
  const runners = (): TestHost[] =>
    both.filter(({ slices }) =>
      [...slices.wishes.values()].some(({ entities }) => entities.some(({ name }) => name === 'h1'))
    )
  const winner = hash(one) === bodies[0] ? one : two
  await (winner === one ? two : one).reconciled(() => runners().length === 1)
  assert.deepEqual(runners(), [winner])
  const loser = winner === one ? two : one
  assert.equal((await winner.violins.show('net')).lost, null)
  const lost = await lossOf(loser)
  assert.match(lost ?? '', /^version 2, signed here at /)
  assert.deepEqual([await told(winner, 'version-lost'), await textsOf(loser, 'version-lost')], [0, [lost]])
})

/** What `show` says on a host of a version that was signed there and does not count. */
async function lossOf({ violins }: TestHost): Promise<string | null> {
  return (await violins.show('net')).lost
}

/** Sets the delay of the first vNIC, so that each change is another version. */
async function delay({ changes }: TestHost, delayUs: number): Promise<ViolinView> {
  return changes.change('net', (spec) => {
    const { name, nics } = spec.entities[0] as SpecEntity
    return withLink(spec, { entity: name, nic: (nics[0] as SpecNic).name, set: { delayUs } })
  })
}

test('a change that another laptop passed over while they could not meet is told on the host that signed it', async () => {
  await using stack = new AsyncDisposableStack()
  const [first, second] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(first.changes.apply(oneLan('net', ['princeton', 'purdue']), true, 20_000))
  let two = await copyOwner(first, second, stack)
  await until(
    [two, first],
    () => onlyViolin(two)?.ownerHosts.length === 2 && first.mesh.members().length === 1
  )
  await first.close()
  await until([two], () => two.mesh.members().length === 0)
  for (const delayUs of [1, 2]) await delay(two, delayUs)
  await two.close()
  let one = await again(first, stack)
  const mine = await delay(one, 33)
  assert.equal(mine.version, 2)
  // Neither is what was signed before a restart forgotten.
  await one.close()
  one = await again(first, stack)
  assert.equal(await lossOf(one), null)
  two = await again(second, stack)
  await two.mesh.dial(one.mesh.addresses(), AbortSignal.timeout(10_000))
  await until([one], () => onlyViolin(one)?.version === 3)
  const lost = await lossOf(one)
  const says =
    /^version 2, signed here at \S+, does not count: version 3, signed by purdue at \S+, stands and was made without it; apply the file again, or repeat the change$/
  assert.match(lost ?? '', says)
  assert.deepEqual(await textsOf(one, 'version-lost'), [lost])
  assert.throws(() => one.changes.mustCount(mine), /changed again meanwhile \(version 3\)/)
  assert.deepEqual([await lossOf(two), await told(two, 'version-lost')], [null, 0])
  await one.close()
  one = await again(first, stack)
  assert.deepEqual([await lossOf(one), await told(one, 'version-lost')], [lost, 0], 'shown still, told once')
  await delay(one, 33)
  await until([two], () => onlyViolin(two)?.version === 4)
  assert.equal(await lossOf(one), null)
})

test('a host that was restored from a backup is told what it signed before it heard of its former life', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, host] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(host.changes.apply(oneLan('net', ['princeton', 'purdue']), true, 20_000))
  await host.close()
  const backup = join(founder.dir, '..', 'backup')
  await cp(host.dir, backup, { recursive: true })
  const restore = async (): Promise<void> => {
    await rm(host.dir, { recursive: true })
    await cp(backup, host.dir, { recursive: true })
  }
  const before = await again(host, stack)
  for (const delayUs of [1, 2, 3]) await delay(before, delayUs)
  await until([before, founder], () => onlyViolin(founder)?.version === 4)
  await before.close()
  await restore()
  const silent = await again(host, stack)
  await until([silent], () => onlyViolin(silent)?.version === 4)
  assert.deepEqual([await lossOf(silent), await told(silent, 'version-lost')], [null, 0], 'it signed nothing')
  await silent.close()
  await founder.close()
  await restore()
  const apart = await again(host, stack)
  for (const delayUs of [44, 45]) await delay(apart, delayUs)
  assert.equal(onlyViolin(apart)?.version, 3)
  const other = await again(founder, stack)
  await other.mesh.dial(apart.mesh.addresses(), AbortSignal.timeout(10_000))
  await until([apart], () => onlyViolin(apart)?.version === 4)
  const lost = await lossOf(apart)
  assert.match(lost ?? '', /^version 3, signed here at \S+, does not count: version 4, signed by purdue at /)
  assert.deepEqual(await textsOf(apart, 'version-lost'), [lost])
  await collect(apart.changes.apply(oneLan('net', ['princeton', 'purdue']), false, 20_000))
  assert.deepEqual([onlyViolin(apart)?.version, await lossOf(apart)], [5, null])
})

test('of two changes that an owner makes on two hosts at once each is there, or whoever made it is told', async () => {
  await using stack = new AsyncDisposableStack()
  const [laptop, desk] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(laptop.changes.apply(oneLan('net', ['princeton', 'purdue']), true, 20_000))
  const hosts = [laptop, await copyOwner(laptop, desk, stack)]
  await until(hosts, () => hosts.every(({ mesh }) => mesh.members().length === 1))
  const delayOf = (spec: Spec, place: number): number | undefined =>
    spec.entities[place]?.nics[0]?.link?.delayUs
  for (let delayUs = 1; delayUs <= 8; delayUs++) {
    const made = await Promise.allSettled(
      hosts.map(({ changes }, place) =>
        changes.change('net', (spec) => {
          const { name, nics } = spec.entities[place] as SpecEntity
          return withLink(spec, { entity: name, nic: (nics[0] as SpecNic).name, set: { delayUs } })
        })
      )
    )
    const hashes = (): Set<string> =>
      new Set(
        hosts.flatMap(({ records }) => [...records.view.violins.values()].map(({ record }) => record.hash))
      )
    await until(hosts, () => hashes().size === 1)
    const [standing] = laptop.records.view.violins.values()
    let counting = 0
    for (const [place, one] of made.entries()) {
      const { changes, host } = hosts[place] as TestHost
      if (one.status === 'rejected') assert.match(String(one.reason), /net was changed again meanwhile/)
      else {
        assert.equal(one.value.ownerHost, host.identity.id, 'what it made itself')
        try {
          changes.mustCount(one.value)
        } catch {
          continue
        }
        assert.equal(delayOf(standing?.spec as Spec, place), delayUs)
        counting++
      }
    }
    assert.ok(counting > 0)
  }
})

test('who leaves ends only VIOLINs whose owner key lies on no other host', async () => {
  await using stack = new AsyncDisposableStack()
  const [owner, other] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(owner.changes.apply(oneLan('net', ['princeton', 'purdue']), true, 20_000))
  assert.deepEqual(owner.violins.soleOwned(), [{ name: 'net', others: [] }])
  const copied = await copyOwner(owner, other, stack)
  const keyIsKnown = ({ violins }: TestHost): boolean =>
    violins.soleOwned().some(({ others }) => others.length === 1)
  await until([copied, owner], () => keyIsKnown(copied) && keyIsKnown(owner))
  const left = Promise.withResolvers<void>()
  const departure = new Departure({
    ...copied,
    slices: copied.slices as unknown as Slices,
    reconciler: copied.refusing.reconciler,
    gone: () => Promise.resolve(),
    end: left.resolve
  })
  const said = await collect(departure.leave(true))
  await left.promise
  assert.ok(said.some((row) => row.kind === 'step' && /net stays: .* lies on princeton, too/.test(row.text)))
  await until([owner], () => owner.violins.soleOwned().every(({ others }) => others.length === 0))
  assert.deepEqual(owner.violins.soleOwned(), [{ name: 'net', others: [] }])
})

test('doctor tells while the root key lies on the host, and revoking works from wherever it is put', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, member, other] = (await meshOf(['princeton', 'purdue', 'washington'], stack)) as Three
  const detail = async (): Promise<string> =>
    (await doctor(founder.dir)).find(({ name }) => name === 'root key')?.detail ?? ''
  assert.match(await detail(), /put it away/)
  await rename(rootKeyFile(founder.dir), rootKeyFile(member.dir))
  assert.match(await detail(), /not here/)
  await member.admission.revoke('princeton')
  await until([other], () => !other.mesh.members().includes(founder.host.identity.id))
})

test('VIOLINs whose owner key is lost or stolen are ended by an admin above the owner', async () => {
  await using stack = new AsyncDisposableStack()
  const [founder, owner] = (await meshOf(['princeton', 'purdue'], stack)) as [TestHost, TestHost]
  await collect(owner.changes.apply(oneLan('net', ['princeton']), true, 20_000))
  await refuseOwner(founder.refusing, { owner: 'net', undo: false, everywhere: true })
  await founder.reconciled(() => founder.slices.wishes.size === 0)
})

test('doctor fails while a secret is open to others, with what mends it', async () => {
  await using stack = new AsyncDisposableStack()
  const [host] = (await meshOf(['princeton'], stack)) as [TestHost]
  const secrets = async (): Promise<unknown> =>
    (await doctor(host.dir)).find(({ name }) => name === 'secrets')
  const well = { name: 'secrets', ok: true, detail: 'for their user alone', remedy: '' }
  assert.deepEqual(await secrets(), well)
  const folder = join(host.dir, 'identity')
  await chmod(join(folder, 'host.key'), 0o644)
  await chmod(join(folder, 'owner.key'), 0o620)
  assert.deepEqual(await secrets(), {
    name: 'secrets',
    ok: false,
    detail: `other users can read host.key, owner.key in ${folder}`,
    remedy: `chmod 600 ${folder}/host.key ${folder}/owner.key`
  })
  await promisify(execFile)('sh', ['-c', (await openSecrets(host.dir))?.remedy ?? ''])
  assert.deepEqual(await secrets(), well)
})

test('every secret of a host is a file for its user alone', async () => {
  await using stack = new AsyncDisposableStack()
  const [host] = (await meshOf(['princeton'], stack)) as [TestHost]
  for (const name of ['root.key', 'host.key', 'owner.key'])
    assert.equal((await stat(join(host.dir, 'identity', name))).mode & 0o777, 0o600, name)
})

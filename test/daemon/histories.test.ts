import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { withEntity, withOffer } from '#core/doors.ts'
import { attachedEntity } from '#core/resolve.ts'
import type { ViolinId, WallTime } from '#core/ids.ts'
import { Journal } from '#daemon/events.ts'
import { Histories, merged, type History } from '#daemon/histories.ts'
import { collect, meshOf, oneLan, type TestHost, until } from './hosts.ts'

const at = (ms: number): string => new Date(1_700_000_000_000 + ms).toISOString()

test('events of several hosts come in one order, whoever is asked first, and each host keeps its own', () => {
  const history = fc
    .array(fc.nat(50), { maxLength: 12 })
    .map((times): History => times.map((ms, i) => ({ at: at(ms), kind: 'k', text: `${i}` })))
  fc.assert(
    fc.property(fc.array(history, { maxLength: 5 }), (histories) => {
      const told = histories.map((one, i) => ({ host: `host-${i}`, history: one }))
      const rows = merged(told, 'v')
      assert.deepEqual(merged(told.toReversed(), 'v'), rows)
      for (const { host, history: own } of told)
        assert.deepEqual(
          rows.filter((row) => row.host === host).map(({ text }) => text),
          own.map(({ text }) => text)
        )
      for (const [i, row] of rows.entries()) assert.ok(i === 0 || (rows[i - 1]?.at ?? '') <= row.at)
    })
  )
})

test('what a host notes once it knows of another’s word stands after it, though that clock is ahead', () => {
  const journal = new Journal()
  const ahead = Date.now() + 300_000
  journal.heard(ahead as WallTime)
  journal.note('running', { id: 'e'.repeat(64) as ViolinId, name: 'told' }, 'it does what was signed')
  const [row] = journal.of('e'.repeat(64) as ViolinId)
  assert.ok(row !== undefined && row.at > new Date(ahead).toISOString().replace('Z', '000Z'))
})

test('what happened to a VIOLIN is told by all its hosts, and who does not answer is named', async () => {
  await using stack = new AsyncDisposableStack()
  const hosts = await meshOf(['purdue', 'princeton', 'rice'], stack)
  const histories = hosts.map(
    ({ host, records, journal, mesh }) =>
      new Histories({
        self: host.identity.id,
        records,
        journal,
        mesh,
        nameOf: (one) => records.view.members.get(one)?.body.name ?? one
      })
  )
  const [purdue, princeton, rice] = hosts
  assert.ok(purdue !== undefined && princeton !== undefined && rice !== undefined)
  await collect(purdue.changes.apply(oneLan('told', ['purdue', 'princeton']), true, 20_000))
  const violin = purdue.violins.find('told')
  purdue.journal.note('one', violin, 'first here')
  princeton.journal.note('two', violin, 'then there')
  princeton.journal.note('other', { id: 'e'.repeat(64) as ViolinId, name: 'told' }, 'of another by that name')
  const read = async (): Promise<string[]> => {
    const rows: string[] = []
    for await (const row of histories[0]?.read(violin) ?? []) rows.push(`${row.host} ${row.kind}`)
    return rows
  }
  const rows = await read()
  assert.ok(rows.includes('purdue one') && rows.includes('princeton two'))
  assert.ok(!rows.some((row) => row.includes('other') || row.includes('not-reached')))
  assert.deepEqual(
    await purdue.mesh
      .request(
        princeton.host.identity.id,
        'events',
        new TextEncoder().encode(JSON.stringify({ violin: 'f'.repeat(64) })),
        AbortSignal.timeout(5_000)
      )
      .then((body) => new TextDecoder().decode(body)),
    '[]'
  )
  await princeton.mesh.close()
  assert.equal((await read()).at(-1), 'princeton not-reached')
})

test('who is there by an offer sees what is his own, of all that is told of a VIOLIN', async () => {
  await using stack = new AsyncDisposableStack()
  const hosts = await meshOf(['purdue', 'rice'], stack)
  const [owner, guest] = hosts as [TestHost, TestHost]
  const wanted = oneLan('net', ['purdue', 'purdue'])
  const lans = wanted.lans.map((lan) => ({ ...lan, services: { dns: 'vhost1' } }))
  await collect(owner.changes.apply({ ...wanted, lans }, true, 20_000))
  const { id } = guest.host.identity
  const changed = await owner.changes.change('net', (spec) => {
    const offered = withOffer(spec, { lan: 'lan1', to: id })
    return withEntity(
      offered,
      attachedEntity(offered, { name: 'web', driver: 'netns', host: id, by: id, lan: 'lan1' })
    )
  })
  await collect(owner.changes.tell(changed))
  await until(hosts, () => guest.slices.wishes.size === 1)
  const shown = await guest.violins.show('net')
  assert.deepEqual(
    shown.lans.map(({ ports }) => ports.map(({ entity }) => entity)),
    [['web']]
  )
  assert.deepEqual(
    [owner, guest].map(({ violins }) => violins.config('net').map(({ entity }) => entity)),
    [['vhost1', 'vhost2', 'web'], ['web']]
  )
  assert.deepEqual(
    (await guest.violins.list()).map(({ entities, running }) => [entities, running]),
    [[1, 1]]
  )
  const [ofOwner, ofGuest] = hosts.map(
    ({ host, records, journal, mesh }) =>
      new Histories({ self: host.identity.id, records, journal, mesh, nameOf: (one) => one })
  ) as [Histories, Histories]
  owner.journal.note('one', changed, 'vhost1 runs')
  guest.journal.note('two', changed, 'web runs')
  const told = async (histories: Histories): Promise<string[]> => {
    const rows = []
    for await (const { text } of histories.read(changed)) rows.push(text)
    return rows.filter((text) => text.endsWith(' runs'))
  }
  // Neither host knew of the other's word: which stands first is their clocks' to say.
  assert.deepEqual((await told(ofOwner)).toSorted(), ['vhost1 runs', 'web runs'])
  assert.deepEqual(await told(ofGuest), ['web runs'])
  const question = new TextEncoder().encode(JSON.stringify({ violin: changed.id }))
  const asked = async (): Promise<string> => {
    const signal = AbortSignal.timeout(5_000)
    return new TextDecoder().decode(
      await guest.mesh.request(owner.host.identity.id, 'events', question, signal)
    )
  }
  assert.equal(await asked(), '[]')
  // Nor once it is over, when nobody knows any more who was there by an offer.
  await collect(owner.changes.delete('net', 20_000))
  assert.equal(await asked(), '[]')
})

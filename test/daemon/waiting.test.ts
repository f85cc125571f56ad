/** What hosts say while it is waited for, in whatever order it comes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import type { HostId, ViolinId } from '#core/ids.ts'
import type { Mesh } from '#mesh/contract.ts'
import type { Peers } from '#daemon/peers.ts'
import type { Reconciler } from '#daemon/reconciler.ts'
import type { Records } from '#daemon/records.ts'
import { type HostStatus, Statuses } from '#daemon/statuses.ts'
import type { Violins } from '#daemon/violins.ts'
import { Waiting } from '#daemon/waiting.ts'
import { collect, meshOf, oneLan, type TestHost } from './hosts.ts'

const violin = 'ab'.repeat(32) as ViolinId
const [one, two] = ['one', 'two'] as [HostId, HostId]

test('who follows what hosts run is woken when the record changes, whatever those say', async () => {
  const silence = (): void => undefined
  let changed: (records: readonly object[]) => void = silence
  const records = {
    onChange: (listener: typeof changed) => {
      changed = listener
      return () => (changed = silence)
    }
  } as unknown as Records
  const mesh = {
    serve: () => undefined,
    request: (_peer: HostId, _protocol: string, _body: unknown, signal: AbortSignal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('not answered'))))
  } as unknown as Mesh
  const statuses = new Statuses('self' as HostId, records, {} as Reconciler, mesh)
  const over = new AbortController()
  const rows = statuses.follow([one], violin, over.signal)
  let isWoken = false
  const next = rows.next().finally(() => (isWoken = true))
  changed([{ kind: 'violin', key: 'cd'.repeat(32) }])
  await setImmediate()
  assert.equal(isWoken, false)
  changed([{ kind: 'violin', key: violin }])
  // Nothing was said yet: it was not the end of a question that brought it.
  assert.deepEqual(await next, { done: false, value: new Map() })
  over.abort()
  assert.deepEqual(await rows.next(), { done: true, value: undefined })
  assert.equal(changed, silence, 'it listens no more')
})

test('a VIOLIN is not gone before all its hosts were heard', async () => {
  const ended = { id: violin, name: 'net', spec: null, ended: { name: 'net', hosts: [one, two] } }
  const stopped = { runs: null } as HostStatus
  const runs = { runs: 1 } as HostStatus
  const rows = [
    new Map([[one, stopped]]),
    new Map([
      [one, stopped],
      [two, runs]
    ]),
    new Map([
      [one, stopped],
      [two, stopped]
    ])
  ]
  const given: (typeof rows)[0][] = []
  const waiting = new Waiting({
    violins: { find: () => ended } as unknown as Violins,
    records: { view: { violins: new Map([[violin, ended]]) } } as unknown as Records,
    peers: { nameOf: (host: HostId) => host } as unknown as Peers,
    statuses: {
      async *follow() {
        for (const row of rows) {
          given.push(row)
          yield row
        }
      }
    } as unknown as Statuses
  })
  assert.deepEqual(await waiting.wait('net', 'gone', 1_000), { state: 'gone' })
  assert.equal(given.length, 3)
})

test('who waits for the end of a VIOLIN in vain is told what of it is known', async () => {
  const lasts = { id: violin, name: 'net', spec: { entities: [], lans: [] }, ended: null }
  const ended = { id: violin, name: 'net', spec: null, ended: { name: 'net', hosts: [one, two] } }
  const inVain = (known: object, ...rows: Map<HostId, HostStatus>[]): Promise<unknown> =>
    new Waiting({
      violins: { find: () => known } as unknown as Violins,
      records: { view: { violins: new Map([[violin, known]]) } } as unknown as Records,
      peers: { nameOf: (host: HostId) => host } as unknown as Peers,
      statuses: {
        async *follow() {
          yield* rows
        }
      } as unknown as Statuses
    }).wait('net', 'gone', 0)
  await assert.rejects(inVain(lasts), { message: 'net is not gone after 0 s: nobody deleted it' })
  const unheard = 'one was not heard yet; two was not heard yet'
  await assert.rejects(inVain(ended), { message: `net is not gone after 0 s: ${unheard}` })
  const runs = new Map([[one, { runs: 1 } as HostStatus]])
  const open = 'one has not stopped it; two was not heard yet'
  await assert.rejects(inVain(ended, runs), { message: `net is not gone after 0 s: ${open}` })
})

test('a host whose clock is wrong says so of what it does not start', async (t) => {
  await using stack = new AsyncDisposableStack()
  const [host] = (await meshOf(['princeton'], stack)) as [TestHost]
  t.mock.getter(host.records, 'clockIsWrong', () => true)
  await collect(host.changes.apply(oneLan('net', ['princeton']), false, 20_000))
  const { entities } = await host.violins.show('net')
  assert.deepEqual(
    entities.map(({ state, reason }) => [state, /clock is wrong/.test(reason ?? '')]),
    [['pending', true]]
  )
})

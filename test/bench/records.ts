/**
 * What records cost at the sizes that are planned for: bytes until two large stores agree, time of a change,
 * memory of a host in a process of many, time of a view.
 */
import { answerSync, applySync, onlyScopes, syncRequest } from '#core/records/sync.ts'
import type { RecordSet } from '#core/records/set.ts'
import { sharedNodes } from '#core/records/tree.ts'
import { view } from '#core/records/view.ts'
import { start } from '../core/admission/keys.ts'
import { LargePool } from '../core/records/large.ts'
import { type Row, printReport, row } from './report.ts'
import { asked, flag, json } from './usage.ts'

const large = 100_000
const differing = 10
const hosts = 10_000
const access = onlyScopes(['mesh'])

interface Exchange {
  readonly bytes: number
  readonly recordBytes: number
  readonly rounds: number
  readonly ms: number
}

function exchange(a: RecordSet, b: RecordSet): Exchange {
  const began = performance.now()
  let [bytes, recordBytes, rounds] = [0, 0, 0]
  let request: Uint8Array | null = syncRequest(a, ['mesh'], start)
  while (request !== null) {
    const answered = answerSync(b, request, start, access)
    const applied = applySync(a, answered.answer, start, access)
    bytes += request.length + answered.answer.length
    for (const record of [...answered.accepted, ...applied.accepted]) recordBytes += record.bytes.length
    rounds++
    request = applied.next
  }
  if (a.tree('hosts')?.sum !== b.tree('hosts')?.sum) throw new Error('they do not agree')
  return { bytes, recordBytes, rounds, ms: performance.now() - began }
}

/** Two stores of which each lacks records of the other and has old versions. */
function differ(pool: LargePool, base: RecordSet, run: number): readonly [RecordSet, RecordSet] {
  const sides = [base.fork(), base.fork()] as const
  for (let i = 0; i < differing; i++) {
    const number = (run * differing + i) * 97
    const record = i % 2 === 0 ? pool.record(large + number) : pool.record(number, 2)
    sides[i % 3 === 0 ? 0 : 1].merge(record.bytes, start)
  }
  return sides
}

function agreeing(pool: LargePool): Row[] {
  const base = pool.filled(0, large)
  const runs = Array.from({ length: 20 }, (_, run) => exchange(...differ(pool, base, run)))
  const of = (pick: (one: Exchange) => number): number[] => runs.map(pick)
  const equal = exchange(base, base.fork())
  return [
    row(
      `${large} records, ${differing} differ: bytes both ways`,
      'B',
      of((one) => one.bytes),
      { atMost: 20_000 }
    ),
    row(
      'of these, records that were news',
      'B',
      of((one) => one.recordBytes)
    ),
    row(
      'rounds until they agree',
      'round trips',
      of((one) => one.rounds)
    ),
    row(
      'time of both sides',
      'ms',
      of((one) => one.ms)
    ),
    row('equal stores: bytes both ways', 'B', [equal.bytes], { atMost: 200 })
  ]
}

function joining(pool: LargePool): Row[] {
  const joined = exchange(pool.filled(0, 1), pool.filled(0, 1000))
  return [
    row('joining a mesh of 1,000: round trips of the one session', 'round trips', [joined.rounds]),
    row('joining: bytes beside the records', 'B', [joined.bytes - joined.recordBytes])
  ]
}

function changing(pool: LargePool): Row[] {
  const set = pool.filled(0, large)
  const times: number[] = []
  const views: number[] = []
  for (let i = 0; i < 5000; i++) {
    const { bytes } = pool.record(i * 7, 3)
    const began = performance.now()
    set.merge(bytes, start)
    const merged = performance.now()
    view(set, start).members.get(pool.record(i * 7).chain?.host as never)
    times.push((merged - began) * 1000)
    views.push((performance.now() - merged) * 1000)
  }
  return [
    row(`a change among ${large}, signature apart`, 'µs', times, { atMost: 100 }),
    row('a view after it, and a member looked up', 'µs', views, { atMost: 100 })
  ]
}

/** Bytes of heap for each set that `make` makes. */
function heapOf(count: number, make: (index: number) => RecordSet): number {
  const sets: RecordSet[] = []
  const before = usedHeap()
  for (let i = 0; i < count; i++) sets.push(make(i))
  const used = (usedHeap() - before) / count
  if (sets.length !== count) throw new Error('a set is gone')
  return used
}

function usedHeap(): number {
  if (globalThis.gc === undefined) throw new Error('run with --expose-gc')
  globalThis.gc()
  return process.memoryUsage().heapUsed
}

function memory(pool: LargePool): Row[] {
  const base = pool.filled(0, hosts)
  const own = heapOf(20, () => pool.filled(0, hosts))
  const forked = heapOf(1000, () => base.fork())
  // Every host hears the same news, in another order.
  const share = sharedNodes(65_536)
  const shared = pool.filled(0, hosts, share)
  const news = Array.from({ length: 200 }, (_, i) => pool.record(i * 31, 2).bytes)
  const heard = heapOf(200, (index) => {
    const set = shared.fork()
    for (let i = 0; i < news.length; i++) set.merge(news[(i * 7 + index) % news.length] as Uint8Array, start)
    return set
  })
  return [
    row(`a host's set of ${hosts} shared records, built alone`, 'KB', [own / 1000], { atMost: 1000 }),
    row('the same, forked', 'KB', [forked / 1000], { atMost: 10 }),
    row('the same, forked, after 200 changes heard in its own order', 'KB', [heard / 1000], { atMost: 100 })
  ]
}

const values = asked({
  command: 'bin/run --expose-gc test/bench/records.ts',
  measures: 'What records cost at the sizes that are planned for.',
  options: { json, long: flag('the same: it has no longer form') }
})
const pool = new LargePool()
printReport([...agreeing(pool), ...joining(pool), ...changing(pool), ...memory(pool)], values.json)

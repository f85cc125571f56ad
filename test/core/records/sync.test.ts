import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ViolinError } from '#core/errors.ts'
import type { HostId, WallTime } from '#core/ids.ts'
import { showsHolder } from '#core/records/holders.ts'
import type { Scope, SignedRecord } from '#core/records/record.ts'
import { type RecordSet, clockToleranceMs } from '#core/records/set.ts'
import {
  type Access,
  answerSync,
  applySync,
  maxSyncBytes,
  maxSyncRounds,
  onlyScopes,
  syncRequest
} from '#core/records/sync.ts'
import { type TestHost, after, founder, hourMs, invite, join, start, witnessOf } from '../admission/keys.ts'
import { LargePool } from './large.ts'
import {
  contents,
  emptySet,
  foundingOf,
  hostRecord,
  revocation,
  runsRecord,
  setOf,
  specOn,
  violinId,
  violinRecord
} from './records.ts'

const first = founder()
const { token } = invite(first, 'token', { slots: 400 })
const hosts: readonly TestHost[] = Array.from({ length: 160 }, (_, i) =>
  join(token, `host ${i}`, witnessOf(first), i)
)
const records: readonly SignedRecord[] = hosts.map((host) => hostRecord(host))
const founding = foundingOf(first.owner.publicKey)
const id = violinId(founding)
const own = [
  violinRecord(first, founding, specOn([first.chain.host as HostId])),
  runsRecord(hosts[0] as TestHost, id),
  runsRecord(hosts[1] as TestHost, id)
]
const cut = [revocation((hosts[5] as TestHost).chain, first), revocation((hosts[6] as TestHost).chain, first)]

/** One exchange between two hosts; returns rounds and bytes. */
function sync(
  a: RecordSet,
  b: RecordSet,
  scopes: readonly Scope[] = ['mesh', id],
  now: WallTime = start
): { rounds: number; bytes: number } {
  let request: Uint8Array | null = syncRequest(a, scopes, now)
  let rounds = 0
  let bytes = 0
  while (request !== null) {
    assert.ok(++rounds <= maxSyncRounds, 'it does not end')
    const { answer } = answerSync(b, request, now, onlyScopes(scopes))
    assert.ok(request.length <= maxSyncBytes && answer.length <= maxSyncBytes)
    bytes += request.length + answer.length
    request = applySync(a, answer, now, onlyScopes(scopes)).next
  }
  return { rounds, bytes }
}

test('whatever two hosts hold, one exchange leaves both with the join', () => {
  const pool = [...records.slice(0, 80), ...own, ...cut]
  const some = fc.subarray(pool)
  fc.assert(
    fc.property(some, some, (left, right) => {
      const a = setOf(left)
      const b = setOf(right)
      sync(a, b)
      const whole = contents(setOf([...left, ...right]))
      assert.deepEqual(contents(a), whole)
      assert.deepEqual(contents(b), whole)
    }),
    { numRuns: 20 }
  )
})

test('equal hosts need one round of a few bytes', () => {
  const { rounds, bytes } = sync(setOf([...records, ...own]), setOf([...own, ...records]))
  assert.equal(rounds, 1)
  assert.ok(bytes < 400, `${bytes} bytes`)
})

test('two hosts with 100,000 records that differ in 10 agree after 20 KB both ways, record bytes included', () => {
  const pool = new LargePool()
  const base = pool.filled(0, 100_000)
  for (const kind of ['missing', 'renewed', 'either'] as const) {
    const [a, b] = [base.fork(), base.fork()]
    for (let i = 0; i < 10; i++) {
      const other = kind === 'renewed' ? pool.record(i * 9973, 2) : pool.record(100_000 + i)
      const holder = kind === 'either' && i % 2 === 0 ? a : b
      assert.equal(holder.merge(other.bytes, start).verdict, 'accepted')
    }
    const { rounds, bytes } = sync(a, b, ['mesh'])
    assert.equal(a.tree('hosts')?.sum, b.tree('hosts')?.sum)
    assert.equal(a.size, kind === 'renewed' ? 100_000 : 100_010)
    assert.ok(bytes <= 20_000, `${kind}: ${bytes} bytes`)
    assert.ok(rounds <= 6, `${kind}: ${rounds} rounds`)
  }
})

test('a host that joins a mesh of 1,000 has all of it after one session', () => {
  const pool = new LargePool()
  const full = pool.filled(0, 1000)
  const fresh = pool.filled(0, 1)
  const { rounds, bytes } = sync(fresh, full, ['mesh'])
  assert.deepEqual(contents(fresh), contents(full))
  const records = [...full.all()].reduce((sum, record) => sum + record.bytes.length, 0)
  assert.ok(rounds <= 12, `${rounds} rounds`)
  assert.ok(bytes < 1.1 * records, `${bytes} bytes for ${records} of records`)
})

test('two records made to have one short id are told apart, whoever asks', () => {
  const short = 'ab'.repeat(16)
  for (const side of [0, 1]) {
    const pool = new LargePool()
    const base = pool.filled(0, 200)
    const [a, b] = [base.fork(), base.fork()]
    // Versions of one record, and records of two authors next to others.
    a.merge(pool.record(7, 2, { hash: short + '00'.repeat(16) }).bytes, start)
    b.merge(pool.record(7, 3, { hash: short + '11'.repeat(16) }).bytes, start)
    sync(...(side === 0 ? ([a, b] as const) : ([b, a] as const)), ['mesh'])
    assert.equal(a.get('host', pool.record(7).author, '')?.version, 3)
    assert.deepEqual(contents(a), contents(b))
  }
})

test('one difference among hundreds is found without listing them all', () => {
  const a = setOf(records)
  const b = setOf(records.slice(0, -1))
  const { bytes } = sync(b, a)
  assert.deepEqual(contents(a), contents(b))
  assert.ok(bytes < 6000, `${bytes} bytes`)
})

test('a fresh host gets everything, page by page, and so does the side that was asked', () => {
  const addresses = Array.from({ length: 16 }, (_, i) => `/dns4/${'a'.repeat(200)}/tcp/${i}`)
  const large = hosts.slice(0, 70).map((host) => hostRecord(host, { addresses }, { version: 2 }))
  const full = setOf([...records, ...large, ...own, ...cut])
  for (const pull of [true, false]) {
    const fresh = emptySet()
    const { rounds } = pull ? sync(fresh, full) : sync(full, fresh)
    assert.deepEqual(contents(fresh), contents(full))
    assert.ok(rounds >= 2, `${rounds} rounds`)
  }
})

test('revocations come before the hosts that they cut', () => {
  const full = setOf([...records, ...cut])
  const request = syncRequest(emptySet(), ['mesh'], start)
  const fresh = emptySet()
  const { accepted } = applySync(
    fresh,
    answerSync(full, request, start, onlyScopes(['mesh'])).answer,
    start,
    onlyScopes(['mesh'])
  )
  assert.deepEqual(
    accepted.slice(0, 2).map((record) => record.kind),
    ['revocation', 'revocation']
  )
  assert.ok(accepted.length > 2)
})

test('what is not shared is neither shown nor taken', () => {
  const holder = setOf([...records.slice(0, 3), ...own])
  const stranger = emptySet()
  const request = syncRequest(stranger, ['mesh', id], start)
  const { answer } = answerSync(holder, request, start, onlyScopes(['mesh']))
  applySync(stranger, answer, start, onlyScopes(['mesh', id]))
  assert.deepEqual(stranger.violins(), [])
  const pushing = syncRequest(emptySet(), ['mesh'], start)
  const back = answerSync(holder, pushing, start, onlyScopes(['mesh', id]))
  assert.equal(applySync(emptySet(), back.answer, start, onlyScopes([])).accepted.length, 0)
})

test('who was away when it was dropped is told when it shows that it was a holder, and nobody else', () => {
  const [kept, dropped, stranger] = hosts as [TestHost, TestHost, TestHost]
  const idOf = (host: TestHost): HostId => host.chain.host as HostId
  const former = violinRecord(first, founding, specOn([idOf(kept), idOf(dropped)]))
  const stands = violinRecord(first, founding, specOn([idOf(kept)]), { version: 2 })
  const exchangeOf = (asker: TestHost, held: RecordSet): void => {
    const holder = setOf([stands, runsRecord(kept, id)])
    const open: Access = { allows: () => true, wants: () => true, shows: () => false }
    const guarded: Access = {
      allows: (scope) => scope === 'mesh',
      wants: () => true,
      shows: (record) => showsHolder(record, idOf(asker))
    }
    let request: Uint8Array | null = syncRequest(held, ['mesh', id], start)
    for (let round = 0; request !== null; round++) {
      assert.ok(round < 5, 'it does not end')
      request = applySync(held, answerSync(holder, request, start, guarded).answer, start, open).next
    }
    assert.equal(holder.get('violin', first.owner.publicKey, id)?.version, 2)
  }
  const away = setOf([former])
  exchangeOf(dropped, away)
  assert.deepEqual(
    away.entries(id).map(({ kind, version }) => [kind, version]),
    [['violin', 2]]
  )
  const other = setOf([former])
  exchangeOf(stranger, other)
  assert.equal(other.get('violin', first.owner.publicKey, id)?.version, 1)
  const empty = emptySet()
  exchangeOf(dropped, empty)
  assert.equal(empty.size, 0)
})

test('who is newly named brings its version to a holder that does not know of it yet', () => {
  const [kept, added] = hosts as [TestHost, TestHost]
  const idOf = (host: TestHost): HostId => host.chain.host as HostId
  const behind = setOf([violinRecord(first, founding, specOn([idOf(kept)]))])
  const ahead = setOf([violinRecord(first, founding, specOn([idOf(kept), idOf(added)]), { version: 2 })])
  const guarded: Access = {
    allows: (scope) => scope === 'mesh',
    wants: () => true,
    shows: (record) => showsHolder(record, idOf(added))
  }
  const open: Access = { allows: () => true, wants: () => true, shows: () => false }
  let request: Uint8Array | null = syncRequest(ahead, ['mesh', id], start)
  while (request !== null)
    request = applySync(ahead, answerSync(behind, request, start, guarded).answer, start, open).next
  assert.equal(behind.get('violin', first.owner.publicKey, id)?.version, 2)
})

test('what ends within the clocks tolerance is not told', () => {
  const short = hostRecord(first, {}, { expiresAt: after(hourMs) })
  const a = setOf([short])
  const b = emptySet()
  sync(a, b, ['mesh'], after(hourMs - clockToleranceMs))
  assert.equal(b.size, 0)
  sync(a, b, ['mesh'], after(hourMs - clockToleranceMs - 1))
  assert.equal(b.size, 1)
})

test('forged records are counted and change nothing', () => {
  const honest = setOf(records.slice(0, 2))
  const { answer } = answerSync(honest, syncRequest(emptySet(), ['mesh'], start), start, onlyScopes(['mesh']))
  const forged = Uint8Array.from(answer)
  // The last byte is in the last record's signature.
  forged[forged.length - 1] = (forged.at(-1) as number) ^ 1
  const set = emptySet()
  const { accepted, rejected } = applySync(set, forged, start, onlyScopes(['mesh']))
  assert.equal(rejected, 1)
  assert.equal(accepted.length, 1)
})

test('bytes that are no message are refused as such', () => {
  const set = setOf(records.slice(0, 3))
  const refused = (bytes: Uint8Array): void => {
    assert.throws(() => answerSync(set, bytes, start, onlyScopes(['mesh'])), ViolinError)
    assert.throws(() => applySync(set, bytes, start, onlyScopes(['mesh'])), ViolinError)
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), refused))
  refused(new Uint8Array(maxSyncBytes + 1))
  refused(new Uint8Array(5000).fill(0x81))
})

test('a message with any byte altered is refused or taken, but never breaks the host', () => {
  const request = syncRequest(setOf(records.slice(0, 40)), ['mesh', id], start)
  const { answer } = answerSync(
    setOf([...records.slice(20, 90), ...own]),
    request,
    start,
    onlyScopes(['mesh', id])
  )
  for (const bytes of [request, answer]) {
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
        const altered = Uint8Array.from(bytes)
        altered[at] = value
        const set = setOf(records.slice(0, 5))
        try {
          answerSync(set, altered, start, onlyScopes(['mesh']))
        } catch (error: unknown) {
          assert.ok(error instanceof ViolinError, String(error))
        }
      }),
      { numRuns: 150 }
    )
  }
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { HostId, WallTime } from '#core/ids.ts'
import { type Bodies, bodyFromWire, bodyLimits, bodyToWire, type Upon } from '#core/records/bodies.ts'
import type { ViolinRecord } from '#core/records/record.ts'
import { contentOf, isMadeUpon, lostTo, signingOf, upon } from '#core/records/upon.ts'
import { crypto, founder, invite, join, root, start, witnessOf } from '../admission/keys.ts'
import { foundingOf, specOn } from './records.ts'

const first = founder()
const { token } = invite(first, 'token', { slots: 20 })
const ids = Array.from(
  { length: 10 },
  (_, i) => join(token, `host ${i}`, witnessOf(first), i).chain.host as HostId
)
const [one, two] = ids as [HostId, HostId]
const founding = foundingOf(root.publicKey)

/** As much of a record as counts here. */
function version(
  of: number,
  host: HostId,
  at: number,
  before: ViolinRecord | null,
  change: { readonly ended?: boolean; readonly name?: string } = {}
): ViolinRecord {
  const spec = specOn([host], change.name)
  const body = {
    founding,
    ...(change.ended === true
      ? { spec: null, ended: { name: 'net', hosts: [host] } }
      : { spec, ended: null }),
    ...(before === null ? {} : { upon: upon(before) })
  }
  const hash = `${host} ${at}`
  return {
    kind: 'violin',
    version: of,
    issuedAt: start + at,
    hash,
    chain: { host },
    body
  } as unknown as ViolinRecord
}

/** A host with the owner key, as its store has it, and what its record was truly made upon. */
interface Life {
  readonly standing: number
  readonly signed: number | null
}

test('a host knows of each version whether it was made upon its own last one, until it tells that it was not', () => {
  const act = fc.oneof(
    fc.record({ kind: fc.constant('sign' as const), host: fc.nat(2) }),
    fc.record({ kind: fc.constant('meet' as const), host: fc.nat(2), other: fc.nat(2) }),
    fc.record({ kind: fc.constantFrom('keep' as const, 'restore' as const), host: fc.nat(2) })
  )
  let losses = 0
  fc.assert(
    fc.property(fc.array(act, { minLength: 20, maxLength: 60 }), (acts) => {
      const records = [version(1, one, 0, null)]
      /** What each was made upon, itself as well. */
      const ancestors = [new Set([0])]
      const lives: Life[] = ids
        .slice(0, 3)
        .map((_, place) => ({ standing: 0, signed: place === 0 ? 0 : null }))
      const backups = [...lives]
      const told = new Set<number>()
      for (const [place, { kind, host, ...more }] of acts.entries()) {
        const life = lives[host] as Life
        const before = records[life.standing] as ViolinRecord
        if (kind === 'keep') backups[host] = life
        else if (kind === 'restore') lives[host] = backups[host] as Life
        else if (kind === 'sign') {
          const next = records.push(version(before.version + 1, ids[host] as HostId, place + 1, before)) - 1
          ancestors.push(new Set([...(ancestors[life.standing] as Set<number>), next]))
          lives[host] = { standing: next, signed: next }
        } else {
          const other = (more as { other: number }).other
          const theirs = (lives[other] as Life).standing
          const [a, b] = [before, records[theirs] as ViolinRecord]
          const standing =
            b.version > a.version || (b.version === a.version && b.hash < a.hash) ? theirs : life.standing
          for (const each of [host, other]) lives[each] = { ...(lives[each] as Life), standing }
        }
        for (const { standing, signed } of lives) {
          // What was told in one life may be settled there: a life that was restored does not miss it.
          if (signed === null || told.has(signed)) continue
          const isUpon = (ancestors[standing] as Set<number>).has(signed)
          const own = signingOf(records[signed] as ViolinRecord)
          assert.equal(isMadeUpon(records[standing] as ViolinRecord, own), isUpon)
          if (isUpon) continue
          // With it those of this host are lost upon which it was made.
          for (const each of ancestors[signed] as Set<number>)
            if (signingOf(records[each] as ViolinRecord).host === own.host) told.add(each)
        }
      }
      losses += Number(told.size > 0)
    }),
    { numRuns: 2_000 }
  )
  assert.ok(losses > 1_000, `${losses}`)
})

test('a later version by another host is a loss where it was not made upon the own one, with whose stands', () => {
  const base = version(1, one, 0, null)
  const mine = version(2, one, 1_000, base)
  const theirs = version(3, two, 3_000, version(2, two, 2_000, base))
  assert.equal(lostTo(version(3, two, 3_000, mine), signingOf(mine)), null)
  assert.deepEqual(lostTo(theirs, signingOf(mine)), {
    version: 2,
    at: start + 1_000,
    standing: { host: two, version: 3, at: start + 3_000, hash: theirs.hash }
  })
})

test('two versions say the same where their topologies are equal, whoever signed them and upon what', () => {
  const base = version(1, one, 0, null)
  const same = version(2, two, 9, base)
  const other = version(1, one, 0, null, { name: 'other' })
  const hosted = { ...same, body: { ...same.body, spec: base.body.spec } } as ViolinRecord
  assert.equal(contentOf(hosted.body, crypto), contentOf(base.body, crypto))
  assert.notEqual(contentOf(other.body, crypto), contentOf(base.body, crypto))
})

test('of many hosts that signed the latest are named, each once', () => {
  let record = version(1, one, 0, null)
  for (const [place, host] of [...ids, two].entries()) record = version(place + 2, host, place + 1, record)
  const named = upon(record)
  assert.equal(named.length, bodyLimits.upon)
  assert.deepEqual(named[0], { host: two, at: start + 11 })
  assert.equal(new Set(named.map(({ host }) => host)).size, named.length)
})

test('what a version was made upon travels, and is bounded and of each host once', () => {
  const said = (all: readonly Upon[]): Bodies['violin'] => ({
    founding,
    spec: null,
    ended: { name: 'net', hosts: [one] },
    upon: all
  })
  const entry = (host: HostId): Upon => ({ host, at: 5 as WallTime })
  const body = said([entry(one), entry(two)])
  assert.deepEqual(bodyFromWire('violin', bodyToWire('violin', body)), body)
  const { upon: _, ...none } = body
  assert.deepEqual(bodyFromWire('violin', bodyToWire('violin', said([]))), none)
  const wire = (all: unknown): unknown => ({ ...(bodyToWire('violin', none) as object), upon: all })
  const [own] = (bodyToWire('violin', body) as { upon: [[unknown, unknown]] }).upon
  const wrong = [[], null, [own, own], [[own[0], -1]], [[own[0]]], Array.from({ length: 9 }, () => own)]
  for (const all of wrong) assert.throws(() => bodyFromWire('violin', wire(all)))
})

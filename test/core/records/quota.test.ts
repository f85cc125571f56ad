import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  Quota,
  maxBytesPerAuthor,
  maxBytesPerBranch,
  maxViolinsPerBranch,
  maxViolinsPerOwner
} from '#core/records/quota.ts'
import type { HostId } from '#core/ids.ts'
import type { SignedRecord } from '#core/records/record.ts'
import { type TestHost, founder, invite, join, witnessOf } from '../admission/keys.ts'
import { foundingOf, hostRecord, specOn, violinRecord } from './records.ts'

const first = founder()
const admin = join(
  invite(first, 'quota admin token', { role: 'admin' }).token,
  'quota admin',
  witnessOf(first)
)
const { token } = invite(admin, 'quota members token', { slots: 200 })
const minted = Array.from({ length: 200 }, (_, i) => join(token, `minted ${i}`, witnessOf(admin), i))
const [one, two] = minted as [TestHost, TestHost]
const other = join(invite(first, 'quota other token').token, 'quota other', witnessOf(first))

/** A VIOLIN of a host's owner, of so many bytes: the quota looks at no others of its fields. */
function violin(by: TestHost, bytes = 100): SignedRecord {
  const record = violinRecord(by, foundingOf(by.owner.publicKey), specOn([by.chain.host as HostId]))
  return { ...record, bytes: new Uint8Array(bytes) }
}

function hostOf(by: TestHost, bytes: number): SignedRecord {
  return { ...hostRecord(by), bytes: new Uint8Array(bytes) }
}

/** Puts in as many of these as are admitted, `each` of every author at most. */
function filled(quota: Quota, records: readonly SignedRecord[], each: number): number {
  let count = 0
  for (const record of records)
    for (let i = 0; i < each && quota.admits(record, null); i++, count++) quota.count(record, 1)
  return count
}

test('an owner has so many VIOLINs and no more, and another owner is not touched', () => {
  const quota = new Quota()
  assert.equal(filled(quota, [violin(one)], 200), maxViolinsPerOwner)
  assert.equal(filled(quota, [violin(two)], 1), 1)
})

test('owners under one invite have so many VIOLINs together, and the branch beside them is not touched', () => {
  const quota = new Quota()
  const all = minted.map((host) => violin(host))
  assert.equal(filled(quota, all, maxViolinsPerOwner), maxViolinsPerBranch)
  assert.equal(quota.admits(violin(admin), null), false, 'the admin gains no more by its own')
  assert.equal(filled(quota, [violin(other), violin(first)], 200), 2 * maxViolinsPerOwner)
})

test('an author has so many bytes, and those under one invite so many together, host records among them', () => {
  const bytes = 64 * 1024
  const quota = new Quota()
  assert.equal(filled(quota, [violin(one, bytes)], 200), maxBytesPerAuthor / bytes)
  const hosts = minted.map((host) => hostOf(host, bytes))
  assert.equal(filled(quota, hosts, 200), (maxBytesPerBranch - maxBytesPerAuthor) / bytes)
  assert.equal(quota.admits(hostOf(two, 1), null), false)
  assert.equal(quota.admits(hostOf(other, bytes), null), true)
})

test('at the bound what shrinks, stays or ends is taken, what grows is not, and what goes makes room', () => {
  const quota = new Quota()
  const record = violin(one)
  filled(quota, [record], maxViolinsPerOwner)
  assert.equal(quota.admits(record, record), true)
  const ended = { ...violinRecord(one, foundingOf(one.owner.publicKey), null), bytes: record.bytes }
  assert.equal(quota.admits(ended, record), true)
  assert.equal(quota.admits(record, ended), false)
  quota.count(record, -1)
  assert.equal(quota.admits(record, null), true)
})

test('above the bound, as after a version with a wider one, what shrinks is still taken', () => {
  const quota = new Quota()
  const large = violin(one, maxBytesPerAuthor)
  quota.count(large, 1)
  quota.count(violin(one), 1)
  assert.equal(quota.admits(violin(one, maxBytesPerAuthor - 1), large), true)
  assert.equal(quota.admits(violin(one, maxBytesPerAuthor + 1), large), false)
})

test('a copy of a quota counts by itself', () => {
  const quota = new Quota()
  const copy = new Quota(quota)
  filled(quota, [violin(one)], 200)
  assert.equal(filled(copy, [violin(one)], 200), maxViolinsPerOwner)
})

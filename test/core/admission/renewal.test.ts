import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type Chain, foundChain, renewChain, slotOf, verifyChain } from '#core/admission/chain.ts'
import { hostIdOf } from '#core/admission/host-id.ts'
import { joinRequest, type JoinAnswer } from '#core/admission/join.ts'
import {
  type Renewer,
  acceptRenewal,
  grantRenewal,
  isRenewRequest,
  lapsedMs,
  noticeOf,
  renewRequest,
  renewalAsked,
  renewersOf,
  resignedUntil,
  standingOf,
  trunkAuthorityMs
} from '#core/admission/renewal.ts'
import { ViolinError } from '#core/errors.ts'
import type { HostId, WallTime } from '#core/ids.ts'
import { freshFounding, hostRecord, setOf, specOn, violinRecord } from '../records/records.ts'
import {
  type TestHost,
  after,
  crypto,
  dayMs,
  hostFrom,
  hourMs,
  invite,
  join,
  root,
  signerFor,
  signerOf,
  witnessOf,
  yearMs
} from './keys.ts'

/** The founding host's link lasts ten years. */
const first = hostFrom(
  'founder',
  foundChain(root, signerFor('founder').publicKey, after(10 * yearMs), crypto)
)
const witness = (host: TestHost): ReturnType<typeof witnessOf> => ({
  ...witnessOf(host),
  chainOf: (key) => [first, admin, member].find((one) => one?.signer.publicKey === key)?.chain ?? null
})
let admin: TestHost | undefined
let member: TestHost | undefined
const tokenOfAdmin = invite(first, 'admin token', { role: 'admin' }).token
admin = join(tokenOfAdmin, 'admin', witness(first))
const tokenOfMember = invite(admin, 'member token', { slots: 5 }).token
member = join(tokenOfMember, 'member', witness(admin))
const [one, plain] = [admin, member]

function renewer(host: TestHost, change: Partial<Renewer> = {}): Renewer {
  return {
    chain: host.chain,
    signer: host.signer,
    isRevoked: () => false,
    slots: new Map(),
    isMember: () => false,
    ...change
  }
}

function asked(request: Uint8Array, from: HostId, by: Renewer, now: WallTime): JoinAnswer {
  const member = renewalAsked(request, from, by, now, crypto)
  return 'path' in member ? grantRenewal(member, by, now, crypto) : member
}

function ask(host: TestHost, by: Renewer, now: WallTime): JoinAnswer {
  return asked(renewRequest(host.chain), host.chain.host as HostId, by, now)
}

function granted(answer: JoinAnswer): Chain {
  assert.equal(answer.kind, 'granted', JSON.stringify(answer))
  const chain = verifyChain(
    answer.kind === 'granted' ? answer.chain : new Uint8Array(),
    root.publicKey,
    crypto
  )
  assert.ok(!('refused' in chain))
  return chain
}

function refusal(answer: JoinAnswer): string {
  assert.equal(answer.kind, 'refused')
  return answer.kind === 'refused' ? answer.error.message : ''
}

test('a membership is good for half of its year, then due, then lapsed for 90 days, then over', () => {
  const end = plain.chain.endsAt
  const standing = (ms: number): string => standingOf(plain.chain, (end + ms) as WallTime)
  assert.deepEqual([-yearMs, -yearMs / 2 - 1, -yearMs / 2, -1].map(standing), ['good', 'good', 'due', 'due'])
  assert.deepEqual([0, lapsedMs - 1, lapsedMs].map(standing), ['lapsed', 'lapsed', 'over'])
})

test('any admin renews from half-life on, for a year from then, by a chain that is shorter and keeps the slot', () => {
  assert.match(refusal(ask(plain, renewer(first), after(yearMs / 3))), /not half over/)
  const now = after(yearMs * 0.6)
  const chain = granted(ask(plain, renewer(first), now))
  assert.equal(chain.endsAt, after(yearMs * 1.6))
  assert.ok(chain.path.length < plain.chain.path.length)
  assert.deepEqual(slotOf(chain), slotOf(plain.chain))
  assert.equal(chain.role, 'member')
  const accepted = acceptRenewal(plain.chain, chain.bytes, crypto)
  assert.ok(!(accepted instanceof ViolinError))
})

test('a lapsed host is renewed for 90 days after its end, and not a moment longer', () => {
  const end = plain.chain.endsAt
  granted(ask(plain, renewer(first), (end + lapsedMs - 1) as WallTime))
  assert.match(refusal(ask(plain, renewer(first), (end + lapsedMs) as WallTime)), /90 days/)
})

test('an admin gives no more than it has: nothing when its own membership ends no later', () => {
  assert.match(refusal(ask(plain, renewer(one), after(yearMs * 0.6))), /no later/)
  const long = renewChain(
    first.chain,
    first.signer,
    one.chain,
    { role: 'admin', notAfter: after(1.2 * yearMs) },
    crypto
  )
  const chain = granted(ask(plain, renewer({ ...one, chain: long }), after(yearMs * 0.6)))
  assert.equal(chain.endsAt, after(1.2 * yearMs))
})

test('who is revoked, displaced, another, or asks no admin is not renewed', () => {
  const now = after(yearMs * 0.6)
  assert.match(refusal(ask(plain, renewer(first, { isRevoked: () => true }), now)), /shut out/)
  const claim = slotOf(plain.chain)
  const slots = new Map([[`${claim?.token} ${claim?.slot}`, one.signer.publicKey]])
  assert.match(refusal(ask(plain, renewer(first, { slots }), now)), /slot/)
  assert.match(refusal(ask(one, renewer(plain), now)), /no admin/)
  const isOut = (chain: Chain): boolean => chain.subject === one.signer.publicKey
  assert.match(refusal(ask(plain, renewer(one, { isRevoked: isOut }), now)), /was asked was shut out/)
  const request = renewRequest(plain.chain)
  assert.match(refusal(asked(request, one.chain.host as HostId, renewer(first), now)), /another host/)
  assert.match(
    refusal(asked(renewRequest(plain.ownerChain), plain.chain.host as HostId, renewer(first), now)),
    /another host/
  )
})

test('a member carries the request of another, and nothing but that: it is judged as if that one had asked', () => {
  const now = after(yearMs * 0.6)
  const carrier = one.chain.host as HostId
  const by = (change: Partial<Renewer> = {}): Renewer =>
    renewer(first, { isMember: (peer) => peer === carrier, ...change })
  const request = renewRequest(plain.chain)
  assert.equal(granted(asked(request, carrier, by(), now)).subject, plain.signer.publicKey)
  assert.match(refusal(asked(request, carrier, by({ isRevoked: () => true }), now)), /shut out/)
  assert.match(refusal(asked(request, carrier, by(), after(0))), /not half over/)
  assert.match(refusal(asked(renewRequest(plain.ownerChain), carrier, by(), now)), /another host/)
})

test('an admin cannot renew who stands above it: no two come to stand above each other through that', () => {
  const now = after(9.9 * yearMs)
  const late = renewChain(
    first.chain,
    first.signer,
    one.chain,
    { role: 'admin', notAfter: after(10 * yearMs) },
    crypto
  )
  assert.equal(ask(first, renewer({ ...one, chain: late }), now).kind, 'refused')
  assert.deepEqual(renewersOf(first.chain, [late, plain.chain]), [])
})

test('a host asks admins that can give something: those above it first, then the nearest to the root', () => {
  const far = join(invite(first, 'far token', { role: 'admin' }).token, 'far', witness(first))
  const long = (host: TestHost): Chain =>
    renewChain(first.chain, first.signer, host.chain, { role: 'admin', notAfter: after(2 * yearMs) }, crypto)
  const asked = renewersOf(plain.chain, [far.chain, long(far), plain.chain, first.chain, long(one)])
  assert.deepEqual(
    asked.map(({ subject }) => subject),
    [first, one, far].map(({ signer }) => signer.publicKey)
  )
})

test('a host takes no renewal that is for another, shorter, or changes its role or slot', () => {
  const wish = { role: 'member', notAfter: after(1.5 * yearMs) } as const
  const good = renewChain(first.chain, first.signer, plain.chain, wish, crypto)
  const bad = [
    renewChain(first.chain, first.signer, one.chain, wish, crypto),
    renewChain(first.chain, first.signer, plain.chain, { ...wish, notAfter: after(dayMs) }, crypto),
    renewChain(first.chain, first.signer, plain.chain, { ...wish, role: 'admin' }, crypto),
    foundChain(root, plain.signer.publicKey, after(2 * yearMs), crypto)
  ]
  assert.ok(!(acceptRenewal(plain.chain, good.bytes, crypto) instanceof ViolinError))
  for (const { bytes } of bad) assert.ok(acceptRenewal(plain.chain, bytes, crypto) instanceof ViolinError)
})

test('requests to renew and to join are told apart, and hostile bytes are refused, never thrown', () => {
  const join = joinRequest(tokenOfMember, signerOf(tokenOfMember.seed), plain.signer.publicKey, 0, 'name')
  assert.ok(!isRenewRequest(join))
  assert.ok(isRenewRequest(renewRequest(plain.chain)))
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      isRenewRequest(bytes)
      const from = hostIdOf(plain.signer.publicKey)
      assert.equal(
        (renewalAsked(bytes, from, renewer(first), after(0), crypto) as JoinAnswer).kind,
        'refused'
      )
    })
  )
})

test('what was signed under the old chain stands after a renewal, until that ends', () => {
  const chain = granted(ask(plain, renewer(first), after(yearMs * 0.6)))
  const renewed = hostFrom('member', chain)
  const violin = violinRecord(
    plain,
    freshFounding(plain.owner.publicKey),
    specOn([plain.chain.host as HostId])
  )
  const now = after(yearMs * 0.6)
  const host = hostRecord(
    renewed,
    {},
    { issuedAt: now, expiresAt: (now + 30 * dayMs) as WallTime, version: 2 }
  )
  const set = setOf([violin, host], now)
  assert.equal(set.size, 2)
  assert.ok([...set.all()].every((record) => record.endsAt > now))
})

test('a VIOLIN is signed anew from half a year before its end on, where that moves the end, and when its slot is lost', () => {
  const record = violinRecord(
    plain,
    freshFounding(plain.owner.publicKey),
    specOn([plain.chain.host as HostId])
  )
  const longer = hostFrom('member', granted(ask(plain, renewer(first), after(yearMs * 0.6)))).ownerChain
  const none = new Map()
  assert.equal(resignedUntil(record, plain.ownerChain, none, after(hourMs), true), null)
  assert.equal(resignedUntil(record, plain.ownerChain, none, after(0.7 * yearMs), true), after(yearMs))
  assert.equal(resignedUntil(record, longer, none, after(dayMs), true), null)
  const claim = slotOf(plain.chain)
  const slots = new Map([[`${claim?.token} ${claim?.slot}`, one.signer.publicKey]])
  assert.notEqual(resignedUntil(record, longer, slots, after(dayMs), true), null)
  const ended = violinRecord(plain, freshFounding(plain.owner.publicKey), null)
  assert.equal(resignedUntil(ended, longer, slots, after(0.7 * yearMs), true), null)
})

test('what a clock that ran ahead has dated is signed anew once the clock is right, an end as well', () => {
  const founding = freshFounding(plain.owner.publicKey)
  for (const spec of [specOn([plain.chain.host as HostId]), null]) {
    const record = violinRecord(plain, founding, spec)
    const until = plain.ownerChain.endsAt
    assert.equal(resignedUntil(record, plain.ownerChain, new Map(), after(-hourMs), true), until)
    assert.equal(resignedUntil(record, plain.ownerChain, new Map(), after(-hourMs), false), null)
    assert.equal(resignedUntil(record, plain.ownerChain, new Map(), after(0), true), null)
  }
})

test('a trunk lasts a day without the daemons, and never beyond either membership', () => {
  assert.equal(trunkAuthorityMs([after(yearMs), after(2 * dayMs)], dayMs, after(0)), dayMs)
  assert.equal(trunkAuthorityMs([after(yearMs), after(hourMs)], dayMs, after(0)), hourMs)
  assert.equal(trunkAuthorityMs([after(yearMs), after(0)], dayMs, after(hourMs)), 0)
})

test('an end is told a month, a week, a day and an hour before, and when it has come', () => {
  const told = [40 * dayMs, 30 * dayMs, 8 * dayMs, 7 * dayMs, hourMs, 0, -1].map((before) =>
    noticeOf(after(yearMs), after(yearMs - before))
  )
  assert.deepEqual(told, [null, 30 * dayMs, 30 * dayMs, 7 * dayMs, hourMs, 0, 0])
})

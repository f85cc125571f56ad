import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { renewChain } from '#core/admission/chain.ts'
import type { HostId, WallTime } from '#core/ids.ts'
import type { SignedRecord } from '#core/records/record.ts'
import { maxViolinsPerOwner } from '#core/records/quota.ts'
import { clockToleranceMs } from '#core/records/set.ts'
import { view } from '#core/records/view.ts'
import {
  after,
  crypto,
  dayMs,
  founder,
  hostFrom,
  hourMs,
  invite,
  join,
  start,
  witnessOf,
  yearMs
} from '../admission/keys.ts'
import {
  contents,
  emptySet,
  foundingOf,
  freshFounding,
  hostRecord,
  revocation,
  runsRecord,
  seen,
  setOf,
  specOn,
  violinId,
  violinRecord
} from './records.ts'

const first = founder()
const { token: adminToken, chain: adminTokenChain } = invite(first, 'admin token', { role: 'admin' })
const admin = join(adminToken, 'admin', witnessOf(first))
const { token: memberToken, chain: memberTokenChain } = invite(admin, 'member token')
const member = join(memberToken, 'member', witnessOf(admin))
const rival = join(memberToken, 'rival', witnessOf(first))
const hosts = [first, admin, member].map((host) => host.chain.host as HostId)
const founding = foundingOf(first.owner.publicKey, member.owner.publicKey)
const id = violinId(founding)

/** Records of every kind in several versions, some of which contradict each other, some of which cut others. */
const pools: Readonly<Record<string, readonly SignedRecord[]>> = {
  host: [first, admin, member, rival].flatMap((host) => [
    hostRecord(host, { name: 'a' }),
    hostRecord(host, { name: 'b' }),
    hostRecord(host, { name: 'c' }, { version: 2 }),
    hostRecord(host, { left: true }, { version: 3 })
  ]),
  violin: [first, member].flatMap((host) => [
    violinRecord(host, founding, specOn(hosts.slice(0, 1))),
    violinRecord(host, founding, specOn(hosts.slice(0, 2))),
    violinRecord(host, founding, specOn(hosts), { version: 2 }),
    violinRecord(host, founding, null),
    violinRecord(host, founding, null, { version: 2 })
  ]),
  runs: [admin, member].flatMap((host) => [
    runsRecord(host, id),
    runsRecord(host, id, { switches: [] }),
    runsRecord(host, id, { entities: [] }, { version: 2 })
  ]),
  revocation: [
    revocation(member.chain, admin),
    revocation(member.chain, admin, true),
    revocation(member.chain, admin, false, { version: 2 }),
    revocation(member.chain, first),
    revocation(memberTokenChain, admin),
    revocation(memberTokenChain, admin, true, { version: 2, expiresAt: after(399 * dayMs) }),
    revocation(admin.chain, first, true),
    revocation(first.chain, null),
    revocation(member.signer.publicKey, admin),
    revocation(member.signer.publicKey, admin, true, { expiresAt: after(410 * dayMs) }),
    revocation(admin.signer.publicKey, first, true),
    revocation(first.signer.publicKey, admin)
  ]
}
const everything = Object.values(pools).flat()

for (const [kind, pool] of [...Object.entries(pools), ['any', everything] as const]) {
  test(`merging records of ${kind} kind is commutative, associative and idempotent, and so is the view`, () => {
    const some = fc.array(fc.constantFrom(...pool), { maxLength: 12 })
    fc.assert(
      fc.property(some, some, some, (a, b, c) => {
        const abc = setOf([...a, ...b, ...c])
        for (const order of [
          [...c, ...b, ...a],
          [...b, ...c, ...a, ...b],
          [...[...a, ...b, ...c].toReversed(), ...a]
        ]) {
          const other = setOf(order)
          assert.deepEqual(contents(other), contents(abc))
          assert.deepEqual(seen(other), seen(abc))
        }
        const joined = setOf(a)
        for (const record of setOf([...b, ...c]).all()) joined.merge(record.bytes, start)
        assert.deepEqual(contents(joined), contents(abc))
      }),
      { numRuns: 20 }
    )
  })
}

test('news is accepted with what it replaces, the known and the older are ignored, the forged is rejected', () => {
  const set = emptySet()
  const [old, , newer] = pools['host'] as [SignedRecord, SignedRecord, SignedRecord]
  assert.equal(set.merge(old.bytes, start).verdict, 'accepted')
  assert.equal(set.merge(old.bytes, start).reason, 'known')
  const merged = set.merge(newer.bytes, start)
  assert.deepEqual(merged.verdict === 'accepted' && merged.removed.map((one) => one.hash), [old.hash])
  assert.equal(set.merge(old.bytes, start).reason, 'not-newer')
  const forged = Uint8Array.from(newer.bytes)
  forged[40] = (forged[40] as number) ^ 1
  assert.equal(set.merge(forged, start).verdict, 'rejected')
  assert.equal(set.size, 1)
  assert.equal(set.get('host', first.signer.publicKey, '')?.hash, newer.hash)
  assert.equal(set.get('runs', first.signer.publicKey, id), null)
})

test('whom a clock that ran ahead revokes is out at once, unless its date is beyond the membership', () => {
  const ends = member.chain.endsAt
  const dated = (issuedAt: number): SignedRecord =>
    revocation(member.chain, admin, false, {
      issuedAt: issuedAt as WallTime,
      expiresAt: (ends + dayMs) as WallTime
    })
  const set = setOf([hostRecord(member)], start)
  assert.equal(set.merge(dated(start + dayMs).bytes, start).verdict, 'accepted')
  assert.ok(set.isRevoked(member.chain))
  assert.equal(emptySet().merge(dated(ends + 1).bytes, start).reason, 'too-new')
})

test('clocks may differ by ten minutes, not more', () => {
  const record = hostRecord(member, {}, { issuedAt: after(hourMs), expiresAt: after(2 * hourMs) })
  const at = (ms: number): string => emptySet().merge(record.bytes, after(ms)).reason
  assert.equal(at(hourMs - clockToleranceMs - 1), 'too-new')
  assert.equal(at(hourMs - clockToleranceMs), '')
  assert.equal(at(2 * hourMs + clockToleranceMs - 1), '')
  assert.equal(at(2 * hourMs + clockToleranceMs), 'expired')
  const set = setOf([record], after(hourMs))
  assert.deepEqual(set.removeExpired(after(2 * hourMs + clockToleranceMs - 1)), [])
  assert.equal(set.removeExpired(after(2 * hourMs + clockToleranceMs)).length, 1)
  assert.equal(set.size, 0)
  assert.deepEqual(set.violins(), [])
})

test('the end of a VIOLIN beats every version, whichever comes first', () => {
  const version = violinRecord(first, founding, specOn(hosts), { version: 9 })
  const end = violinRecord(first, founding, null)
  assert.deepEqual(contents(setOf([version, end])), contents(setOf([end])))
  assert.equal(setOf([end]).merge(version.bytes, start).reason, 'not-newer')
})

test('a revocation takes its key out at once and for good, with its owner key, and nothing else', () => {
  const set = setOf([
    hostRecord(admin),
    hostRecord(member),
    violinRecord(member, founding, specOn(hosts)),
    runsRecord(member, id)
  ])
  const merged = set.merge(revocation(member.chain, admin).bytes, start)
  assert.deepEqual(merged.verdict === 'accepted' && merged.removed.map((one) => one.kind).toSorted(), [
    'host',
    'runs',
    'violin'
  ])
  assert.equal(set.merge(hostRecord(member, {}, { version: 2 }).bytes, start).reason, 'revoked')
  assert.ok(set.isRevoked(member.ownerChain))
  assert.ok(!set.isRevoked(admin.chain))
  assert.deepEqual([...view(set, start).members.keys()], [admin.chain.host])
})

test('a revocation of all below cuts tokens, hosts and owner keys there; without it they stay, but for invites', () => {
  const alone = setOf([hostRecord(member), revocation(admin.chain, first)])
  assert.ok(!alone.isRevoked(member.chain))
  assert.ok(alone.isRevoked(memberTokenChain))
  assert.equal(view(alone, start).members.size, 1)
  const below = setOf([hostRecord(member), revocation(admin.chain, first, true)])
  assert.ok(below.isRevoked(member.chain))
  assert.equal(view(below, start).members.size, 0)
})

test('an invite that was taken back lets nobody in; who came in by it stays, and so do the invites of that one', () => {
  const set = setOf([revocation(adminTokenChain, first)])
  assert.ok(set.isRevoked(adminTokenChain))
  assert.ok(!set.isRevoked(admin.chain))
  assert.ok(!set.isRevoked(memberTokenChain))
  assert.ok(!set.isRevoked(member.chain))
  const below = setOf([revocation(adminTokenChain, first, true)])
  for (const chain of [admin.chain, memberTokenChain, member.chain]) assert.ok(below.isRevoked(chain))
})

test('a key that showed no chain is revoked where its chains show the author above it, and nowhere else', () => {
  const set = setOf([
    hostRecord(first),
    revocation(member.signer.publicKey, admin),
    revocation(first.signer.publicKey, admin, true)
  ])
  assert.equal(set.merge(hostRecord(member).bytes, start).reason, 'revoked')
  assert.ok(set.isRevoked(member.ownerChain))
  assert.ok(!set.isRevoked(first.chain) && !set.isRevoked(admin.chain))
  // Nor may the view take it for a key that is out in whatever chain.
  assert.deepEqual([...view(set, start).revoked], [])
  const wish = { role: 'member', notAfter: after(yearMs) } as const
  const renewed = hostFrom('member', renewChain(first.chain, first.signer, member.chain, wish, crypto))
  assert.ok(!set.isRevoked(renewed.chain))
  assert.ok(setOf([revocation(member.signer.publicKey, null)]).isRevoked(renewed.chain))
})

test('a key without a chain is revoked with all below it, and with whom it let in as a witness', () => {
  const below = setOf([hostRecord(member), revocation(admin.signer.publicKey, first, true)])
  assert.equal(below.size, 1)
  assert.ok(below.isRevoked(member.chain))
  const { token } = invite(first, 'shared token', { slots: 2 })
  const smuggled = join(token, 'smuggled', witnessOf(admin))
  assert.ok(setOf([revocation(admin.signer.publicKey, first)]).isRevoked(smuggled.chain))
})

test('a revocation that shows its key’s chain stands above one that does not, until it says less', () => {
  const bare = revocation(member.signer.publicKey, admin, false, { expiresAt: after(410 * dayMs) })
  const shown = revocation(member.chain, admin)
  assert.deepEqual(contents(setOf([bare, shown])), contents(setOf([shown])))
  const wider = revocation(member.signer.publicKey, admin, true)
  assert.deepEqual(contents(setOf([shown, wider])), contents(setOf([wider])))
})

test('a renewed host is no longer cut with the admin that once invited it', () => {
  const wish = { role: 'member', notAfter: after(yearMs) } as const
  const renewed = hostFrom('member', renewChain(first.chain, first.signer, member.chain, wish, crypto))
  const set = setOf([
    revocation(admin.chain, first, true),
    hostRecord(member),
    hostRecord(renewed, {}, { version: 2 })
  ])
  assert.deepEqual([...view(set, start).members.keys()], [member.chain.host])
})

test('when a revocation ends it cuts no longer, having outlived every chain that it could cut', () => {
  const set = setOf([revocation(member.chain, admin, false, { expiresAt: after(hourMs) })])
  assert.equal(set.removeExpired(after(2 * hourMs)).length, 1)
  assert.ok(!set.isRevoked(member.chain))
})

test('one owner has so many VIOLINs and no more, and may still change and end those', () => {
  const foundings = Array.from({ length: maxViolinsPerOwner }, () => freshFounding(first.owner.publicKey))
  const set = setOf(foundings.map((one) => violinRecord(first, one, specOn(hosts))))
  assert.equal(set.size, maxViolinsPerOwner)
  assert.equal(
    set.merge(violinRecord(first, freshFounding(first.owner.publicKey), specOn(hosts)).bytes, start).reason,
    'quota'
  )
  assert.equal(
    set.merge(violinRecord(first, foundings[0] as typeof founding, null).bytes, start).verdict,
    'accepted'
  )
  assert.equal(set.merge(violinRecord(member, founding, specOn(hosts)).bytes, start).verdict, 'accepted')
})

test('a VIOLIN that is buried makes room for another', () => {
  const foundings = Array.from({ length: maxViolinsPerOwner }, () => freshFounding(first.owner.publicKey))
  const set = setOf(foundings.map((one) => violinRecord(first, one, specOn(hosts))))
  set.merge(violinRecord(first, foundings[0] as typeof founding, null).bytes, start)
  const next = violinRecord(first, freshFounding(first.owner.publicKey), specOn(hosts))
  assert.equal(set.merge(next.bytes, start).verdict, 'accepted')
})

test('who is out cannot let itself in again by an invite of another, and whom it invited stays', () => {
  const { token } = invite(first, 'class token', { slots: 3 })
  const goes = join(token, 'goes', witnessOf(first), 0)
  const again = join(token, 'goes again', witnessOf(goes), 1)
  const set = setOf([hostRecord(goes), hostRecord(again)])
  set.merge(revocation(goes.chain, first).bytes, start)
  assert.equal(set.merge(hostRecord(again, {}, { version: 9 }).bytes, start).reason, 'revoked')
  assert.deepEqual([...view(set, start).members.keys()], [])
  const alone = setOf([hostRecord(member), revocation(admin.chain, first)])
  assert.deepEqual([...view(alone, start).members.keys()], [member.chain.host])
})

test("one author's records take so many bytes and no more", () => {
  const entity = specOn(hosts).entities[0]
  assert.ok(entity !== undefined)
  const files = [{ path: '/big', mode: 0o600, data: new Uint8Array(62_000) }]
  const spec = { ...specOn(hosts), entities: [{ ...entity, files }] }
  const set = emptySet()
  for (let i = 0; i < 64; i++) {
    const { reason } = set.merge(violinRecord(first, freshFounding(first.owner.publicKey), spec).bytes, start)
    assert.equal(reason, '')
  }
  // 64 of them are just below 4 MiB, so the count binds first; runs of one host have no count.
  const set2 = emptySet()
  const many = Array.from(
    { length: 700 },
    (_, i) => ({ name: `e${i}`, claim: 1, state: 'failed', reason: 'x'.repeat(40) }) as const
  )
  let reason = ''
  let taken = 0
  for (; reason === '' && taken < 200; taken++) {
    const other = violinId(freshFounding(first.owner.publicKey))
    reason = set2.merge(runsRecord(member, other, { entities: many }).bytes, start).reason
  }
  assert.equal(reason, 'quota')
  assert.ok(taken > 60, `${taken}`)
})

test('a VIOLIN that is not kept any more is forgotten whole', () => {
  const set = setOf([hostRecord(first), violinRecord(first, founding, specOn(hosts)), runsRecord(admin, id)])
  assert.deepEqual(set.violins(), [id])
  assert.equal(set.entries(id).length, 2)
  assert.equal(set.forget(id).length, 2)
  assert.deepEqual(set.violins(), [])
  assert.equal(set.entries('mesh').length, 1)
})

test('what was dropped here is not taken again in the same or an older version, but in a newer one', () => {
  const older = violinRecord(first, founding, specOn(hosts))
  const dropping = violinRecord(first, founding, specOn(hosts.slice(0, 1)), { version: 2 })
  const newer = violinRecord(first, founding, specOn(hosts), { version: 3 })
  const set = setOf([hostRecord(first), dropping])
  set.forget(id)
  assert.equal(set.merge(older.bytes, start).reason, 'not-newer')
  assert.equal(set.merge(dropping.bytes, start).reason, 'known')
  assert.deepEqual(set.violins(), [])
  assert.equal(set.fork().merge(older.bytes, start).reason, 'not-newer')
  assert.equal(set.merge(newer.bytes, start).verdict, 'accepted')
  assert.deepEqual(set.dropped, [])
})

test('what was dropped is remembered until it has ended, and then told as gone', () => {
  const dropping = violinRecord(first, founding, specOn(hosts.slice(0, 1)))
  const set = setOf([dropping])
  set.forget(id)
  assert.deepEqual(set.removeExpired(start), [])
  assert.deepEqual(set.removeExpired(after(dropping.endsAt - start + clockToleranceMs)), [dropping])
  assert.deepEqual(set.dropped, [])
})

/** Shows that the rival's and the member's claims above are to one slot. */
test('two hosts in one slot: both are known as its users, by whatever record shows it', () => {
  const used = (records: readonly SignedRecord[]): unknown => [
    ...setOf(records).usedSlots(memberToken.invite.subject)
  ]
  assert.deepEqual(used([hostRecord(member)]), [[0, member.signer.publicKey]])
  assert.deepEqual(used([revocation(rival.chain, admin)]), [[0, rival.signer.publicKey]])
  assert.deepEqual(used([]), [])
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { renewChain } from '#core/admission/chain.ts'
import { ownerProofBytes } from '#core/admission/link.ts'
import { firstSlot } from '#core/admission/join.ts'
import type { HostId } from '#core/ids.ts'
import { holdersOf, ownerHosts, wantsRecord } from '#core/records/holders.ts'
import type { SignedRecord } from '#core/records/record.ts'
import type { RecordSet } from '#core/records/set.ts'
import { view } from '#core/records/view.ts'
import {
  type TestHost,
  after,
  ask,
  crypto,
  dayMs,
  founder,
  hourMs,
  invite,
  join,
  root,
  signerFor,
  start,
  witnessOf,
  yearMs
} from '../admission/keys.ts'
import {
  emptySet,
  foundingOf,
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
const { token } = invite(first, 'token', { slots: 3 })
const one = join(token, 'one', witnessOf(first), 0)
const two = join(token, 'two', witnessOf(first), 0)
const idOf = (host: TestHost): HostId => host.chain.host as HostId

test('members are those whose own records are alive', () => {
  const set = setOf([
    hostRecord(first, { name: 'purdue' }),
    hostRecord(one, {}, { expiresAt: after(hourMs) })
  ])
  const { members } = view(set, start)
  assert.equal(members.size, 2)
  assert.equal(members.get(idOf(first))?.body.name, 'purdue')
  assert.equal(members.get(idOf(first))?.role, 'admin')
  assert.equal(members.get(idOf(one))?.role, 'member')
  assert.equal(view(set, after(hourMs)).members.size, 1)
})

test('of two hosts in one slot the same one stays in every view, and the other is told', () => {
  const pair = [hostRecord(one), hostRecord(two)]
  const whole = view(setOf([hostRecord(first), ...pair]), start)
  assert.equal(whole.members.size, 2)
  assert.equal(whole.displaced.size, 1)
  assert.deepEqual(
    seen(setOf([...pair, hostRecord(first)])),
    seen(setOf([hostRecord(first), ...pair.toReversed()]))
  )
  const [loser] = whole.displaced
  const other = loser === idOf(one) ? one : two
  const founding = foundingOf(other.owner.publicKey)
  const set = setOf([hostRecord(one), hostRecord(two), violinRecord(other, founding, specOn([idOf(other)]))])
  assert.equal(view(set, start).violins.size, 0)
})

test('a used slot never comes back, neither by revoking its host nor by renewing the other', () => {
  const whole = view(setOf([hostRecord(one), hostRecord(two)]), start)
  const [winner, loser] = whole.displaced.has(idOf(one)) ? [two, one] : [one, two]
  assert.equal(view(setOf([hostRecord(loser), revocation(winner.chain, first)]), start).members.size, 0)
  const wish = { role: 'member', notAfter: after(yearMs) } as const
  const renewed = renewChain(first.chain, first.signer, loser.chain, wish, crypto)
  const record = hostRecord({ ...loser, chain: renewed }, {}, { version: 2 })
  assert.deepEqual([...view(setOf([hostRecord(winner), record]), start).members.keys()], [idOf(winner)])
})

test('an invite lets in at most as many as it has slots, in any view, whatever the partitions', () => {
  const names = Array.from({ length: 7 }, (_, i) => `joiner ${i}`)
  const attempts = fc.array(
    fc.record({ name: fc.constantFrom(...names), side: fc.integer({ min: 0, max: 2 }) }),
    {
      maxLength: 14
    }
  )
  fc.assert(
    fc.property(attempts, fc.array(fc.nat({ max: 2 }), { maxLength: 6 }), (attempts, heals) => {
      const sides = [0, 1, 2].map(() => setOf([hostRecord(first)]))
      for (const { name, side } of attempts) joinAt(sides[side] as RecordSet, name)
      for (const side of heals) spread(sides[side] as RecordSet, sides[(side + 1) % 3] as RecordSet)
      for (const set of sides) assert.ok(view(set, start).members.size <= 1 + token.invite.slots)
      for (const set of sides) for (const other of sides) spread(set, other)
      const [a, b, c] = sides.map((set) => seen(set))
      assert.deepEqual(a, b)
      assert.deepEqual(b, c)
      assert.ok((a?.members.size ?? 0) <= 1 + token.invite.slots)
    }),
    { numRuns: 60 }
  )
})

/** What a joiner does on one side of a partition: asks, takes the slot that it is offered, publishes. */
function joinAt(set: RecordSet, name: string): void {
  const witness = {
    ...witnessOf(first),
    usedSlots: (key: Parameters<RecordSet['usedSlots']>[0]) => set.usedSlots(key)
  }
  let slot = firstSlot(token, signerFor(name).publicKey, crypto)
  for (let tries = 0; tries < token.invite.slots; tries++) {
    const answer = ask(token, name, witness, slot)
    if (answer.kind === 'refused') return
    if (answer.kind === 'granted') {
      set.merge(hostRecord(join(token, name, witness, slot)).bytes, start)
      return
    }
    slot = answer.free
  }
}

function spread(from: RecordSet, to: RecordSet): void {
  for (const record of from.all()) to.merge(record.bytes, start)
}

test('the senior owner stands above the others in one version, and a later one above all', () => {
  const founding = foundingOf(first.owner.publicKey, one.owner.publicKey)
  const id = violinId(founding)
  const senior = violinRecord(first, founding, specOn([idOf(first)], 'of-senior'))
  const junior = violinRecord(one, founding, specOn([idOf(one)], 'of-junior'))
  const both = view(setOf([junior, senior]), start).violins.get(id)
  assert.equal(both?.name, 'of-senior')
  assert.equal(both.owner, first.owner.publicKey)
  assert.deepEqual([...both.holders].toSorted(), [idOf(first), idOf(one)].toSorted())
  const later = violinRecord(one, founding, specOn([idOf(two)], 'later'), { version: 2 })
  const next = view(setOf([junior, senior, later]), start).violins.get(id)
  assert.equal(next?.name, 'later')
  assert.equal(next.version, 2)
  assert.deepEqual([...next.holders].toSorted(), [idOf(first), idOf(one), idOf(two)].toSorted())
})

test('a VIOLIN is held, and owned, on every host on which its owner key lies', () => {
  const copied = join(token, 'copied', witnessOf(first), 1)
  const founding = foundingOf(one.owner.publicKey)
  const id = violinId(founding)
  const has = (host: TestHost, left = false): SignedRecord => {
    const proof = one.owner.sign(ownerProofBytes(root.publicKey, host.signer.publicKey))
    return hostRecord(host, { owner: { key: one.owner.publicKey, proof }, left })
  }
  const version = violinRecord(one, founding, specOn([idOf(first)]))
  const set = setOf([version])
  const ownersIn = (): readonly HostId[] | undefined => view(set, start).violins.get(id)?.ownerHosts
  assert.deepEqual(ownersIn(), [idOf(one)])
  for (const host of [one, copied]) set.merge(has(host).bytes, start)
  assert.deepEqual(ownersIn()?.toSorted(), [idOf(one), idOf(copied)].toSorted())
  const all = [idOf(first), idOf(one), idOf(copied)].toSorted()
  assert.deepEqual([...(view(set, start).violins.get(id)?.holders ?? [])].toSorted(), all)
  assert.deepEqual([...holdersOf(set, id, start)].toSorted(), all)
  assert.deepEqual(ownerHosts(set, id), new Set(ownersIn()))
  const fresh = setOf([has(copied)])
  assert.ok(wantsRecord(fresh, idOf(copied), version) && !wantsRecord(setOf([]), idOf(copied), version))
  const left = setOf([version, has(one), has(copied, true)])
  assert.deepEqual(view(left, start).violins.get(id)?.ownerHosts, [idOf(one)])
})

test("an owner's end stands above another owner's later version", () => {
  const founding = foundingOf(first.owner.publicKey, one.owner.publicKey)
  const end = violinRecord(one, founding, null)
  const later = violinRecord(first, founding, specOn([idOf(first)]), { version: 7 })
  const over = view(setOf([later, end]), start).violins.get(violinId(founding))
  assert.deepEqual(over?.ended, { name: 'figure2', hosts: [idOf(one)] })
  assert.equal(over.spec, null)
  assert.ok(over.holders.has(idOf(first)) && over.holders.has(idOf(one)))
})

test("a revoked owner's VIOLIN is gone, another owner's version of it stands", () => {
  const founding = foundingOf(one.owner.publicKey, first.owner.publicKey)
  const revoked = violinRecord(one, founding, specOn([idOf(one)], 'of-revoked'), { version: 5 })
  const other = violinRecord(first, founding, specOn([idOf(first)], 'of-other'))
  const rest = view(setOf([revoked, other, revocation(one.chain, first)]), start)
  assert.equal(rest.violins.get(violinId(founding))?.name, 'of-other')
  assert.deepEqual([...rest.revoked], [[one.signer.publicKey, false]])
})

test('what runs is seen by VIOLIN and host, while it is fresh', () => {
  const id = violinId(foundingOf(first.owner.publicKey))
  const set = setOf([runsRecord(first, id), runsRecord(one, id, { switches: [] })])
  assert.deepEqual(view(set, start).runs.get(id)?.get(idOf(first))?.body.switches, ['lan1'])
  assert.equal(view(set, start).runs.get(id)?.size, 2)
  assert.equal(view(set, after(dayMs)).runs.size, 0)
  assert.equal(view(emptySet(), start).runs.size, 0)
})

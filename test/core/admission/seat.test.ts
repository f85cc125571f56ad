import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isWorthKeeping, keepsSlot, seatStep } from '#core/admission/seat.ts'
import { hostIdOf } from '#core/admission/host-id.ts'
import { view } from '#core/records/view.ts'
import { hostRecord, setOf } from '../records/records.ts'
import { after, founder, hourMs, invite, join, signerFor, start, witnessOf } from './keys.ts'

const first = founder()
const shared = invite(first, 'shared', { slots: 3, redeemBy: after(hourMs) }).token

test('a host that lost its slot asks for another while the invite lasts, and is out when it does not', () => {
  const seated = { displaced: false, shunned: false, revoked: false }
  const displaced = { displaced: true, shunned: false, revoked: false }
  assert.equal(seatStep(shared.invite, seated, start), 'keep')
  assert.equal(seatStep(shared.invite, displaced, start), 'ask')
  assert.equal(seatStep(shared.invite, displaced, after(hourMs)), 'out')
  assert.equal(seatStep(null, displaced, start), 'out')
})

test('a host that nobody takes for a member asks, for only the others may know that its slot is lost', () => {
  const shunned = { displaced: false, shunned: true, revoked: false }
  assert.equal(seatStep(shared.invite, shunned, start), 'ask')
  assert.equal(seatStep(null, shunned, start), 'keep')
  assert.equal(seatStep(shared.invite, shunned, after(hourMs)), 'keep')
})

test('a host that was shut out asks for no other slot', () => {
  assert.equal(seatStep(shared.invite, { displaced: false, shunned: true, revoked: true }, start), 'keep')
})

test('the secret of an invite is worth keeping where it has other slots that this host may take', () => {
  assert.ok(isWorthKeeping(shared.invite))
  assert.ok(!isWorthKeeping(invite(first, 'single').token.invite))
  const bound = { slots: 3, for: hostIdOf(signerFor('one').publicKey) }
  assert.ok(!isWorthKeeping(invite(first, 'bound', bound).token.invite))
})

test('of two in one slot one keeps it, and its new chain stands where the other takes the next', () => {
  const one = join(shared, 'one', witnessOf(first), 0)
  const two = join(shared, 'two', witnessOf(first), 0)
  const slots = view(setOf([hostRecord(one), hostRecord(two)]), start).slots
  assert.equal([one, two].filter(({ chain }) => keepsSlot(chain, slots)).length, 1)
  const [loser, label] = keepsSlot(one.chain, slots) ? [two, 'two'] : [one, 'one']
  assert.equal(keepsSlot(loser.ownerChain, slots), false)
  assert.ok(keepsSlot(join(shared, label, witnessOf(first), 1).chain, slots))
})

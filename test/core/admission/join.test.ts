import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type Chain, foundChain, verifyChain } from '#core/admission/chain.ts'
import { hostIdOf } from '#core/admission/host-id.ts'
import {
  type JoinAnswer,
  acceptGrant,
  countersign,
  decodeJoinAnswer,
  encodeJoinAnswer,
  firstSlot,
  joinRequest,
  parseJoinRequest
} from '#core/admission/join.ts'
import { ViolinError } from '#core/errors.ts'
import type { ErrorCode } from '#core/errors.ts'
import type { PublicKey } from '#core/ids.ts'
import {
  after,
  ask,
  crypto,
  dayMs,
  founder,
  hostFrom,
  hourMs,
  invite,
  join,
  signerFor,
  signerOf,
  start,
  witnessOf
} from './keys.ts'

const first = founder()

function refusal(answer: JoinAnswer): ErrorCode {
  assert.equal(answer.kind, 'refused', JSON.stringify(answer))
  return answer.kind === 'refused' ? answer.error.code : 'internal'
}

test('a joiner gets a chain for its key through any member, the inviter or not', () => {
  const { token } = invite(first, 'token', { slots: 4 })
  const one = join(token, 'one', witnessOf(first))
  const two = join(token, 'two', witnessOf(one))
  assert.equal(two.chain.host, hostIdOf(signerFor('two').publicKey))
  assert.ok(!('refused' in verifyChain(two.chain.bytes, token.root, crypto)))
})

test('the end of an invite is strict, by the clock of the member that is asked', () => {
  const { token } = invite(first, 'token', { redeemBy: after(hourMs) })
  assert.equal(ask(token, 'one', witnessOf(first), 0, after(hourMs - 1)).kind, 'granted')
  assert.equal(refusal(ask(token, 'one', witnessOf(first), 0, after(hourMs))), 'token-expired')
})

test('a taken slot is answered with a free one, and a used-up invite is told apart', () => {
  const { token } = invite(first, 'token', { slots: 3 })
  const other = signerFor('other').publicKey
  const answer = ask(token, 'one', witnessOf(first, new Map([[2, other]])), 2)
  assert.deepEqual(answer, { kind: 'slot-taken', free: 0 })
  assert.equal(ask(token, 'one', witnessOf(first, new Map([[2, other]])), 0).kind, 'granted')
  const full = new Map([0, 1, 2].map((slot): [number, PublicKey] => [slot, other]))
  assert.equal(refusal(ask(token, 'one', witnessOf(first, full), 1)), 'token-used-up')
})

test('asking again for the own slot is granted again', () => {
  const { token } = invite(first, 'token')
  const used = new Map([[0, signerFor('one').publicKey]])
  assert.equal(ask(token, 'one', witnessOf(first, used)).kind, 'granted')
})

test('cancelled, foreign, bound and lapsed invites are refused each for its reason', () => {
  const { token } = invite(first, 'token', { for: hostIdOf(signerFor('one').publicKey) })
  assert.equal(ask(token, 'one', witnessOf(first)).kind, 'granted')
  assert.equal(refusal(ask(token, 'two', witnessOf(first))), 'refused')
  assert.equal(refusal(ask(token, 'one', { ...witnessOf(first), isRevoked: () => true })), 'token-revoked')
  const isOut = (chain: Chain): boolean => chain.kind === 'host'
  assert.equal(refusal(ask(token, 'one', { ...witnessOf(first), isRevoked: isOut })), 'revoked')
  const elsewhere = foundChain(signerFor('other root'), first.signer.publicKey, after(dayMs), crypto)
  assert.equal(refusal(ask(token, 'one', { ...witnessOf(first), chain: elsewhere })), 'token-other-mesh')
  const lapsed = hostFrom(
    'founder',
    foundChain(signerFor('root'), first.signer.publicKey, after(1000), crypto)
  )
  assert.equal(refusal(ask(token, 'one', witnessOf(lapsed), 0, after(hourMs))), 'not-a-member')
})

test('a request is only for the key that the connection proved', () => {
  const { token } = invite(first, 'token')
  const request = joinRequest(token, signerOf(token.seed), signerFor('one').publicKey, 0, 'one')
  const from = hostIdOf(signerFor('two').publicKey)
  assert.equal(refusal(countersign(request, from, witnessOf(first), start, crypto)), 'refused')
})

test("a request that the invite's key did not sign, or with a bad name, is refused", () => {
  const { token } = invite(first, 'token')
  const one = signerFor('one')
  for (const request of [
    joinRequest(token, one, one.publicKey, 0, 'one'),
    joinRequest(token, signerOf(token.seed), one.publicKey, 0, 'One!')
  ]) {
    assert.equal(
      refusal(countersign(request, hostIdOf(one.publicKey), witnessOf(first), start, crypto)),
      'token-malformed'
    )
  }
})

test('one flipped bit in a request is refused, but for the name, which nothing depends on', () => {
  const { token } = invite(first, 'token')
  const request = joinRequest(token, signerOf(token.seed), signerFor('one').publicKey, 0, 'o')
  for (let at = 0; at < request.length - 2; at++) {
    const altered = Uint8Array.from(request)
    altered[at] = (altered[at] as number) ^ (1 << (at % 8))
    assert.ok(parseJoinRequest(altered, crypto) instanceof ViolinError, `byte ${at}`)
  }
})

test('a joiner takes no chain that is for another key or through another invite', () => {
  const { token } = invite(first, 'token', { slots: 2 })
  const one = join(token, 'one', witnessOf(first))
  const { publicKey } = signerFor('two')
  assert.ok(acceptGrant(token, publicKey, one.chain.bytes, crypto) instanceof ViolinError)
  assert.ok(acceptGrant(token, publicKey, Uint8Array.of(1, 2, 3), crypto) instanceof ViolinError)
  const { token: another } = invite(first, 'another')
  assert.ok(acceptGrant(another, one.signer.publicKey, one.chain.bytes, crypto) instanceof ViolinError)
  assert.ok(acceptGrant(token, one.signer.publicKey, one.ownerChain.bytes, crypto) instanceof ViolinError)
})

test('answers survive the wire, and control characters of another host do not', () => {
  const answers: JoinAnswer[] = [
    { kind: 'slot-taken', free: 7 },
    { kind: 'refused', error: { code: 'token-expired', message: 'why', remedy: 'what' } }
  ]
  for (const answer of answers) assert.deepEqual(decodeJoinAnswer(encodeJoinAnswer(answer)), answer)
  const evil = decodeJoinAnswer(
    encodeJoinAnswer({ kind: 'refused', error: { code: 'refused', message: '\x1b[2Jx\n', remedy: 'y' } })
  )
  assert.deepEqual(evil, { kind: 'refused', error: { code: 'refused', message: ' [2Jx ', remedy: 'y' } })
})

test('hostile bytes make neither side throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      assert.equal(decodeJoinAnswer(bytes).kind, 'refused')
      assert.ok(parseJoinRequest(bytes, crypto) instanceof ViolinError)
    })
  )
})

test('joiners spread over the slots', () => {
  const { token } = invite(first, 'token', { slots: 16 })
  const slots = new Set(
    Array.from({ length: 64 }, (_, i) => firstSlot(token, signerFor(`${i}`).publicKey, crypto))
  )
  assert.ok(slots.size > 8, `${slots.size} of 16`)
})

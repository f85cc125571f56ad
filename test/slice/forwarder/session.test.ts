import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import * as fc from 'fast-check'
import { ViolinError } from '#core/errors.ts'
import type { HostId, HostKey, ViolinId } from '#core/ids.ts'
import { datagramHeaderBytes, datagramType } from '#frame/datagram.ts'
import type { TrunkHalf } from '#slice/contract.ts'
import type { TrunkSession } from '#slice/forwarder/contract.ts'
import { deriveTrunkSession, makeTrunkHalf } from '#slice/forwarder/derive.ts'
import { formerPhaseMs, phaseMs, Session } from '#slice/forwarder/session.ts'
import { allocate, free } from '#syscalls/libc.ts'

const memory = allocate(1 << 16)
after(() => free(memory))

const violin = 'aa'.repeat(32) as ViolinId
const alice = '12D3KooWAlice' as HostId
const bob = '12D3KooWBob' as HostId
const keyOf = (host: HostId): HostKey => `key of ${host}` as HostKey

function agree(
  violins: readonly [ViolinId, ViolinId] = [violin, violin]
): readonly [TrunkSession, TrunkSession] {
  const halves = [
    makeTrunkHalf([{ ip: '10.0.0.1', port: 1 }]),
    makeTrunkHalf([{ ip: '10.0.0.2', port: 2 }])
  ] as const
  const side = (self: HostId, peer: HostId, own: 0 | 1): TrunkSession =>
    deriveTrunkSession({
      violin: violins[own],
      self,
      peer,
      peerKey: keyOf(peer),
      own: halves[own],
      peerHalf: halves[(1 - own) as 0 | 1].half,
      authForMs: 1e6
    })
  return [side(alice, bob, 0), side(bob, alice, 1)]
}

function pair(): readonly [Session, Session] {
  const [left, right] = agree()
  return [new Session(memory, left, 0), new Session(memory, right, 0)]
}

/** Seals `text` and gives the datagram's bytes. */
function seal(session: Session, text: string): Uint8Array {
  const at = 1024
  const plain = Buffer.from(text)
  memory.bytes.set(plain, at + datagramHeaderBytes)
  const length = session.seal(datagramType.data, at, plain.length)
  return memory.bytes.slice(at, at + length)
}

/** Opens a datagram; null when it does not. */
function open(session: Session, datagram: Uint8Array, nowMs = 0): string | null {
  const at = 4096
  memory.bytes.set(datagram, at)
  const length = session.open(at, datagram.length, nowMs)
  const start = at + datagramHeaderBytes
  return length < 0 ? null : Buffer.from(memory.bytes.subarray(start, start + length)).toString()
}

test('both sides derive the same secrets, one of them the initiator', () => {
  const [left, right] = agree()
  assert.deepEqual(left.sendKey, right.receiveKey)
  assert.deepEqual(left.receiveIv, right.sendIv)
  assert.deepEqual(left.chainKey, right.chainKey)
  assert.notDeepEqual(left.sendKey, left.receiveKey)
  assert.deepEqual([left.initiator, right.initiator], [true, false])
  assert.deepEqual([left.remoteIndex, left.localIndex], [right.localIndex, right.remoteIndex])
})

test('halves that were exchanged for another VIOLIN give other secrets', () => {
  const [left, right] = agree([violin, 'bb'.repeat(32) as ViolinId])
  assert.notDeepEqual(left.sendKey, right.receiveKey)
})

test('a malformed half is refused', () => {
  const own = makeTrunkHalf([])
  const good = makeTrunkHalf([]).half
  const bad: TrunkHalf[] = [
    { ...good, publicKey: 'zz' },
    { ...good, publicKey: '00'.repeat(32) },
    { ...good, index: 0 },
    { ...good, index: 2 ** 32 },
    { ...good, index: 1.5 }
  ]
  for (const peerHalf of bad) {
    assert.throws(
      () =>
        deriveTrunkSession({
          violin,
          self: alice,
          peer: bob,
          peerKey: keyOf(bob),
          own,
          peerHalf,
          authForMs: 1
        }),
      (error: unknown) => error instanceof ViolinError && error.code === 'refused'
    )
  }
})

test('a datagram opens once, at the other side only, and changed not at all', () => {
  const [left, right] = pair()
  const datagram = seal(left, 'hello')
  assert.equal(open(left, datagram), null)
  fc.assert(
    fc.property(fc.nat({ max: datagram.length - 1 }), fc.integer({ min: 1, max: 255 }), (place, change) => {
      // The type and the receiver's index are looked at before; both are authenticated as well.
      const changed = datagram.slice()
      changed[place] = (changed[place] as number) ^ change
      assert.equal(open(right, changed), null)
    })
  )
  assert.equal(open(right, datagram), 'hello')
  assert.equal(open(right, datagram), null)
})

test('the initiator moves both to a new phase, and what was on its way still opens', () => {
  const [left, right] = pair()
  const old = [seal(left, 'old 1'), seal(right, 'old 2')] as const
  assert.equal(left.rekey(phaseMs - 1), null)
  const request = left.rekey(phaseMs) as Uint8Array
  assert.equal(right.rekey(10 * phaseMs), null)
  const answer = right.takeRekey(request, phaseMs) as Uint8Array
  // A repeated request has the same answer.
  assert.deepEqual(right.takeRekey(request, phaseMs), answer)
  assert.equal(right.phase, 0)
  assert.equal(left.takeRekey(answer, phaseMs), null)
  assert.equal(left.phase, 1)
  assert.equal(open(left, seal(right, 'still phase 0'), phaseMs), 'still phase 0')
  assert.equal(open(right, seal(left, 'phase 1'), phaseMs), 'phase 1')
  assert.equal(right.phase, 1)
  assert.equal(open(left, seal(right, 'phase 1 too'), phaseMs), 'phase 1 too')
  assert.equal(open(right, old[0], phaseMs + 1), 'old 1')
  assert.equal(open(left, old[1], phaseMs + formerPhaseMs + 1), null)
})

test('an unanswered rekey is repeated with the same key, an answer to none is nothing', () => {
  const [left, right] = pair()
  const first = left.rekey(phaseMs) as Uint8Array
  assert.equal(left.rekey(phaseMs + 100), null)
  assert.deepEqual(left.rekey(phaseMs + 1000), first)
  const answer = right.takeRekey(first, phaseMs) as Uint8Array
  left.takeRekey(answer, phaseMs)
  left.takeRekey(answer, phaseMs)
  assert.equal(left.phase, 1)
  assert.equal(right.takeRekey(answer, phaseMs), null)
})

test('phases go on past 255, each with keys of its own', () => {
  const [left, right] = pair()
  for (let round = 1; round <= 300; round++) {
    const now = round * phaseMs
    const answer = right.takeRekey(left.rekey(now) as Uint8Array, now) as Uint8Array
    left.takeRekey(answer, now)
    assert.equal(open(right, seal(left, `round ${round}`), now), `round ${round}`)
    assert.equal(open(left, seal(right, `back ${round}`), now), `back ${round}`)
  }
  assert.equal(left.phase, 300 & 255)
})

test('hostile rekeys change nothing', () => {
  const [left, right] = pair()
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (body) => {
      right.takeRekey(body, 0)
      left.takeRekey(body, 0)
      assert.equal(open(right, seal(left, 'on'), 0), 'on')
      assert.equal(open(left, seal(right, 'and on'), 0), 'and on')
    })
  )
})

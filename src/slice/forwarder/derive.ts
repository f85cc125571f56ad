/**
 * The main thread's part of a trunk's key agreement: makes this side's half, and the session from both.
 * The daemons carried the halves over an authenticated stream and so vouch for whose they are.
 */
import { createHash, type KeyObject, randomInt } from 'node:crypto'
import { unhex } from '#core/derive.ts'
import { ViolinError } from '#core/errors.ts'
import type { HostId, HostKey, ViolinId } from '#core/ids.ts'
import type { TrunkHalf } from '../contract.ts'
import type { TrunkSession } from './contract.ts'
import { expandPhase, freshDhKey, sharedSecret } from './keys.ts'

/** A half and the secret behind it, which never leaves the process. */
export interface OwnHalf {
  readonly half: TrunkHalf
  readonly privateKey: KeyObject
}

/** Makes a fresh half that may be reached at `candidates`. */
export function makeTrunkHalf(candidates: TrunkHalf['candidates']): OwnHalf {
  const key = freshDhKey()
  return {
    half: { publicKey: Buffer.from(key.publicKey).toString('hex'), index: randomInt(1, 2 ** 32), candidates },
    privateKey: key.privateKey
  }
}

export interface SessionParties {
  readonly violin: ViolinId
  readonly self: HostId
  readonly peer: HostId
  readonly peerKey: HostKey
  readonly own: OwnHalf
  readonly peerHalf: TrunkHalf
  readonly authForMs: number
}

/** The session of two halves; both sides derive the same secrets. Throws ViolinError `refused` for a bad half. */
export function deriveTrunkSession(parties: SessionParties): TrunkSession {
  const { own, peerHalf } = parties
  const peerPublic = unhex(peerHalf.publicKey)
  const shared = peerPublic === null ? null : sharedSecret(own.privateKey, peerPublic)
  const index = peerHalf.index
  if (shared === null || !Number.isInteger(index) || index < 1 || index >= 2 ** 32) {
    throw new ViolinError(
      'refused',
      `the trunk half of ${parties.peer} is malformed`,
      'update the software of that host'
    )
  }
  const initiator = parties.self < parties.peer
  const secrets = expandPhase(shared, transcript(parties, initiator), 'violin trunk 1')
  return {
    peer: parties.peerKey,
    localIndex: own.half.index,
    remoteIndex: index,
    sendKey: initiator ? secrets.initiatorKey : secrets.responderKey,
    sendIv: initiator ? secrets.initiatorIv : secrets.responderIv,
    receiveKey: initiator ? secrets.responderKey : secrets.initiatorKey,
    receiveIv: initiator ? secrets.responderIv : secrets.initiatorIv,
    chainKey: secrets.chainKey,
    initiator,
    candidates: peerHalf.candidates,
    authForMs: parties.authForMs
  }
}

/** Hash of everything that both sides must agree on, the initiator's part first. */
function transcript(parties: SessionParties, initiator: boolean): Uint8Array {
  const own = [parties.self, parties.own.half.publicKey, parties.own.half.index]
  const peer = [parties.peer, parties.peerHalf.publicKey, parties.peerHalf.index]
  const text = JSON.stringify(['violin trunk 1', parties.violin, ...(initiator ? [own, peer] : [peer, own])])
  return createHash('sha256').update(text).digest()
}

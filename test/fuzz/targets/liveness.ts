/** What hosts say of one another's life: signed messages, and several of them told at once. */
import assert from 'node:assert/strict'
import { hostIdOf } from '#core/admission/host-id.ts'
import type { Crypto } from '#core/ids.ts'
import {
  decodeTold,
  encodeTold,
  isLivenessMessage,
  maxMessageBytes,
  openMessage,
  sealRefutation,
  sealSuspicion
} from '#core/liveness/message.ts'
import { maxIncarnation } from '#core/liveness/settings.ts'
import { crypto, root, signerFor } from '../../core/admission/keys.ts'
import { type Target, same } from '../target.ts'

const mesh = root.publicKey
const accused = signerFor('fuzzed accused')
const refutation = sealRefutation(accused, 7, mesh)
const suspicion = sealSuspicion(signerFor('fuzzed accuser'), hostIdOf(accused.publicKey), refutation, 1, mesh)
const bare = sealSuspicion(signerFor('fuzzed accuser'), hostIdOf(accused.publicKey), null, 2, mesh)
/** As if every liar had every key. */
const gullible: Crypto = { ...crypto, verify: () => true }

const message: Target = {
  name: 'liveness message',
  enters: ['core/liveness/message.ts openMessage'],
  form: 'cbor',
  samples: [refutation.bytes, suspicion.bytes, bare.bytes],
  maxBytes: maxMessageBytes + 16,
  weight: 4,
  decode(bytes) {
    const opened = openMessage(bytes, mesh, gullible)
    if (opened === null) return false
    same(opened.bytes, bytes)
    assert.ok(isLivenessMessage(bytes) && bytes.length <= maxMessageBytes)
    const said = opened.kind === 'refutation' ? opened : opened.refutation
    assert.ok(said === null || (said.incarnation >= 1 && said.incarnation <= maxIncarnation))
    return true
  }
}

const told: Target = {
  name: 'told of lives',
  enters: ['core/liveness/message.ts decodeTold'],
  form: 'cbor',
  samples: [
    encodeTold({ spread: false, messages: [] }),
    encodeTold({ spread: true, messages: [suspicion.bytes, refutation.bytes] })
  ],
  maxBytes: 16 * 1024,
  weight: 2,
  decode(bytes) {
    const opened = decodeTold(bytes)
    if (opened === null) return false
    same(encodeTold(opened), bytes)
    return true
  }
}

export const liveness: readonly Target[] = [message, told]

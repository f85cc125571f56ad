/** What hosts and strangers send over libp2p: records, chains, invites, joins, reconciliation, small JSON. */
import assert from 'node:assert/strict'
import * as z from 'zod'
import { hostIdOf, publicKeyOf } from '#core/admission/host-id.ts'
import { isRefusal, maxChainBytes, verifyChain } from '#core/admission/chain.ts'
import {
  acceptGrant,
  countersign,
  decodeJoinAnswer,
  encodeJoinAnswer,
  joinRequest,
  maxJoinBytes,
  parseJoinRequest
} from '#core/admission/join.ts'
import {
  acceptRenewal,
  grantRenewal,
  isRenewRequest,
  renewRequest,
  renewalAsked
} from '#core/admission/renewal.ts'
import { linksToWire } from '#core/admission/link.ts'
import { armour, unarmour } from '#core/admission/text.ts'
import { parseToken, tokenText } from '#core/admission/token.ts'
import { ViolinError } from '#core/errors.ts'
import type { Crypto, HostId, PublicKey } from '#core/ids.ts'
import {
  decodeTold,
  encodeTold,
  maxMessageBytes,
  maxToldBytes,
  openMessage,
  sealRefutation,
  sealSuspicion
} from '#core/liveness/message.ts'
import { Malformed, decodeCbor, encodeCbor } from '#core/records/cbor.ts'
import { isRejected, maxRecordBytes, openRecord } from '#core/records/record.ts'
import { RecordSet } from '#core/records/set.ts'
import { answerSync, applySync, maxSyncBytes, onlyScopes, syncRequest } from '#core/records/sync.ts'
import { view } from '#core/records/view.ts'
import { type CarriedHalf, carriedHalf, carry, isOwnWord } from '#daemon/carried.ts'
import { RequestGuard, sealRequest, sealedRequest } from '#daemon/owner-request.ts'
import type { Records } from '#daemon/records.ts'
import type { Host } from '#daemon/host.ts'
import { rememberedPeers } from '#daemon/remembered.ts'
import { entityStatus, sliceAnswers, sliceEvent, switchStatus, trunkHalf } from '#daemon/slices/schema.ts'
import { decodeJson, encodeJson, maxJsonBytes } from '#daemon/wire.ts'
import { memoryStore } from '#store/memory.ts'
import {
  after,
  crypto,
  dayMs,
  founder,
  invite,
  join,
  root,
  signerFor,
  signerOf,
  start,
  witnessOf
} from '../../core/admission/keys.ts'
import {
  foundingOf,
  hostRecord,
  revocation,
  runsRecord,
  setOf,
  specOn,
  violinId,
  violinRecord
} from '../../core/records/records.ts'
import { type Target, bytesOf, same, text } from '../target.ts'

const first = founder()
const { token, text: tokenLine } = invite(first, 'fuzz', { slots: 8, addresses: ['/ip4/192.0.2.1/tcp/4780'] })
const second = join(token, 'second', witnessOf(first))
const third = join(token, 'third', witnessOf(second))
const founding = foundingOf(first.owner.publicKey, second.owner.publicKey)
const violin = violinId(founding)
const ids = [first, second, third].map(({ chain }) => chain.host as HostId)
const records = [
  hostRecord(first),
  hostRecord(second, { name: 'beta' }),
  hostRecord(third, { name: 'gamma', left: true }),
  violinRecord(first, founding, specOn(ids)),
  violinRecord(second, founding, null, { version: 2 }),
  runsRecord(second, violin),
  revocation(third.chain, first),
  revocation(second.chain, null, true)
]

/**
 * Every signature is good whose first byte is even, besides the true ones: what lies behind the signatures is reached by bytes that
 * nobody signed, as if the key's owner were the liar.
 */
const gullible: Crypto = {
  sha256: (bytes) => crypto.sha256(bytes),
  verify: (key, bytes, signature) =>
    ((signature[0] as number) & 1) === 0 || crypto.verify(key, bytes, signature)
}

/** Samples whose signatures the gullible take. */
function evened(bytes: Uint8Array): Uint8Array {
  const even = (node: unknown): unknown => {
    if (node instanceof Uint8Array) {
      const copy = node.slice()
      if (copy.length === 64) copy[0] = 0
      return copy
    }
    return Array.isArray(node) ? node.map(even) : node
  }
  return encodeCbor(even(decodeCbor(bytes, 1 << 20)))
}

/** A set that takes what a liar with every key says; emptied before it grows large. */
function gullibleSet(): RecordSet {
  return new RecordSet({ root: root.publicKey, crypto: gullible })
}

let lied = gullibleSet()

const record = (name: string, judge: Crypto, samples: readonly Uint8Array[], weight: number): Target => ({
  name,
  enters: [
    'core/records/record.ts openRecord',
    'core/records/set.ts merge',
    'core/records/bodies.ts bodyFromWire',
    'core/records/spec-body.ts specFromWire',
    'core/records/spec-body.ts hostsFromWire'
  ],
  form: 'cbor',
  samples,
  maxBytes: maxRecordBytes + 16,
  weight,
  decode(bytes) {
    const opened = openRecord(bytes, root.publicKey, judge)
    if (isRejected(opened)) return false
    same(opened.bytes, bytes)
    assert.ok(bytes.length <= maxRecordBytes)
    if (lied.size > 64) lied = gullibleSet()
    lied.merge(bytes, start)
    view(lied, after(dayMs))
    return true
  }
})

const chain: Target = {
  name: 'chain',
  enters: [
    'core/admission/chain.ts verifyChain',
    'core/admission/link.ts linksFromWire',
    'core/admission/link.ts readKey'
  ],
  form: 'cbor',
  samples: [first, second, third].flatMap((host) => [
    evened(host.chain.bytes),
    evened(host.ownerChain.bytes)
  ]),
  maxBytes: maxChainBytes + 16,
  weight: 4,
  decode(bytes) {
    const verified = verifyChain(bytes, root.publicKey, gullible)
    if (isRefusal(verified)) return false
    same(verified.bytes, bytes)
    same(encodeCbor(linksToWire(verified.links)), bytes)
    return true
  }
}

const cbor: Target = {
  name: 'cbor',
  enters: ['core/records/cbor.ts decodeCbor'],
  form: 'cbor',
  samples: records.map(({ bytes }) => bytes),
  maxBytes: maxRecordBytes + 16,
  weight: 6,
  decode(bytes) {
    try {
      same(encodeCbor(decodeCbor(bytes, maxRecordBytes)), bytes)
      return true
    } catch (error: unknown) {
      if (error instanceof Malformed) return false
      throw error
    }
  }
}

const armoured: Target = {
  name: 'armour',
  enters: ['core/admission/text.ts unarmour'],
  form: 'text',
  samples: [
    bytesOf(tokenLine),
    bytesOf(armour(new Uint8Array(0))),
    bytesOf(`${tokenLine.slice(0, 70)}\n${tokenLine.slice(70)}`)
  ],
  maxBytes: 8192,
  weight: 2,
  decode(bytes) {
    const payload = unarmour(text(bytes))
    if (typeof payload === 'string') return false
    assert.equal(armour(payload), text(bytes).replaceAll(/\s/g, ''))
    return true
  }
}

const keyOf = (seed: Uint8Array): PublicKey => signerOf(seed).publicKey

const invitation: Target = {
  name: 'token',
  enters: ['core/admission/token.ts parseToken'],
  form: 'cbor',
  samples: [evened(unarmour(tokenLine) as Uint8Array)],
  maxBytes: 4096,
  weight: 2,
  decode(bytes) {
    const parsed = parseToken(armour(bytes), gullible, keyOf)
    if (parsed instanceof ViolinError) {
      assert.equal(parsed.code, 'token-malformed')
      return false
    }
    const again = parseToken(tokenText(parsed), gullible, keyOf)
    assert.ok(!(again instanceof ViolinError))
    assert.deepEqual(again.addresses, parsed.addresses)
    return true
  }
}

const joiner = signerFor('joiner')
const request = joinRequest(token, signerOf(token.seed), joiner.publicKey, 3, 'delta')

const joinRequests: Target = {
  name: 'join request',
  enters: ['core/admission/join.ts parseJoinRequest', 'core/admission/join.ts countersign'],
  form: 'cbor',
  samples: [evened(request)],
  maxBytes: maxJoinBytes + 16,
  weight: 3,
  decode(bytes) {
    const parsed = parseJoinRequest(bytes, gullible)
    const from = parsed instanceof ViolinError ? hostIdOf(joiner.publicKey) : hostIdOf(parsed.host)
    const used = new Map<number, PublicKey>([[3, first.signer.publicKey]])
    const answer = countersign(bytes, from, witnessOf(first, used), start, gullible)
    const sent = encodeJoinAnswer(answer)
    assert.ok(sent.length <= maxJoinBytes)
    if (answer.kind !== 'refused') assert.deepEqual(decodeJoinAnswer(sent), answer)
    return answer.kind !== 'refused'
  }
}

const granted = countersign(request, hostIdOf(joiner.publicKey), witnessOf(second), start, crypto)

const joinAnswers: Target = {
  name: 'join answer',
  enters: [
    'core/admission/join.ts decodeJoinAnswer',
    'core/admission/join.ts acceptGrant',
    'core/admission/renewal.ts acceptRenewal'
  ],
  form: 'cbor',
  samples: [
    encodeJoinAnswer(granted),
    encodeJoinAnswer({ kind: 'slot-taken', free: 7 }),
    encodeJoinAnswer({
      kind: 'refused',
      error: { code: 'token-used-up', message: 'the invite is used up', remedy: 'ask for another' }
    })
  ],
  maxBytes: maxJoinBytes + 16,
  weight: 2,
  decode(bytes) {
    const answer = decodeJoinAnswer(bytes)
    if (answer.kind === 'refused') {
      assert.doesNotMatch(answer.error.message + answer.error.remedy, /\p{C}/u)
      return false
    }
    if (answer.kind === 'granted') {
      acceptGrant(token, joiner.publicKey, answer.chain, gullible)
      acceptRenewal(second.chain, answer.chain, gullible)
    }
    return true
  }
}

const renewals: Target = {
  name: 'request to renew',
  enters: ['core/admission/renewal.ts renewalAsked', 'core/admission/renewal.ts isRenewRequest'],
  form: 'cbor',
  samples: [renewRequest(second.chain), evened(renewRequest(third.chain)), renewRequest(first.ownerChain)],
  maxBytes: maxJoinBytes + 16,
  weight: 2,
  decode(bytes) {
    const admin = { ...witnessOf(first), slots: new Map<string, PublicKey>(), isMember: () => true }
    const member = renewalAsked(bytes, ids[1] as HostId, admin, after(300 * dayMs), gullible)
    const answer = 'path' in member ? grantRenewal(member, admin, after(300 * dayMs), gullible) : member
    assert.ok(encodeJoinAnswer(answer).length <= maxJoinBytes)
    return isRenewRequest(bytes)
  }
}

const mesh = setOf(records.slice(0, 6))
const behind = setOf(records.slice(0, 2))
const scopes = ['mesh', violin] as const
const opening = syncRequest(mesh, scopes, start)
const reply = answerSync(behind, opening, start, onlyScopes(scopes)).answer
const further = applySync(mesh, reply, start, onlyScopes(scopes)).next

const reconciliation: Target = {
  name: 'reconciliation',
  enters: [
    'core/records/sync.ts answerSync',
    'core/records/sync.ts applySync',
    'core/records/bodies.ts readViolin'
  ],
  form: 'cbor',
  samples: [opening, reply, ...(further === null ? [] : [further])],
  maxBytes: 32 * 1024,
  weight: 4,
  decode(bytes) {
    try {
      const { answer } = answerSync(behind, bytes, start, {
        allows: () => true,
        wants: () => false,
        shows: () => true
      })
      assert.ok(answer.length <= maxSyncBytes)
      applySync(behind, bytes, start, { allows: () => true, wants: () => false, shows: () => true })
      return true
    } catch (error: unknown) {
      if (error instanceof ViolinError && error.code === 'refused') return false
      throw error
    }
  }
}

const shapes = {
  entity: entityStatus,
  switch: switchStatus,
  half: trunkHalf,
  event: sliceEvent,
  hello: sliceAnswers.hello,
  handoff: sliceAnswers.handoff,
  sealed: sealedRequest,
  carried: carriedHalf
}
const entity = {
  name: 'vhost1',
  state: 'running',
  reason: '',
  bootMs: 1,
  nics: [{ name: 'eth0', lan: 'lan1', mac: '02:00:00:00:00:01', up: true }]
}
const vswitch = { lan: 'lan1', active: ids[0], standby: null, term: 3 }
const half = { publicKey: 'ab'.repeat(32), index: 7, candidates: [{ ip: '192.0.2.1', port: 4790 }] }
const sealed = sealRequest(
  'handoff',
  ids[0] as HostId,
  violin,
  { lan: 'lan1', to: null },
  root.publicKey,
  first.owner
)
const carried = carry(
  { violin, from: ids[0] as HostId, to: ids[1] as HostId, half, answers: null },
  first.owner
)

const json: Target = {
  name: 'JSON between daemons',
  enters: ['daemon/wire.ts decodeJson', 'daemon/wire.ts parseJson'],
  form: 'json',
  samples: [
    entity,
    vswitch,
    half,
    { kind: 'entity', entity },
    { kind: 'switch', status: vswitch },
    { kind: 'trunk-wanted', peer: ids[1] },
    { kind: 'tap-wanted', entity: 'a', nic: 'eth0', mac: '02:00:00:00:00:01', mtu: 1500 },
    {
      contract: 1,
      pid: 1,
      version: 1,
      port: 1,
      memoryBytes: 1,
      entities: [entity],
      switches: [vswitch],
      trunks: []
    },
    { active: ids[0], term: 1 },
    sealed,
    carried
  ].map(encodeJson),
  maxBytes: maxJsonBytes + 16,
  weight: 4,
  decode(bytes) {
    let taken = false
    for (const shape of Object.values(shapes)) {
      try {
        const value = decodeJson<unknown>(bytes, shape as never, ids[0] as HostId)
        // What was taken once is taken again: nothing slips by being written down anew.
        decodeJson<unknown>(encodeJson(value), shape as never, ids[0] as HostId)
        if (shape === carriedHalf) isOwnWord(value as CarriedHalf)
        taken = true
      } catch (error: unknown) {
        if (!(error instanceof ViolinError) || error.code !== 'refused') throw error
      }
    }
    return taken
  }
}

const guard = (): RequestGuard =>
  new RequestGuard(
    ids[0] as HostId,
    {
      set: { root: root.publicKey },
      view: {
        violins: new Map([[violin, { spec: specOn(ids), founding, name: 'figure2', ownerHost: ids[0] }]]),
        members: new Map()
      }
    } as unknown as Records
  )

const ownerRequests: Target = {
  name: 'owner request',
  enters: ['daemon/owner-request.ts RequestGuard'],
  form: 'json',
  samples: [encodeJson(sealed)],
  maxBytes: 4096,
  weight: 1,
  decode(bytes) {
    try {
      const shaped = decodeJson(bytes, sealedRequest, ids[0] as HostId)
      guard().open('handoff', shaped, z.unknown())
      return true
    } catch (error: unknown) {
      if (error instanceof ViolinError) return false
      throw error
    }
  }
}

const noRecords = {
  set: mesh,
  view: { members: new Map(), violins: new Map(), revoked: new Map() },
  seats: { revoked: () => new Set() }
} as unknown as Records

const self = { identity: { id: ids[0] as HostId }, addresses: [] } as unknown as Host

const stored: Target = {
  name: 'remembered addresses',
  enters: ['daemon/remembered.ts rememberedPeers'],
  form: 'json',
  samples: [encodeJson(['/ip4/192.0.2.1/tcp/4780'])],
  maxBytes: 4096,
  weight: 1,
  decode(bytes) {
    const store = memoryStore(new Map([['peers', new Map([[ids[1] as string, bytes]])]]))
    const [peer] = rememberedPeers(self, noRecords, store)
    for (const address of peer?.addresses ?? []) assert.equal(typeof address, 'string')
    return (peer?.addresses.length ?? 0) > 0
  }
}

const names: Target = {
  name: 'host id',
  enters: ['core/admission/host-id.ts publicKeyOf'],
  form: 'text',
  samples: ids.map((id) => bytesOf(id)),
  maxBytes: 256,
  weight: 4,
  decode(bytes) {
    const key = publicKeyOf(text(bytes))
    if (key === null) return false
    assert.equal(hostIdOf(key), text(bytes))
    return true
  }
}

const refutation = sealRefutation(second.signer, 3, root.publicKey)
const suspicions = [null, refutation].map((known) =>
  sealSuspicion(first.signer, ids[1] as HostId, known, 1, root.publicKey)
)

const deaths: Target = {
  name: 'word of life and death',
  enters: ['core/liveness/message.ts openMessage', 'core/liveness/message.ts decodeTold'],
  form: 'cbor',
  samples: [
    refutation.bytes,
    ...suspicions.map(({ bytes }) => bytes),
    ...[refutation, ...suspicions].map(({ bytes }) => evened(bytes)),
    encodeTold({ spread: true, messages: [refutation.bytes, ...suspicions.map(({ bytes }) => bytes)] })
  ],
  maxBytes: maxToldBytes + 16,
  weight: 6,
  decode(bytes) {
    const told = decodeTold(bytes)
    if (told !== null) {
      same(encodeTold(told), bytes)
      return true
    }
    const message = openMessage(bytes, root.publicKey, gullible)
    if (message === null) return false
    same(message.bytes, bytes)
    assert.ok(bytes.length <= maxMessageBytes)
    return true
  }
}

export const controlPlane: readonly Target[] = [
  record(
    'record',
    crypto,
    records.map(({ bytes }) => bytes),
    4
  ),
  record(
    'record of a liar',
    gullible,
    records.map(({ bytes }) => evened(bytes)),
    8
  ),
  chain,
  cbor,
  armoured,
  invitation,
  joinRequests,
  joinAnswers,
  renewals,
  reconciliation,
  json,
  ownerRequests,
  stored,
  deaths,
  names
]

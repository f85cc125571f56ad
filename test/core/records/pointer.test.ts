import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { HostId, WallTime } from '#core/ids.ts'
import {
  type Pointer,
  type PointerBody,
  idPointerKey,
  maxPointerBytes,
  maxPointerHosts,
  namePointerKey,
  openPointer,
  pointerAt,
  pointerBeats,
  pointerLifeMs,
  sealPointer
} from '#core/records/pointer.ts'
import {
  type TestHost,
  after,
  crypto,
  founder,
  hourMs,
  invite,
  join,
  root,
  signerFor,
  start,
  witnessOf
} from '../admission/keys.ts'
import { hostIdOf } from '#core/admission/host-id.ts'
import { foundingOf, violinId } from './records.ts'

const owner = founder()
const other = founder('other')
const founding = foundingOf(owner.owner.publicKey)
const id = violinId(founding)
const host = owner.chain.host as HostId
const hosts = Array.from({ length: 12 }, (_, i) => hostIdOf(signerFor(`host ${i}`).publicKey))

const body = (change: Partial<PointerBody> = {}): PointerBody => ({
  founding,
  name: 'net',
  hosts: hosts.slice(0, 3),
  version: 3,
  issuedAt: start,
  expiresAt: (start + pointerLifeMs) as WallTime,
  ...change
})

function sealed(change: Partial<PointerBody> = {}, by: TestHost = owner): Uint8Array {
  const bytes = sealPointer(body(change), by.ownerChain, by.owner)
  assert.ok(bytes !== null)
  return bytes
}

function opened(change: Partial<PointerBody> = {}): Pointer {
  const pointer = openPointer(sealed(change), root.publicKey, crypto)
  assert.ok(pointer !== null)
  return pointer
}

const at = (key: string, bytes: Uint8Array, now = start): Pointer | null =>
  pointerAt(key, bytes, root.publicKey, now, crypto)

test('a pointer leads from the id and from the name at its owner to some hosts, by its bytes alone', () => {
  for (const key of [idPointerKey(id), namePointerKey('net', host)]) {
    const pointer = at(key, sealed())
    assert.deepEqual([pointer?.violin, pointer?.name, pointer?.hosts], [id, 'net', hosts.slice(0, 3)])
  }
  assert.equal(opened({ hosts }).hosts?.length, maxPointerHosts)
  assert.equal(opened({ hosts: null }).hosts, null)
})

test('under another key, signed by who is no owner, too early, too late or for too long it is none', () => {
  assert.equal(at(namePointerKey('other', host), sealed()), null)
  assert.equal(at(namePointerKey('net', other.chain.host as HostId), sealed()), null)
  assert.equal(at(idPointerKey(violinId(foundingOf(other.owner.publicKey))), sealed()), null)
  assert.equal(at(idPointerKey(id), sealed({}, other)), null)
  assert.notEqual(at(idPointerKey(id), sealed(), after(pointerLifeMs - 1)), null)
  assert.equal(at(idPointerKey(id), sealed(), after(pointerLifeMs)), null)
  assert.equal(at(idPointerKey(id), sealed(), after(-hourMs)), null)
  assert.equal(openPointer(sealed({ expiresAt: after(pointerLifeMs + 1) }), root.publicKey, crypto), null)
  assert.equal(openPointer(sealed(), signerFor('another mesh').publicKey, crypto), null)
})

test('the longest that an owner far from the root signs fits into the DHT', () => {
  let far = owner
  for (const label of ['one', 'two', 'three']) {
    const { token } = invite(far, `token ${label}`, { role: 'admin' })
    far = join(token, label, witnessOf(far))
  }
  const whole = { founding: foundingOf(far.owner.publicKey), name: 'n'.repeat(63), hosts }
  assert.ok(sealed(whole, far).length <= maxPointerBytes / 2)
})

test('one flipped bit anywhere in a pointer, and other bytes, are none', () => {
  const bytes = sealed()
  for (let place = 0; place < bytes.length; place++) {
    const altered = Uint8Array.from(bytes)
    altered[place] = (altered[place] as number) ^ (1 << (place % 8))
    assert.equal(openPointer(altered, root.publicKey, crypto), null, `byte ${place}`)
  }
  const none = (any: Uint8Array): boolean => openPointer(any, root.publicKey, crypto) === null
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), none))
  assert.ok(none(new Uint8Array(maxPointerBytes + 1)))
})

test('an end stands above every version, a higher version above a lower, and a later VIOLIN of a name above a former', () => {
  const beats = (a: Partial<PointerBody>, b: Partial<PointerBody>): boolean =>
    pointerBeats(opened(a), opened(b))
  assert.ok(beats({ hosts: null, version: 1 }, { version: 9 }))
  assert.ok(!beats({ version: 9 }, { hosts: null, version: 1 }))
  assert.ok(beats({ version: 4 }, { version: 3, issuedAt: after(hourMs) }))
  assert.ok(beats({ issuedAt: after(1) }, {}))
  const anew = {
    founding: { ...founding, nonce: new Uint8Array(16).fill(9) },
    version: 1,
    issuedAt: after(hourMs)
  }
  assert.ok(beats(anew, { hosts: null }))
  assert.ok(!beats({ hosts: null }, anew))
})

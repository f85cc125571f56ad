import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ascii, hex, hostKeyOf, lanKeyOf, macOf, unhex } from '#core/derive.ts'
import type { HostId, ViolinId } from '#core/ids.ts'

const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()
const hash = { sha256 }
const violin = 'ab'.repeat(32) as ViolinId

test('hex is read back, and nothing but lower-case hex is read', () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => assert.deepEqual(unhex(hex(bytes)), bytes)))
  fc.assert(
    fc.property(fc.string(), (text) => {
      const bytes = unhex(text)
      assert.equal(bytes === null ? null : hex(bytes), /^([0-9a-f]{2})*$/.test(text) ? text : null)
    })
  )
})

test('names stay what they are: every host of every version derives these', () => {
  const host = '12D3KooWCiGGbW1j3yRcRiony9ahXSamT8voUkBxWSHSkxhnrcnf' as HostId
  assert.equal(hostKeyOf(hash, host), '63ad5fd6b5f6c564')
  assert.equal(lanKeyOf(hash, 'lan0'), 3_804_951_415)
  assert.equal(macOf(hash, violin, 'web', 'eth0'), '02:10:80:03:7e:47')
})

test('a hash whose bytes are a view into a larger buffer gives the same keys', () => {
  const shifted = {
    sha256: (bytes: Uint8Array): Uint8Array => {
      const room = new Uint8Array(40)
      room.set(sha256(bytes), 8)
      return room.subarray(8)
    }
  }
  assert.equal(lanKeyOf(shifted, 'lan0'), lanKeyOf(hash, 'lan0'))
  assert.equal(macOf(shifted, violin, 'a', 'b'), macOf(hash, violin, 'a', 'b'))
})

test('a MAC is unicast, locally administered, and another for each vNIC, entity and VIOLIN', () => {
  const macs = new Set<string>()
  for (const digits of ['ab', 'cd'])
    for (let e = 0; e < 50; e++)
      for (let n = 0; n < 4; n++) macs.add(macOf(hash, digits.repeat(32) as ViolinId, `e${e}`, `eth${n}`))
  assert.equal(macs.size, 400)
  for (const mac of macs) assert.match(mac, /^02(:[0-9a-f]{2}){5}$/)
})

test('the hash is not changed by who is handed its bytes', () => {
  const digest = sha256(ascii('x'))
  macOf({ sha256: () => digest }, violin, 'a', 'b')
  assert.deepEqual(digest, sha256(ascii('x')))
})

import assert from 'node:assert/strict'
import { createCipheriv } from 'node:crypto'
import { after, test } from 'node:test'
import * as fc from 'fast-check'
import { Gcm, tagBytes } from '#syscalls/evp.ts'
import { allocate, free } from '#syscalls/libc.ts'

const memory = allocate(8192)
const { address, bytes } = memory
const key = new Uint8Array(16).fill(9)
const seal = new Gcm(key, 'seal')
const open = new Gcm(key, 'open')
const text = 256

after(() => {
  seal.close()
  open.close()
  free(memory)
})

test('what is sealed is what node:crypto seals, and opens to what it was', () => {
  const nonce = fc.uint8Array({ minLength: 12, maxLength: 12 })
  fc.assert(
    fc.property(
      nonce,
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      fc.uint8Array({ maxLength: 1500 }),
      (iv, aad, plain) => {
        bytes.set(iv, 0)
        bytes.set(aad, 16)
        bytes.set(plain, text)
        seal.seal(address, address + 16, 16, address + text, plain.length)
        const cipher = createCipheriv('aes-128-gcm', key, iv)
        cipher.setAAD(aad)
        const expected = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
        assert.deepEqual(Buffer.from(bytes.subarray(text, text + plain.length + tagBytes)), expected)
        assert.ok(open.open(address, address + 16, 16, address + text, plain.length))
        assert.deepEqual(bytes.slice(text, text + plain.length), plain)
      }
    )
  )
})

test('a single changed bit of nonce, header, text or tag does not open', () => {
  const place = fc.constantFrom(0, 16, text, text + 50)
  fc.assert(
    fc.property(place, fc.nat({ max: 11 }), fc.nat({ max: 7 }), (from, offset, bit) => {
      bytes.fill(1, 0, 12)
      bytes.fill(2, 16, 32)
      bytes.fill(3, text, text + 50)
      seal.seal(address, address + 16, 16, address + text, 50)
      bytes[from + offset] = (bytes[from + offset] as number) ^ (1 << bit)
      assert.equal(open.open(address, address + 16, 16, address + text, 50), false)
    })
  )
})

test('a key of another length is refused', () => {
  assert.throws(() => new Gcm(new Uint8Array(32), 'seal'), RangeError)
})

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  contentBytesOf,
  decodeManifest,
  encodeManifest,
  Extents,
  type ImageEntry,
  imageHashOf,
  pieceBytes
} from '#core/image.ts'
import { encodeCbor, Malformed } from '#core/records/cbor.ts'

const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()
const folder = (path: string): ImageEntry => ({ kind: 'folder', path })
const file = (path: string, bytes: number): ImageEntry => ({ kind: 'file', path, executable: false, bytes })
const link = (path: string, target: string): ImageEntry => ({ kind: 'link', path, target })

const piecesOf = (entries: readonly ImageEntry[]): Uint8Array[] =>
  Array.from({ length: Math.ceil(contentBytesOf(entries) / pieceBytes) }, (_, place) =>
    sha256(Uint8Array.of(place))
  )
const encoded = (entries: readonly ImageEntry[]): Uint8Array =>
  encodeManifest({ entries, pieces: piecesOf(entries) })

test('a manifest is read as it was written, and its hash tells any two apart', () => {
  const entries = [folder('bin'), file('bin/sh', 3 * pieceBytes + 1), link('sbin', 'bin')]
  const bytes = encoded(entries)
  const read = decodeManifest(bytes)
  assert.deepEqual(read.entries, entries)
  assert.equal(read.pieces.length, 4)
  const other = encoded([folder('bin'), file('bin/sh', 3 * pieceBytes + 1), link('sbin', 'usr')])
  assert.notEqual(imageHashOf(bytes, { sha256 }), imageHashOf(other, { sha256 }))
})

test('a tree that leads out of itself, or through a link, is none', () => {
  const bad: readonly (readonly ImageEntry[])[] = [
    [file('../etc/passwd', 1)],
    [file('/etc/passwd', 1)],
    [file('a//b', 1)],
    [file('a/b', 1)],
    [link('a', '/etc'), file('a/passwd', 1)],
    [file('a', 1), file('a', 1)],
    [folder('b'), folder('a')],
    [file('a\n', 1)],
    [link('a', '')],
    [file('', 1)]
  ]
  for (const entries of bad)
    assert.throws(() => decodeManifest(encoded(entries)), Malformed, JSON.stringify(entries))
})

test('a manifest that counts its pieces wrongly, or more than fits, is none', () => {
  const wire = (bytes: number, pieces: number): Uint8Array =>
    encodeCbor([1, [[1, 'a', false, bytes]], new Uint8Array(32 * pieces)])
  assert.doesNotThrow(() => decodeManifest(wire(pieceBytes, 1)))
  assert.throws(() => decodeManifest(wire(pieceBytes, 2)), Malformed)
  assert.throws(() => decodeManifest(wire(pieceBytes + 1, 1)), Malformed)
  assert.throws(() => decodeManifest(wire(2 ** 50, 1)), Malformed)
  assert.throws(() => decodeManifest(encodeCbor([2, [], new Uint8Array(0)])), Malformed)
})

test('whatever bytes come as a manifest, it is read or refused', () => {
  const good = encoded([folder('bin'), file('bin/sh', 10), link('sbin', 'bin')])
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(255), (at, byte) => {
      const bytes = Uint8Array.from(good)
      bytes[at] = byte
      try {
        decodeManifest(bytes)
      } catch (error: unknown) {
        assert.ok(error instanceof Malformed, String(error))
      }
    })
  )
})

test('the pieces cover every byte of every file once, in order', () => {
  const sizes = fc.array(fc.oneof(fc.nat(100), fc.nat(3 * pieceBytes), fc.constant(pieceBytes)), {
    maxLength: 12
  })
  fc.assert(
    fc.property(sizes, (lengths) => {
      const entries = lengths.map((bytes, place) => file(String.fromCharCode(97 + place), bytes))
      const extents = new Extents(entries)
      const reached = new Map<string, number>()
      const count = Math.ceil(contentBytesOf(entries) / pieceBytes)
      for (let piece = 0; piece < count; piece++) {
        const parts = extents.of(piece)
        const bytes = parts.reduce((sum, part) => sum + part.bytes, 0)
        assert.equal(bytes, Math.min(pieceBytes, contentBytesOf(entries) - piece * pieceBytes))
        for (const part of parts) {
          assert.equal(part.at, reached.get(part.path) ?? 0)
          reached.set(part.path, part.at + part.bytes)
        }
      }
      for (const [place, bytes] of lengths.entries())
        if (bytes > 0) assert.equal(reached.get(String.fromCharCode(97 + place)), bytes)
      assert.throws(() => extents.of(count), RangeError)
    })
  )
})

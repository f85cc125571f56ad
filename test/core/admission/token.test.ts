import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import qrcode from 'qrcode-terminal'
import { hostIdOf } from '#core/admission/host-id.ts'
import { tokenPrefix } from '#core/admission/text.ts'
import { mintToken, parseToken as parse, type Token } from '#core/admission/token.ts'
import { ViolinError } from '#core/errors.ts'
import { after, crypto, dayMs, founder, invite, join, signerFor, signerOf, start, witnessOf } from './keys.ts'

const first = founder()
const parseToken = (text: string): Token | ViolinError =>
  parse(text, crypto, (seed) => signerOf(seed).publicKey)
const addresses = [
  `/ip4/192.168.117.204/tcp/4780/p2p/${hostIdOf(first.signer.publicKey)}`,
  `/ip4/203.0.113.77/tcp/4780/p2p/${hostIdOf(signerFor('elsewhere').publicKey)}`,
  '/dns4/violin.example.org/tcp/4780'
]

test('a token parses to what was minted', () => {
  const { text, token } = invite(first, 'token', { addresses, slots: 20, role: 'admin' })
  const parsed = parseToken(text)
  assert.ok(!(parsed instanceof ViolinError))
  assert.deepEqual(parsed.addresses, addresses)
  assert.deepEqual(Buffer.from(parsed.seed), Buffer.from(token.seed))
  assert.equal(parsed.root, token.root)
  assert.equal(parsed.invite.role, 'admin')
  assert.equal(parsed.invite.issuer, first.signer.publicKey)
  assert.equal(parsed.invite.slots, 20)
  assert.equal(parsed.invite.redeemBy, after(dayMs))
})

test('a token fits a QR code on a terminal of 80 columns, however far its inviter is from the root', () => {
  const near = join(invite(first, 'near token', { role: 'admin' }).token, 'near', witnessOf(first))
  const far = join(invite(near, 'far token', { role: 'admin' }).token, 'far', witnessOf(near))
  for (const inviter of [first, far]) {
    const own = `/p2p/${hostIdOf(inviter.signer.publicKey)}`
    const places = ['192.168.117.204', '203.0.113.177', '203.0.113.178']
    const most = places.map((place, at) => `/ip4/${place}/tcp/47800${at < 2 ? own : ''}`)
    const bound = { for: hostIdOf(inviter.signer.publicKey) }
    const closed = { network: new Uint8Array(32).fill(7) }
    for (const wish of [bound, closed]) {
      const { text } = invite(inviter, 'token', { addresses: most, slots: 9_999, ...wish })
      let lines: readonly string[] = []
      qrcode.generate(text, { small: true }, (picture) => (lines = picture.split('\n')))
      assert.ok(lines.length >= 24 && lines.length <= 40, `${text.length} characters, ${lines.length} lines`)
      assert.ok(lines.every((line) => line.length <= 80))
    }
  }
})

test('a token wrapped by a mail still parses', () => {
  const { text } = invite(first, 'token', { addresses })
  const wrapped = `\n  ${text.match(/.{1,70}/g)?.join('\r\n') ?? ''}\n`
  assert.ok(!(parseToken(wrapped) instanceof ViolinError))
})

test('a token cut at any place is called cut short', () => {
  const { text } = invite(first, 'token')
  for (let length = 0; length < text.length; length++) {
    const parsed = parseToken(text.slice(0, length))
    assert.ok(parsed instanceof ViolinError)
    assert.equal(parsed.code, 'token-malformed')
    assert.match(parsed.message, /cut short/, `at ${length} of ${text.length}`)
  }
})

test('a token with one bit of one character flipped is refused, wherever it is', () => {
  const { text } = invite(first, 'token', { addresses: addresses.slice(0, 1) })
  for (let at = 0; at < text.length; at++) {
    for (let bit = 0; bit < 7; bit++) {
      const altered = String.fromCharCode(text.charCodeAt(at) ^ (1 << bit))
      const parsed = parseToken(text.slice(0, at) + altered + text.slice(at + 1))
      assert.ok(parsed instanceof ViolinError, `character ${at}, bit ${bit}`)
      assert.equal(parsed.code, 'token-malformed')
    }
  }
})

test('no text makes the parser throw', () => {
  fc.assert(
    fc.property(fc.string(), fc.base64String(), (a, b) => {
      assert.ok(parseToken(a) instanceof ViolinError)
      assert.ok(parseToken(tokenPrefix + b) instanceof ViolinError)
    })
  )
})

test('a plain member cannot mint, nor can anyone beyond the bounds', () => {
  const { token } = invite(first, 'token')
  const member = join(token, 'member', witnessOf(first))
  const key = signerFor('another token')
  const wish = { role: 'member', redeemBy: after(dayMs), slots: 1, addresses: [] } as const
  const mint = (host: typeof member, change: object): unknown =>
    mintToken(host.chain, host.signer, key, { ...wish, ...change }, start, crypto)
  assert.throws(() => mint(member, {}), /plain member/)
  assert.throws(() => mint(first, { slots: 0 }), ViolinError)
  assert.throws(() => mint(first, { slots: 1.5 }), ViolinError)
  assert.throws(() => mint(first, { redeemBy: start }), ViolinError)
  assert.throws(() => mint(first, { redeemBy: after(31 * dayMs) }), ViolinError)
  assert.throws(() => mint(first, { for: '12D3KooWnobody' }), ViolinError)
  assert.ok(mint(first, {}))
})

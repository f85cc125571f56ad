import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  type Chain,
  foundChain,
  isAncestor,
  isRefusal,
  maxPathLinks,
  ownerChain,
  renewChain,
  slotOf,
  verifyChain
} from '#core/admission/chain.ts'
import { hostIdOf, isHostId, publicKeyOf } from '#core/admission/host-id.ts'
import { type Link, linksToWire } from '#core/admission/link.ts'
import { rememberVerified } from '#core/admission/verified.ts'
import { ViolinError } from '#core/errors.ts'
import { encodeCbor } from '#core/records/cbor.ts'
import {
  type TestHost,
  after,
  crypto,
  dayMs,
  founder,
  hourMs,
  invite,
  join,
  root,
  signerFor,
  witnessOf,
  yearMs
} from './keys.ts'

const first = founder()
const admin = join(invite(first, 'admin token', { role: 'admin' }).token, 'admin', witnessOf(first))
const member = join(invite(admin, 'member token', { slots: 5 }).token, 'member', witnessOf(admin))

function good(chain: Uint8Array | readonly Link[]): Chain {
  const verified = verifyChain(chain, root.publicKey, crypto)
  assert.ok(!isRefusal(verified), isRefusal(verified) ? verified.refused : '')
  return verified
}

function refused(chain: Uint8Array | readonly Link[]): string {
  const verified = verifyChain(chain, root.publicKey, crypto)
  assert.ok(isRefusal(verified))
  return verified.refused
}

test('a peer id is the one that libp2p makes, and converts back', async () => {
  const { generateKeyPairFromSeed } = await import('@libp2p/crypto/keys')
  const { peerIdFromPrivateKey } = await import('@libp2p/peer-id')
  for (const label of ['a', 'b', 'c']) {
    const { publicKey, seed } = signerFor(label)
    const peer = peerIdFromPrivateKey(await generateKeyPairFromSeed('Ed25519', seed)).toString()
    assert.equal(hostIdOf(publicKey), peer)
    assert.equal(publicKeyOf(peer), publicKey)
  }
})

test('no other text is a peer id', () => {
  const id = hostIdOf(signerFor('a').publicKey)
  for (const text of [
    '',
    '1',
    id.slice(1),
    `1${id}`,
    `${id}1`,
    id.replace('K', '0'),
    'Q'.repeat(46),
    'z'.repeat(52)
  ]) {
    assert.equal(isHostId(text), false, text)
  }
  fc.assert(fc.property(fc.string({ maxLength: 60 }), (text) => !isHostId(text)))
})

test('chains of hosts, tokens and owner keys verify from their bytes alone', () => {
  const chain = good(member.chain.bytes)
  assert.equal(chain.kind, 'host')
  assert.equal(chain.role, 'member')
  assert.equal(chain.host, hostIdOf(member.signer.publicKey))
  assert.deepEqual(
    chain.path.map((link) => link.kind),
    ['founding', 'token', 'joined', 'token', 'joined']
  )
  assert.ok(chain.bytes.length < 800, `${chain.bytes.length} bytes`)
  const owner = good(member.ownerChain.bytes)
  assert.equal(owner.kind, 'owner')
  assert.equal(owner.host, chain.host)
  assert.equal(good(admin.chain.bytes).role, 'admin')
})

test('a membership ends with the shortest of its links', () => {
  const short = foundChain(root, first.signer.publicKey, after(hourMs), crypto)
  assert.equal(short.endsAt, after(hourMs))
  assert.equal(
    ownerChain(short, first.signer, signerFor('o').publicKey, after(yearMs), crypto).endsAt,
    after(hourMs)
  )
  assert.equal(
    ownerChain(first.chain, first.signer, signerFor('o').publicKey, after(5000), crypto).endsAt,
    after(5000)
  )
})

test('a witness outside the path brings its own links, and only those that are needed', () => {
  const { token } = invite(first, 'late token', { slots: 3 })
  const late = join(token, 'late', witnessOf(member))
  assert.equal(late.chain.path.length, 3)
  assert.equal(late.chain.links.length, 7)
  good(late.chain.bytes)
  const renewed = renewChain(
    first.chain,
    first.signer,
    late.chain,
    { role: 'member', notAfter: after(yearMs) },
    crypto
  )
  assert.equal(renewed.links.length, 2)
  assert.deepEqual(slotOf(renewed), slotOf(late.chain))
  assert.equal(slotOf(renewed)?.token, token.invite.subject)
})

test('an ancestor is the root or a host above, never a token, a host beside or the key itself', () => {
  assert.ok(isAncestor(member.chain, root.publicKey))
  assert.ok(isAncestor(member.chain, first.signer.publicKey))
  assert.ok(isAncestor(member.chain, admin.signer.publicKey))
  assert.ok(!isAncestor(member.chain, member.signer.publicKey))
  assert.ok(!isAncestor(member.chain, member.chain.path[1]?.subject ?? root.publicKey))
  assert.ok(!isAncestor(admin.chain, member.signer.publicKey))
  assert.ok(isAncestor(member.ownerChain, member.signer.publicKey))
})

test('one flipped bit anywhere in a chain is refused', () => {
  const { bytes } = member.ownerChain
  for (let at = 0; at < bytes.length; at++) {
    const altered = Uint8Array.from(bytes)
    altered[at] = (altered[at] as number) ^ (1 << (at % 8))
    refused(altered)
  }
})

test('a chain of another mesh is refused', () => {
  const other = signerFor('other root')
  refused(foundChain(other, first.signer.publicKey, after(yearMs), crypto).bytes)
})

test('hostile bytes are refused, never thrown', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) =>
      isRefusal(verifyChain(bytes, root.publicKey, crypto))
    )
  )
  refused(new Uint8Array(5000).fill(0x81))
  refused(new Uint8Array(10_000))
})

test('links that nothing needs, doubles, missing and reordered ones are refused', () => {
  const { links } = member.chain
  assert.match(
    refused([...links.slice(0, -1), ...first.ownerChain.links.slice(-1), ...links.slice(-1)]),
    /nothing needs/
  )
  refused([])
  refused(links.slice(1))
  refused([...links, ...links.slice(-1)])
  refused([...links.slice(0, 2).toReversed(), ...links.slice(2)])
  assert.throws(() => linksToWire(links.slice(1)), RangeError)
  refused(encodeCbor(linksToWire(links).toReversed()))
})

test('a member cannot invite, renew or sit in a slot that is not there, even with its own signatures', () => {
  const forged = (change: (links: Link[]) => void): string => {
    const links = structuredClone(member.chain.links) as Link[]
    change(links)
    return refused(links)
  }
  assert.match(
    forged((links) => {
      links[4] = { ...(links[4] as Extract<Link, { kind: 'joined' }>), slot: 5 }
    }),
    /slot 5 of 5/
  )
  const wish = { role: 'admin', notAfter: after(yearMs) } as const
  assert.throws(() => renewChain(member.chain, member.signer, admin.chain, wish, crypto), ViolinError)
  assert.throws(() => renewChain(member.chain, member.signer, first.chain, wish, crypto), /no admin's/)
})

test('a chain grows to its longest and not further', () => {
  let host: TestHost = first
  let generations = 0
  for (;;) {
    const from = host
    try {
      const { token } = invite(from, `generation ${generations}`, { role: 'admin' })
      host = join(token, `host ${generations}`, witnessOf(from))
      generations++
    } catch (error: unknown) {
      assert.ok(error instanceof ViolinError, String(error))
      assert.match(error.message, /too long/)
      break
    }
  }
  assert.equal(generations, 3)
  assert.equal(host.ownerChain.path.length, maxPathLinks)
  assert.ok(host.ownerChain.bytes.length < 1400)
  const wish = { role: 'admin', notAfter: after(yearMs) } as const
  const renewed = renewChain(first.chain, first.signer, host.chain, wish, crypto)
  assert.equal(renewed.path.length, 2)
})

test('verified links are remembered, within a bound, and forgeries are not', () => {
  let verifications = 0
  const counting = {
    ...crypto,
    verify: (...args: Parameters<typeof crypto.verify>) => {
      verifications++
      return crypto.verify(...args)
    }
  }
  const remembering = rememberVerified(counting)
  verifyChain(member.chain.bytes, root.publicKey, remembering)
  assert.equal(verifications, 7)
  verifyChain(member.ownerChain.bytes, root.publicKey, remembering)
  assert.equal(verifications, 8)
  const forged = Uint8Array.from(member.ownerChain.bytes)
  forged[forged.length - 1] = (forged.at(-1) as number) ^ 1
  for (let i = 0; i < 2; i++) assert.ok(isRefusal(verifyChain(forged, root.publicKey, remembering)))
  assert.equal(verifications, 10)
  const small = rememberVerified(counting, 2)
  for (let i = 0; i < 2; i++) verifyChain(member.chain.bytes, root.publicKey, small)
  assert.equal(verifications, 24)
})

test('a membership given for days is one of days', () => {
  assert.equal(foundChain(root, first.signer.publicKey, after(3 * dayMs), crypto).endsAt, after(3 * dayMs))
})

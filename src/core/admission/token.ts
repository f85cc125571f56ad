/**
 * An invite as text: the mesh's root key, the chain down to the token's key, that key's private seed, and
 * addresses of members. Whoever has the text can take a slot, until the invite ends.
 */
import { ViolinError } from '../errors.ts'
import type { Crypto, HostId, PublicKey, Signer, WallTime } from '../ids.ts'
import {
  Malformed,
  decodeCbor,
  encodeCbor,
  readBytes,
  readInteger,
  readList,
  readText
} from '../records/cbor.ts'
import { type Chain, isRefusal, maxChainBytes, membershipMs, tokenChain, verifyChain } from './chain.ts'
import { hostIdOf, keyBytes, publicKeyOf } from './host-id.ts'
import {
  type Role,
  type TokenLink,
  linksFromWire,
  linksToWire,
  maxChainLinks,
  maxSlots,
  readKey,
  wholeSeconds
} from './link.ts'
import { armour, unarmour } from './text.ts'

/** Most addresses in a token: each costs some 30 characters. */
export const maxTokenAddresses = 8
/** Longest life of an invite, ms: not above that of a host record, which shows that a slot is used. */
export const maxInviteMs: number = 30 * 24 * 3600 * 1000
const maxAddress = 256
const maxTokenBytes = maxChainBytes + 4096
const format = 1

/** An invite that was parsed and whose chain was verified. */
export interface Token {
  readonly root: PublicKey
  /** Ends with {@link invite}. */
  readonly chain: Chain
  readonly invite: TokenLink
  /** Private half of the token's key, 32 bytes. */
  readonly seed: Uint8Array
  /** Multiaddrs of members, `/p2p/…` included where it was given. */
  readonly addresses: readonly string[]
}

/** What an admin wants of an invite. */
export interface InviteWish {
  readonly role: Role
  readonly redeemBy: WallTime
  readonly slots: number
  /** Only this host may take it. */
  readonly for?: HostId
  readonly addresses: readonly string[]
}

/**
 * Makes an invite. `key` is a fresh Ed25519 pair, `inviter` and `signer` the admin's host. Throws ViolinError
 * where the admin's chain allows no invite, or the wish is out of bounds.
 */
export function mintToken(
  inviter: Chain,
  signer: Signer,
  key: { readonly seed: Uint8Array; readonly publicKey: PublicKey },
  wish: InviteWish,
  now: WallTime,
  crypto: Crypto
): { readonly text: string; readonly token: Token } {
  checkWish(inviter, wish, now)
  const bound = wish.for === undefined ? null : publicKeyOf(wish.for)
  const link = {
    kind: 'token',
    issuer: inviter.subject,
    subject: key.publicKey,
    role: wish.role,
    notAfter: wholeSeconds(now + membershipMs + maxInviteMs),
    redeemBy: wholeSeconds(wish.redeemBy),
    slots: wish.slots,
    for: bound
  } as const
  const chain = tokenChain(inviter, signer, link, crypto)
  const addresses = wish.addresses.slice(0, maxTokenAddresses)
  const token = { root: chain.root, chain, invite: chain.path.at(-1) as TokenLink, seed: key.seed, addresses }
  return { text: tokenText(token), token }
}

function checkWish(inviter: Chain, wish: InviteWish, now: WallTime): void {
  const ask = (why: string, remedy: string): ViolinError => new ViolinError('refused', why, remedy)
  if (inviter.kind !== 'host' || inviter.role !== 'admin') {
    throw ask('this host may not invite: it is a plain member', 'ask an admin of the mesh to invite')
  }
  if (wish.redeemBy <= now || wish.redeemBy > now + maxInviteMs) {
    throw ask('an invite lasts more than nothing and at most 30 days', 'choose another --expires')
  }
  if (!Number.isInteger(wish.slots) || wish.slots < 1 || wish.slots > maxSlots) {
    throw ask(`an invite has 1 to ${maxSlots} uses`, 'choose another --uses')
  }
  if (wish.for !== undefined && publicKeyOf(wish.for) === null) {
    throw ask(
      `${wish.for} is no peer id`,
      "give the joiner's id as its `violin doctor` or `violin hosts` shows it"
    )
  }
}

/** The text of a token. */
export function tokenText(token: Token): string {
  return armour(
    encodeCbor([
      format,
      keyBytes(token.root),
      linksToWire(token.chain.links),
      token.seed,
      token.addresses.map((address) => addressToWire(address, token.chain))
    ])
  )
}

/** Reads a token and verifies its chain; says what befell a text that is none. Whether it ended is not asked. */
export function parseToken(text: string, crypto: Crypto): Token | ViolinError {
  const payload = unarmour(text)
  if (payload === 'foreign') return malformed('this is no invite: it does not begin with violin1-')
  if (payload === 'cut-short') return malformed('the invite was cut short: its end is missing')
  if (payload === 'altered') return malformed('the invite was altered: its checksum does not match')
  try {
    return tokenFrom(payload, crypto)
  } catch (error: unknown) {
    if (error instanceof Malformed) return malformed(`the invite is not valid: ${error.message}`)
    throw error
  }
}

function malformed(why: string): ViolinError {
  return new ViolinError('token-malformed', why, 'copy the whole text that `violin invite` printed')
}

function tokenFrom(payload: Uint8Array, crypto: Crypto): Token {
  const wire = readList(decodeCbor(payload, maxTokenBytes), 'token', 5, 5)
  readInteger(wire[0], 'format', format, format)
  const root = readKey(wire[1], 'root')
  const chain = verifyChain(linksFromWire(wire[2]), root, crypto)
  if (isRefusal(chain)) throw new Malformed(chain.refused)
  const invite = chain.path.at(-1)
  if (invite?.kind !== 'token') throw new Malformed('the chain does not end with an invite')
  const seed = readBytes(wire[3], 'seed', 32, 32)
  const addresses = readList(wire[4], 'addresses', 0, maxTokenAddresses).map((one) =>
    addressFromWire(one, chain)
  )
  return { root, chain, invite, seed, addresses }
}

const peerPart = '/p2p/'

/** `[text before /p2p/, place of the key in the chain or the key]`: a peer id costs 2 bytes in place of 57. */
function addressToWire(address: string, chain: Chain): unknown {
  const cut = address.lastIndexOf(peerPart)
  const key = cut < 0 ? null : publicKeyOf(address.slice(cut + peerPart.length))
  if (key === null) return address
  const place = chain.links.findIndex((link) => link.subject === key)
  return [address.slice(0, cut), place < 0 ? keyBytes(key) : place]
}

function addressFromWire(value: unknown, chain: Chain): string {
  if (!Array.isArray(value)) return readMultiaddr(value)
  const [text, peer] = readList(value, 'address', 2, 2)
  const place = typeof peer === 'number' ? readInteger(peer, 'place', 0, maxChainLinks) : -1
  const key = place < 0 ? readKey(peer, 'peer') : chain.links[place]?.subject
  if (key === undefined) throw new Malformed('an address names a key that is not in the chain')
  return readMultiaddr(text) + peerPart + hostIdOf(key)
}

function readMultiaddr(value: unknown): string {
  const text = readText(value, 'address', maxAddress)
  if (!/^\/[\x21-\x7e]+$/.test(text)) throw new Malformed('an address is no multiaddr')
  return text
}

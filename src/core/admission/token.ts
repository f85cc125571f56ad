/**
 * An invite as text: the mesh's root key, the link that the inviter signed, the private seed of the token's
 * key, and addresses of members. Whoever has the text can take a slot, until the invite ends. The inviter's
 * chain is left out, for members know it: so it fits a QR code however far the inviter is from the root.
 */
import { ascii, hex } from '../derive.ts'
import { ViolinError } from '../errors.ts'
import type { Crypto, HostId, PublicKey, Signer, WallTime } from '../ids.ts'
import {
  Malformed,
  decodeCbor,
  concat,
  encodeCbor,
  readBytes,
  readInteger,
  readList,
  readText,
  sameBytes
} from '../records/cbor.ts'
import { type Chain, isSignedInvite, membershipMs, tokenChain } from './chain.ts'
import { hostIdOf, keyBytes, publicKeyOf } from './host-id.ts'
import {
  type Role,
  type TokenLink,
  maxSlots,
  readKey,
  tokenLinkFromWire,
  tokenLinkToWire,
  wholeSeconds
} from './link.ts'
import { armour, unarmour } from './text.ts'

/** Most addresses in a token: each costs some 30 characters, and the QR code shall fit a terminal. */
export const maxTokenAddresses = 3
/** Longest life of an invite, ms: not above that of a host record, which shows that a slot is used. */
export const maxInviteMs: number = 30 * 24 * 3600 * 1000
const maxAddress = 256
const maxTokenBytes = 2048
const format = 1

/** An invite that was parsed and whose link is the inviter's. */
export interface Token {
  readonly root: PublicKey
  readonly invite: TokenLink
  /** Private half of the token's key, 32 bytes. */
  readonly seed: Uint8Array
  /** Multiaddrs of members, `/p2p/…` included where it was given. */
  readonly addresses: readonly string[]
  /** Of a closed network: its key, or the key's fingerprint where the joiner has the key otherwise; else null. */
  readonly network: Uint8Array | null
}

/** Bytes of a network's key, and of what tells keys apart. */
export const networkKeyBytes = 32
const fingerprintBytes = 8

/** Tells network keys apart without showing them. */
export function networkFingerprint(key: Uint8Array, crypto: Pick<Crypto, 'sha256'>): Uint8Array {
  return crypto.sha256(concat(ascii('violin network key 1\0'), key)).slice(0, fingerprintBytes)
}

/**
 * The network key by which a joiner dials: the invite's own, or the one that it was given, which must be the
 * one that the invite names; null: the network is open. A wrong one would end in silence, so it is told here.
 */
export function networkKeyFor(
  token: Token,
  given: Uint8Array | null,
  crypto: Pick<Crypto, 'sha256'>
): Uint8Array | null | ViolinError {
  const { network } = token
  const refuse = (why: string, remedy: string): ViolinError => new ViolinError('refused', why, remedy)
  if (network === null)
    return given === null
      ? null
      : refuse('the mesh of the invite has no network key', 'leave --network-key out')
  if (given === null)
    return network.length === networkKeyBytes
      ? network
      : refuse(
          `the mesh has a network key (${hex(network)}), and the invite does not carry it`,
          'ask who invited for the key, and give it with --network-key FILE'
        )
  const own = networkFingerprint(given, crypto)
  const wanted = network.length === networkKeyBytes ? networkFingerprint(network, crypto) : network
  return sameBytes(own, wanted)
    ? given
    : refuse(
        `the network key given (${hex(own)}) is not the mesh's (${hex(wanted)})`,
        'ask who invited for the right key'
      )
}

/** What an admin wants of an invite. */
export interface InviteWish {
  readonly role: Role
  readonly redeemBy: WallTime
  readonly slots: number
  /** Only this host may take it. */
  readonly for?: HostId
  readonly addresses: readonly string[]
  /** As in {@link Token}; default: an open network. */
  readonly network?: Uint8Array | null
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
  const invite = chain.path.at(-1) as TokenLink
  const token = { root: chain.root, invite, seed: key.seed, addresses, network: wish.network ?? null }
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
      'give the id that `violin join --id` prints on the host that shall join'
    )
  }
}

/** The text of a token. */
export function tokenText(token: Token): string {
  return armour(
    encodeCbor([
      format,
      keyBytes(token.root),
      tokenLinkToWire(token.invite, true),
      token.seed,
      token.addresses.map((address) => addressToWire(address, token.invite.issuer)),
      token.network
    ])
  )
}

/**
 * Reads a token and verifies its link; says what befell a text that is none. Whether it ended is
 * not asked. `keyOf` gives the public half of a seed.
 */
export function parseToken(
  text: string,
  crypto: Crypto,
  keyOf: (seed: Uint8Array) => PublicKey
): Token | ViolinError {
  const payload = unarmour(text)
  if (payload === 'foreign') return malformed('this is no invite: it does not begin with violin1-')
  if (payload === 'cut-short') return malformed('the invite was cut short: its end is missing')
  if (payload === 'altered') return malformed('the invite was altered: its checksum does not match')
  try {
    return tokenFrom(payload, crypto, keyOf)
  } catch (error: unknown) {
    if (error instanceof Malformed) return malformed(`the invite is not valid: ${error.message}`)
    throw error
  }
}

function malformed(why: string): ViolinError {
  return new ViolinError('token-malformed', why, 'copy the whole text that `violin invite` printed')
}

function tokenFrom(payload: Uint8Array, crypto: Crypto, keyOf: (seed: Uint8Array) => PublicKey): Token {
  const wire = readList(decodeCbor(payload, maxTokenBytes), 'token', 6, 6)
  readInteger(wire[0], 'format', format, format)
  const root = readKey(wire[1], 'root')
  const seed = readBytes(wire[3], 'seed', 32, 32)
  const invite = tokenLinkFromWire(wire[2], keyOf(seed))
  if (!isSignedInvite(root, invite, crypto)) throw new Malformed("the inviter's signature does not verify")
  const addresses = readList(wire[4], 'addresses', 0, maxTokenAddresses).map((one) =>
    addressFromWire(one, invite.issuer)
  )
  return { root, invite, seed, addresses, network: networkFrom(wire[5]) }
}

function networkFrom(value: unknown): Uint8Array | null {
  if (value === null) return null
  const bytes = readBytes(value, 'network key', fingerprintBytes, networkKeyBytes)
  if (bytes.length === fingerprintBytes || bytes.length === networkKeyBytes) return bytes
  throw new Malformed('a network key of another length')
}

const peerPart = '/p2p/'

/** `[text before /p2p/]` where the peer is the inviter: its id costs 1 byte in place of 57. */
function addressToWire(address: string, inviter: PublicKey): unknown {
  const own = peerPart + hostIdOf(inviter)
  return address.endsWith(own) ? [address.slice(0, -own.length)] : address
}

function addressFromWire(value: unknown, inviter: PublicKey): string {
  if (!Array.isArray(value)) return readMultiaddr(value)
  return readMultiaddr(readList(value, 'address', 1, 1)[0]) + peerPart + hostIdOf(inviter)
}

function readMultiaddr(value: unknown): string {
  const text = readText(value, 'address', maxAddress)
  if (!/^\/[\x21-\x7e]+$/.test(text)) throw new Malformed('an address is no multiaddr')
  return text
}

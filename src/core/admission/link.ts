/**
 * One link of a chain of trust, its wire form, and the bytes that are signed for it. A list of links is in
 * order: what a link hangs on stands before it, and is named by its place there.
 */
import { ascii } from '../derive.ts'
import type { PublicKey, WallTime } from '../ids.ts'
import { Malformed, concat, encodeCbor, readBytes, readInteger, readList } from '../records/cbor.ts'
import { keyBytes, keyOf } from './host-id.ts'

export type Role = 'member' | 'admin'

/** The root lets in the founding host, an admin. */
export interface FoundingLink {
  readonly kind: 'founding'
  readonly subject: PublicKey
  /** End of the membership, whole seconds. */
  readonly notAfter: WallTime
  readonly signature: Uint8Array
}

/** An admin makes an invite: a key whose private half travels in the token. */
export interface TokenLink {
  readonly kind: 'token'
  /** The admin's host key. */
  readonly issuer: PublicKey
  readonly subject: PublicKey
  /** What those let in become. */
  readonly role: Role
  /** End of the memberships that it gives. */
  readonly notAfter: WallTime
  /** End of the invite itself, by the clock of the member that redeems it. */
  readonly redeemBy: WallTime
  /** It lets in at most so many hosts, one for each slot 0..slots-1. */
  readonly slots: number
  /** Only this host key may take it. */
  readonly for: PublicKey | null
  readonly signature: Uint8Array
}

/** A host let in by a token. */
export interface JoinedLink {
  readonly kind: 'joined'
  /** The token's key. */
  readonly issuer: PublicKey
  readonly subject: PublicKey
  readonly slot: number
  readonly notAfter: WallTime
  /** By the token's key, of the slot and the subject: made by the joiner. */
  readonly proof: Uint8Array
  /** The member that saw the slot free and the invite alive. */
  readonly witness: PublicKey
  /** By the witness. */
  readonly signature: Uint8Array
}

/** An admin prolongs a membership: a new, shorter chain. */
export interface RenewedLink {
  readonly kind: 'renewed'
  readonly issuer: PublicKey
  readonly subject: PublicKey
  readonly role: Role
  readonly notAfter: WallTime
  /** The slot through which the host came, so that it stays used. */
  readonly origin: { readonly token: PublicKey; readonly slot: number } | null
  readonly signature: Uint8Array
}

/** A host vouches for the owner key that signs VIOLINs on it. */
export interface OwnerLink {
  readonly kind: 'owner'
  /** The host's key. */
  readonly issuer: PublicKey
  readonly subject: PublicKey
  readonly notAfter: WallTime
  readonly signature: Uint8Array
}

export type HostLink = FoundingLink | JoinedLink | RenewedLink
export type Link = HostLink | TokenLink | OwnerLink
/** A link before it is signed. */
export type Unsigned<L extends Link> = Omit<L, 'signature'>

/** Most slots of one invite: what a member can keep in view for it. */
export const maxSlots = 10_000
/** Most links that travel together, those of witnesses included. */
export const maxChainLinks = 24

const kinds = ['founding', 'token', 'joined', 'renewed', 'owner'] as const
const roles: readonly Role[] = ['member', 'admin']
const maxSeconds = 0xffff_ffff

/** The signed bytes of a link; the mesh root in them ties it to one mesh. */
export function linkBytes(root: PublicKey, link: Unsigned<Link>): Uint8Array {
  const rootBytes = keyBytes(root)
  const kind = kinds.indexOf(link.kind)
  return concat(ascii('violin link 1\0'), encodeCbor([rootBytes, kind, ...signedFields(link)]))
}

function signedFields(unsigned: Unsigned<Link>): readonly unknown[] {
  const link = unsigned as Link
  const subject = keyBytes(link.subject)
  const notAfter = seconds(link.notAfter)
  switch (link.kind) {
    case 'founding':
      return [subject, notAfter]
    case 'owner':
      return [keyBytes(link.issuer), subject, notAfter]
    case 'token': {
      const bound = link.for === null ? null : keyBytes(link.for)
      const role = roles.indexOf(link.role)
      return [keyBytes(link.issuer), subject, role, notAfter, seconds(link.redeemBy), link.slots, bound]
    }
    case 'joined':
      return [keyBytes(link.issuer), subject, link.slot, notAfter, link.proof, keyBytes(link.witness)]
    case 'renewed':
      return [keyBytes(link.issuer), subject, roles.indexOf(link.role), notAfter, ...originFields(link)]
  }
}

function originFields(link: RenewedLink): readonly unknown[] {
  return link.origin === null ? [null, 0] : [keyBytes(link.origin.token), link.origin.slot]
}

/** What a joiner signs with the token's key: that this host takes this slot. */
export function slotProofBytes(
  root: PublicKey,
  token: PublicKey,
  slot: number,
  subject: PublicKey
): Uint8Array {
  const fields = [keyBytes(root), keyBytes(token), slot, keyBytes(subject)]
  return concat(ascii('violin slot 1\0'), encodeCbor(fields))
}

/** What an owner key signs of a host on which it lies. */
export function ownerProofBytes(root: PublicKey, host: PublicKey): Uint8Array {
  return concat(ascii('violin owner here 1\0'), keyBytes(root), keyBytes(host))
}

/** Times in links are whole seconds. */
export function wholeSeconds(time: number): WallTime {
  return (Math.floor(time / 1000) * 1000) as WallTime
}

function seconds(time: WallTime): number {
  return Math.floor(time / 1000)
}

/** Wire form (plain data for CBOR) of links in order. Throws RangeError when one hangs on nothing before it. */
export function linksToWire(links: readonly Link[]): readonly unknown[] {
  const places = new Map<PublicKey, number>()
  const placeOf = (key: PublicKey): number => {
    const place = places.get(key)
    if (place === undefined) throw new RangeError(`a link hangs on ${key}, which is not before it`)
    return place
  }
  return links.map((link, place) => {
    const wire = [kinds.indexOf(link.kind), ...wireFields(link, placeOf)]
    places.set(link.subject, place)
    return wire
  })
}

function wireFields(link: Link, placeOf: (key: PublicKey) => number): readonly unknown[] {
  const fields = [...signedFields(link)]
  if (link.kind !== 'founding') fields[0] = placeOf(link.issuer)
  if (link.kind === 'joined') fields[fields.length - 1] = placeOf(link.witness)
  return [...fields, link.signature]
}

/**
 * A token's link as it travels alone: with its issuer's key, for no chain is around it, and without its own
 * key where `bare`, since who has the private half knows that.
 */
export function tokenLinkToWire(link: TokenLink, bare = false): readonly unknown[] {
  const [issuer, subject, ...fields] = signedFields(link)
  return [issuer, bare ? null : subject, ...fields, link.signature]
}

/**
 * The reverse of {@link tokenLinkToWire}: shapes and bounds only, no signature; `subject`: of a bare one.
 * Throws {@link Malformed}.
 */
export function tokenLinkFromWire(value: unknown, subject?: PublicKey): TokenLink {
  const wire = readList(value, 'invite', 8, 8)
  if (subject !== undefined && wire[1] !== null) throw new Malformed('an invite that names its key twice')
  return {
    kind: 'token',
    issuer: readKey(wire[0], 'issuer'),
    subject: subject ?? readKey(wire[1], 'subject'),
    ...tokenFields(['token', ...wire]),
    signature: readBytes(wire[7], 'signature', 64, 64)
  }
}

/** The reverse of {@link linksToWire}: shapes and bounds only, no signature. Throws {@link Malformed}. */
export function linksFromWire(value: unknown): readonly Link[] {
  const links: Link[] = []
  for (const item of readList(value, 'chain', 1, maxChainLinks)) {
    const link = linkFromWire(item, links)
    if (links.some((other) => other.subject === link.subject))
      throw new Malformed('a key stands twice in a chain')
    links.push(link)
  }
  return links
}

/** How many fields a link of each kind has on the wire, its kind included. */
const wireLengths = { founding: 4, token: 9, joined: 8, renewed: 8, owner: 5 } as const

function linkFromWire(value: unknown, before: readonly Link[]): Link {
  const wire = readList(value, 'link', 4, 9)
  const kind = kinds[readInteger(wire[0], 'kind of link', 0, kinds.length - 1)] as Link['kind']
  if (wire.length !== wireLengths[kind]) throw new Malformed(`a ${kind} link has ${wire.length} fields`)
  const signature = readBytes(wire.at(-1), 'signature', 64, 64)
  if (kind === 'founding') {
    return { kind, subject: readKey(wire[1], 'subject'), notAfter: readSeconds(wire[2]), signature }
  }
  const earlier = (place: unknown): PublicKey => {
    const link = before[readInteger(place, 'place of a link', 0, maxChainLinks)]
    if (link === undefined) throw new Malformed('a link hangs on one that is not before it')
    return link.subject
  }
  const common = { issuer: earlier(wire[1]), subject: readKey(wire[2], 'subject'), signature }
  switch (kind) {
    case 'owner':
      return { kind, ...common, notAfter: readSeconds(wire[3]) }
    case 'token':
      return { kind, ...common, ...tokenFields(wire) }
    case 'joined':
      return {
        kind,
        ...common,
        slot: readInteger(wire[3], 'slot', 0, maxSlots - 1),
        notAfter: readSeconds(wire[4]),
        proof: readBytes(wire[5], 'proof', 64, 64),
        witness: earlier(wire[6])
      }
    case 'renewed':
      return {
        kind,
        ...common,
        role: readRole(wire[3]),
        notAfter: readSeconds(wire[4]),
        origin: originOf(wire)
      }
  }
}

function tokenFields(wire: readonly unknown[]): Omit<TokenLink, 'kind' | 'issuer' | 'subject' | 'signature'> {
  return {
    role: readRole(wire[3]),
    notAfter: readSeconds(wire[4]),
    redeemBy: readSeconds(wire[5]),
    slots: readInteger(wire[6], 'slots', 1, maxSlots),
    for: wire[7] === null ? null : readKey(wire[7], 'for')
  }
}

function originOf(wire: readonly unknown[]): RenewedLink['origin'] {
  const slot = readInteger(wire[6], 'slot', 0, wire[5] === null ? 0 : maxSlots - 1)
  return wire[5] === null ? null : { token: readKey(wire[5], 'token'), slot }
}

function readRole(value: unknown): Role {
  return roles[readInteger(value, 'role', 0, 1)] as Role
}

function readSeconds(value: unknown): WallTime {
  return (readInteger(value, 'end of a link', 0, maxSeconds) * 1000) as WallTime
}

/** A key as 32 bytes. Throws {@link Malformed}. */
export function readKey(value: unknown, what: string): PublicKey {
  return keyOf(readBytes(value, what, 32, 32))
}

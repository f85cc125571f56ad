/**
 * Chains of trust from the mesh's root key down to a host, a token or an owner key, verified by bytes
 * alone: root → founding host → token → host → …; a renewal hangs a host on an admin directly, an owner
 * key hangs on its host. The links of the witnesses who saw a join travel along, so nothing is looked up.
 *
 * Invariant: every link is signed by what it hangs on, only admins invite and renew, a path has at most
 * {@link maxPathLinks} links, and no link stands in a chain that nothing needs.
 */
import { ViolinError } from '../errors.ts'
import type { Crypto, HostId, PublicKey, Signer, WallTime } from '../ids.ts'
import { Malformed, decodeCbor, encodeCbor } from '../records/cbor.ts'
import { hostIdOf } from './host-id.ts'
import {
  type HostLink,
  type JoinedLink,
  type Link,
  type OwnerLink,
  type RenewedLink,
  type Role,
  type TokenLink,
  type Unsigned,
  linkBytes,
  linksFromWire,
  linksToWire,
  maxChainLinks,
  slotProofBytes,
  wholeSeconds
} from './link.ts'

/** Longest way from the root to a key, links; three generations of invites and an owner key. */
export const maxPathLinks = 8
/** Longest chain as bytes: {@link maxChainLinks} of the largest links. */
export const maxChainBytes: number = 6 * 1024
/** How long a membership lasts, ms. */
export const membershipMs: number = 365 * 24 * 3600 * 1000

/** A chain whose every signature was verified. Made only in this file. */
export interface Chain {
  readonly root: PublicKey
  /** The key at its end. */
  readonly subject: PublicKey
  readonly kind: 'host' | 'token' | 'owner'
  /** Of the host, of those that the token lets in, or of the owner's host. */
  readonly role: Role
  /** The host itself, or the owner key's host; null for a token. */
  readonly host: HostId | null
  /** The shortest of the links on the path. */
  readonly endsAt: WallTime
  /** From the root down to the subject. */
  readonly path: readonly Link[]
  /** The path and the links of witnesses, in wire order; the last is the subject's. */
  readonly links: readonly Link[]
  /** Canonical encoding. */
  readonly bytes: Uint8Array
}

/** Why bytes or links are no chain of this mesh, one line. */
export interface Refusal {
  readonly refused: string
}

export function isRefusal(result: object): result is Refusal {
  return 'refused' in result
}

/** Verifies a chain as it travelled. Never throws for hostile bytes. */
export function verifyChain(
  source: Uint8Array | readonly Link[],
  root: PublicKey,
  crypto: Crypto
): Chain | Refusal {
  try {
    const links = source instanceof Uint8Array ? linksFromWire(decodeCbor(source, maxChainBytes)) : source
    return walk(links, root, crypto)
  } catch (error: unknown) {
    if (error instanceof Malformed) return { refused: error.message }
    throw error
  }
}

function walk(links: readonly Link[], root: PublicKey, crypto: Crypto): Chain {
  if (links.length === 0 || links.length > maxChainLinks)
    throw new Malformed(`a chain of ${links.length} links`)
  const known = new Map<PublicKey, readonly Link[]>()
  const needed = new Set<PublicKey>()
  for (const link of links) {
    const above = link.kind === 'founding' ? [] : known.get(link.issuer)
    if (above === undefined) throw new Malformed('a link hangs on a key that is not in the chain')
    if (link.kind !== 'founding') needed.add(link.issuer)
    if (link.kind === 'joined') needed.add(link.witness)
    checkRules(link, above.at(-1), known)
    checkSignatures(link, root, crypto)
    if (known.has(link.subject) || link.subject === root) throw new Malformed('a key stands twice in a chain')
    if (above.length === maxPathLinks) throw new Malformed(`a chain is longer than ${maxPathLinks} links`)
    known.set(link.subject, [...above, link])
  }
  const last = links.at(-1) as Link
  if (links.some((link) => link !== last && !needed.has(link.subject))) {
    throw new Malformed('a link that nothing needs')
  }
  return chainOf(links, known.get(last.subject) as readonly Link[], root)
}

function checkRules(
  link: Link,
  issuer: Link | undefined,
  known: ReadonlyMap<PublicKey, readonly Link[]>
): void {
  switch (link.kind) {
    case 'founding':
      return
    case 'token':
    case 'renewed':
      if (!isHostLink(issuer) || roleIn(known.get(issuer.subject)) !== 'admin') {
        throw new Malformed(`a ${link.kind} link is signed by a key that is no admin's`)
      }
      return
    case 'owner':
      if (!isHostLink(issuer)) throw new Malformed('an owner key hangs on a key that is no host')
      return
    case 'joined':
      if (issuer?.kind !== 'token') throw new Malformed('a host joined by a key that is no token')
      if (link.slot >= issuer.slots) throw new Malformed(`slot ${link.slot} of ${issuer.slots}`)
      if (issuer.for !== null && issuer.for !== link.subject)
        throw new Malformed('the token is for another host')
      if (!isHostLink(known.get(link.witness)?.at(-1)))
        throw new Malformed('the witness of a join is no host')
  }
}

function checkSignatures(link: Link, root: PublicKey, crypto: Crypto): void {
  if (link.kind === 'joined') {
    const proven = slotProofBytes(root, link.issuer, link.slot, link.subject)
    if (!crypto.verify(link.issuer, proven, link.proof))
      throw new Malformed("a join without the token's proof")
  }
  const signer = link.kind === 'founding' ? root : link.kind === 'joined' ? link.witness : link.issuer
  if (!crypto.verify(signer, linkBytes(root, link), link.signature)) {
    throw new Malformed(`the signature of a ${link.kind} link does not verify`)
  }
}

function isHostLink(link: Link | undefined): link is HostLink {
  return link?.kind === 'founding' || link?.kind === 'joined' || link?.kind === 'renewed'
}

/** The role at the end of a path: of the last link that says one. */
function roleIn(path: readonly Link[] | undefined): Role {
  for (const link of path?.toReversed() ?? []) {
    if (link.kind === 'founding') return 'admin'
    if (link.kind === 'token' || link.kind === 'renewed') return link.role
  }
  return 'member'
}

function chainOf(links: readonly Link[], path: readonly Link[], root: PublicKey): Chain {
  const last = links.at(-1) as Link
  const kind = last.kind === 'token' || last.kind === 'owner' ? last.kind : 'host'
  const hostKey = last.kind === 'owner' ? last.issuer : last.subject
  return {
    root,
    subject: last.subject,
    kind,
    role: roleIn(path),
    host: kind === 'token' ? null : hostIdOf(hostKey),
    endsAt: Math.min(...path.map((link) => link.notAfter)) as WallTime,
    path,
    links,
    bytes: encodeCbor(linksToWire(links))
  }
}

/** Whether `key` is a strict ancestor in the chain: the root, or a host above the subject. */
export function isAncestor(chain: Chain, key: PublicKey): boolean {
  if (key === chain.root) return true
  return chain.path.slice(0, -1).some((link) => link.subject === key && isHostLink(link))
}

/**
 * Whether `key` stands above another key that the chain shows, be it its subject, one on its way, or a witness's:
 * {@link isAncestor} of that one. The root stands above all.
 */
export function standsAbove(chain: Chain, key: PublicKey, below: PublicKey): boolean {
  if (key === chain.root) return true
  const linkOf = (subject: PublicKey): Link | undefined =>
    chain.links.find((link) => link.subject === subject)
  let link = linkOf(below)
  while (link !== undefined && link.kind !== 'founding') {
    if (link.issuer === key) return isHostLink(linkOf(key))
    link = linkOf(link.issuer)
  }
  return false
}

/** The slot through which the chain's host came in (its own link, or where a renewal says so); null: none. */
export function slotOf(chain: Chain): { readonly token: PublicKey; readonly slot: number } | null {
  const link = chain.kind === 'owner' ? chain.path.at(-2) : chain.path.at(-1)
  if (link?.kind === 'joined') return { token: link.issuer, slot: link.slot }
  return link?.kind === 'renewed' ? link.origin : null
}

/** The first chain of a mesh: the root lets in the founding host. */
export function foundChain(root: Signer, host: PublicKey, notAfter: WallTime, crypto: Crypto): Chain {
  const unsigned = { kind: 'founding', subject: host, notAfter: wholeSeconds(notAfter) } as const
  const signature = root.sign(linkBytes(root.publicKey, unsigned))
  return checked([{ ...unsigned, signature }], root.publicKey, crypto)
}

/** Hangs an owner key on its host. Throws ViolinError when the host's chain is too long. */
export function ownerChain(
  host: Chain,
  hostSigner: Signer,
  owner: PublicKey,
  notAfter: WallTime,
  crypto: Crypto
): Chain {
  const link: Unsigned<OwnerLink> = {
    kind: 'owner',
    issuer: host.subject,
    subject: owner,
    notAfter: wholeSeconds(notAfter)
  }
  return extend(host, null, link, hostSigner, crypto)
}

/** An admin's own link for a member: prolongs and shortens its chain, keeps its slot used. */
export function renewChain(
  admin: Chain,
  adminSigner: Signer,
  member: Chain,
  wish: { readonly role: Role; readonly notAfter: WallTime },
  crypto: Crypto
): Chain {
  const link: Unsigned<RenewedLink> = {
    kind: 'renewed',
    issuer: admin.subject,
    subject: member.subject,
    role: wish.role,
    notAfter: wholeSeconds(wish.notAfter),
    origin: slotOf(member)
  }
  return extend(admin, null, link, adminSigner, crypto)
}

/** Hangs an invite's key on an admin's host. */
export function tokenChain(inviter: Chain, signer: Signer, link: Unsigned<TokenLink>, crypto: Crypto): Chain {
  // A token is of use only if the host that it lets in and that host's owner key still fit.
  if (inviter.path.length + 3 > maxPathLinks) {
    throw new ViolinError(
      'refused',
      'this host cannot invite: its chain of invites is too long',
      'ask an admin nearer to the mesh founder to invite, or to renew this host'
    )
  }
  return extend(inviter, null, link, signer, crypto)
}

/** Hangs an invite that came by itself on its inviter's chain, which the member that is asked knows. */
export function invitedChain(inviter: Chain, link: TokenLink, crypto: Crypto): Chain | Refusal {
  return verifyChain([...inviter.links, link], inviter.root, crypto)
}

/** Whether an invite is its issuer's; that the issuer may invite is shown by its chain. */
export function isSignedInvite(root: PublicKey, link: TokenLink, crypto: Crypto): boolean {
  return crypto.verify(link.issuer, linkBytes(root, link), link.signature)
}

/** Hangs a host on the token that let it in; `witness` countersigns and its links travel along. */
export function joinedChain(
  token: Chain,
  witness: Chain,
  witnessSigner: Signer,
  link: Unsigned<JoinedLink>,
  crypto: Crypto
): Chain {
  return extend(token, witness, link, witnessSigner, crypto)
}

function extend(
  parent: Chain,
  witness: Chain | null,
  unsigned: Unsigned<Link>,
  signer: Signer,
  crypto: Crypto
): Chain {
  const link = { ...unsigned, signature: signer.sign(linkBytes(parent.root, unsigned)) } as Link
  // The parent's links win where the witness's chain has another one for the same key: they are closed in
  // themselves, so no cycle can arise.
  const all = new Map<PublicKey, Link>()
  for (const one of [...parent.links, ...(witness?.links ?? [])]) {
    if (!all.has(one.subject)) all.set(one.subject, one)
  }
  return checked(closure(all, link), parent.root, crypto)
}

/** What `last` needs, each link after those that it hangs on. */
function closure(all: ReadonlyMap<PublicKey, Link>, last: Link): readonly Link[] {
  const ordered = new Set<Link>()
  const visit = (link: Link): void => {
    if (ordered.has(link)) return
    if (link.kind !== 'founding') need(link.issuer)
    if (link.kind === 'joined') need(link.witness)
    ordered.add(link)
  }
  const need = (key: PublicKey): void => {
    const link = all.get(key)
    if (link !== undefined) visit(link)
  }
  visit(last)
  return [...ordered]
}

function checked(links: readonly Link[], root: PublicKey, crypto: Crypto): Chain {
  const chain = verifyChain(links, root, crypto)
  if (!isRefusal(chain)) return chain
  throw new ViolinError('refused', `no such membership: ${chain.refused}`, 'ask another admin of the mesh')
}

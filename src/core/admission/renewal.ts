/**
 * Prolonging what ends: memberships by any admin, VIOLINs by their owner. A host asks from the half of its
 * year on, and for 90 days after the end as a stranger, by the protocol that strangers are served. A renewal
 * hangs the host on the admin directly, so chains get shorter, and what was signed under the old one stands.
 */
import { type ErrorCode, ViolinError } from '../errors.ts'
import type { Crypto, HostId, PublicKey, Signer, WallTime } from '../ids.ts'
import { Malformed, decodeCbor, encodeCbor, readBytes, readInteger, readList } from '../records/cbor.ts'
import { type RevocationRecord, type ViolinRecord, maxLifeMs } from '../records/record.ts'
import { isAhead } from '../records/standing.ts'
import {
  type Chain,
  isAncestor,
  isRefusal,
  maxChainBytes,
  maxPathLinks,
  membershipMs,
  renewChain,
  slotOf,
  verifyChain
} from './chain.ts'
import type { JoinAnswer } from './join.ts'
import { keepsSlot } from './seat.ts'

const dayMs = 24 * 3600 * 1000
/** A membership is renewed from so long before its end: half of its year. */
export const renewBeforeMs: number = membershipMs / 2
/** A host whose membership ended is let in again for so long. */
export const lapsedMs: number = 90 * dayMs
/** A renewal that gives less than this is not worth another chain. */
const leastGainMs = dayMs
/** Tells a request to renew from one to join (1). */
const format = 2

/** How a membership stands at a moment. */
export type Standing = 'good' | 'due' | 'lapsed' | 'over'

export function standingOf(chain: Chain, now: WallTime): Standing {
  const leftMs = chain.endsAt - now
  if (leftMs > renewBeforeMs) return 'good'
  if (leftMs > 0) return 'due'
  return leftMs > -lapsedMs ? 'lapsed' : 'over'
}

/**
 * When a revocation ends that is signed now: later than any membership that an admin gave its key until now, published
 * or not, and the time in which that is renewed after its end.
 */
export function revocationEnd(target: Chain | null, now: WallTime): WallTime {
  return Math.max(now + maxLifeMs.revocation, (target?.endsAt ?? 0) + lapsedMs) as WallTime
}

/**
 * The new end of a revocation that its author signs anew now; null: it lasts for long enough yet. It stands while its
 * author is there, for an owner key hangs on another chain each year, and an admin that has not heard may renew a host.
 */
export function revocationAnew({ expiresAt, target }: RevocationRecord, now: WallTime): WallTime | null {
  return expiresAt - now < maxLifeMs.revocation / 2 ? revocationEnd(target, now) : null
}

/** The admins that a host asks, in this order: who stands above it already, then the nearest to the root. */
export function renewersOf(own: Chain, members: Iterable<Chain>): readonly Chain[] {
  const rank = (admin: Chain): number => (isAncestor(own, admin.subject) ? 0 : 100) + admin.path.length
  return [...members]
    .filter((admin) => admin.role === 'admin' && admin.endsAt >= own.endsAt + leastGainMs)
    .filter((admin) => admin.path.every(({ subject }) => subject !== own.subject))
    .toSorted((a, b) => rank(a) - rank(b) || (a.subject < b.subject ? -1 : 1))
}

/** A host's request: its chain as it is. */
export function renewRequest(own: Chain): Uint8Array {
  return encodeCbor([format, own.bytes])
}

/** Whether a stranger's request is one to renew. */
export function isRenewRequest(bytes: Uint8Array): boolean {
  try {
    return readList(decodeCbor(bytes, maxChainBytes + 64), 'request', 2, 2)[0] === format
  } catch (error: unknown) {
    if (error instanceof Malformed) return false
    throw error
  }
}

/** What a host that is asked must know to answer. */
export interface Renewer {
  readonly chain: Chain
  readonly signer: Signer
  readonly isRevoked: (chain: Chain) => boolean
  /** The host key that keeps each slot, by `TOKEN SLOT`. */
  readonly slots: ReadonlyMap<string, PublicKey>
  /** Whether a peer's connection is a member's, which may carry the request of another host. */
  readonly isMember: (peer: HostId) => boolean
}

/**
 * The membership that a request is to prolong, or why it is not; whoever is asked judges so, admin or not. `from` is
 * the peer id that the connection proved: the host itself, or a member that passes its request on.
 */
export function renewalAsked(
  bytes: Uint8Array,
  from: HostId,
  asked: Renewer,
  now: WallTime,
  crypto: Crypto
): Chain | JoinAnswer {
  try {
    const wire = readList(decodeCbor(bytes, maxChainBytes + 64), 'request', 2, 2)
    readInteger(wire[0], 'format', format, format)
    const member = verifyChain(readBytes(wire[1], 'chain', 1, maxChainBytes), asked.chain.root, crypto)
    if (isRefusal(member)) throw new Malformed(member.refused)
    return objectionTo(member, from, asked, now) ?? member
  } catch (error: unknown) {
    if (!(error instanceof Malformed)) throw error
    return refuse('refused', `the request to renew is not valid: ${error.message}`)
  }
}

function objectionTo(member: Chain, from: HostId, asked: Renewer, now: WallTime): JoinAnswer | null {
  if (member.kind !== 'host' || (member.host !== from && !asked.isMember(from)))
    return refuse('refused', 'the membership is of another host than the connection showed')
  if (asked.isRevoked(member)) return refuse('revoked', 'the host was shut out of the mesh')
  if (!keepsSlot(member, asked.slots)) return refuse('not-a-member', 'another host keeps the slot')
  const standing = standingOf(member, now)
  if (standing === 'good') return refuse('refused', 'the membership is not half over')
  if (standing === 'over') return refuse('not-a-member', 'the membership ended more than 90 days ago')
  return null
}

/** What the host that is asked gives itself: an admin's own link for the member. */
export function grantRenewal(member: Chain, admin: Renewer, now: WallTime, crypto: Crypto): JoinAnswer {
  const { chain } = admin
  if (chain.role !== 'admin' || chain.endsAt <= now)
    return refuse('refused', 'the host that was asked is no admin')
  if (admin.isRevoked(chain)) return refuse('refused', 'the host that was asked was shut out of the mesh')
  if (chain.path.length + 2 > maxPathLinks) return refuse('refused', "the admin's chain is too long")
  return prolonged(member, admin, now, crypto)
}

function prolonged(member: Chain, admin: Renewer, now: WallTime, crypto: Crypto): JoinAnswer {
  const notAfter = Math.min(now + membershipMs, admin.chain.endsAt) as WallTime
  if (notAfter < member.endsAt + leastGainMs)
    return refuse('refused', "the admin's own membership ends no later")
  try {
    const wish = { role: member.role, notAfter }
    return { kind: 'granted', chain: renewChain(admin.chain, admin.signer, member, wish, crypto).bytes }
  } catch (error: unknown) {
    // Who let the admin in is above it, and is renewed by others.
    if (error instanceof ViolinError) return { kind: 'refused', error: error.toData() }
    throw error
  }
}

function refuse(code: ErrorCode, message: string): JoinAnswer {
  return { kind: 'refused', error: { code, message, remedy: 'ask another admin of the mesh' } }
}

/** What a host does with a renewed chain: its own, longer, with no right less, in the slot that it has. */
export function acceptRenewal(own: Chain, granted: Uint8Array, crypto: Crypto): Chain | ViolinError {
  const chain = verifyChain(granted, own.root, crypto)
  const why = isRefusal(chain)
    ? chain.refused
    : chain.kind !== 'host' || chain.subject !== own.subject
      ? 'it is for another host'
      : chain.endsAt <= own.endsAt
        ? 'it ends no later'
        : chain.role !== own.role || !sameSlot(chain, own)
          ? 'it changes more than the end'
          : null
  if (why === null) return chain as Chain
  return new ViolinError(
    'refused',
    `the admin gave no valid renewal: ${why}`,
    'ask another admin of the mesh'
  )
}

function sameSlot(a: Chain, b: Chain): boolean {
  const [ofA, ofB] = [slotOf(a), slotOf(b)]
  return ofA?.token === ofB?.token && ofA?.slot === ofB?.slot
}

/**
 * Until when a VIOLIN's record should be signed anew; null: it stands well as it is. `clockIsRight`: neighbours say
 * so; a clock that went back would date what stands so that it has ended.
 */
export function resignedUntil(
  record: ViolinRecord,
  owner: Chain,
  slots: ReadonlyMap<string, PublicKey>,
  now: WallTime,
  clockIsRight: boolean
): WallTime | null {
  const until = Math.min(now + maxLifeMs.violin, owner.endsAt) as WallTime
  if (clockIsRight && isAhead(record, now)) return until
  if (record.body.ended !== null) return null
  const isVoid = record.chain !== null && !keepsSlot(record.chain, slots)
  const isDue = record.endsAt - now < renewBeforeMs && until >= record.endsAt + leastGainMs
  return isVoid || isDue ? until : null
}

/** How long a trunk may last without another word of the daemons: not beyond either membership. */
export function trunkAuthorityMs(ends: readonly WallTime[], mostMs: number, now: WallTime): number {
  return Math.max(0, Math.min(mostMs, ...ends.map((end) => end - now)))
}

/** When an end that nobody moved is told: so many days before, and when it has come. */
const noticesMs: readonly number[] = [30 * dayMs, 7 * dayMs, dayMs, 3600 * 1000, 0]

/** The latest moment before an end that has come, as ms before it; null: none yet. Told once each. */
export function noticeOf(endsAt: WallTime, now: WallTime): number | null {
  return noticesMs.findLast((beforeMs) => endsAt - now <= beforeMs) ?? null
}

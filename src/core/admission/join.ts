/**
 * Redeeming an invite, both sides. The joiner names a slot and proves with the token's key that its own host
 * key shall have it; any member that sees the slot free and the invite alive countersigns. A slot that is
 * taken is answered with a free one, and the joiner asks again.
 */
import { type ErrorCode, type ErrorData, ViolinError, errorCodes, errorFrom } from '../errors.ts'
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
import { isName, maxNameLength } from '../records/name.ts'
import {
  type Chain,
  invitedChain,
  isRefusal,
  isSignedInvite,
  joinedChain,
  maxChainBytes,
  membershipMs,
  verifyChain
} from './chain.ts'
import { hostIdOf, keyBytes } from './host-id.ts'
import {
  type TokenLink,
  maxSlots,
  readKey,
  slotProofBytes,
  tokenLinkFromWire,
  tokenLinkToWire,
  wholeSeconds
} from './link.ts'
import type { Token } from './token.ts'

/** Longest request or answer, bytes: what a stranger may send. */
export const maxJoinBytes: number = maxChainBytes + 1024
const format = 1

/** A member's answer to a request. */
export type JoinAnswer =
  | { readonly kind: 'granted'; readonly chain: Uint8Array }
  /** Ask again for the slot `free`. */
  | { readonly kind: 'slot-taken'; readonly free: number }
  | { readonly kind: 'refused'; readonly error: ErrorData }

/** What a member must know to answer; from its records and its own identity. */
export interface Witness {
  readonly chain: Chain
  readonly signer: Signer
  /** The chain of a host that this one knows as a member; null: it knows none. */
  readonly chainOf: (host: PublicKey) => Chain | null
  /** Slots of a token that were ever seen used, with the host key in each. */
  readonly usedSlots: (token: PublicKey) => ReadonlyMap<number, PublicKey>
  /** Whether a revocation cuts this chain. */
  readonly isRevoked: (chain: Chain) => boolean
}

/** The slot with which a joiner begins: its own, so that joiners on both sides of a partition rarely meet. */
export function firstSlot(token: Token, host: PublicKey, crypto: Pick<Crypto, 'sha256'>): number {
  const digest = crypto.sha256(keyBytes(host))
  return new DataView(digest.buffer, digest.byteOffset).getUint32(0) % token.invite.slots
}

/** The joiner's request for a slot. `tokenSigner` signs with the token's seed. */
export function joinRequest(
  token: Token,
  tokenSigner: Signer,
  host: PublicKey,
  slot: number,
  name: string
): Uint8Array {
  const proof = tokenSigner.sign(slotProofBytes(token.root, token.invite.subject, slot, host))
  const invite = tokenLinkToWire(token.invite)
  return encodeCbor([format, keyBytes(token.root), invite, slot, keyBytes(host), proof, name])
}

/** A request whose bytes were checked. */
export interface JoinRequest {
  readonly root: PublicKey
  readonly invite: TokenLink
  readonly slot: number
  readonly host: PublicKey
  readonly proof: Uint8Array
  readonly name: string
}

/** Reads a stranger's request and verifies the invite and the proof. */
export function parseJoinRequest(bytes: Uint8Array, crypto: Crypto): JoinRequest | ViolinError {
  try {
    const wire = readList(decodeCbor(bytes, maxJoinBytes), 'request', 7, 7)
    readInteger(wire[0], 'format', format, format)
    const root = readKey(wire[1], 'root')
    const invite = tokenLinkFromWire(wire[2])
    if (!isSignedInvite(root, invite, crypto)) throw new Malformed("the inviter's signature does not verify")
    const slot = readInteger(wire[3], 'slot', 0, invite.slots - 1)
    const host = readKey(wire[4], 'host')
    const proof = readBytes(wire[5], 'proof', 64, 64)
    const name = readText(wire[6], 'name', maxNameLength)
    if (!isName(name)) throw new Malformed('the name is no name')
    if (!crypto.verify(invite.subject, slotProofBytes(root, invite.subject, slot, host), proof)) {
      throw new Malformed("the proof is not by the invite's key")
    }
    return { root, invite, slot, host, proof, name }
  } catch (error: unknown) {
    if (error instanceof Malformed) {
      return new ViolinError(
        'token-malformed',
        `the request to join is not valid: ${error.message}`,
        askAgain
      )
    }
    throw error
  }
}

const askAgain = 'ask an admin of the mesh for a new invite'

/**
 * The decision of the member that is asked. `from` is the peer id that the connection proved. The invite's
 * end is strict, by this member's clock.
 */
export function countersign(
  bytes: Uint8Array,
  from: HostId,
  witness: Witness,
  now: WallTime,
  crypto: Crypto
): JoinAnswer {
  const request = parseJoinRequest(bytes, crypto)
  if (request instanceof ViolinError) return { kind: 'refused', error: request.toData() }
  if (request.root !== witness.chain.root) {
    return refuse('token-other-mesh', 'the invite is for another mesh than this host is in', askAgain)
  }
  const inviter = witness.chainOf(request.invite.issuer)
  if (inviter === null) {
    return refuse('unknown-host', 'the host that was asked does not know the inviter', 'ask another member')
  }
  const token = invitedChain(inviter, request.invite, crypto)
  if (isRefusal(token))
    return refuse('token-malformed', `the invite is not valid: ${token.refused}`, askAgain)
  const objection = objectionTo(request, token, from, witness, now)
  if (objection !== null) return objection
  const used = witness.usedSlots(request.invite.subject)
  const holder = used.get(request.slot)
  if (holder !== undefined && holder !== request.host) {
    const free = freeSlot(request.slot, request.invite.slots, used)
    if (free !== null) return { kind: 'slot-taken', free }
    const uses = request.invite.slots === 1 ? 'its one use' : `all its ${request.invite.slots} uses`
    return refuse('token-used-up', `the invite is used up: ${uses} went to other hosts`, askAgain)
  }
  return grant(request, token, witness, now, crypto)
}

function objectionTo(
  request: JoinRequest,
  token: Chain,
  from: HostId,
  witness: Witness,
  now: WallTime
): JoinAnswer | null {
  const { invite } = request
  if (hostIdOf(request.host) !== from) {
    return refuse(
      'refused',
      'the request is for another key than the connection showed',
      'run violin join again'
    )
  }
  if (witness.chain.endsAt <= now) {
    return refuse('not-a-member', 'the membership of the host that was asked has ended', 'ask another member')
  }
  if (witness.isRevoked(token)) return refuse('token-revoked', 'the invite was taken back', askAgain)
  if (invite.redeemBy <= now)
    return refuse('token-expired', `the invite expired ${ago(now - invite.redeemBy)}`, askAgain)
  if (token.endsAt <= now) return refuse('token-expired', "the inviter's membership has ended", askAgain)
  if (invite.for !== null && invite.for !== request.host) {
    return refuse('refused', `the invite is only for ${hostIdOf(invite.for)}`, askAgain)
  }
  return null
}

function refuse(code: ErrorCode, message: string, remedy: string): JoinAnswer {
  return { kind: 'refused', error: { code, message, remedy } }
}

function ago(ms: number): string {
  const minutes = Math.floor(ms / 60_000)
  if (minutes < 1) return 'less than a minute ago'
  if (minutes < 120) return `${minutes} minutes ago`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} hours ago` : `${Math.floor(hours / 24)} days ago`
}

/** The next free slot after `slot`, going round; null: none. */
function freeSlot(slot: number, slots: number, used: ReadonlyMap<number, PublicKey>): number | null {
  for (let step = 1; step < slots; step++) {
    const next = (slot + step) % slots
    if (!used.has(next)) return next
  }
  return null
}

function grant(
  request: JoinRequest,
  token: Chain,
  witness: Witness,
  now: WallTime,
  crypto: Crypto
): JoinAnswer {
  const link = {
    kind: 'joined',
    issuer: request.invite.subject,
    subject: request.host,
    slot: request.slot,
    notAfter: wholeSeconds(Math.min(token.endsAt, now + membershipMs)),
    proof: request.proof,
    witness: witness.chain.subject
  } as const
  try {
    const chain = joinedChain(token, witness.chain, witness.signer, link, crypto)
    if (witness.isRevoked(chain)) return refuse('revoked', 'this host was shut out of the mesh', askAgain)
    return { kind: 'granted', chain: chain.bytes }
  } catch (error: unknown) {
    // Witness's and inviter's chains together may be too long; the inviter itself always fits.
    if (error instanceof ViolinError) return { kind: 'refused', error: error.toData() }
    throw error
  }
}

/** What the joiner does with a granted chain: it must be for this host, through this token. */
export function acceptGrant(
  token: Token,
  host: PublicKey,
  granted: Uint8Array,
  crypto: Crypto
): Chain | ViolinError {
  const chain = verifyChain(granted, token.root, crypto)
  const why = isRefusal(chain)
    ? chain.refused
    : chain.kind !== 'host' || chain.subject !== host || chain.path.at(-2)?.subject !== token.invite.subject
      ? 'it is for another host or invite'
      : null
  if (why === null) return chain as Chain
  return new ViolinError(
    'refused',
    `the member gave no valid membership: ${why}`,
    'join through another member'
  )
}

const answerKinds = ['granted', 'slot-taken', 'refused'] as const

export function encodeJoinAnswer(answer: JoinAnswer): Uint8Array {
  switch (answer.kind) {
    case 'granted':
      return encodeCbor([0, answer.chain])
    case 'slot-taken':
      return encodeCbor([1, answer.free])
    case 'refused':
      return encodeCbor([2, answer.error.code, answer.error.message, answer.error.remedy])
  }
}

/** Reads a member's answer; a refusal for bytes that are none. */
export function decodeJoinAnswer(bytes: Uint8Array): JoinAnswer {
  try {
    const wire = readList(decodeCbor(bytes, maxJoinBytes), 'answer', 2, 4)
    const kind = answerKinds[readInteger(wire[0], 'kind', 0, 2)]
    if (kind === 'refused') {
      const [code, message, remedy] = readList(wire.slice(1), 'refusal', 3, 3).map((one) =>
        readText(one, 'line', 400)
      )
      const known = Object.hasOwn(errorCodes, code as string) ? (code as ErrorCode) : 'refused'
      return {
        kind,
        error: errorFrom({ code: known, message: oneLine(message), remedy: oneLine(remedy) }).toData()
      }
    }
    readList(wire, 'answer', 2, 2)
    if (kind === 'granted') return { kind, chain: readBytes(wire[1], 'chain', 1, maxChainBytes) }
    return { kind: 'slot-taken', free: readInteger(wire[1], 'slot', 0, maxSlots - 1) }
  } catch (error: unknown) {
    if (!(error instanceof Malformed)) throw error
    return refuse(
      'refused',
      `the member's answer is not valid: ${error.message}`,
      'join through another member'
    )
  }
}

/** Another host's words go to a terminal: no control characters. */
function oneLine(text: string | undefined): string {
  return (text ?? '').replaceAll(/\p{C}/gu, ' ')
}

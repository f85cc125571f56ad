/**
 * What hosts say of one another's life: small, signed by the host's key, never stored.
 *
 *     suspicion   [format, 1, accuser, accused, turn, the accused's last refutation or nothing, signature]
 *     refutation  [format, 0, host, incarnation, signature]
 *
 * A suspicion is of the incarnation that it carries, signed by the accused: so nobody but a host itself makes
 * its number grow, and who missed a refutation learns it from the next suspicion.
 */
import { hostIdOf, keyBytes, publicKeyOf } from '../admission/host-id.ts'
import { readKey } from '../admission/link.ts'
import { ascii } from '../derive.ts'
import type { Crypto, HostId, PublicKey, Signer } from '../ids.ts'
import {
  Malformed,
  concat,
  decodeCbor,
  encodeCbor,
  readBytes,
  readFlag,
  readInteger,
  readList
} from '../records/cbor.ts'
import { maxEvidence, maxIncarnation } from './settings.ts'

/** Longest message, bytes. */
export const maxMessageBytes = 320

export interface Refutation {
  readonly kind: 'refutation'
  readonly host: HostId
  /** Grows with each; 0 is that of a host that never refuted. */
  readonly incarnation: number
  readonly bytes: Uint8Array
}

export interface Suspicion {
  readonly kind: 'suspicion'
  readonly accuser: HostId
  readonly accused: HostId
  /** Differs from one suspicion to the next: gossip takes equal bytes for one message. */
  readonly turn: number
  /** The last that the accuser knows; null: none. */
  readonly refutation: Refutation | null
  readonly bytes: Uint8Array
}

export type Message = Suspicion | Refutation

/** Highest turn, a u32. */
export const maxTurn: number = 2 ** 32 - 1

const format = 1
const refutationKind = 0
const suspicionKind = 1

/** Whether bytes from the mesh's topic are of this format: a record is a longer list. */
export function isLivenessMessage(bytes: Uint8Array): boolean {
  return bytes[0] === 0x85 || bytes[0] === 0x87
}

/** Signs that a host is there. */
export function sealRefutation(signer: Signer, incarnation: number, root: PublicKey): Refutation {
  const fields = [format, refutationKind, keyBytes(signer.publicKey), incarnation]
  const bytes = sealed(fields, signer, root)
  return { kind: 'refutation', host: hostIdOf(signer.publicKey), incarnation, bytes }
}

/** Signs that this host does not hear that one. */
export function sealSuspicion(
  signer: Signer,
  accused: HostId,
  refutation: Refutation | null,
  turn: number,
  root: PublicKey
): Suspicion {
  const key = publicKeyOf(accused)
  if (key === null) throw new RangeError(`${accused} is no host id`)
  const fields = [
    format,
    suspicionKind,
    keyBytes(signer.publicKey),
    keyBytes(key),
    turn,
    refutation?.bytes ?? new Uint8Array(0)
  ]
  const bytes = sealed(fields, signer, root)
  return { kind: 'suspicion', accuser: hostIdOf(signer.publicKey), accused, turn, refutation, bytes }
}

/** Checks the bytes of a message; null where they are wrong, whoever looks at them. Never throws for hostile bytes. */
export function openMessage(bytes: Uint8Array, root: PublicKey, crypto: Crypto): Message | null {
  try {
    return open(bytes, root, crypto)
  } catch (error: unknown) {
    if (error instanceof Malformed) return null
    throw error
  }
}

function open(bytes: Uint8Array, root: PublicKey, crypto: Crypto): Message {
  const wire = readList(decodeCbor(bytes, maxMessageBytes), 'message', 5, 7)
  readInteger(wire[0], 'format', format, format)
  const kind = readInteger(wire[1], 'kind', refutationKind, suspicionKind)
  readList(wire, 'message', 5 + 2 * kind, 5 + 2 * kind)
  const author = readKey(wire[2], 'author')
  const signature = readBytes(wire.at(-1), 'signature', 64, 64)
  if (!crypto.verify(author, signedBytes(root, wire.slice(0, -1)), signature)) {
    throw new Malformed('the signature does not verify')
  }
  const own = new Uint8Array(bytes)
  if (kind === refutationKind) {
    const incarnation = readInteger(wire[3], 'incarnation', 1, maxIncarnation)
    return { kind: 'refutation', host: hostIdOf(author), incarnation, bytes: own }
  }
  const accused = hostIdOf(readKey(wire[3], 'accused'))
  const turn = readInteger(wire[4], 'turn', 0, maxTurn)
  const inner = readBytes(wire[5], 'refutation', 0, maxMessageBytes)
  const refutation = inner.length === 0 ? null : open(inner, root, crypto)
  if (refutation !== null && (refutation.kind !== 'refutation' || refutation.host !== accused)) {
    throw new Malformed("not the accused's own refutation")
  }
  return { kind: 'suspicion', accuser: hostIdOf(author), accused, turn, refutation, bytes: own }
}

function sealed(fields: readonly unknown[], signer: Signer, root: PublicKey): Uint8Array {
  return new Uint8Array(encodeCbor([...fields, signer.sign(signedBytes(root, fields))]))
}

function signedBytes(root: PublicKey, fields: readonly unknown[]): Uint8Array {
  return concat(ascii('violin liveness 1\0'), keyBytes(root), encodeCbor(fields))
}

/** What one host tells another directly. */
export interface Told {
  /** Whether the whole mesh was told: then what answers it goes to the whole mesh as well. */
  readonly spread: boolean
  readonly messages: readonly Uint8Array[]
}

/** Longest, bytes: as many deaths as a starting host may be told. */
export const maxToldBytes: number = maxEvidence * (maxMessageBytes + 3) + 16

/** Several messages as one. */
export function encodeTold({ spread, messages }: Told): Uint8Array {
  return encodeCbor([spread, messages])
}

/** Null where the bytes are wrong. Never throws for hostile bytes. */
export function decodeTold(bytes: Uint8Array): Told | null {
  try {
    const wire = readList(decodeCbor(bytes, maxToldBytes), 'told', 2, 2)
    const messages = readList(wire[1], 'messages', 0, maxEvidence)
    return {
      spread: readFlag(wire[0], 'spread'),
      messages: messages.map((one) => readBytes(one, 'message', 1, maxMessageBytes))
    }
  } catch (error: unknown) {
    if (error instanceof Malformed) return null
    throw error
  }
}

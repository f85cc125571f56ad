/**
 * What a version of a VIOLIN was made upon, and so whether one that a host signed before still counts: of two that
 * were made apart, by one owner key on two hosts or by a host and its backup, only one stands.
 *
 * A version names each host that signed one before it, with the date of its last. A host's own dates grow, so it
 * knows by them which of its versions the author had, also of those that it signed and does not remember. (A clock
 * that was set back between two of them may hide the loss of the second.)
 */
import { hex } from '../derive.ts'
import type { Crypto, HostId, WallTime } from '../ids.ts'
import { type Upon, type ViolinBody, bodyLimits } from './bodies.ts'
import { encodeCbor } from './cbor.ts'
import type { ViolinRecord } from './record.ts'
import { specToWire } from './spec-body.ts'

/** A version that a host signed. */
export interface Signing {
  readonly host: HostId
  readonly version: number
  readonly at: WallTime
  readonly hash: string
}

/** A signed version whose change does not count any more: whose version stands, and when it was signed. */
export interface Lost {
  readonly version: number
  readonly at: WallTime
  readonly standing: Signing
}

export function signingOf(record: ViolinRecord): Signing {
  const { version, issuedAt, hash, chain } = record
  return { host: chain?.host as HostId, version, at: issuedAt, hash }
}

/** What a version that is made upon this one says of that; who signed longest ago is left out first. */
export function upon(before: ViolinRecord): readonly Upon[] {
  const { host, at } = signingOf(before)
  const others = (before.body.upon ?? []).filter((one) => one.host !== host)
  return [{ host, at }, ...others].slice(0, bodyLimits.upon)
}

/** Whether a record is that version, or was made upon it. */
export function isMadeUpon(record: ViolinRecord, signed: Signing): boolean {
  const own = signingOf(record)
  if (own.hash === signed.hash) return true
  if (own.version <= signed.version) return false
  const last = own.host === signed.host ? own : record.body.upon?.find(({ host }) => host === signed.host)
  return last !== undefined && last.at >= signed.at
}

/** What is lost of what a host signed where this record stands; null: nothing. */
export function lostTo(standing: ViolinRecord, signed: Signing): Lost | null {
  if (isMadeUpon(standing, signed)) return null
  return { version: signed.version, at: signed.at, standing: signingOf(standing) }
}

/** What tells whether two versions say the same, whoever signed them. */
export function contentOf({ spec }: ViolinBody, crypto: Pick<Crypto, 'sha256'>): string {
  return spec === null ? '' : hex(crypto.sha256(encodeCbor(specToWire(spec))))
}

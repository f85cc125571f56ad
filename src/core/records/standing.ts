/** Whether what a host said of itself still stands: everything ends, and is said anew in time. */
import type { Chain } from '../admission/chain.ts'
import type { WallTime } from '../ids.ts'
import { type Bodies, bodyToWire } from './bodies.ts'
import { encodeCbor, sameBytes } from './cbor.ts'
import { type SignedRecord, maxLifeMs } from './record.ts'
import { clockToleranceMs } from './set.ts'

/**
 * Whether one's own record says this, under this chain, and for long enough: it is signed anew from half of its
 * life on, and when a clock that ran ahead has dated it so that others do not take it.
 */
export function stands<K extends 'host' | 'runs'>(
  own: SignedRecord | null,
  kind: K,
  body: Bodies[K],
  chain: Chain,
  now: WallTime
): boolean {
  if (own === null || own.chain === null || own.kind !== kind) return false
  return (
    sameBytes(own.chain.bytes, chain.bytes) &&
    sameBytes(encodeCbor(bodyToWire(own.kind, own.body)), encodeCbor(bodyToWire(kind, body))) &&
    !isAhead(own, now) &&
    own.expiresAt >= Math.min(now + maxLifeMs[kind] / 2, chain.endsAt)
  )
}

/** Whether a clock that ran ahead has dated a record so that others do not take it yet. */
export function isAhead({ issuedAt }: SignedRecord, now: WallTime): boolean {
  return issuedAt > now + clockToleranceMs / 2
}

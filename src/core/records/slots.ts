/** Who keeps a slot of an invite that two hosts claim: everyone answers alike, from bytes alone. */
import { keyBytes } from '../admission/host-id.ts'
import { ascii, hex } from '../derive.ts'
import type { Crypto, PublicKey } from '../ids.ts'
import { concat, encodeCbor } from './cbor.ts'

/** Whether host key `a` keeps the slot and `b` loses it: the lower hash of (token, slot, host) stays. */
export function winsSlot(
  token: PublicKey,
  slot: number,
  a: PublicKey,
  b: PublicKey,
  crypto: Crypto
): boolean {
  return slotHash(token, slot, a, crypto) < slotHash(token, slot, b, crypto)
}

function slotHash(token: PublicKey, slot: number, host: PublicKey, crypto: Crypto): string {
  const claim = encodeCbor([keyBytes(token), slot, keyBytes(host)])
  return hex(crypto.sha256(concat(ascii('violin slot claim 1\0'), claim)))
}

/** Remembers signatures that verified: the links near the root stand in every record of the mesh. */
import { ascii, hex } from '../derive.ts'
import type { Crypto } from '../ids.ts'
import { concat } from '../records/cbor.ts'

/** Signatures remembered, some 100 bytes each; the oldest go first, and are then verified again. */
export const rememberedSignatures = 16_384

/** The same answers as `crypto`, without verifying twice what verified. Failures are not remembered. */
export function rememberVerified(crypto: Crypto, limit: number = rememberedSignatures): Crypto {
  const known = new Set<string>()
  return {
    sha256: (bytes) => crypto.sha256(bytes),
    verify(key, bytes, signature) {
      if (signature.length !== 64) return false
      const id = hex(crypto.sha256(concat(ascii(key), signature, bytes)))
      if (known.has(id)) return true
      if (!crypto.verify(key, bytes, signature)) return false
      if (known.size >= limit) known.delete(known.values().next().value as string)
      known.add(id)
      return true
    }
  }
}

/** Half of a trunk's key agreement on its way by a third host, which must not change it: its own host signs it. */
import * as z from 'zod'
import { isHostId, publicKeyOf } from '#core/admission/host-id.ts'
import { ascii, hex, unhex } from '#core/derive.ts'
import type { HostId, Signer, ViolinId } from '#core/ids.ts'
import type { TrunkHalf } from '#slice/contract.ts'
import { crypto } from './crypto.ts'
import { trunkHalf } from './slices/schema.ts'

interface Content {
  readonly violin: ViolinId
  readonly from: HostId
  readonly to: HostId
  /** Null: please offer, or that was asked for. */
  readonly half: TrunkHalf | null
  /** Public key of the half that this one answers; null: it answers none. */
  readonly answers: string | null
}

export interface CarriedHalf extends Content {
  readonly signature: string
}

export const carriedHalf: z.ZodType<CarriedHalf> = z.strictObject({
  violin: z.custom<ViolinId>((id) => typeof id === 'string' && /^[0-9a-f]{64}$/.test(id)),
  from: z.custom<HostId>((id) => typeof id === 'string' && isHostId(id)),
  to: z.custom<HostId>((id) => typeof id === 'string' && isHostId(id)),
  half: trunkHalf.nullable(),
  answers: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable(),
  signature: z.string().regex(/^[0-9a-f]{128}$/)
})

/** Signs a half with its host's key. */
export function carry(content: Content, host: Signer): CarriedHalf {
  return { ...content, signature: hex(host.sign(signedBytes(content))) }
}

/** Whether it is word for word what its host signed. */
export function isOwnWord({ signature, ...content }: CarriedHalf): boolean {
  const key = publicKeyOf(content.from)
  const bytes = unhex(signature)
  return key !== null && bytes !== null && crypto.verify(key, signedBytes(content), bytes)
}

function signedBytes({ violin, from, to, half, answers }: Content): Uint8Array {
  const said =
    half === null ? null : [half.publicKey, half.index, half.candidates.map(({ ip, port }) => [ip, port])]
  return ascii(`violin trunk half\n${JSON.stringify([violin, from, to, said, answers])}`)
}

/**
 * What a slice says, checked before the daemon believes it: a slice stands next to guests, the daemon holds the
 * host's keys. Statuses that other hosts send are of the same shapes.
 */
import * as z from 'zod'
import type { HostId } from '#core/ids.ts'
import { printable } from '#core/printable.ts'
import type {
  EntityStatus,
  SliceEvent,
  SliceMethods,
  SliceStatus,
  SwitchStatus,
  TrunkHalf
} from '#slice/contract.ts'

/** More entities or vLANs than any VIOLIN has. */
const maxRows = 1_024

/** A line for people, whoever wrote it. */
export const text: z.ZodType<string> = z
  .string()
  .max(4_000)
  .transform((one) => printable(one, 2_000))
const word = z.string().max(128)
const count = z.number().min(0)
const hostId = word as unknown as z.ZodType<HostId>

export const entityStatus: z.ZodType<EntityStatus> = z.object({
  name: word,
  state: z.enum(['pending', 'booting', 'running', 'stopped', 'failed']),
  reason: text,
  claim: count,
  superseded: z.object({ claim: count, by: hostId }).nullable(),
  again: z.boolean(),
  bootMs: z.number().nullable(),
  nics: z
    .array(
      z.object({
        name: word,
        lan: word,
        mac: word,
        up: z.boolean(),
        given: z.array(z.cidrv4()).max(8).exactOptional()
      })
    )
    .max(64)
})

export const switchStatus: z.ZodType<SwitchStatus> = z.object({
  lan: word,
  active: hostId.nullable(),
  standby: hostId.nullable(),
  term: count
})

/** Half of a trunk's key agreement, from a slice here or of another host. */
export const trunkHalf: z.ZodType<TrunkHalf> = z.strictObject({
  publicKey: z.string().regex(/^[0-9a-f]{64}$/),
  index: z.int().min(1).max(0xffff_ffff),
  candidates: z.array(z.strictObject({ ip: z.ipv4(), port: z.int().min(1).max(65_535) })).max(16)
})

const trunkStatus = z.object({
  peer: hostId,
  up: z.boolean(),
  rttMs: z.number().nullable(),
  address: word.nullable(),
  relay: hostId.exactOptional(),
  rxFrames: count,
  txFrames: count,
  rxBytes: count,
  txBytes: count,
  rejected: count
})

const sliceStatus: z.ZodType<SliceStatus> = z.object({
  contract: count,
  pid: count,
  version: count,
  port: count,
  memoryBytes: count,
  entities: z.array(entityStatus).max(maxRows),
  switches: z.array(switchStatus).max(maxRows),
  trunks: z.array(trunkStatus).max(maxRows)
})

export const sliceEvent: z.ZodType<SliceEvent> = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('entity'), entity: entityStatus }),
  z.object({ kind: z.literal('switch'), status: switchStatus }),
  z.object({ kind: z.literal('trunk'), peer: hostId, up: z.boolean() }),
  z.object({ kind: z.literal('trunk-wanted'), peer: hostId }),
  z.object({ kind: z.literal('tap-wanted'), entity: word, nic: word, mac: word, mtu: count })
])

/** Answers that the daemon reads; the others say nothing. */
export const sliceAnswers: { readonly [M in keyof SliceMethods]?: z.ZodType<SliceMethods[M][1]> } = {
  hello: sliceStatus,
  status: sliceStatus,
  trunkOffer: trunkHalf,
  handoff: z.object({ active: hostId, term: count })
}

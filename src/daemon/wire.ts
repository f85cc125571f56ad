/** Small requests between daemons as JSON, checked by a schema at the edge. */
import type * as z from 'zod'
import { ViolinError } from '#core/errors.ts'
import type { HostId } from '#core/ids.ts'
import type { Mesh } from '#mesh/contract.ts'

/** Longest request or answer of these protocols, bytes. */
export const maxJsonBytes: number = 256 * 1024

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

export function encodeJson(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value))
}

/** What was stored or sent as JSON; null where it is none. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes))
  } catch {
    return null
  }
}

/** Parses and checks; throws ViolinError `refused` that names who sent it. */
export function decodeJson<T>(bytes: Uint8Array, schema: z.ZodType<T>, from: HostId): T {
  const parsed = schema.safeParse(parseJson(bytes))
  if (parsed.success) return parsed.data
  throw new ViolinError(
    'refused',
    `${from} sent what is not understood here`,
    'bring both hosts to one version of violin'
  )
}

/** One small question to a connected member. Throws ViolinError. */
export async function ask<T>(
  mesh: Mesh,
  peer: HostId,
  protocol: string,
  question: unknown,
  schema: z.ZodType<T>,
  signal: AbortSignal
): Promise<T> {
  return decodeJson(await mesh.request(peer, protocol, encodeJson(question), signal), schema, peer)
}

/** Serves a small question of members. */
export function answer<Q>(
  mesh: Mesh,
  protocol: string,
  schema: z.ZodType<Q>,
  respond: (question: Q, from: HostId, signal: AbortSignal) => Promise<unknown>
): void {
  mesh.serve(protocol, { maxRequestBytes: maxJsonBytes }, async (body, from, signal) =>
    encodeJson(await respond(decodeJson(body, schema, from), from, signal))
  )
}

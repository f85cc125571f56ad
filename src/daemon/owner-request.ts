/**
 * What an owner asks of the host that runs a part of its VIOLIN: signed by an owner key that the VIOLIN's
 * founding block names, for one host, once, within the clocks' tolerance.
 */
import { randomBytes } from 'node:crypto'
import * as z from 'zod'
import { ascii, hex, unhex } from '#core/derive.ts'
import { ViolinError } from '#core/errors.ts'
import type { HostId, PublicKey, Signer, ViolinId } from '#core/ids.ts'
import { concat } from '#core/records/cbor.ts'
import { clockToleranceMs } from '#core/records/set.ts'
import { crypto } from './crypto.ts'
import type { Records } from './records.ts'

/** Requests of one owner remembered against a second use; above this it is told to wait, and none is forgotten. */
const maxRemembered = 4_096
const maxBodyLength: number = 200 * 1024

/** A request as it travels. */
export interface SealedRequest {
  readonly owner: string
  /** JSON; signed as it stands. */
  readonly body: string
  readonly signature: string
}

export const sealedRequest: z.ZodType<SealedRequest> = z.strictObject({
  owner: z.string().regex(/^[0-9a-f]{64}$/),
  body: z.string().max(maxBodyLength),
  signature: z.string().regex(/^[0-9a-f]{128}$/)
})

const envelope = z.strictObject({
  kind: z.string(),
  to: z.string(),
  violin: z.string().regex(/^[0-9a-f]{64}$/),
  at: z.number(),
  nonce: z.string().regex(/^[0-9a-f]{32}$/),
  request: z.unknown()
})

/** Signs a request for one host. */
export function sealRequest(
  kind: string,
  to: HostId,
  violin: ViolinId,
  request: unknown,
  root: PublicKey,
  owner: Signer
): SealedRequest {
  const body = JSON.stringify({
    kind,
    to,
    violin,
    at: Date.now(),
    nonce: randomBytes(16).toString('hex'),
    request
  })
  return { owner: owner.publicKey, body, signature: hex(owner.sign(signedBytes(root, body))) }
}

/** Opens requests of one kind of host, each once. */
export class RequestGuard {
  readonly #self: HostId
  readonly #records: Records
  readonly #seen = new Map<PublicKey, Map<string, number>>()

  constructor(self: HostId, records: Records) {
    this.#self = self
    this.#records = records
  }

  /** The request's VIOLIN and content. Throws ViolinError `not-owner`, `unknown-violin`, `refused`. */
  open<T>(kind: string, sealed: SealedRequest, schema: z.ZodType<T>): { violin: ViolinId; request: T } {
    const owner = sealed.owner as PublicKey
    const signature = unhex(sealed.signature) as Uint8Array
    const parsed = envelope.safeParse(parseJson(sealed.body))
    if (
      !parsed.success ||
      !crypto.verify(owner, signedBytes(this.#records.set.root, sealed.body), signature)
    ) {
      throw new ViolinError(
        'refused',
        'the request is not signed as it should be',
        'bring both hosts to one version of violin'
      )
    }
    const { violin, to, at, nonce } = parsed.data
    const seen = this.#records.view.violins.get(violin as ViolinId)
    if (seen === undefined || seen.spec === null) {
      throw new ViolinError('unknown-violin', 'this host knows no such VIOLIN', 'see `violin list` there')
    }
    if (!seen.founding.owners.includes(owner)) {
      throw new ViolinError(
        'not-owner',
        `${seen.name} belongs to another owner`,
        `ask its owner, on ${this.#records.view.members.get(seen.ownerHost)?.body.name ?? seen.ownerHost}`
      )
    }
    const request = schema.safeParse(parsed.data.request)
    if (parsed.data.kind !== kind || to !== this.#self || !request.success) {
      throw new ViolinError('refused', 'the request is for another host or of another kind', 'try again')
    }
    this.#once(owner, nonce, at)
    return { violin: violin as ViolinId, request: request.data }
  }

  #once(owner: PublicKey, nonce: string, at: number): void {
    const now = Date.now()
    if (Math.abs(now - at) > clockToleranceMs) {
      throw new ViolinError(
        'refused',
        'the clocks of the two hosts differ by more than 10 minutes',
        'set the clock: timedatectl set-ntp true'
      )
    }
    const seen = this.#seen.get(owner) ?? new Map<string, number>()
    this.#seen.set(owner, seen)
    for (const [old, until] of seen) {
      if (until > now) break
      seen.delete(old)
    }
    if (seen.has(nonce)) throw new ViolinError('refused', 'the request was made before', 'try again')
    if (seen.size >= maxRemembered)
      throw new ViolinError('refused', 'too many requests in the last minutes', 'try again later')
    seen.set(nonce, now + 2 * clockToleranceMs)
  }
}

function signedBytes(root: PublicKey, body: string): Uint8Array {
  return concat(ascii(`violin request 1\0${root}`), new TextEncoder().encode(body))
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

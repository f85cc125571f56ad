/**
 * `exec`, `console` and `capture`, wherever the entity runs: here through its slice, elsewhere over a stream of the mesh
 * that begins with one line, the owner's signed request. Session frames pass through unchanged.
 */
import type { Duplex } from 'node:stream'
import { ViolinError, errorData } from '#core/errors.ts'
import type { HostId, ViolinId } from '#core/ids.ts'
import { type CaptureRequest, type SessionRequest, encodeSessionFrame, sessionFrame } from '#core/session.ts'
import { sessionRequest } from '#api/methods.ts'
import { splice } from '#api/splice.ts'
import type { Mesh } from '#mesh/contract.ts'
import type { Identity } from './identity.ts'
import { RequestGuard, type SealedRequest, sealRequest, sealedRequest } from './owner-request.ts'
import type { Records } from './records.ts'
import type { Slices } from './slices/slices.ts'

const openTimeoutMs = 5_000
/** Longest first line of a stream, bytes. */
const maxHeaderBytes: number = 256 * 1024

export class Sessions {
  readonly #identity: Identity
  readonly #slices: Slices
  readonly #mesh: Mesh
  readonly #guard: RequestGuard

  constructor(identity: Identity, records: Records, slices: Slices, mesh: Mesh) {
    this.#identity = identity
    this.#slices = slices
    this.#mesh = mesh
    this.#guard = new RequestGuard(identity.id, records)
    mesh.serveStream('session', (stream) => void this.#serve(stream))
  }

  /** Opens a session on `host`; for elsewhere this host's owner key signs. Throws ViolinError. */
  async open(violin: ViolinId, host: HostId, request: SessionRequest | CaptureRequest): Promise<Duplex> {
    if (host === this.#identity.id) return this.#here(violin, request)
    const stream = await this.#mesh.open(host, 'session', AbortSignal.timeout(openTimeoutMs))
    const { mesh, owner } = this.#identity
    stream.write(`${JSON.stringify(sealRequest('session', host, violin, request, mesh, owner))}\n`)
    return stream
  }

  async #here(violin: ViolinId, request: SessionRequest | CaptureRequest): Promise<Duplex> {
    const slice = this.#slices.get(violin)
    if (slice === null) {
      throw new ViolinError(
        'not-running-here',
        `nothing of ${request.violin} runs on this host yet`,
        'see `violin show` for where its entities are'
      )
    }
    // By id: a slice takes no session that is meant for another.
    return slice.session({ ...request, violin })
  }

  async #serve(stream: Duplex): Promise<void> {
    try {
      const line = await firstLine(stream, AbortSignal.timeout(openTimeoutMs))
      const { violin, request } = this.#guard.open('session', parseHeader(line), sessionRequest)
      splice(stream, await this.#here(violin, request))
    } catch (error: unknown) {
      const data = new TextEncoder().encode(JSON.stringify(errorData(error)))
      stream.end(encodeSessionFrame(sessionFrame.failed, data))
    }
  }
}

function parseHeader(line: string): SealedRequest {
  try {
    return sealedRequest.parse(JSON.parse(line))
  } catch (error: unknown) {
    throw new ViolinError(
      'refused',
      'the session begins with no request',
      'bring both hosts to one version of violin',
      { cause: error }
    )
  }
}

/** Reads up to the first newline and puts what came after it back. */
export function firstLine(stream: Duplex, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const settle = (finish: () => void): void => {
      stream.off('readable', read).off('end', ended).off('error', broke)
      signal.removeEventListener('abort', late)
      finish()
    }
    const read = (): void => {
      for (
        let chunk = stream.read() as Buffer | null;
        chunk !== null;
        chunk = stream.read() as Buffer | null
      ) {
        const end = chunk.indexOf(10)
        chunks.push(end < 0 ? chunk : chunk.subarray(0, end))
        length += chunk.length
        if (end >= 0) {
          const rest = chunk.subarray(end + 1)
          settle(() => {
            if (rest.length > 0) stream.unshift(rest)
            resolve(Buffer.concat(chunks).toString('utf8'))
          })
          return
        }
        if (length > maxHeaderBytes) return broke(new Error('the first line is too long'))
      }
    }
    const broke = (error: Error): void => settle(() => reject(error))
    const ended = (): void => broke(new Error('the stream ended before its first line'))
    const late = (): void => broke(new ViolinError('timeout', 'the stream began with nothing', 'try again'))
    stream.on('readable', read).on('end', ended).on('error', broke)
    signal.addEventListener('abort', late, { once: true })
    read()
  })
}

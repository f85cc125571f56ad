/**
 * Requests: one length-prefixed message each way on a stream of its own, then the stream ends. An answer
 * begins with a byte: 0, and the answer follows; 1, and a refusal follows as JSON.
 */
import { decode, encode } from 'it-length-prefixed'
import { pipe } from 'it-pipe'
import { concat } from 'uint8arrays/concat'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { ViolinError, errorData, readError } from '#core/errors.ts'
import {
  MAX_ANSWERING,
  MAX_ANSWERING_STRANGER,
  MAX_ANSWER_BYTES,
  MAX_ASKING,
  MAX_ASKING_WAITING,
  MAX_STRANGERS_ASKING_AT_ONCE,
  MAX_STRANGERS_ASKING_PER_SECOND,
  READ_REQUEST_MS
} from './bounds.ts'
import { messagesOf } from './messages.ts'
import { asError, hostIdOf } from './peer.ts'
import { Rate } from './rate.ts'
import { Turns } from './turns.ts'
import type { Connection, Stream } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { HostId } from '#core/ids.ts'
import type { Mesh, MeshOptions, ServeOptions } from './contract.ts'
import type { Membership } from './membership.ts'

const ANSWERED = 0
const REFUSED = 1
/** A refusal on the wire; its two lines are for people. */
const MAX_REFUSAL_BYTES = 4 * 1024

type Answer = Parameters<Mesh['serve']>[2]

export class Requests {
  readonly #membership: Membership
  readonly #log: MeshOptions['log']
  readonly #closing: AbortSignal
  readonly #asking = new Turns<`${HostId} ${string}`>(MAX_ASKING, MAX_ASKING_WAITING)
  readonly #answering = new Map<HostId, number>()
  readonly #strangers = new Rate(MAX_STRANGERS_ASKING_AT_ONCE, MAX_STRANGERS_ASKING_PER_SECOND)

  constructor(membership: Membership, log: MeshOptions['log'], closing: AbortSignal) {
    this.#membership = membership
    this.#log = log
    this.#closing = closing
  }

  /** Asks over a connection; `protocol` is the full name. */
  async ask(
    connection: Connection,
    protocol: string,
    body: Uint8Array,
    signal: AbortSignal
  ): Promise<Uint8Array> {
    const peer = hostIdOf(connection.remotePeer)
    const both = AbortSignal.any([signal, this.#closing])
    try {
      // By protocol: questions that are held for long keep nothing else waiting.
      const done = await this.#asking.take(`${peer} ${protocol}`, both)
      try {
        const stream = await connection.newStream(protocol, { signal: both, runOnLimitedConnection: true })
        return readAnswer(await this.#exchange(stream, body, both))
      } finally {
        done()
      }
    } catch (error: unknown) {
      throw refusalOf(error, peer, protocol, both)
    }
  }

  /** The handler of a served protocol. */
  async serve(stream: Stream, connection: Connection, options: ServeOptions, answer: Answer): Promise<void> {
    const from = hostIdOf(connection.remotePeer)
    const call = new AbortController()
    // Once it is over nobody waits for the answer; after the answer this stops nothing.
    stream.addEventListener('close', ({ error }) => call.abort(error ?? new Error('the peer went away')))
    const late = setTimeout(() => stream.abort(new Error('the request took too long')), READ_REQUEST_MS)
    const done = this.#begin(from, connection)
    try {
      if (done === null) throw new Error('too many requests at once')
      // Taken over before the first wait: what arrives meanwhile would be lost.
      const duplex = messagesOf(stream, options.maxRequestBytes)
      if (options.strangers !== true && !(await this.#membership.whenMember(connection))) {
        throw new Error('the peer is not a member')
      }
      const body = await only(decode(duplex.source, { maxDataLength: options.maxRequestBytes }))
      clearTimeout(late)
      const bytes = await this.#answer(answer, body, from, AbortSignal.any([call.signal, this.#closing]))
      await duplex.sink([encode.single(bytes)])
    } catch (error: unknown) {
      stream.abort(asError(error))
    } finally {
      clearTimeout(late)
      done?.()
    }
  }

  async #exchange(stream: Stream, body: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const giveUp = (): void => stream.abort(asError(signal.reason))
    if (signal.aborted) giveUp()
    signal.addEventListener('abort', giveUp, { once: true })
    try {
      const duplex = messagesOf(stream, MAX_ANSWER_BYTES + 1)
      return await pipe(
        [body],
        (source) => encode(source),
        duplex,
        (source) => decode(source, { maxDataLength: MAX_ANSWER_BYTES + 1 }),
        only
      )
    } catch (error: unknown) {
      stream.abort(asError(error))
      throw error
    } finally {
      signal.removeEventListener('abort', giveUp)
    }
  }

  async #answer(answer: Answer, body: Uint8Array, from: HostId, signal: AbortSignal): Promise<Uint8Array> {
    try {
      const bytes = await answer(body, from, signal)
      if (bytes.byteLength > MAX_ANSWER_BYTES) {
        throw new ViolinError('too-large', `an answer of ${bytes.byteLength} bytes`, 'ask for less at once')
      }
      return concat([Uint8Array.of(ANSWERED), bytes])
    } catch (error: unknown) {
      signal.throwIfAborted()
      if (!(error instanceof ViolinError))
        this.#log('request failed', { from, reason: asError(error).message })
      return concat([Uint8Array.of(REFUSED), fromString(JSON.stringify(errorData(error)))])
    }
  }

  /** Counts a request in, or says null where the peer has too many under way. */
  #begin(from: HostId, connection: Connection): (() => void) | null {
    const stranger = this.#membership.isStranger(connection)
    if (stranger && !this.#strangers.take(performance.now())) return null
    const count = this.#answering.get(from) ?? 0
    if (count >= (stranger ? MAX_ANSWERING_STRANGER : MAX_ANSWERING)) return null
    this.#answering.set(from, count + 1)
    const idle = stranger ? this.#membership.busy(connection) : null
    return () => {
      idle?.()
      const left = (this.#answering.get(from) ?? 1) - 1
      if (left === 0) this.#answering.delete(from)
      else this.#answering.set(from, left)
    }
  }
}

/** The one message of a source that ends after it. */
async function only(source: AsyncIterable<Uint8ArrayList>): Promise<Uint8Array> {
  let message: Uint8Array | null = null
  for await (const list of source) {
    if (message !== null) throw new Error('more than one message')
    message = list.subarray()
  }
  if (message === null) throw new Error('no message')
  return message
}

function readAnswer(bytes: Uint8Array): Uint8Array {
  if (bytes[0] === ANSWERED) return bytes.subarray(1)
  if (bytes[0] !== REFUSED || bytes.byteLength > MAX_REFUSAL_BYTES)
    throw new Error('no answer but other bytes')
  throw readError(toString(bytes.subarray(1))) ?? new Error('a refusal without its lines')
}

/** What a failed request is called. The caller's own abort stays what it was, but for a time-out. */
export function refusalOf(error: unknown, peer: HostId, protocol: string, signal: AbortSignal): unknown {
  if (error instanceof ViolinError) return error
  const name = protocol.split('/').at(-2) ?? protocol
  if (signal.aborted) {
    const reason = asError(signal.reason)
    if (reason.name !== 'TimeoutError') return reason
    return new ViolinError(
      'timeout',
      `${peer} did not answer ${name} in time`,
      'see whether it is reachable',
      {
        cause: error
      }
    )
  }
  const { name: kind, message } = asError(error)
  if (/Closed|NotConnected|Muxer/.test(kind)) {
    return new ViolinError('nobody-reachable', `the connection to ${peer} was lost`, 'try again', {
      cause: error
    })
  }
  return new ViolinError('refused', `${peer} broke off ${name}: ${message}`, 'see its log for the reason', {
    cause: error
  })
}

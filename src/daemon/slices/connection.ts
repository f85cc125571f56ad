/**
 * The daemon's end of a slice's `control.sock`.
 */
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ErrorData, errorFrom, ViolinError } from '#core/errors.ts'
import type { CaptureRequest, SessionRequest } from '#core/session.ts'
import type { SliceEvent, SliceMethods, SliceReplyLine, SliceStatus } from '#slice/contract.ts'
import { decodeLine, encodeLine, LineSplitter } from '#slice/lines.ts'
import { sliceAnswers, sliceEvent } from './schema.ts'

/** A slice answers in a moment, but for a handoff; one that does not by then is stuck. */
const answerMs = 30_000

/**
 * What a slice says of itself. How it is as a whole has its place among the events: who waits for the answer goes
 * on some turns later, when younger events were heard already.
 */
export type SliceTold = SliceEvent | { readonly kind: 'status'; readonly status: SliceStatus }

export interface ConnectionEvents {
  event(told: SliceTold): void
  /** It ended, by either side; called once. */
  closed(): void
}

interface Call {
  readonly method: keyof SliceMethods
  readonly resolve: (result: unknown) => void
  readonly reject: (error: Error) => void
}

export class SliceConnection {
  readonly #socket: Socket
  readonly #events: ConnectionEvents
  readonly #calls = new Map<number, Call>()
  readonly #lines = new LineSplitter()
  #nextId = 1

  private constructor(socket: Socket, events: ConnectionEvents) {
    this.#socket = socket
    this.#events = events
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.once('close', () => this.#closed())
  }

  /** Connects to a control socket. Throws what connect(2) says. */
  static async open(path: string, events: ConnectionEvents): Promise<SliceConnection> {
    return new SliceConnection(await connected(path), events)
  }

  /** One request. Throws ViolinError: what the slice refused, `timeout`, or `refused` when it went. */
  async call<M extends Exclude<keyof SliceMethods, 'session'>>(
    method: M,
    params: SliceMethods[M][0]
  ): Promise<SliceMethods[M][1]> {
    const id = this.#nextId++
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const timer = setTimeout(
      () =>
        reject(
          new ViolinError(
            'timeout',
            `the slice did not answer ${method} in ${answerMs} ms`,
            'look into its slice.log'
          )
        ),
      answerMs
    )
    this.#calls.set(id, { method, resolve, reject })
    if (this.#socket.destroyed) reject(gone())
    else this.#socket.write(encodeLine({ id, method, params }))
    try {
      return (await promise) as SliceMethods[M][1]
    } finally {
      clearTimeout(timer)
      this.#calls.delete(id)
    }
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(chunk: Buffer): void {
    try {
      this.#lines.push(chunk)
      for (let line = this.#lines.next(); line !== null; line = this.#lines.next()) {
        const reply = decodeLine(line) as SliceReplyLine
        if ('event' in reply) this.#tell(reply.event)
        else if ('error' in reply) this.#calls.get(reply.id)?.reject(errorFrom(reply.error))
        else this.#answered(reply.id, reply.result)
      }
    } catch {
      // A slice that breaks the contract is not listened to any more; `closed` says so.
      this.#socket.destroy()
    }
  }

  #answered(id: number, result: unknown): void {
    const call = this.#calls.get(id)
    if (call === undefined) return
    const { method } = call
    const checked = sliceAnswers[method]?.safeParse(result)
    if (checked === undefined) return call.resolve(result)
    if (!checked.success)
      return call.reject(
        new ViolinError(
          'internal',
          `the slice answered ${method} with what is no answer`,
          'look into its slice.log'
        )
      )
    if (method === 'hello' || method === 'status') {
      const status = checked.data as SliceStatus
      queueMicrotask(() => this.#events.event({ kind: 'status', status }))
    }
    call.resolve(checked.data)
  }

  /** Passes an event on. One that is none is dropped: a slice may be newer than this daemon. */
  #tell(event: unknown): void {
    const checked = sliceEvent.safeParse(event)
    if (!checked.success) return
    // What a listener throws is the daemon's own defect, and must not be taken for the slice's.
    queueMicrotask(() => this.#events.event(checked.data))
  }

  #closed(): void {
    for (const call of this.#calls.values()) call.reject(gone())
    this.#events.closed()
  }
}

/**
 * Opens a session of the slice at `path`; the stream carries session frames. Throws ViolinError.
 */
export async function openSession(path: string, request: SessionRequest | CaptureRequest): Promise<Duplex> {
  const socket = await connected(path).catch((error: unknown) => {
    throw new ViolinError(
      'not-running-here',
      `the slice of ${request.violin} does not answer`,
      'try again in a moment',
      {
        cause: error
      }
    )
  })
  const lines = new LineSplitter()
  const { promise, resolve, reject } = Promise.withResolvers<undefined>()
  const take = (chunk: Buffer): void => {
    try {
      lines.push(chunk)
      const line = lines.next()
      if (line === null) return
      const reply = decodeLine(line) as { readonly error?: ErrorData }
      if (reply.error === undefined) resolve(undefined)
      else reject(errorFrom(reply.error))
      // What follows is the session's, and waits for its reader.
      socket.pause()
      socket.off('data', take)
    } catch (error: unknown) {
      reject(error instanceof Error ? error : new Error(String(error)))
    }
  }
  const closed = (): void => reject(gone())
  socket.on('data', take)
  socket.once('close', closed)
  socket.write(encodeLine({ id: 1, method: 'session', params: request }))
  try {
    await promise
  } catch (error: unknown) {
    socket.destroy()
    throw error
  }
  socket.off('close', closed)
  const early = lines.rest()
  if (early.length > 0) socket.unshift(early)
  return socket
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      // An error ends in `close`, which is listened to.
      socket.on('error', () => undefined)
      resolve(socket)
    })
  })
}

function gone(): ViolinError {
  return new ViolinError('refused', 'the slice ended', 'it is started again: try in a moment')
}

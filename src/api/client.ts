/** The same {@link Service} as the daemon's, over its socket. */
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import type { Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import { ViolinError, errorFrom, type ErrorData } from '#core/errors.ts'
import {
  type CaptureRequest,
  encodeSessionFrame,
  maxSessionPayload,
  sessionFrame,
  type SessionRequest
} from '#core/session.ts'
import type { Service } from './contract.ts'
import { endable } from './endable.ts'
import { type Method, encodeRequest, maxBodyBytes, methods, sessionUpgrade, tooLarge } from './methods.ts'
import { type Patience, standardPatience, whileUnanswered } from './unanswered.ts'

interface Envelope {
  readonly ok?: unknown
  readonly row?: unknown
  readonly error?: ErrorData
}

/** A connection for each call: one that is kept open may be that to a daemon which ended since. */
const own = { agent: false } as const

/** Where a daemon serves, and what is done where it does not answer. */
interface Daemon {
  readonly path: string
  readonly patience: Patience
  /** Told once of each request that waits for a daemon which says nothing. */
  readonly silent: (text: string) => void
}

/**
 * A client of the daemon that serves `path`. Its methods throw `not-running` when none does, or when it does not answer
 * any more; before that `silent` hears of it.
 */
export function connectApi(
  path: string,
  silent: (text: string) => void = () => undefined,
  patience: Patience = standardPatience
): Service {
  const daemon = { path, silent, patience }
  const call = (method: Method) =>
    methods[method].stream
      ? (request: unknown) => stream(daemon, method, request)
      : (request: unknown) => unary(daemon, method, request)
  const entries = (Object.keys(methods) as Method[]).map((method) => [method, call(method)] as const)
  return {
    ...(Object.fromEntries(entries) as unknown as Omit<Service, 'session'>),
    session: (request) => openSession(daemon, request)
  }
}

async function unary(daemon: Daemon, method: Method, request: unknown): Promise<unknown> {
  const response = await post(daemon, method, request)
  const answer = await text(response).catch((error: unknown) => {
    throw brokeOff(error)
  })
  return opened(parse(answer)).ok
}

function stream(daemon: Daemon, method: Method, request: unknown): AsyncIterableIterator<unknown> {
  return endable(({ signal }) => rowsOf(daemon, method, request, signal))
}

async function* rowsOf(
  daemon: Daemon,
  method: Method,
  request: unknown,
  signal: AbortSignal
): AsyncGenerator<unknown, void, void> {
  const response = await post(daemon, method, request)
  try {
    for await (const line of createInterface({ input: response, crlfDelay: Infinity, signal })) {
      const envelope = opened(parse(line))
      if (envelope.row === undefined) return
      yield envelope.row
    }
    if (!signal.aborted) throw brokeOff(null)
  } catch (error: unknown) {
    if (signal.aborted) return
    throw error instanceof ViolinError ? error : brokeOff(error)
  } finally {
    response.destroy()
  }
}

function brokeOff(cause: unknown): ViolinError {
  return new ViolinError(
    'not-running',
    'the daemon ended while it answered',
    'see its log, and start it again',
    { cause }
  )
}

function post(daemon: Daemon, method: Method, request: unknown): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const { path } = daemon
    const body = encodeRequest(request)
    if (Buffer.byteLength(body) > maxBodyBytes) throw errorFrom(tooLarge())
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const asked = httpRequest(
      { ...own, socketPath: path, path: `/${method}`, method: 'POST', headers },
      resolve
    )
    asked.once('error', (error) => reject(unreachable(path, error)))
    whileUnanswered(path, asked, daemon.patience, daemon.silent)
    asked.end(body)
  })
}

function openSession(daemon: Daemon, request: SessionRequest | CaptureRequest): Promise<Duplex> {
  const opening = new TextEncoder().encode(JSON.stringify(request))
  if (opening.length > maxSessionPayload) {
    const what = `a command of ${opening.length} bytes, ${maxSessionPayload} fit`
    return Promise.reject(new ViolinError('too-large', what, 'put it into a file and copy that: violin cp'))
  }
  return new Promise((resolve, reject) => {
    const headers = { connection: 'Upgrade', upgrade: sessionUpgrade }
    const { path } = daemon
    const asked = httpRequest({ ...own, socketPath: path, path: '/session', headers })
    asked.once('error', (error) => reject(unreachable(path, error)))
    asked.once('response', () =>
      reject(
        new ViolinError(
          'refused',
          'the daemon opened no session',
          'use a command line of the same version as the daemon'
        )
      )
    )
    asked.once('upgrade', (_response: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (head.length > 0) socket.unshift(head)
      socket.write(encodeSessionFrame(sessionFrame.open, opening))
      resolve(socket)
    })
    whileUnanswered(path, asked, daemon.patience, daemon.silent)
    asked.end()
  })
}

function unreachable(path: string, error: NodeJS.ErrnoException): ViolinError {
  if (error instanceof ViolinError) return error
  if (error.code === 'EACCES') {
    return new ViolinError(
      'needs-root',
      `${path} belongs to another user`,
      'run as that user, or use --dir',
      { cause: error }
    )
  }
  if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') {
    return new ViolinError('not-running', `no daemon is running (${path})`, 'start it: violin daemon', {
      cause: error
    })
  }
  return new ViolinError(
    'not-running',
    `the daemon does not answer: ${error.message}`,
    'see its log, and start it again',
    { cause: error }
  )
}

function parse(line: string): Envelope {
  try {
    return JSON.parse(line) as Envelope
  } catch (error: unknown) {
    throw new ViolinError('internal', 'the daemon answered with what is no JSON', 'see its log', {
      cause: error
    })
  }
}

function opened(envelope: Envelope): Envelope {
  if (envelope.error !== undefined) throw errorFrom(envelope.error)
  return envelope
}

/** A session with an entity from this terminal: `exec`, `console`, `cp` and `capture` are made of it. */
import { once } from 'node:events'
import type { Duplex, Readable, Writable } from 'node:stream'
import { readError, ViolinError } from '#core/errors.ts'
import {
  encodeSessionFrame,
  maxSessionPayload,
  SessionDecoder,
  sessionFrame,
  type SessionFrame,
  type CaptureRequest,
  type SessionRequest
} from '#core/session.ts'
import type { Service } from '#api/contract.ts'

/** Exit status where the entity was not reached, as of cli.md and env(1). */
export const notReached = 125

export interface SessionEnds {
  /** What goes in; null: nothing. */
  readonly input: Readable | null
  readonly output: Writable
  readonly errors: Writable
  /** Ends the session early. */
  readonly signal?: AbortSignal
}

/** Splits `NAME/ENTITY`. Throws ViolinError `usage`. */
export function parseTarget(text: string): { readonly violin: string; readonly entity: string } {
  const slash = text.lastIndexOf('/')
  if (slash <= 0 || slash === text.length - 1) {
    throw new ViolinError(
      'usage',
      `${JSON.stringify(text)} names no entity`,
      'write it as NAME/ENTITY, such as figure2/vhost1'
    )
  }
  return { violin: text.slice(0, slash), entity: text.slice(slash + 1) }
}

/** Runs a session to its end and gives the exit status. Throws ViolinError when it could not be had. */
export async function runSession(
  service: Service,
  request: SessionRequest | CaptureRequest,
  ends: SessionEnds
): Promise<number> {
  const stream = await service.session(request)
  const over = new AbortController()
  const stop = (): void => {
    stream.destroy()
  }
  ends.signal?.addEventListener('abort', stop, { once: true })
  let unread: unknown = null
  const feeding = (ends.input === null ? endInput(stream) : feed(stream, ends.input, over.signal)).catch(
    (error: unknown) => {
      // Input that cannot be read ends the session, and is what the caller hears of.
      unread = error
      stream.destroy()
    }
  )
  try {
    return await drain(stream, ends)
  } catch (error: unknown) {
    throw unread ?? error
  } finally {
    over.abort()
    ends.signal?.removeEventListener('abort', stop)
    stream.destroy()
    await feeding
  }
}

/** Sends a new size of the terminal. */
export function resize(
  stream: Duplex,
  { rows, columns }: { readonly rows: number; readonly columns: number }
): void {
  const payload = new Uint8Array(4)
  const view = new DataView(payload.buffer)
  view.setUint16(0, rows)
  view.setUint16(2, columns)
  stream.write(encodeSessionFrame(sessionFrame.resize, payload))
}

function endInput(stream: Duplex): Promise<void> {
  stream.write(encodeSessionFrame(sessionFrame.stdinEnd, new Uint8Array(0)))
  return Promise.resolve()
}

/** Sends what comes in, as fast as the other end takes it. */
async function feed(stream: Duplex, input: Readable, signal: AbortSignal): Promise<void> {
  const stop = (): void => {
    input.destroy()
  }
  signal.addEventListener('abort', stop, { once: true })
  try {
    for await (const chunk of input as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; at += maxSessionPayload) {
        if (stream.destroyed) return
        const frame = encodeSessionFrame(sessionFrame.stdin, chunk.subarray(at, at + maxSessionPayload))
        if (!stream.write(frame)) await once(stream, 'drain', { signal })
      }
    }
    if (!stream.destroyed) await endInput(stream)
  } catch (error: unknown) {
    // The session ended while input was still to come: its status is what counts.
    if (!signal.aborted && !stream.destroyed) throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** Writes what comes out until the session tells its end. */
export async function drain(stream: Duplex, ends: Pick<SessionEnds, 'output' | 'errors'>): Promise<number> {
  const decoder = new SessionDecoder()
  for await (const chunk of untilBroken(stream)) {
    for (const { type, payload } of framesOf(decoder, chunk)) {
      if (type === sessionFrame.stdout) await write(ends.output, payload)
      else if (type === sessionFrame.stderr) await write(ends.errors, payload)
      else if (type === sessionFrame.exit && payload.length === 4)
        return new DataView(payload.buffer, payload.byteOffset).getInt32(0)
      else if (type === sessionFrame.exit) throw brokenOff('its end has no status')
      else if (type === sessionFrame.failed)
        throw readError(Buffer.from(payload).toString('utf8')) ?? brokenOff('it failed without a reason')
    }
  }
  throw brokenOff('nothing came any more')
}

/** The host at the far end may be hijacked: what is no session ends it in words. */
function framesOf(decoder: SessionDecoder, chunk: Buffer): SessionFrame[] {
  try {
    return decoder.push(chunk)
  } catch (error: unknown) {
    throw brokenOff((error as Error).message, error)
  }
}

function brokenOff(why: string, cause?: unknown): ViolinError {
  return new ViolinError(
    'nobody-reachable',
    `the session broke off: ${why}`,
    'see whether the entity and its host still run',
    { cause }
  )
}

/** What the stream brings; a connection that breaks ends it. */
async function* untilBroken(stream: Duplex): AsyncGenerator<Buffer, void, void> {
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) yield chunk
  } catch (error: unknown) {
    throw brokenOff((error as Error).message, error)
  }
}

async function write(target: Writable, payload: Uint8Array): Promise<void> {
  if (target.destroyed) throw new ViolinError('refused', 'the output was closed', 'try again')
  // The decoder reuses its buffer.
  if (!target.write(Buffer.from(payload))) await once(target, 'drain')
}

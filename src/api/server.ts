/**
 * The local API on `api.sock`: HTTP on a socket that only its user can open. An answer is `{"ok":…}` or
 * `{"error":…}`; a stream is a `{"row":…}` a line and ends with one of those; a session is an upgraded
 * connection that carries session frames both ways.
 */
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { createConnection } from 'node:net'
import { lstat, rm } from 'node:fs/promises'
import { Readable, type Duplex } from 'node:stream'
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply } from 'fastify'
import { type ErrorData, ViolinError, errorCodes, errorData } from '#core/errors.ts'
import { SessionDecoder, encodeSessionFrame, sessionFrame } from '#core/session.ts'
import type { Service } from './contract.ts'
import { type Method, maxBodyBytes, methods, sessionRequest, sessionUpgrade, tooLarge } from './methods.ts'
import { splice } from './splice.ts'

/** Streams that do not end within this time are cut off when the server closes. */
const endingMs = 300
/** The first frame of a session comes within this time. */
const openTimeoutMs = 10_000

export interface ApiServer {
  /** Takes no more requests, ends those under way, removes the socket. */
  close(): Promise<void>
}

/**
 * Serves a daemon's API at a path. Throws ViolinError `already-running` when another daemon does, `refused`
 * when something else lies there.
 */
export async function serveApi(path: string, service: Service): Promise<ApiServer> {
  await makeRoom(path)
  const app = fastify({ bodyLimit: maxBodyBytes, forceCloseConnections: 'idle' })
  app.setNotFoundHandler((_request, reply) => reply.code(404).send({ error: usage('no such method') }))
  app.setErrorHandler((error, _request, reply) => refuseRequest(error as FastifyError, reply))
  const streams = new Set<Readable>()
  for (const method of Object.keys(methods) as Method[]) route(app, method, service, streams)
  const sessions = new Set<Duplex>()
  app.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    sessions.add(socket)
    socket.once('close', () => sessions.delete(socket))
    serveSession(request, socket, head, service)
  })
  const before = process.umask(0o177)
  try {
    await app.listen({ path })
  } finally {
    process.umask(before)
  }
  return {
    async close() {
      for (const socket of sessions) socket.destroy()
      // An answer that comes to its end is still delivered; who follows is cut off.
      const patience = setTimeout(() => {
        for (const rows of streams) rows.destroy()
        // A caller that keeps its connection for another question keeps nobody.
        app.server.closeIdleConnections()
      }, endingMs)
      await app.close()
      clearTimeout(patience)
    }
  }
}

/** Removes what a daemon that died left at the path. */
async function makeRoom(path: string): Promise<void> {
  if (await answers(path)) {
    throw new ViolinError(
      'already-running',
      `a daemon serves ${path} already`,
      'use that one, or another folder (--dir)'
    )
  }
  const there = await lstat(path).catch(() => null)
  if (there === null) return
  if (!there.isSocket()) {
    throw new ViolinError('refused', `${path} is no socket`, 'move it away, or use another folder (--dir)')
  }
  await rm(path, { force: true })
}

function usage(what: string): ErrorData {
  return { code: 'usage', message: what, remedy: 'use a command line of the same version as the daemon' }
}

/** What fastify refuses before a method is called: bodies too large, or no JSON. */
function refuseRequest(error: FastifyError, reply: FastifyReply): FastifyReply {
  const status = error.statusCode ?? 500
  if (status === 413) return reply.code(status).send({ error: tooLarge() })
  return reply.code(status).send({ error: status < 500 ? usage(error.message) : errorData(error) })
}

/** Whether somebody listens: only a socket that refuses is left over from a daemon that died. */
async function answers(path: string): Promise<boolean> {
  const socket = createConnection(path)
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

function route(app: FastifyInstance, method: Method, service: Service, streams: Set<Readable>): void {
  const { request: schema, stream } = methods[method]
  app.post(`/${method}`, async (request, reply) => {
    const parsed = schema.safeParse(request.body)
    if (!parsed.success) {
      const where = parsed.error.issues[0]
      const what = `${method}: ${where?.path.join('.') ?? ''} ${where?.message ?? 'is wrong'}`
      return reply.code(400).send({ error: usage(what) })
    }
    // The table ties each method to its own request type; TypeScript cannot follow that through a loop.
    const call = service[method].bind(service) as (
      request: unknown
    ) => Promise<unknown> | AsyncIterable<unknown>
    if (stream) {
      const rows = Readable.from(lines(call(parsed.data) as AsyncIterable<unknown>))
      streams.add(rows)
      rows.once('end', () => streams.delete(rows)).once('close', () => streams.delete(rows))
      return reply.type('application/x-ndjson').send(rows)
    }
    try {
      return await reply.send({ ok: await call(parsed.data) })
    } catch (error: unknown) {
      const data = errorData(error)
      return reply.code(errorCodes[data.code] === 2 ? 400 : 409).send({ error: data })
    }
  })
}

/**
 * The lines of a stream. Not a generator: one that waits for its next row could not be ended when the reader
 * goes, and what it follows would never be freed.
 */
function lines(rows: AsyncIterable<unknown>): AsyncIterableIterator<string> {
  const source = rows[Symbol.asyncIterator]()
  let ended = false
  return {
    [Symbol.asyncIterator]() {
      return this
    },
    async next() {
      if (ended) return { done: true, value: undefined }
      try {
        const { done, value } = await source.next()
        ended = done === true
        return {
          done: false,
          value: ended ? '{"ok":{}}\n' : `${JSON.stringify({ row: value as unknown })}\n`
        }
      } catch (error: unknown) {
        ended = true
        return { done: false, value: `${JSON.stringify({ error: errorData(error) })}\n` }
      }
    },
    async return() {
      ended = true
      await source.return?.()
      return { done: true, value: undefined }
    }
  }
}

function serveSession(request: IncomingMessage, socket: Duplex, head: Buffer, service: Service): void {
  socket.on('error', () => socket.destroy())
  if (request.headers.upgrade !== sessionUpgrade) {
    socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')
    return
  }
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${sessionUpgrade}\r\n\r\n`
  )
  if (head.length > 0) socket.unshift(head)
  openSession(socket, service).catch((error: unknown) => {
    const data = new TextEncoder().encode(JSON.stringify(errorData(error)))
    socket.end(encodeSessionFrame(sessionFrame.failed, data))
  })
}

async function openSession(socket: Duplex, service: Service): Promise<void> {
  const opening = await firstFrame(socket, AbortSignal.timeout(openTimeoutMs))
  const parsed = sessionRequest.safeParse(parseJson(opening))
  if (!parsed.success) {
    throw new ViolinError(
      'usage',
      'the session begins with no request',
      'use a command line of the same version as the daemon'
    )
  }
  splice(socket, await service.session(parsed.data))
}

/** Reads the `open` frame and puts what came after it back. */
async function firstFrame(socket: Duplex, signal: AbortSignal): Promise<string> {
  const decoder = new SessionDecoder()
  let buffered = Buffer.alloc(0)
  for (;;) {
    const chunk = socket.read() as Buffer | null
    if (chunk === null) {
      if (socket.readableEnded || socket.destroyed)
        throw new ViolinError('usage', 'the session ended before it began', 'try again')
      await once(socket, 'readable', { signal })
      continue
    }
    buffered = Buffer.concat([buffered, chunk])
    const frame = decoder.push(chunk)[0]
    if (frame === undefined) continue
    if (frame.type !== sessionFrame.open)
      throw new ViolinError('usage', 'the session begins with no request', 'try again')
    const rest = buffered.subarray(4 + frame.payload.length)
    const text = Buffer.from(frame.payload).toString('utf8')
    if (rest.length > 0) socket.unshift(rest)
    return text
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

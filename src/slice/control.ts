/**
 * `control.sock`: answers requests line by line, tells events to those who said hello, and turns a connection
 * into a session. The socket's permissions say who may connect; the highest generation says who is obeyed.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { errorData, ViolinError } from '#core/errors.ts'
import type { Duplex } from 'node:stream'
import { contractVersion, type SliceEvent, type SliceMethods, type SliceRequestLine } from './contract.ts'
import { decodeLine, encodeLine, LineSplitter } from './lines.ts'

/** What a listener may leave unread before it is cut off: it hears all again with its next hello. */
const maxUnreadBytes: number = 16 * 1024 * 1024

type Method = keyof SliceMethods
/** The methods that the slice answers; `hello` comes after the generation was checked. */
export type Handlers = {
  readonly [M in Exclude<Method, 'session'>]: (
    params: SliceMethods[M][0]
  ) => SliceMethods[M][1] | Promise<SliceMethods[M][1]>
} & {
  /** Takes over the stream of a session, once its answer was sent. Throws ViolinError. */
  readonly session: (params: SliceMethods['session'][0]) => (stream: Duplex) => void
}

export interface ControlEvents {
  /** A daemon said hello and got its answer. */
  greeted(): void
  /** The last daemon went. */
  deserted(): void
}

interface Connection {
  readonly socket: Socket
  readonly lines: LineSplitter
  /** Generation that it said hello with; null before. */
  generation: number | null
}

export class Control {
  readonly #handlers: Handlers
  readonly #events: ControlEvents
  readonly #connections = new Set<Connection>()
  readonly #server: Server
  #generation = 0

  /** Starts to listen on `path`, which must not exist. */
  constructor(path: string, handlers: Handlers, events: ControlEvents) {
    this.#handlers = handlers
    this.#events = events
    this.#server = createServer((socket) => this.#accept(socket))
    this.#server.listen(path)
  }

  /** Resolves when it listens. */
  async listening(): Promise<void> {
    if (this.#server.listening) return
    await new Promise<void>((resolve, reject) => {
      this.#server.once('listening', resolve)
      this.#server.once('error', reject)
    })
  }

  tell(event: SliceEvent): void {
    const line = encodeLine({ event })
    for (const { socket, generation } of this.#connections) {
      if (generation !== this.#generation || generation === null) continue
      if (socket.writableLength > maxUnreadBytes) socket.destroy()
      else socket.write(line)
    }
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const { socket } of this.#connections) socket.end()
    const timer = setTimeout(() => this.#destroyAll(), 1_000)
    await closed
    clearTimeout(timer)
  }

  #destroyAll(): void {
    for (const { socket } of this.#connections) socket.destroy()
  }

  #accept(socket: Socket): void {
    const connection: Connection = { socket, lines: new LineSplitter(), generation: null }
    this.#connections.add(connection)
    socket.on('error', () => socket.destroy())
    socket.once('close', () => this.#forget(connection))
    const take = (chunk: Buffer): void => {
      try {
        connection.lines.push(chunk)
        for (let line = connection.lines.next(); line !== null; line = connection.lines.next()) {
          const request = parse(line)
          if (request.method === 'session') {
            socket.off('data', take)
            return this.#becomeSession(connection, request)
          }
          void this.#answer(connection, request)
        }
      } catch (error: unknown) {
        socket.destroy(error instanceof Error ? error : new Error(String(error)))
      }
    }
    socket.on('data', take)
  }

  async #answer(
    connection: Connection,
    request: Exclude<SliceRequestLine, { method: 'session' }>
  ): Promise<void> {
    const { socket } = connection
    try {
      const result = await this.#call(connection, request)
      socket.write(encodeLine({ id: request.id, result }))
      // Only now: events that it sets off come after the answer.
      if (request.method === 'hello') this.#events.greeted()
    } catch (error: unknown) {
      socket.write(encodeLine({ id: request.id, error: errorData(error) }))
    }
  }

  #call(connection: Connection, request: Exclude<SliceRequestLine, { method: 'session' }>): unknown {
    if (request.method === 'hello') this.#greet(connection, request.params)
    else if (connection.generation === null)
      throw new ViolinError('refused', 'hello comes first', 'update the daemon')
    else if (connection.generation < this.#generation) throw outdated()
    const handler = this.#handlers[request.method] as (params: unknown) => unknown
    return handler(request.params)
  }

  #greet(connection: Connection, params: SliceMethods['hello'][0]): void {
    const { contract, generation } = params
    if (contract !== contractVersion)
      throw new ViolinError(
        'refused',
        `contract ${contract} is not spoken here`,
        'stop the VIOLIN and start it again'
      )
    if (!Number.isSafeInteger(generation) || generation < this.#generation) throw outdated()
    this.#generation = generation
    connection.generation = generation
    for (const other of this.#connections)
      if (other.generation !== null && other.generation < generation) other.socket.destroy()
  }

  #becomeSession(connection: Connection, request: Extract<SliceRequestLine, { method: 'session' }>): void {
    const { socket } = connection
    try {
      const serve = this.#handlers.session(request.params)
      socket.write(encodeLine({ id: request.id, result: {} }))
      socket.pause()
      const early = connection.lines.rest()
      if (early.length > 0) socket.unshift(early)
      serve(socket)
      socket.resume()
    } catch (error: unknown) {
      socket.end(encodeLine({ id: request.id, error: errorData(error) }))
    }
  }

  #forget(connection: Connection): void {
    this.#connections.delete(connection)
    if (connection.generation === null) return
    for (const { generation } of this.#connections) if (generation === this.#generation) return
    this.#events.deserted()
  }
}

function outdated(): ViolinError {
  return new ViolinError('refused', 'a newer daemon has this slice', 'stop this daemon')
}

function parse(line: string): SliceRequestLine {
  const request = decodeLine(line) as SliceRequestLine
  const fit = typeof request === 'object' && request !== null && Number.isInteger(request.id)
  if (!fit || typeof request.params !== 'object' || !methods.has(request.method))
    throw new RangeError('no request of this contract')
  return request
}

const methods: ReadonlySet<string> = new Set<Method>([
  'hello',
  'configure',
  'status',
  'trunkOffer',
  'trunkJoin',
  'trunkRenew',
  'handoff',
  'tapReady',
  'tapRefused',
  'stop',
  'session'
])

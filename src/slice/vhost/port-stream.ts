/**
 * One life of a console port as a stream of the main thread.
 */
import { Duplex } from 'node:stream'
import { unreachable } from '#core/ids.ts'
import { type ConsoleCommand, type ConsoleReport, windowBytes } from './console-contract.ts'

/** What a stream needs of its device. */
export interface PortStreamHost {
  post(command: ConsoleCommand): void
  /** The stream is over, and its port free for another. */
  released(stream: PortStream): void
}

type Callback = (error?: Error | null) => void

/**
 * Bytes to and from the guest, with back-pressure both ways. Bytes wait until the guest has opened the port
 * (event `opened`).
 *
 * `end()` is the guest's end of file; once it has seen it, Linux lets no writer of the port go on, so a port that
 * answers is not ended first. The guest's closing is this side's `end`; what is written after it is dropped.
 * `close` comes when both sides closed, after `destroy()`, or, without an `end`, when the machine is gone.
 */
export class PortStream extends Duplex {
  readonly port: number
  readonly number: number
  /** The guest has opened the port. */
  isOpen = false
  /** Resolves when the guest has made the port's device, and can open it; never, when it dies before. */
  readonly ready: Promise<void>
  readonly #madeReady: () => void
  readonly #host: PortStreamHost
  /** Posted and not confirmed. */
  #unconfirmed = 0
  /** What of the chunk at work was not posted yet, and whom to tell when it is. */
  #rest: Uint8Array = new Uint8Array(0)
  #written: Callback | null = null
  /** Received while the reader had enough. */
  #untaken = 0

  constructor(port: number, number: number, host: PortStreamHost) {
    super({ allowHalfOpen: true })
    const { promise, resolve } = Promise.withResolvers<void>()
    this.ready = promise
    this.#madeReady = resolve
    this.port = port
    this.number = number
    this.#host = host
  }

  /** What the worker tells of this stream; not for others. */
  told(report: Extract<ConsoleReport, { stream: number }>): void {
    if (this.destroyed) return
    switch (report.kind) {
      case 'ready':
        this.#madeReady()
        return
      case 'opened':
        this.isOpen = true
        this.emit('opened')
        return
      case 'data':
        this.#receive(report.bytes)
        return
      case 'end':
        this.push(null)
        return
      case 'sent':
        this.#unconfirmed -= report.bytes
        this.#post()
        return
      default:
        unreachable(report)
    }
  }

  // What Duplex asks.

  override _read(): void {
    this.#confirmTaken()
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, written: Callback): void {
    this.#rest = chunk
    this.#written = written
    this.#post()
  }

  override _final(done: Callback): void {
    this.#host.post({ kind: 'end', stream: this.number })
    done()
  }

  override _destroy(error: Error | null, done: Callback): void {
    this.#host.post({ kind: 'release', stream: this.number })
    this.#host.released(this)
    done(error)
  }

  #receive(bytes: Uint8Array<ArrayBuffer>): void {
    this.#untaken += bytes.length
    if (this.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))) this.#confirmTaken()
  }

  #confirmTaken(): void {
    if (this.#untaken === 0) return
    this.#host.post({ kind: 'taken', stream: this.number, bytes: this.#untaken })
    this.#untaken = 0
  }

  /** Posts as much of the chunk as the window lets. */
  #post(): void {
    const count = Math.min(this.#rest.length, windowBytes - this.#unconfirmed)
    if (count > 0) {
      // A copy: the chunk may be a part of a pool, and is its writer's.
      const bytes = Uint8Array.from(this.#rest.subarray(0, count))
      this.#rest = this.#rest.subarray(count)
      this.#unconfirmed += count
      this.#host.post({ kind: 'data', stream: this.number, bytes })
    }
    const written = this.#written
    if (this.#rest.length > 0 || written === null) return
    this.#written = null
    written()
  }
}

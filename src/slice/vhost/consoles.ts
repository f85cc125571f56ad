/**
 * The main thread's handle on the consoles of all machines of a slice: one worker, a device a machine, streams
 * on the device's ports.
 */
import { EventEmitter } from 'node:events'
import { Worker } from 'node:worker_threads'
import { ViolinError } from '#core/errors.ts'
import { closeEventfd, openEventfd, wake } from '#syscalls/eventfd.ts'
import { close } from '#syscalls/libc.ts'
import type { ConsoleCommand, ConsoleReport, ConsoleStart } from './console-contract.ts'
import { PortStream } from './port-stream.ts'

/** A worker that does not end by itself is ended after this long. */
const stopMs = 2_000
/** Ports of a console when nothing else is said, and the most: each costs the guest 24 KB, and 1 MB once used. */
const defaultPorts = 16

interface ConsoleEvents {
  /** The guest's driver runs. */
  connected: []
  /** The device is over and its streams are closed: the machine ended, broke the protocol, or the worker failed. */
  disconnected: [reason: string]
}

/** What a device needs of all. */
interface DeviceHost {
  post(command: ConsoleCommand): void
  addStream(make: (number: number) => PortStream): PortStream
  removeStream(stream: PortStream): void
  removeDevice(id: number): void
}

/** One machine's console. */
export class ConsoleDevice extends EventEmitter<ConsoleEvents> {
  readonly id: number
  readonly maxPorts: number
  readonly #host: DeviceHost
  readonly #streams = new Map<number, PortStream>()
  #connected = false
  #closed = false

  constructor(id: number, maxPorts: number, host: DeviceHost) {
    super()
    this.id = id
    this.maxPorts = maxPorts
    this.#host = host
  }

  get connected(): boolean {
    return this.#connected
  }

  /**
   * A stream on a port, 0..maxPorts-1, which the guest has as /dev/vportNpPORT (N: the console's place among its
   * virtio devices) from the first time on. May be asked for before the machine runs. Throws RangeError for a
   * port that does not exist or has a stream, and ViolinError `not-running-here` when the device is over.
   */
  openPort(port: number): PortStream {
    if (this.#closed)
      throw new ViolinError('not-running-here', 'the machine is gone', 'look at it: violin show')
    if (!Number.isInteger(port) || port < 0 || port >= this.maxPorts) throw new RangeError(`no port ${port}`)
    if (this.#streams.has(port)) throw new RangeError(`port ${port} has a stream`)
    const stream = this.#host.addStream((number) => {
      return new PortStream(port, number, {
        post: (command) => {
          if (!this.#closed) this.#host.post(command)
        },
        released: (over) => {
          this.#streams.delete(port)
          this.#host.removeStream(over)
        }
      })
    })
    this.#streams.set(port, stream)
    this.#host.post({ kind: 'open', device: this.id, port, stream: stream.number })
    return stream
  }

  /** Ends the device, as the guest's driver sees it too, and its streams. */
  close(): void {
    if (this.#closed) return
    this.#host.post({ kind: 'detach', device: this.id })
    this.#end()
  }

  /** The worker says that the driver runs; not for others. */
  connect(): void {
    this.#connected = true
    this.emit('connected')
  }

  /** It is over in the worker already; not for others. */
  lose(reason: string): void {
    if (this.#closed) return
    this.#end()
    this.emit('disconnected', reason)
  }

  #end(): void {
    this.#closed = true
    this.#connected = false
    this.#host.removeDevice(this.id)
    for (const stream of Array.from(this.#streams.values())) stream.destroy()
  }
}

export class Consoles implements AsyncDisposable {
  readonly #wakeFd = openEventfd()
  readonly #worker: Worker
  readonly #exited: Promise<void>
  readonly #devices = new Map<number, ConsoleDevice>()
  readonly #streams = new Map<number, PortStream>()
  #count = 0
  #ended = false
  /** A worker that is blocked in epoll would keep the process from exiting. */
  readonly #atExit = (): void => this.#post({ kind: 'stop' })

  private constructor() {
    const workerData: ConsoleStart = { wakeFd: this.#wakeFd }
    this.#worker = new Worker(ownProgram(), { workerData })
    process.once('exit', this.#atExit)
    this.#worker.on('message', (report: ConsoleReport) => this.#take(report))
    let failure = 'the console worker ended'
    this.#worker.on('error', (error: unknown) => {
      failure = `the console worker failed: ${error instanceof Error ? error.message : String(error)}`
    })
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#end(failure)
        resolve()
      })
    })
  }

  /** Starts the worker. One serves a whole slice. */
  static start(): Consoles {
    return new Consoles()
  }

  /**
   * Waits for one machine's console behind `listenFd`, a listening AF_UNIX stream socket that is taken over;
   * `maxPorts` is fixed for the machine's life. What does not work out is told as `disconnected`.
   */
  attach(listenFd: number, options: { readonly maxPorts?: number } = {}): ConsoleDevice {
    const id = ++this.#count
    const maxPorts = options.maxPorts ?? defaultPorts
    const device = new ConsoleDevice(id, maxPorts, {
      post: (command) => this.#post(command),
      addStream: (make) => {
        const stream = make(++this.#count)
        this.#streams.set(stream.number, stream)
        return stream
      },
      removeStream: (stream) => this.#streams.delete(stream.number),
      removeDevice: (over) => this.#devices.delete(over)
    })
    this.#devices.set(id, device)
    if (this.#ended) {
      close(listenFd)
      process.nextTick(() => device.lose('the console worker has ended'))
    } else this.#post({ kind: 'attach', device: id, listenFd, maxPorts })
    return device
  }

  /** Ends all devices and the worker; resolves when it has. */
  async stop(): Promise<void> {
    for (const device of Array.from(this.#devices.values())) device.close()
    this.#post({ kind: 'stop' })
    const timer = setTimeout(() => void this.#worker.terminate(), stopMs)
    await this.#exited
    clearTimeout(timer)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #post(command: ConsoleCommand): void {
    if (this.#ended) return
    const transfer = command.kind === 'data' ? [command.bytes.buffer] : []
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker.postMessage(command, transfer)
    wake(this.#wakeFd)
  }

  #take(report: ConsoleReport): void {
    if (report.kind === 'connected') this.#devices.get(report.device)?.connect()
    else if (report.kind === 'disconnected') this.#devices.get(report.device)?.lose(report.reason)
    else this.#streams.get(report.stream)?.told(report)
  }

  #end(reason: string): void {
    this.#ended = true
    process.removeListener('exit', this.#atExit)
    closeEventfd(this.#wakeFd)
    for (const device of Array.from(this.#devices.values())) device.lose(reason)
  }
}

function ownProgram(): URL {
  const own = import.meta.url.endsWith('.ts') ? './console-worker.ts' : './console-worker.js'
  return new URL(own, import.meta.url)
}

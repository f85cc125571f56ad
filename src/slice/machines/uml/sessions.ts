/**
 * Sessions into one machine. Each has ports of the virtio console to itself while it lasts: three for the
 * standard streams, unframed, or one for a terminal. Ports are kept and used again: each costs the guest 1 MB.
 */
import type { Duplex, Readable } from 'node:stream'
import { errorData, ViolinError } from '#core/errors.ts'
import {
  encodeSessionFrame,
  maxSessionPayload,
  SessionDecoder,
  sessionFrame,
  type SessionFrame,
  type SessionRequest
} from '#core/session.ts'
import { quote } from '../netns/setup.ts'
import type { Agent } from './agent.ts'
import { encodeSize, encodeTelnet, TelnetDecoder } from './telnet.ts'

/** Sessions at a time: three ports each, 24 MB of a guest that uses them all. */
export const maxSessions = 8
/** Places for sessions: more than run, for one that is over keeps its ports while a program left behind does. UML takes
 * 64 rings of a device, which is 31 ports. */
const maxSlots = 10
const portsPerSession = 3
/** Ports that a machine's console needs: one for control, and those of the sessions. */
export const consolePorts: number = 1 + maxSlots * portsPerSession
/** Longest command, bytes as quoted words: the guest reads it byte by byte at 40 µs each. */
const maxWordsBytes = 65_536
/** A guest starts a program within tens of milliseconds; a busy host takes longer. */
const startMs = 20_000
/** A program whose caller went gets this long to end after SIGHUP. */
const hangUpMs = 2_000
/**
 * Silence after a program's end that ends its output too: what it left behind may hold the ports for ever. The
 * status comes by another port than the output, which a busy host may be this late with.
 */
const drainMs = 2_000
/** Between the last port's end and the exit status, which comes by another way. */
const silentMs = 2_000

/** telnetd begins a line, "\\r\\r\\n", before the program has its terminal. */
const telnetdGreeting = 3

/** Ports of the machine's console, as the virtio console's backend gives them. */
export type OpenPort = (port: number) => Duplex & { readonly ready: Promise<void> }

/** What the sessions ask of the agent. */
export type SessionAgent = Pick<Agent, 'exec' | 'terminal' | 'signal'>

interface Session {
  readonly id: string
  readonly started: () => void
  readonly exit: (status: number) => void
  readonly fail: (error: unknown) => void
}

export class Sessions {
  readonly #agent: SessionAgent
  readonly #openPort: OpenPort
  readonly #live = new Map<string, Session>()
  /** Invariant: a slot that is taken has a port that the guest may still hold open. */
  readonly #taken = new Set<number>()
  /** Sessions whose callers are there. */
  #served = 0
  #count = 0

  constructor(agent: SessionAgent, openPort: OpenPort) {
    this.#agent = agent
    this.#openPort = openPort
  }

  /** Serves a session; the stream ends with `exit`, or with `failed`. Never throws. */
  serve(request: SessionRequest, stream: Duplex): void {
    stream.on('error', () => stream.destroy())
    try {
      const isShell = request.terminal === undefined && request.argv.length === 0
      const words = quoteWords(isShell ? ['/bin/sh', '-l'] : request.argv)
      const slot = this.#free()
      const first = 1 + slot * portsPerSession
      this.#taken.add(slot)
      const id = `s${++this.#count}`
      const ports = request.terminal === undefined ? [first, first + 1, first + 2] : [first]
      const streams = ports.map((port) => this.#openPort(port))
      void Promise.all(streams.map(closed)).then(() => this.#taken.delete(slot))
      if (request.terminal === undefined) this.#withPipes(id, streams, stream)
      else this.#withTerminal(id, request.terminal, streams[0] as Duplex, stream)
      streams[0]?.write(`${words}\n`)
      // A device that the guest has not finished making cannot be opened there.
      void Promise.all(streams.map((one) => one.ready)).then(() => {
        if (request.terminal === undefined) this.#agent.exec(id, ports as [number, number, number])
        else this.#agent.terminal(id, first)
      })
    } catch (error: unknown) {
      failSession(stream, error)
    }
  }

  started(id: string): void {
    this.#live.get(id)?.started()
  }

  exited(id: string, status: number): void {
    this.#live.get(id)?.exit(status)
  }

  /** The machine is gone: so are all sessions. */
  end(reason: string): void {
    for (const session of this.#live.values())
      session.fail(new ViolinError('not-running-here', reason, 'look at it: violin show'))
  }

  #free(): number {
    for (let slot = 0; slot < maxSlots && this.#served < maxSessions; slot++)
      if (!this.#taken.has(slot)) return slot
    throw new ViolinError('refused', `${maxSessions} sessions are open in it`, 'end one of them')
  }

  #withPipes(id: string, ports: readonly Duplex[], stream: Duplex): void {
    const [stdin, stdout, stderr] = ports as [Duplex, Duplex, Duplex]
    // What the guest might say on its standard input is nobody's.
    stdin.resume()
    const outputs = [
      new Output(stdout, stream, (bytes) => ({ type: sessionFrame.stdout, bytes })),
      new Output(stderr, stream, (bytes) => ({ type: sessionFrame.stderr, bytes }))
    ]
    this.#open(id, ports, outputs, stream)
    readFrames(stream, stdin, ({ type, payload }) => {
      if (type === sessionFrame.stdin) return stdin.write(Buffer.from(payload))
      if (type === sessionFrame.stdinEnd) stdin.end()
      return true
    })
  }

  #withTerminal(id: string, size: { rows: number; columns: number }, port: Duplex, stream: Duplex): void {
    const decoder = new TelnetDecoder()
    let greeting = telnetdGreeting
    const output = new Output(port, stream, (chunk) => {
      const bytes = decoder.push(chunk)
      const skip = Math.min(greeting, bytes.length)
      greeting -= skip
      return { type: sessionFrame.stdout, bytes: bytes.subarray(skip) }
    })
    this.#open(id, [port], [output], stream)
    // Only telnetd reads past the line of words, so the size waits for it.
    let ready = false
    const early: Uint8Array[] = [encodeSize(size.rows, size.columns)]
    port.once('data', () => {
      ready = true
      for (const bytes of early.splice(0)) port.write(bytes)
      stream.resume()
    })
    const send = (bytes: Uint8Array): boolean => {
      if (ready) return port.write(bytes)
      early.push(bytes)
      return early.length < 64
    }
    readFrames(stream, port, ({ type, payload }) => {
      if (type === sessionFrame.stdin) return send(encodeTelnet(payload))
      // Ctrl-D: what ends a terminal's input.
      if (type === sessionFrame.stdinEnd) return send(Uint8Array.of(4))
      if (type !== sessionFrame.resize || payload.length < 4) return true
      const view = Buffer.from(payload)
      return send(encodeSize(view.readUInt16BE(0), view.readUInt16BE(2)))
    })
  }

  /** Registers a session and what ends it. */
  #open(id: string, ports: readonly Duplex[], outputs: readonly Output[], stream: Duplex): void {
    let over = false
    let served = true
    this.#served++
    const leave = (): void => {
      if (served) this.#served--
      served = false
    }
    let killer: NodeJS.Timeout | undefined
    let silence: NodeJS.Timeout | undefined
    const finish = (): void => {
      over = true
      leave()
      this.#live.delete(id)
      clearTimeout(starting)
      clearTimeout(killer)
      clearTimeout(silence)
      // What a program left behind may write on into nothing until it closes its ports.
      for (const output of outputs) output.drop()
      ports[0]?.end()
      for (const port of ports) whenEnded(port, () => port.end())
    }
    const fail = (error: unknown): void => {
      if (over) return
      finish()
      failSession(stream, error)
    }
    const starting = setTimeout(() => {
      this.#agent.signal(id, 'KILL')
      fail(new ViolinError('timeout', `it started no program in ${startMs} ms`, 'try again, or restart it'))
    }, startMs)
    const exit = (status: number): void => {
      clearTimeout(starting)
      void Promise.all(outputs.map((output) => output.drained(drainMs))).then(() => {
        if (over) return
        finish()
        return endSession(stream, status)
      })
    }
    // A session whose own shell was killed closes its ports and tells no status.
    void Promise.all(outputs.map((output) => output.ended)).then(() => {
      if (over) return
      silence = setTimeout(
        () => fail(new ViolinError('internal', 'the session was killed', 'try again')),
        silentMs
      )
    })
    for (const port of ports) port.on('error', fail)
    this.#live.set(id, { id, exit, fail, started: () => clearTimeout(starting) })
    // A caller that went takes its program along.
    let gone = false
    const callerGone = (): void => {
      if (over || gone) return
      gone = true
      leave()
      for (const output of outputs) output.drop()
      this.#agent.signal(id, 'HUP')
      killer = setTimeout(() => this.#agent.signal(id, 'KILL'), hangUpMs)
    }
    stream.once('end', callerGone)
    stream.once('close', callerGone)
  }
}

/** One port's output, passed on as frames and no faster than the caller takes them. */
class Output {
  readonly #port: Readable
  /** Resolves when the guest closed it. */
  readonly ended: Promise<void>
  #dropping = false
  #lastMs = 0

  constructor(port: Duplex, stream: Duplex, frame: (chunk: Buffer) => { type: number; bytes: Uint8Array }) {
    this.#port = port
    this.ended = new Promise((resolve) => whenEnded(port, resolve))
    port.on('data', (chunk: Buffer) => {
      this.#lastMs = performance.now()
      if (this.#dropping || stream.destroyed || stream.writableEnded) return
      const { type, bytes } = frame(chunk)
      let room = true
      for (let at = 0; at < bytes.length; at += maxSessionPayload)
        room = stream.write(encodeSessionFrame(type, bytes.subarray(at, at + maxSessionPayload)))
      if (!room) port.pause()
    })
    stream.on('drain', () => port.resume())
  }

  /** From here on it is read and thrown away. */
  drop(): void {
    this.#dropping = true
    this.#port.resume()
  }

  /** Resolves when the guest closed it, or was silent this long while we listened. */
  async drained(quietMs: number): Promise<void> {
    this.#lastMs = performance.now()
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setInterval(() => {
      if (this.#port.isPaused()) this.#lastMs = performance.now()
      else if (performance.now() - this.#lastMs > quietMs) resolve()
    }, quietMs / 4)
    await Promise.race([this.ended, promise])
    clearInterval(timer)
  }
}

/** Hands the caller's frames on; `take` says whether there is room for more. */
function readFrames(stream: Duplex, target: Duplex, take: (frame: SessionFrame) => boolean): void {
  const decoder = new SessionDecoder()
  target.on('drain', () => stream.resume())
  target.once('close', () => stream.resume())
  stream.on('data', (chunk: Uint8Array) => {
    try {
      let room = true
      for (const frame of decoder.push(chunk))
        if (!target.writableEnded && !target.destroyed) room = take(frame)
      if (!room) stream.pause()
    } catch (error: unknown) {
      stream.destroy(error instanceof Error ? error : new Error(String(error)))
    }
  })
}

/** Calls once the guest has closed its side, or has already. */
function whenEnded(port: Duplex, then: () => void): void {
  if (port.readableEnded || port.destroyed) return then()
  port.once('end', then)
  port.once('close', then)
}

/** Resolves when both sides are closed. */
function closed(port: Duplex): Promise<void> {
  return new Promise((resolve) => port.once('close', resolve))
}

function endSession(stream: Duplex, status: number): void {
  const payload = Buffer.alloc(4)
  payload.writeInt32BE(status)
  if (!stream.destroyed) stream.end(encodeSessionFrame(sessionFrame.exit, payload))
}

/** Ends a stream with the reason why there is no session. */
export function failSession(stream: Duplex, error: unknown): void {
  if (stream.destroyed || stream.writableEnded) return
  stream.end(encodeSessionFrame(sessionFrame.failed, Buffer.from(JSON.stringify(errorData(error)))))
}

/** Program and arguments as one line of words for the guest's shell. */
function quoteWords(argv: readonly string[]): string {
  if (argv.some((word) => word.includes('\0')))
    throw new ViolinError('usage', 'an argument has a zero byte', 'pass it on standard input')
  const words = argv.map((word) => quote(word).replaceAll('\n', () => `'"$newline"'`)).join(' ')
  if (Buffer.byteLength(words) > maxWordsBytes)
    throw new ViolinError(
      'too-large',
      `a command of more than ${maxWordsBytes} bytes`,
      'pass a script on standard input'
    )
  return words
}

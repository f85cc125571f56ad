/**
 * The slice's end of the control port: what it asks of the agent inside (src/guest/agent), and what that says.
 * One line of words each; what comes is a guest's, so it is bounded and believed for this machine only.
 *
 *     to the guest    exec ID IN OUT ERR │ terminal ID PORT │ signal ID HUP │ hosts BYTES │ change BYTES │ halt
 *                     (the bytes follow: a file of names, a script)
 *     from the guest  up │ ready │ failed REASON │ started ID │ exit ID STATUS │ taken STATUS REASON
 */
import type { Duplex } from 'node:stream'
import { ViolinError } from '#core/errors.ts'

export interface AgentEvents {
  /** The network is set up, sessions can be had; the entity's script runs now. */
  up(): void
  /** The entity's script is done. */
  ready(): void
  failed(reason: string): void
  /** A session's process has its ports. */
  started(session: string): void
  exit(session: string, status: number): void
  /** The control port ended or is used against the rules. */
  lost(reason: string): void
}

/** Longest line taken from a guest, bytes. */
const maxLineBytes = 4_096
/** Longest reason of a guest that is passed on, characters. */
const maxReason = 1_000
/** Lines that wait while names or a script are taken over: two for each session there can be, and more. */
const maxHeld = 64
/** A guest that does not take its names by then is out of order. */
const hostsMs = 20_000
/** A script that plugs vNICs and tells routing daemons of it takes a second, and many times that on a busy host. */
const changeMs = 60_000

export class Agent {
  readonly #port: Duplex
  readonly #events: AgentEvents
  #rest = ''
  #lost = false
  /** Invariant: while names or a script are on their way nothing else is written; then these are, in order. */
  #held: string[] | null = null
  #taken: ((answer: { readonly status: number; readonly reason: string }) => void) | null = null

  constructor(port: Duplex, events: AgentEvents) {
    this.#port = port
    this.#events = events
    port.on('data', (chunk: Buffer) => this.#read(chunk))
    port.once('end', () => this.#lose('its control port was closed'))
    port.once('error', (error) => this.#lose(`its control port failed: ${error.message}`))
    port.once('close', () => this.#lose('its control port was closed'))
  }

  exec(session: string, ports: readonly [number, number, number]): void {
    this.#say(`exec ${session} ${ports.join(' ')}\n`)
  }

  terminal(session: string, port: number): void {
    this.#say(`terminal ${session} ${port}\n`)
  }

  signal(session: string, signal: 'HUP' | 'KILL'): void {
    this.#say(`signal ${session} ${signal}\n`)
  }

  halt(): void {
    this.#say('halt\n')
  }

  /** Replaces /etc/hosts. One at a time, with {@link change}. Throws ViolinError `timeout` or `refused`. */
  hosts(contents: string): Promise<void> {
    return this.#give('hosts', contents, 'its names', hostsMs)
  }

  /** Runs a script (`sh -e`). Throws ViolinError `timeout`, `refused`. */
  change(script: string): Promise<void> {
    return this.#give('change', script, 'the change', changeMs)
  }

  async #give(verb: 'hosts' | 'change', contents: string, what: string, timeoutMs: number): Promise<void> {
    if (this.#taken !== null) throw new Error('something is being taken over already')
    const { promise, resolve } = Promise.withResolvers<{ status: number; reason: string } | null>()
    const timer = setTimeout(() => resolve(null), timeoutMs)
    this.#say(`${verb} ${Buffer.byteLength(contents)}\n`)
    this.#say(contents)
    this.#held = []
    this.#taken = resolve
    const answer = await promise
    clearTimeout(timer)
    this.#taken = null
    const held = this.#held
    this.#held = null
    for (const line of held) this.#say(line)
    if (answer === null)
      throw new ViolinError('timeout', `the guest did not take ${what} in ${timeoutMs} ms`, 'restart it')
    const { status, reason } = answer
    if (status === 0) return
    const why = reason === '' ? '' : `: ${reason}`
    throw new ViolinError('refused', `the guest did not take ${what} (${status})${why}`, 'restart it')
  }

  #say(text: string): void {
    if (this.#lost) return
    if (this.#held === null) this.#port.write(text)
    else if (this.#held.length < maxHeld) this.#held.push(text)
    else this.#lose('it does not take what it is told')
  }

  #read(chunk: Buffer): void {
    const lines = (this.#rest + chunk.toString('latin1')).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) if (!this.#lost) this.#take(line)
    if (this.#rest.length > maxLineBytes) this.#lose('it said too long a line')
  }

  #take(line: string): void {
    const [verb, first = '', second = ''] = line.split(' ', 3)
    switch (verb) {
      case 'up':
        return this.#events.up()
      case 'ready':
        return this.#events.ready()
      case 'failed':
        return this.#events.failed(printable(line.slice('failed '.length)))
      case 'started':
        return this.#events.started(first)
      case 'exit':
        return this.#events.exit(first, statusOf(second))
      case 'taken':
        return this.#taken?.({
          status: statusOf(first),
          reason: printable(line.slice(`taken ${first} `.length))
        })
      case undefined:
      default:
        return this.#lose(`its agent said "${printable(line).slice(0, 40)}"`)
    }
  }

  #lose(reason: string): void {
    if (this.#lost) return
    this.#lost = true
    this.#taken?.({ status: 1, reason })
    this.#events.lost(reason)
  }
}

function statusOf(word: string): number {
  const status = Number(word)
  return Number.isInteger(status) && status >= 0 && status <= 255 ? status : 255
}

function printable(text: string): string {
  const plain = text
    .replaceAll(/[^\x20-\x7e]/g, '?')
    .replaceAll('|', ' | ')
    .replaceAll(/( \| )+$/g, '')
  return plain.slice(0, maxReason)
}

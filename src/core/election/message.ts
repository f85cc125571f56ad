/**
 * What the hosts of a vLAN tell each other for its election, sealed in the trunk of the pair. Every message
 * says all that its kind has to say, so that losing one costs nothing but time. Layout, big-endian:
 *
 *     kind u8 │ life u32 │ stamp u32 │ echo u32 │ highest u32 │ follows term │ …by kind
 *     term: present u8 [│ counter u32 │ host 8]        key: present u8 [│ host 8]
 */
import type { HostKey, Mac } from '../ids.ts'
import type { Port, Superseded } from './ports.ts'
import { maxCounter, maxWitnesses } from './settings.ts'
import type { Tag, Term } from './types.ts'

/** Ports of one `ports` message, and of one `shut`: they fit a datagram of the smallest path. */
export const maxPortsPerMessage = 80
export const maxShutPerMessage = 40
/** Messages of one announcement. */
export const maxParts = 32

interface Header {
  /** Drawn by the sender at its start: another number is another life, which remembers nothing. */
  readonly life: number
  /** The sender's clock, later in every message; never 0. */
  readonly stamp: number
  /** The newest stamp that the sender heard from the receiver; 0: none. */
  readonly echo: number
  /** Highest counter of a term that the sender knows. */
  readonly highest: number
  /** Whose switch the sender uses; its own term when it is the active. */
  readonly follows: Term | null
}

/** Asks for a `status` (a `beat` from one that switches). */
export interface Probe extends Header {
  readonly kind: 'probe'
}

/** Answers a beat or a probe. */
export interface Status extends Header {
  readonly kind: 'status'
  /** The sender does not hear the one that it follows. */
  readonly lost: boolean
  /** Another term whose tag the sender accepts: the successor's, during a handover. */
  readonly took: Term | null
  /** Another active that the sender hears. */
  readonly rival: Term | null
  /** Version of the sender's ports. */
  readonly version: number
}

export const reignStates = ['offer', 'active', 'retiring', 'over'] as const
/** `offer`: gives out tags for a term to come. `retiring`: sends its edges over. `over`: its tags end. */
export type ReignState = (typeof reignStates)[number]

/** Of one that switches, to everyone: the term is (counter, sender). */
export interface Beat extends Header {
  readonly kind: 'beat'
  readonly state: ReignState
  readonly counter: number
  /** For both directions of this trunk. */
  readonly tag: Tag
  /** The receiver is the standby or a witness and hears every beat. */
  readonly fast: boolean
  /** Hosts that follow. */
  readonly edges: number
  /** Version of the receiver's ports that the sender has. */
  readonly have: number
  readonly standby: HostKey | null
  readonly successor: Term | null
  /** To standby and witnesses: whom to ask. */
  readonly witnesses: readonly HostKey[]
}

/** The ports behind the sender, one part of them. */
export interface Ports extends Header {
  readonly kind: 'ports'
  readonly version: number
  readonly part: number
  readonly parts: number
  readonly ports: readonly Port[]
}

/** Of the active: these ports of the receiver must be shut, for another host has a higher claim. */
export interface Shut extends Header {
  readonly kind: 'shut'
  readonly ports: readonly Superseded[]
}

/** Of the active with this counter: take over from me. */
export interface Handoff extends Header {
  readonly kind: 'handoff'
  readonly counter: number
}

export type Message = Probe | Status | Beat | Ports | Handoff | Shut

const kinds = ['probe', 'status', 'beat', 'ports', 'handoff', 'shut'] as const
/** Longest message: of ports. */
const maxBytes = 40 + 10 * maxPortsPerMessage + 16

/** Bytes of a message. What is beyond a bound of the layout is cut off. */
export function encodeMessage(message: Message): Uint8Array {
  const out = new Writer()
  out.u8(kinds.indexOf(message.kind))
  out.u32(message.life)
  out.u32(message.stamp)
  out.u32(message.echo)
  out.u32(message.highest)
  out.term(message.follows)
  switch (message.kind) {
    case 'probe':
      break
    case 'status':
      out.u8(message.lost ? 1 : 0)
      out.term(message.took)
      out.term(message.rival)
      out.u32(message.version)
      break
    case 'beat':
      out.u8(reignStates.indexOf(message.state))
      out.u32(message.counter)
      out.u16(message.tag)
      out.u8(message.fast ? 1 : 0)
      out.u16(Math.min(message.edges, 0xffff))
      out.u32(message.have)
      out.key(message.standby)
      out.term(message.successor)
      out.u8(Math.min(message.witnesses.length, maxWitnesses))
      for (const witness of message.witnesses.slice(0, maxWitnesses)) out.host(witness)
      break
    case 'ports':
      out.u32(message.version)
      out.u8(message.part)
      out.u8(message.parts)
      out.u8(Math.min(message.ports.length, maxPortsPerMessage))
      for (const port of message.ports.slice(0, maxPortsPerMessage)) out.port(port)
      break
    case 'handoff':
      out.u32(message.counter)
      break
    case 'shut':
      out.u8(Math.min(message.ports.length, maxShutPerMessage))
      for (const port of message.ports.slice(0, maxShutPerMessage)) {
        out.port(port)
        out.host(port.by)
      }
  }
  return out.done()
}

/** The message of `bytes`; null for bytes that {@link encodeMessage} does not make. */
export function decodeMessage(bytes: Uint8Array): Message | null {
  if (bytes.length > maxBytes) return null
  const input = new Reader(bytes)
  const kind = kinds[input.u8()]
  const header = {
    life: input.u32(),
    stamp: input.u32(),
    echo: input.u32(),
    highest: input.counter(),
    follows: input.term()
  }
  if (kind === undefined || input.bad || header.stamp === 0) return null
  const message = readBody(kind, header, input)
  return input.ended ? message : null
}

function readBody(kind: (typeof kinds)[number], header: Header, input: Reader): Message | null {
  switch (kind) {
    case 'probe':
      return { kind, ...header }
    case 'status':
      return {
        kind,
        ...header,
        lost: input.flag(),
        took: input.term(),
        rival: input.term(),
        version: input.u32()
      }
    case 'beat':
      return readBeat(header, input)
    case 'ports': {
      const [version, part, parts, count] = [input.u32(), input.u8(), input.u8(), input.u8()]
      if (parts === 0 || parts > maxParts || part >= parts || count > maxPortsPerMessage) return null
      return { kind, ...header, version, part, parts, ports: input.many(count, () => input.port()) }
    }
    case 'handoff':
      return { kind, ...header, counter: input.counter() }
    case 'shut': {
      const count = input.u8()
      if (count > maxShutPerMessage) return null
      return {
        kind,
        ...header,
        ports: input.many(count, () => ({ ...input.port(), by: input.host() }))
      }
    }
  }
}

function readBeat(header: Header, input: Reader): Beat | null {
  const state = reignStates[input.u8()]
  const beat = {
    kind: 'beat',
    ...header,
    counter: input.counter(),
    tag: input.u16() as Tag,
    fast: input.flag(),
    edges: input.u16(),
    have: input.u32(),
    standby: input.key(),
    successor: input.term()
  } as const
  const count = input.u8()
  if (state === undefined || beat.tag === 0 || count > maxWitnesses) return null
  return { ...beat, state, witnesses: input.many(count, () => input.host()) }
}

/** The message that is being written: one at a time, for a buffer of its own would cost more than the rest. */
const written = new DataView(new ArrayBuffer(maxBytes))

class Writer {
  #at = 0

  u8(value: number): void {
    written.setUint8(this.#at, value)
    this.#at += 1
  }

  u16(value: number): void {
    written.setUint16(this.#at, value)
    this.#at += 2
  }

  u32(value: number): void {
    written.setUint32(this.#at, value)
    this.#at += 4
  }

  host(key: HostKey): void {
    this.u32(Number.parseInt(key.slice(0, 8), 16))
    this.u32(Number.parseInt(key.slice(8, 16), 16))
  }

  key(key: HostKey | null): void {
    this.u8(key === null ? 0 : 1)
    if (key !== null) this.host(key)
  }

  term(term: Term | null): void {
    this.u8(term === null ? 0 : 1)
    if (term === null) return
    this.u32(term.counter)
    this.host(term.host)
  }

  mac(mac: Mac): void {
    for (let i = 0; i < 17; i += 3) this.u8(Number.parseInt(mac.slice(i, i + 2), 16))
  }

  port({ mac, claim }: Port): void {
    this.mac(mac)
    this.u32(claim)
  }

  done(): Uint8Array {
    return new Uint8Array(written.buffer.slice(0, this.#at))
  }
}

/** Reads in order; once something is amiss `bad` stays true, and what it gives then means nothing. */
class Reader {
  bad = false
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  /** Whether all was read, and nothing was amiss. */
  get ended(): boolean {
    return !this.bad && this.#at === this.#view.byteLength
  }

  u8(): number {
    return this.#take(1) ? this.#view.getUint8(this.#at - 1) : 0
  }

  u16(): number {
    return this.#take(2) ? this.#view.getUint16(this.#at - 2) : 0
  }

  u32(): number {
    return this.#take(4) ? this.#view.getUint32(this.#at - 4) : 0
  }

  counter(): number {
    const counter = this.u32()
    if (counter > maxCounter) this.bad = true
    return counter
  }

  flag(): boolean {
    const flag = this.u8()
    if (flag > 1) this.bad = true
    return flag === 1
  }

  host(): HostKey {
    return (hex(this.u32(), 8) + hex(this.u32(), 8)) as HostKey
  }

  key(): HostKey | null {
    return this.flag() ? this.host() : null
  }

  term(): Term | null {
    return this.flag() ? { counter: this.counter(), host: this.host() } : null
  }

  mac(): Mac {
    let text = hex(this.u8(), 2)
    for (let i = 1; i < 6; i++) text += `:${hex(this.u8(), 2)}`
    return text as Mac
  }

  port(): Port {
    return { mac: this.mac(), claim: this.u32() }
  }

  many<T>(count: number, read: () => T): T[] {
    return Array.from({ length: this.bad ? 0 : count }, read)
  }

  #take(bytes: number): boolean {
    if (this.#at + bytes > this.#view.byteLength) this.bad = true
    else this.#at += bytes
    return !this.bad
  }
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0')
}

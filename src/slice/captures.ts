/**
 * Captures of this host's vNICs. Each is a session: frames come from the worker's ring (frame/capture-ring.ts) and
 * leave as pcapng blocks in session frames, whole ones in each, no faster than the caller takes them. The caller's
 * end of input ends it in good order: what is left, and the statistics.
 */
import type { Duplex } from 'node:stream'
import { ViolinError } from '#core/errors.ts'
import type { LanKey, Mac } from '#core/ids.ts'
import {
  type CaptureRequest,
  encodeSessionFrame,
  maxSessionPayload,
  SessionDecoder,
  sessionFrame
} from '#core/session.ts'
import { captureMemory, CaptureReader, CaptureWriter } from '#frame/capture-ring.ts'
import { formatMac, parseMac } from '#frame/ethernet.ts'
import { frameBlockBytes, interfaceBlock, putFrame, statisticsBlock } from '#frame/pcapng.ts'
import { wallClock } from '#syscalls/clock.ts'
import type { SliceWish } from './contract.ts'

/** Captures of one slice at a time: each has a ring of 2 MiB. */
const maxCaptures = 8

/** What a capture needs of the worker. */
export interface CaptureSource {
  /** Starts to fill a ring; `more` says that there is something, `ended` that nothing comes any more. */
  capture(
    what: { readonly lan: LanKey; readonly mac: Mac | null },
    memory: SharedArrayBuffer,
    events: CaptureEvents
  ): { end(): void }
}

export interface CaptureEvents {
  more(): void
  ended(): void
}

export interface CapturesOptions {
  readonly source: CaptureSource
  readonly lanKey: (lan: string) => LanKey
  readonly macOf: (entity: string, nic: string) => Mac
  readonly wish: () => SliceWish | null
}

export class Captures {
  readonly #options: CapturesOptions
  readonly #running = new Set<Capture>()

  constructor(options: CapturesOptions) {
    this.#options = options
  }

  /** Starts a capture over a session's stream. Throws ViolinError. */
  open({ capture: what }: CaptureRequest): (stream: Duplex) => void {
    const vnics = this.#vnics().filter(({ entity, nic, lan }) =>
      'lan' in what ? lan === what.lan : entity === what.entity && nic === what.nic
    )
    const [first] = vnics
    if (first === undefined)
      throw new ViolinError(
        'not-running-here',
        `nothing of ${'lan' in what ? what.lan : `${what.entity}:${what.nic}`} runs on this host`,
        'look where it runs: violin show'
      )
    if (this.#running.size === maxCaptures)
      throw new ViolinError('refused', `${maxCaptures} captures run on this host`, 'end one of them')
    const key = { lan: this.#options.lanKey(first.lan), mac: 'lan' in what ? null : first.mac }
    return (stream) => {
      const capture = new Capture(stream, (mac) => this.#nameOf(mac))
      this.#running.add(capture)
      const known = vnics.map(({ mac }) => mac)
      capture.start(this.#options.source, key, known, () => this.#running.delete(capture))
    }
  }

  /** Ends all in good order. */
  end(): void {
    for (const capture of this.#running) capture.end()
  }

  /** The vNICs whose entities are to run here. */
  #vnics(): { readonly entity: string; readonly nic: string; readonly lan: string; readonly mac: Mac }[] {
    return (this.#options.wish()?.entities ?? []).flatMap(({ name: entity, nics }) =>
      nics.map(({ name: nic, lan }) => ({ entity, nic, lan, mac: this.#options.macOf(entity, nic) }))
    )
  }

  #nameOf(mac: string): string {
    const vnic = this.#vnics().find((one) => one.mac === mac)
    return vnic === undefined ? mac : `${vnic.entity}:${vnic.nic}`
  }
}

class Capture {
  readonly #stream: Duplex
  readonly #nameOf: (mac: string) => string
  readonly #memory = captureMemory()
  readonly #reader = new CaptureReader(this.#memory)
  /** Frames of each interface that were passed on; those that are described. */
  readonly #passed: number[] = []
  /** Blocks that wait to be sent. */
  readonly #payload = new Uint8Array(maxSessionPayload)
  #filled = 0
  #source: { end(): void } | null = null
  /** The caller takes no more for now. */
  #blocked = false
  #ended = false

  constructor(stream: Duplex, nameOf: (mac: string) => string) {
    this.#stream = stream
    this.#nameOf = nameOf
  }

  start(
    source: CaptureSource,
    what: { readonly lan: LanKey; readonly mac: Mac | null },
    known: readonly Mac[],
    over: () => void
  ): void {
    const stream = this.#stream
    const table = new CaptureWriter(this.#memory)
    for (const { high, low } of known.map(parseMac).filter((mac) => mac !== null))
      table.interfaceOf(high, low)
    this.#source = source.capture(what, this.#memory, {
      more: () => this.#pass(),
      ended: () => {
        this.#ended = true
        this.#pass()
      }
    })
    const decoder = new SessionDecoder()
    stream.on('data', (chunk: Uint8Array) => {
      try {
        for (const { type } of decoder.push(chunk)) if (type === sessionFrame.stdinEnd) this.end()
      } catch (error: unknown) {
        stream.destroy(error instanceof Error ? error : new Error(String(error)))
      }
    })
    stream.on('drain', () => {
      this.#blocked = false
      this.#pass()
    })
    stream.on('error', () => stream.destroy())
    stream.once('end', () => this.end())
    stream.once('close', () => {
      this.end()
      over()
    })
    // The first frame says that it captures.
    this.#describe()
    this.#send()
  }

  /** Captures nothing more; what was is passed on, and then the statistics. */
  end(): void {
    this.#source?.end()
  }

  /** Passes on what there is, as long as the caller takes it. */
  #pass(): void {
    if (this.#stream.destroyed || this.#stream.writableEnded) return
    this.#reader.look()
    while (!this.#blocked) {
      const record = this.#reader.peek()
      if (record === null) {
        this.#send()
        break
      }
      if (record.interface >= this.#passed.length) this.#describe()
      if (this.#payload.length - this.#filled < frameBlockBytes(record.frame.length)) {
        this.#send()
        continue
      }
      const { interface: index, stamp, direction, frame } = record
      this.#filled = putFrame(this.#payload, this.#filled, index, stamp, direction, frame)
      this.#passed[index] = (this.#passed[index] as number) + 1
      this.#reader.take()
    }
    if (this.#ended && !this.#blocked) this.#finish()
  }

  #describe(): void {
    while (this.#passed.length < this.#reader.interfaces) {
      const mac = this.#reader.macOf(this.#passed.length)
      this.#append(interfaceBlock(this.#nameOf(formatMac(mac.high, mac.low)), mac))
      this.#passed.push(0)
    }
  }

  /** The statistics, which the ring's counters are whole for now, and the end. */
  #finish(): void {
    this.#describe()
    const now = wallClock()
    for (const [index, passed] of this.#passed.entries()) {
      const dropped = this.#reader.droppedOf(index)
      this.#append(statisticsBlock(index, now, { received: passed + dropped, dropped }))
    }
    this.#send()
    this.#stream.end(encodeSessionFrame(sessionFrame.exit, new Uint8Array(4)))
  }

  #append(block: Uint8Array): void {
    if (this.#payload.length - this.#filled < block.length) this.#send()
    this.#payload.set(block, this.#filled)
    this.#filled += block.length
  }

  #send(): void {
    if (this.#filled === 0) return
    const payload = this.#payload.subarray(0, this.#filled)
    this.#blocked = !this.#stream.write(encodeSessionFrame(sessionFrame.stdout, payload))
    this.#filled = 0
  }
}

/**
 * The worker's side of captures: copies of frames at ports, put into each capture's ring. A port that nobody
 * captures has an empty list, and looks at nothing else.
 */
import { CaptureWriter } from '#frame/capture-ring.ts'
import { way } from '#frame/pcapng.ts'
import type { LanKey, Mac } from '#core/ids.ts'
import { wallClock } from '#syscalls/clock.ts'
import type { Command } from './contract.ts'

/** One capture's hold on one port. */
interface Tap {
  readonly capture: Capture
  readonly interface: number
}

/** The captures of one port, by where they look. */
export interface Taps {
  /** At its machine: all that this sends, before its link, and all that it gets. */
  readonly machine: Tap[]
  /** At its vLAN: what comes in of it, and each frame once therefore. */
  readonly lan: Tap[]
}

interface Capture {
  readonly id: number
  readonly lan: LanKey
  /** The vNIC; null: all of the vLAN. */
  readonly mac: Mac | null
  readonly writer: CaptureWriter
  /** Something was put since the reader was told. */
  touched: boolean
}

/** A port as captures see it. */
interface Tapped {
  readonly lan: LanKey
  readonly mac: Mac
  readonly macHigh: number
  readonly macLow: number
  readonly taps: Taps
}

export class Captures {
  readonly #bytes: Uint8Array
  readonly #tell: (id: number) => void
  readonly #captures = new Map<number, Capture>()
  readonly #touched: Capture[] = []

  constructor(bytes: Uint8Array, tell: (id: number) => void) {
    this.#bytes = bytes
    this.#tell = tell
  }

  start({ id, lan, mac, memory }: Extract<Command, { kind: 'capture' }>, ports: Iterable<Tapped>): void {
    const capture: Capture = { id, lan, mac, writer: new CaptureWriter(memory), touched: false }
    this.#captures.set(id, capture)
    for (const port of ports) hold(capture, port)
  }

  end(id: number, ports: Iterable<Tapped>): void {
    this.#captures.delete(id)
    for (const { taps } of ports)
      for (const list of [taps.machine, taps.lan]) {
        const place = list.findIndex(({ capture }) => capture.id === id)
        if (place >= 0) list.splice(place, 1)
      }
  }

  /** A port came. */
  port(port: Tapped): void {
    for (const capture of this.#captures.values()) hold(capture, port)
  }

  /** Copies the frame at `at`. */
  copy(taps: readonly Tap[], direction: keyof typeof way, at: number, length: number): void {
    const stamp = wallClock()
    for (const { capture, interface: index } of taps) {
      capture.writer.put(index, way[direction], stamp, this.#bytes, at, length)
      if (capture.touched) continue
      capture.touched = true
      this.#touched.push(capture)
    }
  }

  /** Ends a turn: readers that do not know yet are told. */
  flush(): void {
    if (this.#touched.length === 0) return
    for (const capture of this.#touched) {
      capture.touched = false
      if (capture.writer.tell()) this.#tell(capture.id)
    }
    this.#touched.length = 0
  }
}

function hold(capture: Capture, port: Tapped): void {
  if (capture.lan !== port.lan || (capture.mac !== null && capture.mac !== port.mac)) return
  const index = capture.writer.interfaceOf(port.macHigh, port.macLow)
  if (index < 0) return
  port.taps[capture.mac === null ? 'lan' : 'machine'].push({ capture, interface: index })
}

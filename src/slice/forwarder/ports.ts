/**
 * The machines' side: ports by dense numbers, what they give, what they get, and frames that wait for
 * their delay.
 */
import { finishChecksum } from '#frame/checksum.ts'
import { ethernetHeaderBytes, parseMac } from '#frame/ethernet.ts'
import { LinkWay, type LinkSettings, lost, plainLink } from '#frame/link.ts'
import { Shaper } from '#frame/shaper.ts'
import type { LanKey, Mac } from '#core/ids.ts'
import { lanMtu } from '#core/spec.ts'
import type { Taps } from './captures.ts'
import type { Command, PortLink, PortSource } from './contract.ts'
import { delayedFrames, type Layout, portBatch } from './memory.ts'
import { type Port, type PortEvents, vnetHeaderBytes, type Watcher } from './port.ts'
import { openTapPort } from './tap-port.ts'

/** Ports of one worker. */
export const maxPorts = 1024

/** Opens what stands behind a port. */
export type OpenPort = (source: PortSource, mac: Mac, watcher: Watcher, events: PortEvents) => Port

/** One port and where it belongs. */
export interface PortEntry {
  /** Number that the main thread gave. */
  readonly id: number
  readonly index: number
  readonly lan: LanKey
  readonly mac: Mac
  readonly macHigh: number
  readonly macLow: number
  /** What happens to frames from the machine, and to those for it. */
  readonly from: LinkWay
  readonly towards: LinkWay
  /** Under which it is open; null: it is shut, and its machine's frames are dropped. */
  claim: number | null
  port: Port | null
  /** Frames may be waiting. */
  readable: boolean
  /** Something was sent or received since the last flush. */
  touched: boolean
  dropped: number
  readonly taps: Taps
}

/** What ports tell the loop. */
export interface PortsEvents {
  /** A frame (Ethernet at `at`, headroom before it) comes in from a machine. */
  frame(entry: PortEntry, at: number, length: number): void
  state(entry: PortEntry, up: boolean, reason: string): void
  /** A frame that somebody captures leaves a machine, or comes to it. */
  captured(entry: PortEntry, direction: 'outbound' | 'inbound', at: number, length: number): void
}

export class Ports {
  readonly #layout: Layout
  readonly #watcher: Watcher
  readonly #open: OpenPort
  readonly #events: PortsEvents
  readonly #random: () => number
  readonly #shaper: Shaper
  readonly #entries: (PortEntry | null)[] = []
  readonly #byId = new Map<number, PortEntry>()
  readonly #readable: PortEntry[] = []
  readonly #touched: PortEntry[] = []
  /** Distinguishes a port's delayed frames from those of the one that had its number before. */
  readonly #generation = new Int32Array(maxPorts)

  constructor(layout: Layout, watcher: Watcher, open: OpenPort, random: () => number, events: PortsEvents) {
    this.#random = random
    this.#layout = layout
    this.#watcher = watcher
    this.#open = open
    this.#events = events
    this.#shaper = new Shaper(layout.memory.bytes, layout.delayedAt, delayedFrames)
  }

  get(id: number): PortEntry | undefined {
    return this.#byId.get(id)
  }

  *[Symbol.iterator](): Iterator<PortEntry> {
    yield* this.#byId.values()
  }

  /** Makes a port; one of the same number is replaced. Throws what opening throws. */
  add(command: Extract<Command, { kind: 'port' }>): PortEntry {
    this.remove(command.port)
    const mac = parseMac(command.mac)
    if (mac === null) throw new RangeError(`port ${command.port}: "${command.mac}" is no MAC`)
    const index = this.#freeIndex()
    const entry: PortEntry = {
      id: command.port,
      index,
      lan: command.lan,
      mac: command.mac,
      macHigh: mac.high,
      macLow: mac.low,
      from: new LinkWay(this.#random),
      towards: new LinkWay(this.#random),
      claim: command.claim === undefined ? 0 : command.claim,
      port: null,
      readable: false,
      touched: false,
      dropped: 0,
      taps: { machine: [], lan: [] }
    }
    setLink(entry, command.link)
    entry.port = this.#open(command.source, command.mac, this.#watcher, {
      readable: () => this.#setReadable(entry),
      writable: () => undefined,
      up: () => this.#events.state(entry, true, ''),
      down: (reason) => this.#events.state(entry, false, reason)
    })
    this.#entries[index] = entry
    this.#byId.set(entry.id, entry)
    return entry
  }

  /** What is on its way goes on as it began. */
  setLink(id: number, link: PortLink | null): void {
    const entry = this.#byId.get(id)
    if (entry !== undefined) setLink(entry, link)
  }

  /** Closes a port; gives it, or null when there is none. */
  remove(id: number): PortEntry | null {
    const entry = this.#byId.get(id)
    if (entry === undefined) return null
    this.#byId.delete(id)
    this.#entries[entry.index] = null
    this.#generation[entry.index] = ((this.#generation[entry.index] as number) + 1) & 0x7ffff
    entry.port?.close()
    entry.port = null
    return entry
  }

  closeAll(): void {
    for (const id of this.#byId.keys()) this.remove(id)
  }

  /** When the next delayed frame is due; -Infinity when a port still has frames to give. */
  get deadlineMs(): number {
    return this.#readable.length > 0 ? -Infinity : this.#shaper.nextDueMs
  }

  /** Takes a batch from each port that has something. */
  receive(nowMs: number): void {
    const count = this.#readable.length
    for (let i = 0; i < count; i++) {
      const entry = this.#readable[i] as PortEntry
      entry.readable = false
      const full = this.#receiveFrom(entry, nowMs)
      if (full) this.#setReadable(entry)
    }
    this.#readable.copyWithin(0, count)
    this.#readable.length -= count
  }

  /** Lets the frames go on whose time has come. */
  release(nowMs: number): void {
    const shaper = this.#shaper
    for (;;) {
      const slot = shaper.pop(nowMs)
      if (slot < 0) return
      const target = shaper.target(slot)
      const entry = this.#entries[(target >>> 1) & (maxPorts - 1)] ?? null
      const same = entry !== null && this.#generation[entry.index] === target >>> 11
      if (same) {
        const at = shaper.at(slot)
        if ((target & 1) === 0)
          this.#events.frame(entry, at + vnetHeaderBytes, shaper.length(slot) - vnetHeaderBytes)
        else this.#write(entry, at, shaper.length(slot))
      }
      shaper.release(slot)
    }
  }

  /** Sends the frame at `at`, whose headroom may be overwritten, to a port by its index. */
  send(index: number, at: number, length: number, nowMs: number): void {
    const entry = this.#entries[index] ?? null
    if (entry === null) return
    const start = at - vnetHeaderBytes
    this.#layout.memory.bytes.fill(0, start, at)
    if (entry.towards.plain || this.#goesOn(entry, 1, start, length + vnetHeaderBytes, nowMs))
      this.#write(entry, start, length + vnetHeaderBytes)
  }

  /** Ends a turn: each port that was used tells its machine once. */
  flush(): void {
    for (const entry of this.#touched) {
      entry.touched = false
      entry.port?.flush()
    }
    this.#touched.length = 0
  }

  #receiveFrom(entry: PortEntry, nowMs: number): boolean {
    const { arena, arenaAt, memory } = this.#layout
    if (entry.port === null) return false
    arena.end = arenaAt
    arena.count = 0
    const count = entry.port.receive(arena, portBatch)
    if (count > 0) this.#touch(entry)
    for (let i = 0; i < count; i++) {
      const at = arena.offset[i] as number
      const length = arena.length[i] as number
      const fits = length - vnetHeaderBytes <= lanMtu + ethernetHeaderBytes + 8
      if (!fits || length < vnetHeaderBytes + ethernetHeaderBytes) entry.dropped++
      else if (!finishChecksum(memory.bytes, memory.view, at, length)) entry.dropped++
      else {
        if (entry.taps.machine.length > 0)
          this.#events.captured(entry, 'outbound', at + vnetHeaderBytes, length - vnetHeaderBytes)
        if (entry.from.plain || this.#goesOn(entry, 0, at, length, nowMs))
          this.#events.frame(entry, at + vnetHeaderBytes, length - vnetHeaderBytes)
      }
    }
    return count === portBatch
  }

  /** Asks the link: true where the frame goes on at once; else it waits, or is lost. */
  #goesOn(entry: PortEntry, direction: 0 | 1, start: number, length: number, nowMs: number): boolean {
    const way = direction === 0 ? entry.from : entry.towards
    const dueMs = way.pass(nowMs, length - vnetHeaderBytes)
    if (dueMs === lost) return false
    if (way.doubles()) this.#shaper.push(dueMs, this.#target(entry, direction), start, length)
    if (dueMs <= nowMs) return true
    this.#shaper.push(dueMs, this.#target(entry, direction), start, length)
    return false
  }

  #write(entry: PortEntry, start: number, length: number): void {
    if (entry.port === null) return
    this.#touch(entry)
    // Nobody waits for a slow machine: what its queue does not take is dropped.
    if (!entry.port.send(this.#layout.arena, start, length)) entry.dropped++
    else if (entry.taps.machine.length > 0)
      this.#events.captured(entry, 'inbound', start + vnetHeaderBytes, length - vnetHeaderBytes)
  }

  #touch(entry: PortEntry): void {
    if (entry.touched) return
    entry.touched = true
    this.#touched.push(entry)
  }

  #setReadable(entry: PortEntry): void {
    if (entry.readable) return
    entry.readable = true
    this.#readable.push(entry)
  }

  /** Port, its generation and the direction in one number: generation from bit 11, index, 1 towards the machine. */
  #target(entry: PortEntry, direction: 0 | 1): number {
    return ((this.#generation[entry.index] as number) << 11) | (entry.index << 1) | direction
  }

  #freeIndex(): number {
    const free = this.#entries.indexOf(null)
    const index = free >= 0 ? free : this.#entries.length
    if (index >= maxPorts) throw new RangeError(`more than ${maxPorts} ports`)
    return index
  }
}

function setLink(entry: PortEntry, link: PortLink | null): void {
  const settings: LinkSettings = { ...plainLink, ...link }
  entry.from.set(settings)
  entry.towards.set(settings)
}

/** Opens ports whose machines the forwarder itself knows: TAPs. */
export function openTapSource(source: PortSource, _mac: Mac, watcher: Watcher, events: PortEvents): Port {
  if (source.kind !== 'tap') throw new Error(`no port of kind ${source.kind} here`)
  return openTapPort(source.fd, lanMtu, watcher, events)
}

/**
 * Where a frame of one vLAN goes. Ports and trunks are small numbers (0..); a place in the MAC table is a
 * port p as p, a trunk t as ~t. Every frame type passes, reserved multicast too.
 *
 * Invariant: an edge never passes a frame from one trunk to another, so there is no loop whatever the
 * trunks' graph; only the one active (and a retiring one towards its successor) does.
 */
import { isGroup, macHigh, macLow } from './ethernet.ts'
import { MacTable, nowhere } from './mac-table.ts'

/** Most ports and downlinks of one vLAN on one host: what a flood can reach. */
export const maxTargets = 2560

const edge = 0
const active = 1
const retiring = 2

/** The way of one trunk under one tag. */
export interface TrunkTag {
  readonly trunk: number
  readonly tag: number
}

export class Fabric {
  /** The places of the last decision: a port p as p, a trunk t as ~t. */
  readonly targets: Int32Array = new Int32Array(maxTargets)
  /** The tag for each target that is a trunk. */
  readonly targetTags: Uint16Array = new Uint16Array(maxTargets)
  /** Frames whose source belongs to another local port: dropped. */
  spoofed = 0

  readonly #macs: MacTable
  #role = edge
  /** Local ports, dense. */
  #ports: Int32Array = new Int32Array(0)
  /** Downlinks, dense, and their tags. */
  #downlinks: Int32Array = new Int32Array(0)
  #downlinkTags: Uint16Array = new Uint16Array(0)
  /** Trunk to the active (an edge) or to the successor (retiring); -1: none. */
  #uplink = -1
  #uplinkTag = 0

  constructor(entries?: number) {
    this.#macs = new MacTable(entries)
  }

  /** An edge's role; null between actives: its own ports still reach one another. */
  setEdge(uplink: TrunkTag | null): void {
    this.#become(edge, uplink, [])
  }

  /**
   * The vSwitch's role. What an edge learned (all of it behind its uplink) says nothing of where machines are
   * and is forgotten: `preload` again.
   */
  setActive(downlinks: readonly TrunkTag[]): void {
    if (this.#role !== active) this.#macs.forgetRemote()
    this.#become(active, null, downlinks)
  }

  /** The role of one that handed over. */
  setRetiring(downlinks: readonly TrunkTag[], successor: TrunkTag): void {
    this.#become(retiring, successor, downlinks)
  }

  /** A port whose machine has this MAC: no other place can claim it. */
  addPort(port: number, macUpper: number, macLower: number): void {
    const ports = [...this.#ports, port]
    this.#ports = Int32Array.from(ports.slice(0, maxTargets / 2))
    this.#macs.fix(macUpper, macLower, port)
  }

  removePort(port: number, macUpper: number, macLower: number): void {
    this.#ports = this.#ports.filter((other) => other !== port)
    this.#macs.forget(macUpper, macLower)
    this.#macs.forgetValue(port)
  }

  /** The MACs behind a trunk, whole, as the election told them. */
  preload(
    trunk: number,
    macs: readonly { readonly high: number; readonly low: number }[],
    nowMs: number
  ): void {
    this.#macs.forgetValue(~trunk)
    for (const mac of macs) this.#macs.learn(mac.high, mac.low, ~trunk, nowMs)
  }

  /** A trunk is gone: nothing is behind it. */
  forgetTrunk(trunk: number): void {
    this.#macs.forgetValue(~trunk)
  }

  /** Decides for the frame at `at` from a local port; gives how many `targets` there are. */
  fromPort(memory: Uint8Array, at: number, port: number, nowMs: number): number {
    const sourceHigh = macHigh(memory, at + 6)
    const known = isGroup(sourceHigh) || this.#macs.learn(sourceHigh, macLow(memory, at + 6), port, nowMs)
    if (!known) {
      this.spoofed++
      return 0
    }
    return this.#decide(memory, at, port, nowMs)
  }

  /** Decides for the frame at `at` that came in by a trunk, under a tag that stands for this vLAN. */
  fromTrunk(memory: Uint8Array, at: number, trunk: number, nowMs: number): number {
    const sourceHigh = macHigh(memory, at + 6)
    if (!isGroup(sourceHigh)) {
      const learned = this.#macs.learn(sourceHigh, macLow(memory, at + 6), ~trunk, nowMs)
      // Our own machine's frame, come back: a loop somewhere, or a forgery.
      if (!learned) {
        this.spoofed++
        return 0
      }
    }
    return this.#decide(memory, at, ~trunk, nowMs)
  }

  #decide(memory: Uint8Array, at: number, source: number, nowMs: number): number {
    const high = macHigh(memory, at)
    if (isGroup(high)) return this.#flood(source)
    const place = this.#macs.find(high, macLow(memory, at), nowMs)
    if (place === nowhere) return this.#flood(source)
    if (place === source) return 0
    if (place >= 0) {
      this.targets[0] = place
      return 1
    }
    return this.#toTrunk(~place, source)
  }

  /** A frame for a machine that is known behind a trunk. */
  #toTrunk(trunk: number, source: number): number {
    if (this.#role === active) {
      for (let i = 0; i < this.#downlinks.length; i++) {
        if (this.#downlinks[i] === trunk) return this.#put(0, ~trunk, this.#downlinkTags[i] as number)
      }
      return this.#flood(source)
    }
    return this.#up(0, source)
  }

  #flood(source: number): number {
    let count = 0
    for (let i = 0; i < this.#ports.length; i++) {
      const port = this.#ports[i] as number
      if (port !== source) count = this.#put(count, port, 0)
    }
    if (this.#role !== active) return this.#up(count, source)
    for (let i = 0; i < this.#downlinks.length; i++) {
      const place = ~(this.#downlinks[i] as number)
      if (place !== source) count = this.#put(count, place, this.#downlinkTags[i] as number)
    }
    return count
  }

  /** Up the uplink: an edge only what is its own, a retiring one also what its edges still send. */
  #up(count: number, source: number): number {
    if (this.#uplink < 0 || source === ~this.#uplink) return count
    if (source < 0 && this.#role !== retiring) return count
    return this.#put(count, ~this.#uplink, this.#uplinkTag)
  }

  #put(count: number, place: number, tag: number): number {
    if (count === maxTargets) return count
    this.targets[count] = place
    this.targetTags[count] = tag
    return count + 1
  }

  #become(role: number, uplink: TrunkTag | null, downlinks: readonly TrunkTag[]): void {
    this.#role = role
    this.#uplink = uplink?.trunk ?? -1
    this.#uplinkTag = uplink?.tag ?? 0
    const bounded = downlinks.slice(0, maxTargets / 2)
    this.#downlinks = Int32Array.from(bounded, (downlink) => downlink.trunk)
    this.#downlinkTags = Uint16Array.from(bounded, (downlink) => downlink.tag)
  }
}

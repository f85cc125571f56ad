/**
 * Where a frame of one vLAN goes. Ports and trunks are small numbers (0..); a place in the MAC table is a
 * port p as p, a trunk t as ~t. Every frame type passes, reserved multicast too.
 *
 * Invariant: a frame that came down from a switch goes to ports only, and one that came up from an edge is
 * switched here once. So a frame meets one switch, and there is no loop whatever the trunks' graph and however
 * many hold themselves for the switch.
 */
import { isGroup, macHigh, macLow } from './ethernet.ts'
import { MacTable, nowhere } from './mac-table.ts'

/** Most ports and downlinks of one vLAN on one host: what a flood can reach. */
export const maxTargets = 2560

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
  /** Switches what comes up from edges. */
  #switches = false
  /** Local ports, dense. */
  #ports: Int32Array = new Int32Array(0)
  /** Downlinks, dense, and their tags. */
  #downlinks: Int32Array = new Int32Array(0)
  #downlinkTags: Uint16Array = new Uint16Array(0)
  /** Trunk to the switch that own frames go to; -1: to this one, or none. */
  #uplink = -1
  #uplinkTag = 0

  constructor(entries?: number) {
    this.#macs = new MacTable(entries)
  }

  /** An edge's role; null between actives: its own ports still reach one another. */
  setEdge(uplink: TrunkTag | null): void {
    // What was announced to a switch is behind its downlinks; to an edge all of it is behind the uplink.
    if (this.#switches) this.#macs.forgetRemote()
    this.#switches = false
    this.#become(uplink, [])
  }

  /** The vSwitch's role. */
  setActive(downlinks: readonly TrunkTag[]): void {
    this.#startSwitching()
    this.#become(null, downlinks)
  }

  /** The role during a handover: switches what edges send up, while own frames go up to another. */
  setPassing(downlinks: readonly TrunkTag[], uplink: TrunkTag): void {
    this.#startSwitching()
    this.#become(uplink, downlinks)
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

  /** The MACs behind a trunk, whole, as the election told them: a frame that says otherwise is a forgery. */
  preload(
    trunk: number,
    macs: readonly { readonly high: number; readonly low: number }[],
    nowMs: number
  ): void {
    this.#macs.forgetValue(~trunk)
    for (const { high, low } of macs)
      if (this.#macs.find(high, low, nowMs) < 0) this.#macs.fix(high, low, ~trunk)
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

  /**
   * Decides for the frame at `at` that came in by a trunk. `up`: under a tag that this host gave, so from an
   * edge, to be switched here; else it was switched already and is for the ports.
   */
  fromTrunk(memory: Uint8Array, at: number, trunk: number, nowMs: number, up: boolean): number {
    const sourceHigh = macHigh(memory, at + 6)
    // Where a switch sends frames is told by those of its edges, not by what another switch sends it.
    if (!isGroup(sourceHigh) && (up || !this.#switches)) {
      const learned = this.#macs.learn(sourceHigh, macLow(memory, at + 6), ~trunk, nowMs)
      // Our own machine's frame, come back: a forgery.
      if (!learned) {
        this.spoofed++
        return 0
      }
    }
    const high = macHigh(memory, at)
    const place = isGroup(high) ? nowhere : this.#macs.find(high, macLow(memory, at), nowMs)
    if (place >= 0) return this.#put(0, place, 0)
    if (!up) return place === nowhere ? this.#toPorts(-1) : 0
    return place === nowhere ? this.#flood(~trunk) : this.#toTrunk(~place, ~trunk)
  }

  #decide(memory: Uint8Array, at: number, source: number, nowMs: number): number {
    const high = macHigh(memory, at)
    const place = isGroup(high) ? nowhere : this.#macs.find(high, macLow(memory, at), nowMs)
    if (place === source) return 0
    if (place >= 0) return this.#put(0, place, 0)
    if (this.#switches && this.#uplink < 0) {
      return place === nowhere ? this.#flood(source) : this.#toTrunk(~place, source)
    }
    return this.#up(place === nowhere ? this.#toPorts(source) : 0)
  }

  /** A frame for a machine that is known behind a trunk. */
  #toTrunk(trunk: number, source: number): number {
    if (~trunk === source) return 0
    for (let i = 0; i < this.#downlinks.length; i++) {
      if (this.#downlinks[i] === trunk) return this.#put(0, ~trunk, this.#downlinkTags[i] as number)
    }
    return this.#flood(source)
  }

  #flood(source: number): number {
    let count = this.#toPorts(source)
    for (let i = 0; i < this.#downlinks.length; i++) {
      const place = ~(this.#downlinks[i] as number)
      if (place !== source) count = this.#put(count, place, this.#downlinkTags[i] as number)
    }
    return count
  }

  #toPorts(source: number): number {
    let count = 0
    for (let i = 0; i < this.#ports.length; i++) {
      const port = this.#ports[i] as number
      if (port !== source) count = this.#put(count, port, 0)
    }
    return count
  }

  #up(count: number): number {
    return this.#uplink < 0 ? count : this.#put(count, ~this.#uplink, this.#uplinkTag)
  }

  #put(count: number, place: number, tag: number): number {
    if (count === maxTargets) return count
    this.targets[count] = place
    this.targetTags[count] = tag
    return count + 1
  }

  /** What an edge learned (all of it behind its uplink) says nothing of where machines are: `preload` again. */
  #startSwitching(): void {
    if (!this.#switches) this.#macs.forgetRemote()
    this.#switches = true
  }

  #become(uplink: TrunkTag | null, downlinks: readonly TrunkTag[]): void {
    this.#uplink = uplink?.trunk ?? -1
    this.#uplinkTag = uplink?.tag ?? 0
    const bounded = downlinks.slice(0, maxTargets / 2)
    this.#downlinks = Int32Array.from(bounded, (downlink) => downlink.trunk)
    this.#downlinkTags = Uint16Array.from(bounded, (downlink) => downlink.tag)
  }
}

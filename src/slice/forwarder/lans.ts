/**
 * The vLANs of a worker: each has an election, which decides, and a fabric, which obeys.
 */
import type { Message } from '#core/election/message.ts'
import type { Owners, Superseded } from '#core/election/ports.ts'
import type { Deadline, Effect, Input, Role, Tags } from '#core/election/types.ts'
import type { HostKey, Instant, LanKey, Mac } from '#core/ids.ts'
import { unreachable } from '#core/ids.ts'
import { controlType } from '#frame/control.ts'
import { parseMac } from '#frame/ethernet.ts'
import { Fabric, type TrunkTag } from '#frame/fabric.ts'
import type { LanReport } from './contract.ts'
import type { Trunk } from './trunk.ts'
import type { Trunks } from './trunks.ts'

/** vLANs of one worker. */
export const maxLans = 1024

/** The election of one vLAN, as the worker drives it. */
export interface Elector {
  handle(input: Input<Message>, now: Instant): readonly Effect<Message>[]
  readonly deadline: Deadline | null
}

/** The election's machine and its messages' codec. */
export interface ElectionParts {
  make(options: {
    readonly self: HostKey
    readonly lan: LanKey
    readonly tags: Tags
    readonly random: () => number
    readonly now: Instant
  }): Elector
  encode(message: Message): Uint8Array
  /** Null for bytes that are no message. */
  decode(bytes: Uint8Array): Message | null
}

export interface Lan {
  readonly key: LanKey
  readonly fabric: Fabric
  readonly election: Elector
  /** Hosts that take part: candidates and members. */
  hosts: ReadonlySet<HostKey>
  report: LanReport
  /** MACs behind each host, as the election told; kept for when this host becomes the switch. */
  readonly fdb: Map<HostKey, readonly { readonly high: number; readonly low: number }[]>
  /** Open ports and the claims under which their machines run. */
  readonly ports: Map<Mac, number>
  /** The fabric is a switch, not an edge. */
  switches: boolean
}

export class Lans {
  readonly #self: HostKey
  readonly #parts: ElectionParts
  readonly #trunks: Trunks
  readonly #random: () => number
  readonly #told: (report: LanReport) => void
  readonly #superseded: (lan: LanKey, port: Superseded) => void
  readonly #byKey = new Map<LanKey, Lan>()
  /** The calm clock of this turn. */
  now: Instant = 0 as Instant
  #deadlineMs = -Infinity

  constructor(
    self: HostKey,
    parts: ElectionParts,
    trunks: Trunks,
    random: () => number,
    told: (report: LanReport) => void,
    superseded: (lan: LanKey, port: Superseded) => void
  ) {
    this.#self = self
    this.#parts = parts
    this.#trunks = trunks
    this.#random = random
    this.#told = told
    this.#superseded = superseded
  }

  get(key: LanKey): Lan | undefined {
    return this.#byKey.get(key)
  }

  reports(): LanReport[] {
    return Array.from(this.#byKey.values(), (lan) => lan.report)
  }

  /** A new wish for a vLAN, which is made when there is none. */
  configure(key: LanKey, candidates: readonly HostKey[], members: readonly HostKey[], owners: Owners): void {
    let lan = this.#byKey.get(key)
    const known = lan !== undefined
    lan ??= this.#make(key)
    const before = lan.hosts
    lan.hosts = new Set([...candidates, ...members])
    this.#feed(lan, { kind: 'configure', candidates, members, owners })
    for (const peer of lan.hosts) {
      if (peer === this.#self || (known && before.has(peer))) continue
      const trunk = this.#trunks.of(peer)
      if (trunk.up) this.#feed(lan, this.#trunkInput(trunk, true, true))
    }
  }

  remove(key: LanKey): void {
    const lan = this.#byKey.get(key)
    if (lan === undefined) return
    this.#feed(lan, { kind: 'leave' })
    this.#byKey.delete(key)
    for (const peer of lan.hosts) if (peer !== this.#self) this.#trunks.of(peer).tags.forget(key)
  }

  /** Leaves all vLANs. */
  closeAll(): void {
    for (const key of this.#byKey.keys()) this.remove(key)
  }

  /** Opens a port. Throws RangeError for one on no vLAN. */
  addPort(key: LanKey, index: number, mac: Mac, claim: number): void {
    const lan = this.#byKey.get(key)
    const parsed = parseMac(mac)
    if (lan === undefined || parsed === null) throw new RangeError(`port ${index}: no vLAN ${key}`)
    lan.fabric.addPort(index, parsed.high, parsed.low)
    lan.ports.set(mac, claim)
    this.#tellPorts(lan)
  }

  removePort(key: LanKey, index: number, mac: Mac): void {
    const lan = this.#byKey.get(key)
    const parsed = parseMac(mac)
    if (lan === undefined || parsed === null) return
    lan.fabric.removePort(index, parsed.high, parsed.low)
    lan.ports.delete(mac)
    this.#tellPorts(lan)
  }

  /** A message of a peer; of a vLAN that is not here, or from a host that has no part in it, it is nothing. */
  message(peer: HostKey, key: number, body: Uint8Array): void {
    const lan = this.#byKey.get(key as LanKey)
    if (lan === undefined || !lan.hosts.has(peer)) return
    const message = this.#parts.decode(body)
    if (message !== null) this.#feed(lan, { kind: 'heard', from: peer, message })
  }

  alive(peer: HostKey): void {
    for (const lan of this.#byKey.values()) {
      if (lan.hosts.has(peer)) this.#feed(lan, { kind: 'alive', from: peer })
    }
  }

  refused(peer: HostKey): void {
    for (const lan of this.#byKey.values()) {
      if (lan.hosts.has(peer)) this.#feed(lan, { kind: 'refused', from: peer })
    }
  }

  trunk(trunk: Trunk, up: boolean, fresh: boolean): void {
    for (const lan of this.#byKey.values()) {
      if (lan.hosts.has(trunk.peer)) this.#feed(lan, this.#trunkInput(trunk, up, fresh))
    }
  }

  handoff(key: LanKey, to: HostKey | null): void {
    const lan = this.#byKey.get(key)
    if (lan !== undefined) this.#feed(lan, { kind: 'handoff', to })
  }

  /** Earliest deadline of all elections, on the calm clock. */
  get deadlineMs(): number {
    if (this.#deadlineMs === -Infinity) {
      let deadline = Infinity
      for (const lan of this.#byKey.values())
        deadline = Math.min(deadline, lan.election.deadline?.at ?? Infinity)
      this.#deadlineMs = deadline
    }
    return this.#deadlineMs
  }

  /** Gives a tick to the elections whose deadline has come. */
  tick(): void {
    if (this.now < this.deadlineMs) return
    for (const lan of this.#byKey.values()) {
      const deadline = lan.election.deadline
      if (deadline !== null && deadline.at <= this.now) this.#feed(lan, { kind: 'tick' })
    }
    this.#deadlineMs = -Infinity
  }

  #make(key: LanKey): Lan {
    if (this.#byKey.size === maxLans) throw new RangeError(`more than ${maxLans} vLANs`)
    const tags: Tags = {
      allocate: (peer) => this.#trunks.of(peer).tags.allocate(),
      release: (peer, tag) => this.#trunks.of(peer).tags.release(tag)
    }
    const lan: Lan = {
      key,
      fabric: new Fabric(),
      election: this.#parts.make({ self: this.#self, lan: key, tags, random: this.#random, now: this.now }),
      hosts: new Set(),
      report: { lan: key, active: null, standby: null, term: 0, role: 'edge' },
      fdb: new Map(),
      ports: new Map(),
      switches: false
    }
    this.#byKey.set(key, lan)
    return lan
  }

  #trunkInput(trunk: Trunk, up: boolean, fresh: boolean): Input<Message> {
    return { kind: 'trunk', peer: trunk.peer, up, rttMs: trunk.paths.current?.rttMs ?? null, fresh }
  }

  #tellPorts(lan: Lan): void {
    this.#feed(lan, { kind: 'ports', ports: Array.from(lan.ports, ([mac, claim]) => ({ mac, claim })) })
  }

  #feed(lan: Lan, input: Input<Message>): void {
    this.#deadlineMs = -Infinity
    for (const effect of lan.election.handle(input, this.now)) this.#carryOut(lan, effect)
  }

  #carryOut(lan: Lan, effect: Effect<Message>): void {
    switch (effect.kind) {
      case 'send':
        this.#trunks.of(effect.to).control(controlType.election, lan.key, this.#parts.encode(effect.message))
        return
      case 'accept':
        this.#trunks.of(effect.from).tags.accept(effect.tag, lan.key)
        return
      case 'retire':
        this.#trunks.of(effect.from).tags.retire(effect.tag, lan.key)
        return
      case 'role':
        this.#become(lan, effect.role)
        return
      case 'fdb':
        this.#preload(lan, effect.peer, effect.macs)
        return
      case 'superseded':
        this.#superseded(lan.key, effect)
        return
      case 'view':
        lan.report = { lan: lan.key, ...effect.view }
        this.#told(lan.report)
        return
      default:
        unreachable(effect)
    }
  }

  #become(lan: Lan, role: Role): void {
    const { fabric } = lan
    switch (role.kind) {
      case 'edge':
        fabric.setEdge(role.uplink === null ? null : this.#way(role.uplink.peer, role.uplink.tag))
        lan.switches = false
        return
      case 'active':
        fabric.setActive(this.#ways(role.downlinks))
        break
      case 'passing':
        fabric.setPassing(this.#ways(role.downlinks), this.#way(role.uplink.peer, role.uplink.tag))
        break
      default:
        unreachable(role)
    }
    const began = !lan.switches
    lan.switches = true
    if (!began) return
    for (const [peer, macs] of lan.fdb) fabric.preload(this.#trunks.of(peer).index, macs, this.now)
  }

  #preload(lan: Lan, peer: HostKey, macs: readonly Mac[]): void {
    const parsed = macs.map((mac) => parseMac(mac)).filter((mac) => mac !== null)
    lan.fdb.set(peer, parsed)
    if (lan.switches) lan.fabric.preload(this.#trunks.of(peer).index, parsed, this.now)
  }

  #ways(downlinks: ReadonlyMap<HostKey, number>): TrunkTag[] {
    return Array.from(downlinks, ([peer, tag]) => this.#way(peer, tag))
  }

  #way(peer: HostKey, tag: number): TrunkTag {
    return { trunk: this.#trunks.of(peer).index, tag }
  }
}

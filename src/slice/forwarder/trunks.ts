/**
 * All trunks of a worker over its one socket: demultiplexes what comes, sends what waits.
 */
import { controlType, readControlItems } from '#frame/control.ts'
import { datagramType, isDatagram, maxDatagramBytes, relayKeyBytes } from '#frame/datagram.ts'
import { FragmentPool } from '#frame/unpacker.ts'
import type { HostKey } from '#core/ids.ts'
import { errno } from '#syscalls/libc.ts'
import { formatIpv4 } from '#syscalls/udp.ts'
import type { TrunkReport, TrunkSession } from './contract.ts'
import { fragmentSlots, type Layout } from './memory.ts'
import { relayIp } from './paths.ts'
import type { Session } from './session.ts'
import { readKey, Trunk, type TrunkHost } from './trunk.ts'
import { plaintextAt, type Wire } from './wire.ts'

/** The election hears that a peer lives at most this often. */
export const aliveEveryMs = 10
/** Batches that one turn reads, so that ports have their turn too. */
const maxBatches = 8
/** Entries of the error queue that one turn reads. */
const maxErrors = 64

/** What trunks tell the loop. */
export interface TrunkEvents {
  frame(trunk: Trunk, tag: number, at: number, length: number): void
  /** A message of a vLAN's election. */
  message(peer: HostKey, lan: number, body: Uint8Array): void
  alive(peer: HostKey): void
  refused(peer: HostKey): void
  changed(trunk: Trunk, up: boolean, fresh: boolean): void
  wanted(peer: HostKey): void
}

export class Trunks implements TrunkHost {
  readonly layout: Layout
  readonly wire: Wire
  readonly pool: FragmentPool
  readonly random: () => number
  nowMs = 0
  calmMs = 0
  stallMs = 0
  /** Datagrams that belonged to no session. */
  strangers = 0

  readonly #self: HostKey
  readonly #events: TrunkEvents
  readonly #byPeer = new Map<HostKey, Trunk>()
  /** By trunk index. */
  readonly #all: Trunk[] = []
  readonly #byReceiver = new Map<number, { readonly trunk: Trunk; readonly session: Session }>()
  /** Trunks with an open datagram. */
  readonly #open: Trunk[] = []
  #deadlineMs = -Infinity

  constructor(self: HostKey, layout: Layout, wire: Wire, random: () => number, events: TrunkEvents) {
    this.#self = self
    this.layout = layout
    this.wire = wire
    this.random = random
    this.#events = events
    this.pool = new FragmentPool(layout.fragmentsAt, fragmentSlots, maxDatagramBytes)
  }

  /** The trunk to a peer; one without keys is made when there is none, so that tags can be given. */
  of(peer: HostKey): Trunk {
    let trunk = this.#byPeer.get(peer)
    if (trunk === undefined) {
      trunk = new Trunk(this.#all.length, this.#self, peer, this)
      this.#all.push(trunk)
      this.#byPeer.set(peer, trunk)
    }
    return trunk
  }

  at(index: number): Trunk {
    const trunk = this.#all[index]
    if (trunk === undefined) throw new RangeError(`no trunk ${index}`)
    return trunk
  }

  join(session: TrunkSession): void {
    const trunk = this.of(session.peer)
    for (const other of this.#all) if (other.up) this.#offer(other, trunk)
    trunk.join(session)
    this.touch()
  }

  renew(peer: HostKey, authForMs: number): void {
    this.of(peer).renew(authForMs)
    this.touch()
  }

  remove(peer: HostKey): void {
    this.#byPeer.get(peer)?.close(true)
  }

  closeAll(): void {
    for (const trunk of this.#all) trunk.close(true)
    this.wire.flush()
  }

  reports(): TrunkReport[] {
    return this.#all.filter((trunk) => trunk.keyed).map((trunk) => trunk.report(formatIpv4))
  }

  // A turn: begin, receive, tick, send.

  /** Says what time this turn has; the calm clock is `stallMs` behind. */
  begin(nowMs: number, stallMs: number): void {
    // Deadlines of the calm clock move with its distance.
    if (stallMs !== this.stallMs) this.touch()
    this.nowMs = nowMs
    this.stallMs = stallMs
    this.calmMs = nowMs - stallMs
  }

  /** Reads what waits: of each batch control first. */
  receive(): void {
    const { received } = this.wire
    for (let batch = 0; batch < maxBatches; batch++) {
      const count = received.receive(this.wire.fd)
      if (count === 0) break
      for (let slot = 0; slot < count; slot++) this.#take(slot, true)
      for (let slot = 0; slot < count; slot++) this.#take(slot, false)
      if (count < received.slots) break
    }
    for (const trunk of this.#all) {
      if (trunk.heard && this.nowMs - trunk.aliveToldMs >= aliveEveryMs) this.#tellAlive(trunk)
    }
  }

  /** Reads the socket's error queue. */
  receiveErrors(): void {
    const { errors, fd } = this.wire
    for (let i = 0; i < maxErrors && errors.next(fd); i++) {
      if (errors.error !== errno.ECONNREFUSED) continue
      for (const trunk of this.#all) {
        const path = trunk.paths.current
        if (path === null || path.ip !== errors.ip || path.port !== errors.port) continue
        // What came before the refusal must not be told after it: a kernel answers six times, then once a second.
        if (trunk.heard) this.#tellAlive(trunk)
        this.#events.refused(trunk.peer)
      }
    }
  }

  /** When {@link tick} is due, in real time. */
  get deadlineMs(): number {
    if (this.#deadlineMs === -Infinity) {
      let deadline = Infinity
      for (const trunk of this.#all) deadline = Math.min(deadline, trunk.deadlineMs)
      this.#deadlineMs = deadline
    }
    return this.#deadlineMs
  }

  tick(): void {
    if (this.nowMs < this.deadlineMs) return
    for (const trunk of this.#all) if (this.nowMs >= trunk.deadlineMs) trunk.tick()
    this.touch()
  }

  /** Deadlines may have changed. */
  touch(): void {
    this.#deadlineMs = -Infinity
  }

  /** Ends a turn: control alone and first, then data. */
  send(): void {
    for (const trunk of this.#all) trunk.sendControl()
    this.flushData()
  }

  flushData(): void {
    for (const trunk of this.#open) trunk.finish()
    this.#open.length = 0
    this.wire.flush()
  }

  // What trunks ask.

  frame(trunk: Trunk, tag: number, at: number, length: number): void {
    this.#events.frame(trunk, tag, at, length)
  }

  changed(trunk: Trunk, up: boolean, fresh: boolean): void {
    this.touch()
    for (const other of up ? this.#all : []) this.#offer(trunk, other)
    this.#events.changed(trunk, up, fresh)
  }

  wanted(trunk: Trunk): void {
    this.#events.wanted(trunk.peer)
  }

  listen(index: number, trunk: Trunk, session: Session): void {
    this.#byReceiver.set(index, { trunk, session })
  }

  unlisten(index: number): void {
    this.#byReceiver.delete(index)
  }

  opened(trunk: Trunk): void {
    if (!this.#open.includes(trunk)) this.#open.push(trunk)
  }

  relay(relay: number, to: HostKey, at: number, length: number): void {
    this.#all[relay]?.pass(to, at, length)
  }

  peerOf(trunk: number): HostKey {
    return this.at(trunk).peer
  }

  #offer(relay: Trunk, trunk: Trunk): void {
    if (relay !== trunk) trunk.paths.offerRelay(relay.index, this.calmMs)
  }

  /** Takes the datagrams from a slot: those of control, or all others. */
  #take(slot: number, control: boolean): void {
    const { received } = this.wire
    const segment = received.segment(slot)
    const end = received.at(slot) + received.length(slot)
    const { bytes } = this.layout.memory
    for (let at = received.at(slot); at < end; at += segment) {
      if ((bytes[at] === datagramType.control) !== control) continue
      this.#takeOne(at, Math.min(segment, end - at), received.ip(slot), received.port(slot))
    }
  }

  #takeOne(at: number, length: number, ip: number, port: number): void {
    const { bytes, view } = this.layout.memory
    const owner = isDatagram(view, at, length) ? this.#byReceiver.get(view.getUint32(at + 4)) : undefined
    if (owner === undefined) {
      this.strangers++
      return
    }
    const { trunk, session } = owner
    const plain = trunk.open(session, at, length, ip, port)
    if (plain < 0) return
    const start = plaintextAt(at)
    switch (bytes[at]) {
      case datagramType.data:
        return trunk.data(start, plain)
      case datagramType.control:
        return this.#control(trunk, session, { ip, port }, start, plain)
      case datagramType.relay:
        return this.#passOn(trunk, start, plain)
      default:
        return this.#takeRelayed(trunk, ip, start, plain)
    }
  }

  /** Passes on what a peer sealed for another one; what is for nobody here is dropped. */
  #passOn(from: Trunk, at: number, length: number): void {
    if (length <= relayKeyBytes) return
    const to = this.#byPeer.get(readKey(this.layout.memory.view, at))
    if (to !== undefined && to !== from) to.pass(null, at + relayKeyBytes, length - relayKeyBytes)
  }

  /** Takes a datagram that a third host sealed. It holds frames or control: nothing is passed on twice. */
  #takeRelayed(relay: Trunk, ip: number, at: number, length: number): void {
    const type = this.layout.memory.bytes[at]
    const plain = type === datagramType.data || type === datagramType.control
    if (ip !== relayIp && plain) this.#takeOne(at, length, relayIp, relay.index)
    else this.strangers++
  }

  #control(
    trunk: Trunk,
    session: Session,
    source: { readonly ip: number; readonly port: number },
    at: number,
    length: number
  ): void {
    const { bytes, view } = this.layout.memory
    const items = readControlItems(bytes, view, at, length)
    this.touch()
    for (const item of items ?? []) {
      switch (item.type) {
        case controlType.election:
          this.#events.message(trunk.peer, item.lan, item.body)
          break
        case controlType.probe:
        case controlType.challenge:
          trunk.answer(session, item.body, source.ip, source.port)
          break
        case controlType.answer:
          trunk.answered(item.body)
          break
        case controlType.rekey:
          trunk.rekey(session, item.body)
          break
        case controlType.close:
          trunk.closed(session)
          return
        default:
          // A later version's: passed over.
          break
      }
    }
  }

  #tellAlive(trunk: Trunk): void {
    trunk.heard = false
    trunk.aliveToldMs = this.nowMs
    this.#events.alive(trunk.peer)
  }
}

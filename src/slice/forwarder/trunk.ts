/**
 * The trunk to one peer: its sessions, its path, its tags, and its frames both ways.
 */
import {
  type ControlItem,
  controlItemBytes,
  controlItemHeaderBytes,
  controlType,
  probeBytes,
  writeControlItem
} from '#frame/control.ts'
import { datagramOverheadBytes, datagramType, maxPlaintextBytes, relayKeyBytes } from '#frame/datagram.ts'
import { type DatagramSink, Packer } from '#frame/packer.ts'
import { type FragmentPool, type FrameSink, Unpacker } from '#frame/unpacker.ts'
import type { HostKey } from '#core/ids.ts'
import { parseIpv4 } from '#syscalls/udp.ts'
import type { TrunkReport, TrunkSession } from './contract.ts'
import type { Layout } from './memory.ts'
import { PathSize, relayedDatagramBytes } from './path-size.ts'
import { type Candidate, isRelay, Paths } from './paths.ts'
import { Session } from './session.ts'
import { TagSpace } from './tags.ts'
import { plaintextAt, type Wire } from './wire.ts'

/** A session that was replaced reads this long, for what is on its way. */
export const formerSessionMs = 5_000
/** Without a path for this long a new session is asked for, and again each time it passes. */
export const askAgainMs = 5_000
/** Control items that can wait for one turn's end. */
const maxQueuedItems = 4096
/** Plaintext of a control datagram: every path carries it, that of a relay too. */
export const maxControlBytes: number = relayedDatagramBytes - datagramOverheadBytes
/** Fills a probe up to the full size. */
const padding: ControlItem = {
  type: controlType.padding,
  lan: 0,
  body: new Uint8Array(maxPlaintextBytes - 2 * controlItemHeaderBytes - probeBytes)
}

/** What a trunk needs of all trunks. */
export interface TrunkHost {
  readonly layout: Layout
  readonly wire: Wire
  readonly pool: FragmentPool
  readonly random: () => number
  /** This turn's time, and the same on the calm clock, by which paths live. */
  readonly nowMs: number
  readonly calmMs: number
  /** How far the calm clock is behind. */
  readonly stallMs: number
  /** A frame came in by this trunk. */
  frame(trunk: Trunk, tag: number, at: number, length: number): void
  /** Closes all open datagrams and sends them. */
  flushData(): void
  /** A path was found or lost; `fresh`: of a session that had none before. */
  changed(trunk: Trunk, up: boolean, fresh: boolean): void
  /** A new session must be agreed. */
  wanted(trunk: Trunk): void
  /** A session's index is read by this trunk, or no more. */
  listen(index: number, trunk: Trunk, session: Session): void
  unlisten(index: number): void
  /** This trunk has an open datagram. */
  opened(trunk: Trunk): void
  /** Has the peer of trunk `relay` pass a sealed datagram on to another host. */
  relay(relay: number, to: HostKey, at: number, length: number): void
  /** Where a trunk leads. */
  peerOf(trunk: number): HostKey
}

export class Trunk implements DatagramSink, FrameSink {
  readonly index: number
  readonly peer: HostKey
  readonly tags: TagSpace
  readonly paths: Paths
  /** When the election was last told that the peer lives. */
  aliveToldMs: number = -Infinity
  heard = false
  up = false

  readonly #host: TrunkHost
  readonly #packer: Packer
  readonly #unpacker: Unpacker
  readonly #size: PathSize
  /** The path that `#size` is about. */
  #sized: Candidate | null = null
  /** Written; null before the first answered. */
  #session: Session | null = null
  /** Agreed, not yet heard. */
  #pending: Session | null = null
  #former: Session | null = null
  #formerUntilMs = Infinity
  #askMs = Infinity
  #slot = -1
  #items: ControlItem[] = []
  #rxFrames = 0
  #txFrames = 0
  #rxBytes = 0
  #txBytes = 0
  #rejected = 0

  constructor(index: number, self: HostKey, peer: HostKey, host: TrunkHost) {
    this.index = index
    this.peer = peer
    this.tags = new TagSpace(self, peer, host.random)
    this.paths = new Paths(host.random)
    this.#size = new PathSize(host.random)
    this.#host = host
    const { bytes, view } = host.layout.memory
    this.#packer = new Packer(bytes, view, this)
    this.#unpacker = new Unpacker(bytes, view, host.pool, host.layout.assemblyAt, this)
  }

  /** Whether it has any session. */
  get keyed(): boolean {
    return this.#session !== null || this.#pending !== null
  }

  /** Whether frames can be sent. */
  get ready(): boolean {
    return this.up
  }

  /** Takes a new session, which replaces the older one as soon as the peer is heard under it. */
  join(keys: TrunkSession): void {
    const { nowMs, calmMs } = this.#host
    if (this.#pending !== null) this.#end(this.#pending)
    const session = new Session(this.#host.layout.memory, keys, nowMs)
    this.#pending = session
    this.#host.listen(session.localIndex, this, session)
    this.#askMs = nowMs + askAgainMs
    const addresses = []
    for (const candidate of keys.candidates) {
      const ip = parseIpv4(candidate.ip)
      if (ip !== null && !isRelay({ ip }) && candidate.port > 0 && candidate.port < 65_536)
        addresses.push({ ip, port: candidate.port })
    }
    this.paths.announce(addresses, calmMs)
  }

  /** The daemons vouch for the peer for longer. */
  renew(authForMs: number): void {
    for (const session of [this.#session, this.#pending]) {
      if (session !== null) session.authUntilMs = this.#host.nowMs + authForMs
    }
  }

  /** Ends all sessions; tells the peer when `tell`. */
  close(tell: boolean): void {
    if (tell && this.#session !== null && this.paths.current !== null) {
      this.control(controlType.close, 0, new Uint8Array(0))
      this.sendControl()
    }
    for (const session of [this.#session, this.#pending, this.#former]) {
      if (session !== null) this.#end(session)
    }
    this.#session = this.#pending = this.#former = null
    this.#formerUntilMs = Infinity
    this.#askMs = Infinity
    this.#unpacker.close()
    this.paths.current = null
    this.#setUp(false, false)
  }

  // Frames out.

  /** Lays a frame into this turn's datagrams; it is dropped where there is no path. */
  send(tag: number, at: number, length: number): void {
    if (!this.up) return
    this.#txFrames++
    this.#txBytes += length
    this.#packer.append(tag, at, length)
  }

  /** Closes the open datagram. */
  finish(): void {
    this.#packer.finish()
  }

  begin(): number {
    let slot = this.#host.wire.takeData()
    if (slot < 0) {
      this.#host.flushData()
      slot = this.#host.wire.takeData()
    }
    this.#slot = slot
    this.#packer.limit(this.#size.bytes - datagramOverheadBytes)
    this.#host.opened(this)
    return plaintextAt(this.#host.wire.dataAt(slot))
  }

  end(_at: number, length: number): void {
    const { wire } = this.#host
    const session = this.#session
    const path = this.paths.current
    const slot = this.#slot
    this.#slot = -1
    if (session === null || path === null || session.spent) return
    const datagram = wire.dataAt(slot)
    const bytes = session.seal(datagramType.data, datagram, length)
    if (isRelay(path)) this.#host.relay(path.port, this.peer, datagram, bytes)
    else wire.commitData(slot, bytes, path.ip, path.port)
  }

  /**
   * Sends a sealed datagram inside of one of this trunk: for `to`, beyond the peer, or (null) for the peer itself.
   * Only along a direct path, so that nothing is passed on twice, and only what fits into a datagram.
   */
  pass(to: HostKey | null, at: number, length: number): void {
    const { wire, layout } = this.#host
    const { bytes, view } = layout.memory
    const session = this.#session
    const path = this.paths.current
    const plainBytes = length + (to === null ? 0 : relayKeyBytes)
    if (session === null || path === null || isRelay(path) || session.spent) return
    if (plainBytes > maxPlaintextBytes) return
    const slot = wire.takeRelay()
    const datagram = wire.relayAt(slot)
    const start = plaintextAt(datagram)
    if (to !== null) writeKey(view, start, to)
    bytes.copyWithin(start + plainBytes - length, at, at + length)
    const type = to === null ? datagramType.relayed : datagramType.relay
    wire.commitRelay(slot, session.seal(type, datagram, plainBytes), path.ip, path.port)
  }

  // Control out.

  /** Queues an item for the end of the turn. Items beyond the bound are dropped: their senders repeat. */
  control(type: number, lan: number, body: Uint8Array): void {
    if (this.#items.length < maxQueuedItems) this.#items.push({ type, lan, body })
  }

  /** Sends the queued items by the path in use; without one they are dropped. */
  sendControl(): void {
    if (this.#items.length === 0) return
    const items = this.#items
    this.#items = []
    const path = this.paths.current
    if (this.#session === null || path === null) return
    this.#sendItems(this.#session, items, path.ip, path.port)
  }

  #sendItems(
    session: Session,
    items: readonly ControlItem[],
    ip: number,
    port: number,
    limit = maxControlBytes
  ): void {
    const { wire, layout } = this.#host
    const { bytes, view } = layout.memory
    let next = 0
    while (next < items.length && !session.spent) {
      const slot = wire.takeControl()
      const datagram = wire.controlAt(slot)
      const start = plaintextAt(datagram)
      let at = start
      for (; next < items.length; next++) {
        const item = items[next] as ControlItem
        const fits = at - start + controlItemBytes(item.body) <= limit
        if (!fits && at > start) break
        if (fits) at = writeControlItem(bytes, view, at, item)
      }
      if (at === start) return
      const length = session.seal(datagramType.control, datagram, at - start)
      if (isRelay({ ip })) this.#host.relay(port, this.peer, datagram, length)
      else wire.commitControl(slot, length, ip, port)
    }
  }

  // In.

  /** Opens a datagram of one of its sessions; -1 when it does not open. Notes from where it came. */
  open(session: Session, at: number, length: number, ip: number, port: number): number {
    const bytes = session.open(at, length, this.#host.nowMs)
    if (bytes < 0) {
      this.#rejected++
      return bytes
    }
    if (session === this.#pending) this.#promote(session)
    this.heard = true
    this.paths.seen(ip, port, this.#host.calmMs)
    return bytes
  }

  /** Takes the plaintext of a data datagram. */
  data(at: number, length: number): void {
    this.#rxBytes += length
    this.#unpacker.accept(at, length)
  }

  frame(tag: number, at: number, length: number): void {
    this.#rxFrames++
    this.#host.frame(this, tag, at, length)
  }

  /** Sends a probe's body back to where it came from. */
  answer(session: Session, body: Uint8Array, ip: number, port: number): void {
    if (body.length === 8) this.#sendItems(session, [{ type: controlType.answer, lan: 0, body }], ip, port)
  }

  answered(body: Uint8Array): void {
    const { calmMs } = this.#host
    if (this.#size.answered(body, calmMs)) return
    if (this.paths.answered(body, calmMs)) this.#refresh()
  }

  rekey(session: Session, body: Uint8Array): void {
    const answer = session.takeRekey(body, this.#host.nowMs)
    if (answer !== null && session === this.#session) this.control(controlType.rekey, 0, answer)
  }

  /** The peer ended the session. */
  closed(session: Session): void {
    if (session !== this.#session) return
    this.#end(session)
    this.#session = null
    this.paths.current = null
    this.#setUp(false, false)
    this.#ask()
  }

  // Time.

  /** When {@link tick} has something to do, in real time. */
  get deadlineMs(): number {
    if (!this.keyed) return this.#askMs
    const { stallMs } = this.#host
    const session = this.#session ?? this.#pending
    return Math.min(
      this.paths.deadlineMs + stallMs,
      this.#size.deadlineMs + stallMs,
      session?.authUntilMs ?? Infinity,
      this.#session?.rekeyDueMs ?? Infinity,
      this.#askMs,
      this.#formerUntilMs
    )
  }

  tick(): void {
    const { nowMs, calmMs } = this.#host
    if (!this.keyed) {
      if (nowMs >= this.#askMs) this.#ask()
      return
    }
    if (nowMs >= this.#formerUntilMs) this.#dropFormer()
    for (const session of [this.#session, this.#pending]) {
      if (session !== null && (nowMs >= session.authUntilMs || session.spent)) return this.#expire()
    }
    const body = this.#session?.rekey(nowMs) ?? null
    if (body !== null) this.control(controlType.rekey, 0, body)
    this.paths.due(calmMs, (candidate, probe) => this.#probe(candidate, probe))
    this.#refresh()
    this.#probeSize()
    if (nowMs >= this.#askMs) this.#ask()
  }

  report(format: (ip: number) => string): TrunkReport {
    const path = this.paths.current
    return {
      peer: this.peer,
      up: this.up,
      rttMs: path?.rttMs ?? null,
      address: path === null || isRelay(path) ? null : `${format(path.ip)}:${path.port}`,
      relay: path === null || !isRelay(path) ? null : this.#host.peerOf(path.port),
      rxFrames: this.#rxFrames,
      txFrames: this.#txFrames,
      rxBytes: this.#rxBytes,
      txBytes: this.#txBytes,
      rejected: this.#rejected
    }
  }

  #probe(candidate: Candidate, body: Uint8Array): void {
    const session = this.#pending ?? this.#session
    const type = candidate.learned && !candidate.good ? controlType.challenge : controlType.probe
    const items = [{ type, lan: 0, body }]
    if (session !== null) this.#sendItems(session, items, candidate.ip, candidate.port)
    // The peer may not have joined the new session yet: keep the path of the old one alive.
    if (this.#pending !== null && this.#session !== null) {
      this.#sendItems(this.#session, items, candidate.ip, candidate.port)
    }
  }

  #probeSize(): void {
    const path = this.paths.current
    const body = this.#size.due(this.#host.calmMs)
    if (body === null || path === null || this.#session === null) return
    const probe = { type: controlType.probe, lan: 0, body }
    this.#sendItems(this.#session, [probe, padding], path.ip, path.port, maxPlaintextBytes)
  }

  /** The peer was heard under the new session: it is the one from now on. */
  #promote(session: Session): void {
    if (this.#former !== null) this.#end(this.#former)
    this.#former = this.#session
    this.#formerUntilMs = this.#former === null ? Infinity : this.#host.nowMs + formerSessionMs
    this.#session = session
    this.#pending = null
    this.#unpacker.close()
    if (this.up) this.#host.changed(this, true, true)
    else this.#refresh()
  }

  /** Compares the path with what was told of it. */
  #refresh(): void {
    const { nowMs, calmMs } = this.#host
    const path = this.paths.current
    if (path !== this.#sized) {
      this.#sized = path
      this.#size.reset(calmMs, path === null ? 'none' : isRelay(path) ? 'relayed' : 'direct')
    }
    const up = this.#session !== null && path !== null
    if (!up && this.#askMs === Infinity && this.keyed) this.#askMs = nowMs + askAgainMs
    if (up && this.#pending === null) this.#askMs = Infinity
    this.#setUp(up, up)
  }

  #setUp(up: boolean, fresh: boolean): void {
    if (up === this.up) return
    this.up = up
    this.#host.changed(this, up, fresh)
  }

  #expire(): void {
    this.close(true)
    this.#ask()
  }

  /** Asks for a new session, again and again until one comes or the trunk is removed. */
  #ask(): void {
    this.#askMs = this.#host.nowMs + askAgainMs
    this.#host.wanted(this)
  }

  #dropFormer(): void {
    if (this.#former !== null) this.#end(this.#former)
    this.#former = null
    this.#formerUntilMs = Infinity
  }

  #end(session: Session): void {
    this.#host.unlisten(session.localIndex)
    session.close()
  }
}

function writeKey(view: DataView, at: number, key: HostKey): void {
  view.setUint32(at, Number.parseInt(key.slice(0, 8), 16))
  view.setUint32(at + 4, Number.parseInt(key.slice(8), 16))
}

/** The host's key that lies at `at`. */
export function readKey(view: DataView, at: number): HostKey {
  const half = (offset: number): string => view.getUint32(offset).toString(16).padStart(8, '0')
  return (half(at) + half(at + 4)) as HostKey
}

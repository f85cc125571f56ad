/**
 * The worker's loop. One turn: 1. wait in epoll until the earliest due time; 2. commands; 3. datagrams,
 * control before data, and refusals; 4. a batch from each port; 5. only now deadlines, for what waited may
 * say that the silent one lives; 6. send, control first.
 *
 * A turn that came late (this process did not run) says nothing about others: elections and paths live on a
 * calm clock, which leaves such time out.
 */
import type { Superseded } from '#core/election/ports.ts'
import type { Instant, LanKey } from '#core/ids.ts'
import { unreachable } from '#core/ids.ts'
import { Epoll, epollEvents } from '#syscalls/epoll.ts'
import { drain } from '#syscalls/eventfd.ts'
import { Captures } from './captures.ts'
import type { Command, ForwarderStart, Report } from './contract.ts'
import { type ElectionParts, type Lan, Lans } from './lans.ts'
import { layOut, type Layout } from './memory.ts'
import type { Watcher } from './port.ts'
import { type OpenPort, type PortEntry, Ports } from './ports.ts'
import type { Trunk } from './trunk.ts'
import { Trunks } from './trunks.ts'
import { Wire } from './wire.ts'

/** A turn later than this stops the calm clock for as long as it was late. */
export const lateMs = 25
/** Longest wait: a bound on whatever deadline was missed. */
const maxWaitMs = 1_000

/** What the loop needs of the thread that it runs in. */
export interface LoopHost {
  /** The next posted command, null when none waits. */
  command(): Command | null
  report(report: Report): void
  /** Monotonic milliseconds. */
  now(): number
  readonly openPort: OpenPort
  readonly election: ElectionParts
}

export class Loop implements Watcher {
  readonly #start: ForwarderStart
  readonly #host: LoopHost
  readonly #epoll = new Epoll()
  readonly #ready = new Map<number, (events: number) => void>()
  readonly #layout: Layout = layOut()
  readonly #wire: Wire | null
  readonly #trunks: Trunks
  readonly #lans: Lans
  readonly #ports: Ports
  readonly #captures: Captures
  /** Ports whose machine went in this turn: closed at its end, when nothing holds them. */
  readonly #gone: PortEntry[] = []
  #now: number
  /** Time that the calm clock left out. */
  #stallMs = 0
  #commanded = true
  #received = false
  #failed = false
  #stopped = false

  constructor(start: ForwarderStart, host: LoopHost) {
    this.#start = start
    this.#host = host
    this.#now = host.now()
    // Without a socket no session ever comes, so that nothing is written to descriptor -1.
    const wire = new Wire(start.udpFd, this.#layout)
    this.#wire = start.udpFd >= 0 ? wire : null
    this.#trunks = new Trunks(start.self, this.#layout, wire, Math.random, {
      frame: (trunk, tag, at, length) => this.#fromTrunk(trunk, tag, at, length),
      message: (peer, lan, body) => this.#lans.message(peer, lan, body),
      alive: (peer) => this.#lans.alive(peer),
      refused: (peer) => this.#lans.refused(peer),
      changed: (trunk, up, fresh) => this.#trunkChanged(trunk, up, fresh),
      wanted: (peer) => host.report({ kind: 'trunk-wanted', peer })
    })
    this.#lans = new Lans(
      start.self,
      host.election,
      this.#trunks,
      seeded(start.seed),
      (report) => host.report({ kind: 'lan', report }),
      (lan, port) => this.#superseded(lan, port)
    )
    this.#ports = new Ports(this.#layout, this, host.openPort, seeded(~start.seed), {
      frame: (entry, at, length) => this.#fromPort(entry, at, length),
      state: (entry, up, reason) => this.#portState(entry, up, reason),
      captured: (entry, direction, at, length) =>
        this.#captures.copy(entry.taps.machine, direction, at, length)
    })
    this.#captures = new Captures(this.#layout.memory.bytes, (id) => host.report({ kind: 'captured', id }))
  }

  /** Runs until a `stop` command; then everything that it opened is closed. */
  run(): void {
    this.watch(this.#start.wakeFd, epollEvents.in, () => {
      this.#commanded = true
    })
    if (this.#wire !== null) {
      this.watch(this.#wire.fd, epollEvents.in, (events) => {
        this.#received = true
        if ((events & epollEvents.error) !== 0) this.#failed = true
      })
    }
    this.#host.report({ kind: 'ready' })
    while (!this.#stopped) this.#turn()
    this.#lans.closeAll()
    this.#trunks.closeAll()
    this.#ports.closeAll()
    this.#epoll.close()
  }

  watch(fd: number, events: number, ready: (events: number) => void, edge = false): void {
    this.#ready.set(fd, ready)
    this.#epoll.add(fd, edge ? (events | epollEvents.edge) >>> 0 : events)
  }

  change(fd: number, events: number): void {
    this.#epoll.modify(fd, events)
  }

  unwatch(fd: number): void {
    this.#ready.delete(fd)
    this.#epoll.remove(fd)
  }

  #turn(): void {
    this.#wait()
    this.#lans.now = (this.#now - this.#stallMs) as Instant
    this.#trunks.begin(this.#now, this.#stallMs)
    if (this.#commanded) this.#obey()
    if (this.#received && this.#wire !== null) this.#trunks.receive()
    if (this.#failed) this.#trunks.receiveErrors()
    this.#received = this.#failed = false
    this.#ports.receive(this.#now)
    this.#ports.release(this.#now)
    this.#trunks.tick()
    this.#lans.tick()
    this.#trunks.send()
    this.#ports.flush()
    this.#captures.flush()
    if (this.#gone.length > 0) this.#closeGone()
  }

  #wait(): void {
    const before = this.#now
    const deadline = Math.min(
      this.#ports.deadlineMs,
      this.#trunks.deadlineMs,
      this.#lans.deadlineMs + this.#stallMs,
      before + maxWaitMs
    )
    // A datagram of an earlier turn may wait in the kernel: only a full wait asks what time it is.
    const count = this.#epoll.wait(deadline <= before ? 0 : Math.max(0, deadline - this.#host.now()))
    this.#now = this.#host.now()
    const late = this.#now - Math.max(deadline, before)
    if (late > lateMs) this.#stallMs += late
    for (let i = 0; i < count; i++) this.#ready.get(this.#epoll.fd(i))?.(this.#epoll.events(i))
  }

  #obey(): void {
    this.#commanded = false
    drain(this.#start.wakeFd)
    for (;;) {
      const command = this.#host.command()
      if (command === null) return
      this.#carryOut(command)
    }
  }

  #carryOut(command: Command): void {
    switch (command.kind) {
      case 'lan':
        this.#lans.configure(
          command.lan,
          command.candidates,
          command.members,
          command.owners === undefined ? null : new Map(command.owners)
        )
        return
      case 'lan-remove':
        this.#removeLan(command)
        return
      case 'port':
        this.#addPort(command)
        return
      case 'port-claim':
        this.#openPort(command.port, command.claim)
        return
      case 'port-link':
        this.#ports.setLink(command.port, command.link)
        return
      case 'port-remove':
        this.#removePort(command.port)
        return
      case 'capture':
        this.#captures.start(command, this.#ports)
        return
      case 'capture-end':
        this.#captures.end(command.id, this.#ports)
        this.#host.report({ kind: 'capture-ended', id: command.id })
        return
      case 'trunk':
        this.#trunks.join(command.session)
        return
      case 'trunk-renew':
        this.#trunks.renew(command.peer, command.authForMs)
        return
      case 'trunk-remove':
        this.#trunks.remove(command.peer)
        return
      case 'handoff':
        this.#lans.handoff(command.lan, command.to)
        return
      case 'status':
        this.#status(command.id)
        return
      case 'stop':
        this.#stopped = true
        return
      default:
        unreachable(command)
    }
  }

  #addPort(command: Extract<Command, { kind: 'port' }>): void {
    this.#removePort(command.port)
    try {
      const entry = this.#ports.add(command)
      this.#captures.port(entry)
      if (entry.claim !== null) this.#lans.addPort(entry.lan, entry.index, entry.mac, entry.claim)
    } catch (error: unknown) {
      this.#ports.remove(command.port)
      const reason = error instanceof Error ? error.message : String(error)
      this.#host.report({ kind: 'port', port: command.port, up: false, reason })
    }
  }

  #openPort(id: number, claim: number): void {
    const entry = this.#ports.get(id)
    if (entry === undefined || entry.claim === claim) return
    if (entry.claim !== null) this.#lans.removePort(entry.lan, entry.index, entry.mac)
    entry.claim = claim
    this.#lans.addPort(entry.lan, entry.index, entry.mac, claim)
  }

  /** Another host has the machine under a higher claim: from now on no frame comes out of this port, nor in. */
  #superseded(lan: LanKey, port: Superseded): void {
    for (const entry of this.#ports) {
      if (entry.lan !== lan || entry.mac !== port.mac || entry.claim === null) continue
      entry.claim = null
      this.#lans.removePort(entry.lan, entry.index, entry.mac)
      const { mac, claim, by } = port
      this.#host.report({ kind: 'superseded', port: entry.id, mac, claim, by })
    }
  }

  #removePort(id: number): void {
    const entry = this.#ports.remove(id)
    if (entry !== null) this.#lans.removePort(entry.lan, entry.index, entry.mac)
  }

  #removeLan(command: Extract<Command, { kind: 'lan-remove' }>): void {
    const ids = Array.from(this.#ports).filter((entry) => entry.lan === command.lan)
    for (const entry of ids) this.#removePort(entry.id)
    this.#lans.remove(command.lan)
  }

  #status(id: number): void {
    this.#host.report({ kind: 'status', id, lans: this.#lans.reports(), trunks: this.#trunks.reports() })
  }

  #trunkChanged(trunk: Trunk, up: boolean, fresh: boolean): void {
    this.#host.report({ kind: 'trunk', peer: trunk.peer, up })
    this.#lans.trunk(trunk, up, fresh)
  }

  #portState(entry: PortEntry, up: boolean, reason: string): void {
    this.#host.report({ kind: 'port', port: entry.id, up, reason })
    if (!up) this.#gone.push(entry)
  }

  #closeGone(): void {
    for (const entry of this.#gone) {
      if (this.#ports.get(entry.id) === entry) this.#removePort(entry.id)
    }
    this.#gone.length = 0
  }

  #fromPort(entry: PortEntry, at: number, length: number): void {
    const lan = this.#lans.get(entry.lan)
    if (lan === undefined || entry.claim === null) return
    if (entry.taps.lan.length > 0) this.#captures.copy(entry.taps.lan, 'outbound', at, length)
    const count = lan.fabric.fromPort(this.#layout.memory.bytes, at, entry.index, this.#now)
    this.#deliver(lan, count, at, length)
  }

  #fromTrunk(trunk: Trunk, tag: number, at: number, length: number): void {
    const key = trunk.tags.lan(tag)
    const lan = key === undefined ? undefined : this.#lans.get(key)
    if (lan === undefined) return
    const count = lan.fabric.fromTrunk(
      this.#layout.memory.bytes,
      at,
      trunk.index,
      this.#now,
      trunk.tags.isOwn(tag)
    )
    this.#deliver(lan, count, at, length)
  }

  /** Carries the fabric's decision out. A port overwrites only the headroom, so the order does not matter. */
  #deliver(lan: Lan, count: number, at: number, length: number): void {
    const { targets, targetTags } = lan.fabric
    for (let i = 0; i < count; i++) {
      const place = targets[i] as number
      if (place >= 0) this.#ports.send(place, at, length, this.#now)
      else this.#trunks.at(~place).send(targetTags[i] as number, at, length)
    }
  }
}

/** Numbers in [0, 1) from a seed (mulberry32): elections of one seed draw alike. */
function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

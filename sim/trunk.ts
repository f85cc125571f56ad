/**
 * The trunk between two hosts: a session that their daemons and main threads agree, and a path that is there
 * while both sides answer, or a third host passes on what they send. Times are those of the slice's worker
 * (slice/forwarder/paths.ts).
 */
import type { Host } from './host.ts'
import { Datagram } from './network.ts'
import type { World } from './world.ts'

/** How long a trunk looks for a path before it says that there is none, and how often it looks again. */
const pathLostMs = 1_300
const pathLostJitterMs = 400
const pathSearchMs = 500
/** A worker that does not run for so long leaves probes unanswered. */
const missedMs = 400
/** The daemons agree a session in about this time; when they could not they try again. */
const sessionMs = 120
const sessionAgainMs = 1_000

type Side = 0 | 1
/** The lives of both ends that agreed a session. */
type Keyed = readonly [number, number]

/** Something sealed, on its way to the other end. */
class Sealed extends Datagram {
  readonly #trunk: Trunk
  readonly #side: Side
  readonly #keyed: Keyed
  readonly #arrive: () => void

  /** `from`: who sends it on the way to the other end, the one that sealed it or a relay. */
  constructor(trunk: Trunk, side: Side, from: number, keyed: Keyed, arrive: () => void) {
    super(from, trunk.ends[side === 0 ? 1 : 0].place)
    this.#trunk = trunk
    this.#side = side
    this.#keyed = keyed
    this.#arrive = arrive
  }

  arrived(): void {
    const there = this.#side === 0 ? 1 : 0
    const to = this.#trunk.ends[there]
    if (this.#trunk.opens(this.#keyed) && to.life === this.#keyed[there])
      to.worker.do('datagram', this.#arrive)
  }

  refused(): void {
    const from = this.#trunk.ends[this.#side]
    if (from.place === this.from && from.life === this.#keyed[this.#side])
      from.worker.do('error', () => from.slice.refused(this.#trunk.other(from)))
  }
}

/** Something sealed for a third host, on its way to who passes it on. */
class ToRelay extends Datagram {
  readonly #relay: Host
  readonly #passOn: () => void

  constructor(from: Host, relay: Host, passOn: () => void) {
    super(from.place, relay.place)
    this.#relay = relay
    this.#passOn = passOn
  }

  arrived(): void {
    this.#relay.worker.do('datagram', this.#passOn)
  }

  refused(): void {
    // The trunk to the relay notices by itself.
  }
}

export class Trunk {
  readonly ends: readonly [Host, Host]
  /** Since when each side holds that there is a path; Infinity: there is none. */
  readonly upSince: [number, number] = [Infinity, Infinity]
  /** The lives of both ends whose keys the session is; null: none yet. */
  #keyed: Keyed | null = null
  #keying = false
  /** Who passes on what is sent; null: it goes by itself. */
  #relay: Host | null = null
  #returning = false
  readonly #losing: [boolean, boolean] = [false, false]
  readonly #finding: [boolean, boolean] = [false, false]
  /** What one end sends in one turn shares a datagram. */
  readonly #datagrams: [{ sentAt: number; arrivesAt: number }, { sentAt: number; arrivesAt: number }] = [
    { sentAt: -1, arrivesAt: 0 },
    { sentAt: -1, arrivesAt: 0 }
  ]
  readonly #world: World

  constructor(world: World, a: Host, b: Host) {
    this.#world = world
    this.ends = [a, b]
  }

  other(host: Host): Host {
    return host === this.ends[0] ? this.ends[1] : this.ends[0]
  }

  isUp(host: Host): boolean {
    return this.upSince[this.#side(host)] !== Infinity
  }

  /** Both ends have held the path for at least so long. */
  soundFor(ms: number): boolean {
    return Math.max(...this.upSince) + ms <= this.#world.clock.now && this.#answers()
  }

  /** Frames find their way, by a third host if need be. */
  get isLinked(): boolean {
    return this.#works() || this.#findWay() !== undefined
  }

  /** Both ends hold a path, and it needs nobody else. */
  get isDirect(): boolean {
    return this.#relay === null && Math.max(...this.upSince) !== Infinity && this.#answers()
  }

  /** Something changed that may give or take a path. */
  reconsider(): void {
    const { clock, random } = this.#world
    if (!this.#isKeyed() && !this.#keying && this.#canAgree()) {
      this.#keying = true
      clock.after(sessionMs * random.trunks.between(0.5, 1.5), () => this.#agree())
    }
    const works = this.#works()
    const fine = works || this.#findWay() !== undefined
    for (const side of [0, 1] as const) {
      const up = this.upSince[side] !== Infinity
      if (up && !works && !this.#losing[side]) {
        this.#losing[side] = true
        clock.after(pathLostMs + random.trunks.next() * pathLostJitterMs, () => this.#lose(side))
      } else if (!up && fine && !this.#finding[side]) {
        this.#search(side)
      }
    }
    if (this.#relay !== null && !this.#returning && this.#answers()) {
      this.#returning = true
      clock.after(random.trunks.next() * pathSearchMs, () => this.#return())
    }
  }

  /** Whether the way that is used is one. */
  #works(): boolean {
    if (this.#relay === null) return this.#answers()
    return this.#isKeyed() && this.#willing() && this.#passes(this.#relay)
  }

  /** The best way that there is now: straight (null), or by a host with paths to both; undefined: none. */
  #findWay(): Host | null | undefined {
    if (this.#answers()) return null
    return this.#isKeyed() && this.#willing() && this.#patient() ? this.#findThird() : undefined
  }

  /** A host with direct trunks to both ends. */
  #findThird(): Host | undefined {
    for (const host of this.#world.peersOf(this.ends[0])) if (this.#passes(host)) return host
    return undefined
  }

  /** The daemons meet, or a third one carries their halves (daemon/carried.ts). */
  #canAgree(): boolean {
    return this.#bothAnswer() || (this.#willing() && this.#findThird() !== undefined)
  }

  #passes(relay: Host): boolean {
    const [a, b] = this.ends
    const legs = [this.#world.trunk(a, relay), this.#world.trunk(relay, b)]
    return legs.every((leg) => leg !== undefined && leg !== this && leg.isDirect)
  }

  /** A direct way is better than any other. */
  #return(): void {
    this.#returning = false
    if (this.#answers()) this.#relay = null
    else this.reconsider()
  }

  /** Carries something sealed to the other end; what comes under keys of a former life opens nothing. */
  send(from: Host, what: string, arrive: () => void): void {
    const side = this.#side(from)
    const to = this.other(from)
    const { network, clock } = this.#world
    const keyed = this.#keyed
    if (keyed === null || this.upSince[side] === Infinity) return
    if (this.#relay !== null) return this.#sendBy(this.#relay, side, keyed, what, arrive)
    const datagram = this.#datagrams[side]
    if (datagram.sentAt !== clock.now) {
      datagram.sentAt = clock.now
      datagram.arrivesAt = network.arrival(from.place, to.place)
    }
    if (datagram.arrivesAt === Infinity && network.drawn === null) return
    network.datagram(datagram.arrivesAt, what, new Sealed(this, side, from.place, keyed, arrive))
  }

  /** Along the trunks of a third host, as long as it has them. */
  #sendBy(relay: Host, side: Side, keyed: Keyed, what: string, arrive: () => void): void {
    const { network } = this.#world
    const from = this.ends[side]
    const to = this.other(from)
    const passOn = (): void => {
      if (this.#world.hasBug('nothing-passed-on')) return
      if (this.#world.trunk(relay, to)?.isUp(relay) !== true) return
      const at = network.arrival(relay.place, to.place)
      network.datagram(at, what, new Sealed(this, side, relay.place, keyed, arrive))
    }
    network.datagram(network.arrival(from.place, relay.place), what, new ToRelay(from, relay, passOn))
  }

  /** Whether what was sealed under these keys opens. */
  opens(keyed: Keyed): boolean {
    return this.#keyed === keyed
  }

  #side(host: Host): Side {
    return host === this.ends[0] ? 0 : 1
  }

  #isKeyed(): boolean {
    const [a, b] = this.ends
    return this.#keyed !== null && this.#keyed[0] === a.life && this.#keyed[1] === b.life
  }

  /** This end takes nothing of the other from now on: it was shut out. */
  shut(host: Host): void {
    const side = this.#side(host)
    this.#keyed = null
    this.#relay = null
    this.#world.changedAt = this.#world.clock.now
    if (this.upSince[side] !== Infinity) {
      this.upSince[side] = Infinity
      this.#tell(side, false, false)
    }
    this.reconsider()
  }

  /** Both are there, and neither shuts the other out. */
  #willing(): boolean {
    const [a, b] = this.ends
    return a.running && b.running && !a.records.shuts(b) && !b.records.shuts(a)
  }

  #bothAnswer(): boolean {
    const [a, b] = this.ends
    return this.#willing() && this.#world.network.connects(a.place, b.place)
  }

  #patient(): boolean {
    return this.ends.every((end) => end.worker.stalledMs <= missedMs)
  }

  #answers(): boolean {
    return this.#isKeyed() && this.#bothAnswer() && this.#patient()
  }

  /** Daemons carry and vouch, main threads hand over: none of them may be stalled. */
  #agree(): void {
    const [a, b] = this.ends
    this.#keying = false
    if (!this.#canAgree() || this.#isKeyed()) return
    const third = this.#bothAnswer() ? null : (this.#findThird() ?? null)
    if ([a.main, a.daemon, b.main, b.daemon, third?.daemon].some((thread) => thread?.stalled === true)) {
      this.#keying = true
      this.#world.clock.after(sessionAgainMs, () => this.#agree())
      return
    }
    this.#keyed = [a.life, b.life]
    this.#relay = third
    for (const side of [0, 1] as const) this.#rise(side, true)
  }

  #lose(side: Side): void {
    this.#losing[side] = false
    if (this.upSince[side] === Infinity || this.#works()) return
    const way = this.#findWay()
    this.#relay = way ?? null
    if (way !== undefined) return
    this.upSince[side] = Infinity
    this.#tell(side, false, false)
  }

  #find(side: Side): void {
    this.#finding[side] = false
    if (this.upSince[side] !== Infinity) return
    const { worker } = this.ends[side]
    const way = this.#works() ? this.#relay : this.#findWay()
    if (way !== undefined && !worker.stalled) {
      this.#relay = way
      return this.#rise(side, false)
    }
    // A search does not end because the moment was bad.
    if (this.#isKeyed() && (this.#bothAnswer() || way !== undefined)) this.#search(side)
  }

  #search(side: Side): void {
    this.#finding[side] = true
    this.#world.clock.after(this.#world.random.trunks.next() * pathSearchMs, () => this.#find(side))
  }

  #rise(side: Side, fresh: boolean): void {
    this.upSince[side] = this.#world.clock.now
    this.#tell(side, true, fresh)
    this.#reconsiderOthers()
  }

  /** Others may go along this trunk. */
  #reconsiderOthers(): void {
    if (!this.#world.network.hasCuts) return
    for (const end of this.ends) {
      for (const trunk of this.#world.trunksOf(end)) if (trunk !== this) trunk.reconsider()
    }
  }

  #tell(side: Side, up: boolean, fresh: boolean): void {
    const host = this.ends[side]
    const peer = this.ends[1 - side] as Host
    if (!host.running) return
    const { life } = host
    host.worker.do('datagram', () => {
      if (host.life === life) host.slice.trunk(peer, up, fresh)
    })
  }

  /** A host began anew: its side of the path is gone. */
  ended(host: Host): void {
    this.upSince[this.#side(host)] = Infinity
  }
}

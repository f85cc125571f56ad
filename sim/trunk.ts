/**
 * The trunk between two hosts: a session that their daemons and main threads agree, and a path that is there
 * while both sides answer. Times are those of the slice's worker (slice/forwarder/paths.ts).
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

  constructor(trunk: Trunk, side: Side, keyed: Keyed, arrive: () => void) {
    super(trunk.ends[side].place, trunk.ends[side === 0 ? 1 : 0].place)
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
    if (from.life === this.#keyed[this.#side])
      from.worker.do('error', () => from.slice.refused(this.#trunk.other(from)))
  }
}

export class Trunk {
  readonly ends: readonly [Host, Host]
  /** Since when each side holds that there is a path; Infinity: there is none. */
  readonly upSince: [number, number] = [Infinity, Infinity]
  /** The lives of both ends whose keys the session is; null: none yet. */
  #keyed: Keyed | null = null
  #keying = false
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

  /** A session of the lives that both ends have now. */
  get agreed(): boolean {
    return this.#isKeyed()
  }

  /** Both ends have held the path for at least so long. */
  soundFor(ms: number): boolean {
    return Math.max(...this.upSince) + ms <= this.#world.clock.now && this.#answers()
  }

  /** Something changed that may give or take a path. */
  reconsider(): void {
    const { clock, random } = this.#world
    const both = this.#bothAnswer()
    if (both && !this.#isKeyed() && !this.#keying) {
      this.#keying = true
      clock.after(sessionMs * random.trunks.between(0.5, 1.5), () => this.#agree())
    }
    const fine = this.#answers()
    for (const side of [0, 1] as const) {
      const up = this.upSince[side] !== Infinity
      if (up && !fine && !this.#losing[side]) {
        this.#losing[side] = true
        clock.after(pathLostMs + random.trunks.next() * pathLostJitterMs, () => this.#lose(side))
      } else if (!up && fine && !this.#finding[side]) {
        this.#search(side)
      }
    }
  }

  /** Carries something sealed to the other end; what comes under keys of a former life opens nothing. */
  send(from: Host, what: string, arrive: () => void): void {
    const side = this.#side(from)
    const to = this.other(from)
    const { network, clock } = this.#world
    const keyed = this.#keyed
    if (keyed === null || this.upSince[side] === Infinity) return
    const datagram = this.#datagrams[side]
    if (datagram.sentAt !== clock.now) {
      datagram.sentAt = clock.now
      datagram.arrivesAt = network.arrival(from.place, to.place)
    }
    if (datagram.arrivesAt === Infinity && network.drawn === null) return
    network.datagram(datagram.arrivesAt, what, new Sealed(this, side, keyed, arrive))
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
    this.#world.changedAt = this.#world.clock.now
    if (this.upSince[side] !== Infinity) {
      this.upSince[side] = Infinity
      this.#tell(side, false, false)
    }
    this.reconsider()
  }

  #bothAnswer(): boolean {
    const [a, b] = this.ends
    if (a.records.shuts(b) || b.records.shuts(a)) return false
    return a.running && b.running && this.#world.network.connects(a.place, b.place)
  }

  #answers(): boolean {
    const [a, b] = this.ends
    const patient = a.worker.stalledMs <= missedMs && b.worker.stalledMs <= missedMs
    return this.#isKeyed() && this.#bothAnswer() && patient
  }

  /** Daemons carry and vouch, main threads hand over: none of the four may be stalled. */
  #agree(): void {
    const [a, b] = this.ends
    this.#keying = false
    if (!this.#bothAnswer() || this.#isKeyed()) return
    if ([a.main, a.daemon, b.main, b.daemon].some((thread) => thread.stalled)) {
      this.#keying = true
      this.#world.clock.after(sessionAgainMs, () => this.#agree())
      return
    }
    this.#keyed = [a.life, b.life]
    for (const side of [0, 1] as const) this.#rise(side, true)
  }

  #lose(side: Side): void {
    this.#losing[side] = false
    if (this.upSince[side] === Infinity || this.#answers()) return
    this.upSince[side] = Infinity
    this.#tell(side, false, false)
  }

  #find(side: Side): void {
    this.#finding[side] = false
    if (this.upSince[side] !== Infinity) return
    const { worker } = this.ends[side]
    if (this.#answers() && !worker.stalled) return this.#rise(side, false)
    // A search does not end because the moment was bad.
    if (this.#bothAnswer() && this.#isKeyed()) this.#search(side)
  }

  #search(side: Side): void {
    this.#finding[side] = true
    this.#world.clock.after(this.#world.random.trunks.next() * pathSearchMs, () => this.#find(side))
  }

  #rise(side: Side, fresh: boolean): void {
    this.upSince[side] = this.#world.clock.now
    this.#tell(side, true, fresh)
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

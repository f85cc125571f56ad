/**
 * To whom a host's daemon is connected: some members by chance, the newcomer's first, and of each VIOLIN that
 * it holds those that core/records/holders.ts names. Lost ones are dialled again, for ever.
 */
import type { HostId, ViolinId } from '#core/ids.ts'
import { holderNeighbours } from '#core/records/holders.ts'
import type { Host } from './host.ts'
import type { World } from './world.ts'

/** A lost neighbour is dialled again within this time. */
const redialMs = 1_500
/** What a daemon computes for a dial that is under way at either side: noise, two chains to verify. */
const dialComputesMs = 4
/** Round trips of a dial until a first request can be sent: TCP, noise, yamux and the memberships. */
const dialRoundTrips = 4

export class Connections {
  /** Members that this host knows how to reach, and wants to be connected to. */
  readonly neighbours: Set<number> = new Set()
  readonly connected: Set<number> = new Set()
  readonly #world: World
  readonly #host: Host
  readonly #dialling = new Set<number>()
  /** Of each VIOLIN that is held: those to whom its topic goes. */
  readonly #topics = new Map<ViolinId, readonly number[]>()
  /** Until when this daemon computes for dials that it began. */
  #busyUntil = 0

  constructor(world: World, host: Host) {
    this.#world = world
    this.#host = host
  }

  start(): void {
    this.connected.clear()
    this.#dialling.clear()
    this.#busyUntil = 0
  }

  /** Holders of a VIOLIN to whom its records are gossiped. */
  topic(violin: ViolinId): readonly number[] {
    return this.#topics.get(violin) ?? []
  }

  /** The holders of a VIOLIN are these; nobody: it is not held here any more. */
  hold(violin: ViolinId, holders: ReadonlySet<HostId>): void {
    if (holders.size === 0) return void this.#topics.delete(violin)
    const chosen = holderNeighbours(holders, this.#host.id)
    const places = chosen.map((id) => this.#world.byId(id)?.place).filter((place) => place !== undefined)
    this.#topics.set(violin, places)
    for (const place of places) this.neighbours.add(place)
    if (this.#host.running) this.reconsider()
  }

  /** The ways to neighbours may have changed. */
  reconsider(): void {
    if (!this.#host.running) return
    const isMember = this.#host.records.chain !== null
    for (const place of this.connected) {
      if (isMember && this.reaches(place)) continue
      this.connected.delete(place)
      this.#host.records.gossip.lost(place)
      this.#host.claims?.kick()
    }
    if (!isMember) return
    for (const place of this.neighbours) {
      if (!this.connected.has(place) && this.#isThere(place)) this.#redial(place)
    }
  }

  /** A member that takes what comes from here. */
  reaches(place: number): boolean {
    return this.#isThere(place) && !this.#world.host(place).records.shuts(this.#host)
  }

  /** A member to be dialled, as far as this host knows. */
  #isThere(place: number): boolean {
    const peer = this.#world.host(place)
    const { records } = this.#host
    if (!peer.running || peer.records.chain === null || records.isOut || records.shuts(peer)) return false
    return this.#world.network.connects(this.#host.place, place)
  }

  /** Whoever dials first connects both; a host behind a NAT is waited for. */
  #redial(place: number): void {
    if (this.#dialling.has(place) || !this.#world.network.canBeDialled(place)) return
    this.#dialling.add(place)
    const { life } = this.#host
    this.#world.clock.after(this.#world.random.mesh.next() * redialMs, () => {
      if (life !== this.#host.life) return
      this.#dialling.delete(place)
      if (!this.connected.has(place) && this.#isThere(place)) this.dial(place, () => {})
    })
  }

  /** Connects to a host if it is not, and goes on with `then`; nothing comes of it where that fails. */
  dial(place: number, then: () => void): void {
    if (this.connected.has(place)) return then()
    if (!this.#isThere(place) || !this.#world.network.canBeDialled(place)) return
    const { clock, network } = this.#world
    const { life } = this.#host
    this.#busyUntil = Math.max(this.#busyUntil, clock.now) + dialComputesMs
    const trips = (dialRoundTrips - 1) * network.rttMs(this.#host.place, place)
    clock.at(this.#busyUntil + trips + dialComputesMs, () => {
      if (life !== this.#host.life || !this.#isThere(place)) return
      const peer = this.#world.host(place)
      this.call(peer, 'dial', (reply) => {
        peer.records.connections.#met(this.#host.place)
        reply(() => {
          this.#met(place)
          then()
        })
      })
    })
  }

  #met(place: number): void {
    if (this.#host.records.chain === null || this.connected.has(place) || !this.reaches(place)) return
    this.connected.add(place)
    this.#host.records.gossip.met()
    this.#host.records.repair.with(place)
    this.#host.claims?.kick()
  }

  /** Runs `serve` at a peer's daemon and what it replies here, if both are there. */
  call(peer: Host, what: string, serve: (reply: (run: () => void) => void) => void): void {
    const host = this.#host
    const { life } = host
    const { network } = this.#world
    network.stream(host.place, peer.place, what, () => {
      peer.daemon.do('datagram', () => {
        const reply = (run: () => void): void =>
          network.stream(peer.place, host.place, 'answer', () => {
            if (life === host.life) host.daemon.do('datagram', run)
          })
        const { chain } = host.records
        const revocation = chain === null ? null : peer.records.set.revocationOf(chain)
        // Who was shut out is told so, and nothing else.
        if (revocation === null) serve(reply)
        else reply(() => void host.records.merge(revocation.bytes))
      })
    })
  }
}

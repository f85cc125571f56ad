/**
 * How a virtual host watches others: the core's machine over the virtual network, fed as `daemon/watching.ts`
 * feeds it. The member list is the world's: all hosts know the same, and share it.
 */
import type { HostId, Instant } from '#core/ids.ts'
import { type Effect, Liveness } from '#core/liveness/liveness.ts'
import type { Told } from '#core/liveness/message.ts'
import { signEveryMs, tickMs } from '#core/liveness/settings.ts'
import { Ears } from './ears.ts'
import type { Host } from './host.ts'
import { virtualCrypto } from './keys.ts'
import type { Way } from './network.ts'
import type { World } from './world.ts'

/** As in daemon/watching.ts. */
const across = 8
const dialDeadEveryMs = 15_000
const neighboursAsked = 2
/** Gossipsub's mesh: so many of its links that a host chose, and those of the hosts that chose it. */
const chosen = 4
/** A ping, its answer and what carries them. */
const signBytes = 200
/** Timers run before what waits in sockets: after a stall the machine is called first, and reads then. */
const lateMs = 50

/** To a host that is watched, and is told so. */
interface Link {
  readonly place: number
  readonly way: Way
  /** The ears of the peer's life that were met last, and the number of this host's signs there. */
  ears: number
  number: number
}

export class Watching {
  readonly liveness: Liveness
  readonly #world: World
  readonly #host: Host
  readonly #ears: Ears
  /** Messages of the mesh that passed here. */
  readonly #seen = new Set<Uint8Array>()
  readonly #gossips: Host[] = []
  readonly #life: number
  #watched: readonly HostId[] = []
  #links: readonly Link[] = []
  #ticks: number
  #tickedAt: number
  #waits = false

  constructor(world: World, host: Host) {
    this.#world = world
    this.#host = host
    this.#life = host.life
    this.#ears = new Ears(world.signs, host.place)
    this.#tickedAt = world.clock.now
    this.#ticks = world.random.mesh.below(1_000)
    this.liveness = new Liveness({
      self: host.id,
      root: world.root.publicKey,
      signer: host.signer,
      crypto: virtualCrypto,
      ring: world.ring,
      heardAt: (id) => this.#ears.lastAt(id),
      now: world.clock.now as Instant
    })
  }

  /** Once all hosts are there: whom it links to, and what recurs. */
  start(): void {
    const { clock, random } = this.#world
    this.#carry(this.liveness.changed(this.#now))
    const links = [...this.liveness.watched, ...this.#world.ring.across(this.#host.id, across)]
    // All hosts of the beginning are there then.
    clock.after(0, () => {
      for (const id of random.mesh.sample(links, chosen)) this.#gossip(this.#world.byId(id) as Host)
    })
    for (const id of this.liveness.watched.slice(0, this.#life > 1 ? neighboursAsked : 0)) this.#ask(id)
    const tick = (): void => this.#tick()
    const turn = (): void => {
      if (this.#life !== this.#host.life || !this.#host.running) return
      clock.after(tickMs, turn)
      // An interval that could not run runs once.
      if (this.#waits) return
      this.#waits = true
      this.#host.daemon.do('command', tick)
    }
    clock.after(this.#world.phaseOf(this.#host.place) * tickMs, turn)
  }

  get #now(): Instant {
    return this.#world.clock.now as Instant
  }

  #tick(): void {
    this.#waits = false
    const late = this.#now - this.#tickedAt > tickMs + lateMs
    this.#tickedAt = this.#now
    if (!late) this.#read()
    this.#carry(this.liveness.tick(this.#now))
    if (late) this.#read()
    this.#ticks++
    if (this.#ticks % (signEveryMs / tickMs) === 0) this.#sign()
    if (this.#ticks % (dialDeadEveryMs / tickMs) === 0) this.#dialOneDead()
  }

  /** Bytes count when they are read. */
  #read(): void {
    this.#ears.read(this.#now, this.#heard)
  }

  readonly #heard = (id: HostId): void => {
    if (this.liveness.isDead(id)) this.#carry(this.liveness.connected(id, this.#now))
  }

  #hear(peer: Host): void {
    this.#ears.hear(peer.id, this.#now)
    this.#heard(peer.id)
  }

  /** Tells those whom it watches that it is there: no event, for they look by themselves. */
  #sign(): void {
    if (this.#watched !== this.liveness.watched) this.#link()
    const { network, signs } = this.#world
    const { place } = this.#host
    this.#host.sent.livenessBytes += signBytes * this.#links.length
    for (const link of this.#links) {
      const ears = signs.earsOf(link.place)
      if (ears === 0) continue
      const at = network.streamArrival(link.way, place, link.place)
      if (at === Infinity) continue
      if (link.ears !== ears) {
        link.ears = ears
        link.number = (this.#world.host(link.place).watching as Watching).#ears.numberOf(this.#host.id)
      }
      signs.comes(link.number, at)
    }
  }

  #link(): void {
    this.#watched = this.liveness.watched
    this.#links = this.#watched.map((id) => {
      const { place } = this.#world.byId(id) as Host
      return { place, way: this.#world.network.way(this.#host.place, place), ears: 0, number: 0 }
    })
  }

  #dialOneDead(): void {
    const { dead } = this.liveness
    if (dead.length === 0) return
    const peer = this.#world.byId(this.#world.random.mesh.pick(dead)) as Host
    this.#send(peer, (there) => {
      there.#hear(this.#host)
      there.#send(this.#host, (here) => here.#hear(peer))
    })
  }

  /** A host that starts asks a neighbour who is dead. */
  #ask(id: HostId): void {
    const peer = this.#world.byId(id) as Host
    this.#send(peer, (there) => {
      const { messages } = there.liveness.evidence()
      there.#send(this.#host, (here) => here.#carry(here.liveness.learn(messages, here.#now)))
    })
  }

  #carry(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'tell')
        for (const id of effect.to) this.#tell(this.#world.byId(id) as Host, effect.told)
      else if (effect.kind === 'publish') this.#spread(effect.bytes, null)
      else if (effect.kind === 'state')
        this.#world.see({
          kind: 'life',
          host: this.#host.place,
          about: this.#placeOf(effect.host),
          state: effect.state
        })
    }
  }

  #placeOf(id: HostId): number {
    return (this.#world.byId(id) as Host).place
  }

  #tell(peer: Host, told: Told): void {
    for (const { length } of told.messages) this.#host.sent.livenessBytes += length
    this.#send(peer, (there) => {
      there.#hear(this.#host)
      for (const bytes of told.messages) there.#receive(bytes, this.#host.id, told.spread)
    })
  }

  #receive(bytes: Uint8Array, from: HostId, spread: boolean): 'accept' | 'ignore' | 'reject' {
    const { verdict, effects } = this.liveness.receive(bytes, { from, spread }, this.#now)
    this.#carry(effects)
    return verdict
  }

  /** Whether news or not, it is handed on once. */
  #spread(bytes: Uint8Array, from: Host | null): void {
    if (!this.#world.gossips || this.#seen.has(bytes)) return
    this.#seen.add(bytes)
    if (from !== null && this.#receive(bytes, from.id, true) !== 'accept') return
    for (const peer of this.#gossips) {
      if (peer === from) continue
      this.#host.sent.livenessBytes += bytes.length
      this.#send(peer, (there) => there.#spread(bytes, this.#host))
    }
  }

  /** Over a connection, to the peer's daemon, if it runs. */
  #send(peer: Host, arrive: (there: Watching) => void): void {
    this.#world.network.stream(this.#host.place, peer.place, 'liveness', () => {
      peer.daemon.do('datagram', () => {
        if (peer.watching !== null) arrive(peer.watching)
      })
    })
  }

  /** A link of gossip counts both ways. */
  #gossip(peer: Host): void {
    if (!this.#gossips.includes(peer)) this.#gossips.push(peer)
    const other = peer.watching
    if (other !== null && !other.#gossips.includes(this.#host)) other.#gossips.push(this.#host)
  }
}

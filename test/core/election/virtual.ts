/**
 * A virtual network of elections: one vLAN, one port a host, a clock of its own. Delays, losses, partitions,
 * deaths, stalls and restarts come from a seed, so that a failing run repeats. Messages go through the codec.
 */
import assert from 'node:assert/strict'
import { Election } from '#core/election/election.ts'
import { decodeMessage, encodeMessage } from '#core/election/message.ts'
import type { Effect, Input, Role, SwitchView, Tag } from '#core/election/types.ts'
import type { Message } from '#core/election/message.ts'
import type { Owners, Port, Superseded } from '#core/election/ports.ts'
import type { HostKey, Instant, Mac } from '#core/ids.ts'

/** How long a trunk looks for a path before it says that there is none, and how often it looks again. */
/** More than what is lost where a time of one clock is told by another. */
const roundingMs = 1e-6
const pathLostMs = 1_300
const pathSearchMs = 500
/** The daemons agree a new session with a host that began anew in this time. */
const sessionMs = 120

export interface NetworkOptions {
  readonly hosts: number
  readonly seed: number
  /** One way, and up to as much again by chance. */
  readonly delayMs?: number
  readonly jitterMs?: number
  /** Share of datagrams that are lost. */
  readonly loss?: number
  /** Places of the candidates; default all. */
  readonly candidates?: readonly number[]
  /** Who may announce which MAC; default: any any. */
  readonly owners?: Owners
  /** Hosts that start at once; default all. */
  readonly started?: readonly number[]
}

export interface Frame {
  readonly id: number
  readonly source: VirtualHost
  readonly sentAt: number
  readonly reached: Map<VirtualHost, number>
}

/** One host: its election and what its worker would keep. */
export class VirtualHost {
  readonly key: HostKey
  readonly place: number
  election: Election | null = null
  role: Role = { kind: 'edge', uplink: null }
  view: SwitchView = { active: null, standby: null, term: 0, role: 'edge' }
  /** Accepted tags by peer. */
  accepted: Map<HostKey, Set<number>> = new Map()
  given: Map<HostKey, Set<number>> = new Map()
  fdb: Map<HostKey, readonly Mac[]> = new Map()
  /** Own ports that it was told to shut, and by whom they are superseded. */
  readonly superseded: Superseded[] = []
  /** Peers with a path. */
  readonly paths: Set<HostKey> = new Set()
  life = 0
  /** How far this host's clock is behind for stalls, and ahead by where it began. */
  clockMs: number
  stalledUntil = 0
  readonly waiting: (() => void)[] = []
  tickAt: number = Infinity
  terms: { readonly counter: number; readonly at: number }[] = []

  constructor(place: number, clockMs: number) {
    this.place = place
    this.key = (0x1000000000000000n + BigInt(place)).toString(16) as HostKey
    this.clockMs = clockMs
  }

  get alive(): boolean {
    return this.election !== null
  }
}

export class Network {
  readonly hosts: VirtualHost[] = []
  readonly frames: Frame[] = []
  /** Messages that were sent, by kind and way: `beat 0 1`. */
  readonly sent: Map<string, number> = new Map()
  now = 0
  readonly #options: NetworkOptions
  readonly #candidates: readonly HostKey[]
  #events: { readonly at: number; readonly order: number; readonly run: () => void }[] = []
  #order = 0
  #state: number
  /** Groups of hosts that reach one another; null: all do. Unlisted hosts reach nobody. */
  #groups: readonly (readonly number[])[] | null = null
  /** Alive, without an election: nothing is refused. */
  readonly #left = new Set<VirtualHost>()
  readonly #datagrams = new Map<string, { readonly sentAt: number; readonly arrivesAt: number }>()

  constructor(options: NetworkOptions) {
    this.#options = options
    this.#state = options.seed >>> 0
    for (let place = 0; place < options.hosts; place++) {
      this.hosts.push(new VirtualHost(place, 1_000 + this.random() * 100_000))
    }
    const places = options.candidates ?? this.hosts.map((host) => host.place)
    this.#candidates = places.map((place) => this.host(place).key)
    for (const place of options.started ?? this.hosts.map((host) => host.place)) this.start(place)
  }

  host(place: number): VirtualHost {
    return this.hosts[place] as VirtualHost
  }

  get living(): VirtualHost[] {
    return this.hosts.filter((host) => host.alive)
  }

  get actives(): VirtualHost[] {
    return this.living.filter((host) => host.role.kind === 'active')
  }

  /** Numbers in [0, 1) (mulberry32). */
  random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  // What happens to hosts.

  start(place: number): void {
    const host = this.host(place)
    host.life++
    host.role = { kind: 'edge', uplink: null }
    host.view = { active: null, standby: null, term: 0, role: 'edge' }
    host.accepted = new Map()
    host.given = new Map()
    host.stalledUntil = 0
    const seed = this.random()
    let draws = 0
    host.election = new Election({
      self: host.key,
      tags: {
        allocate: (peer) => this.#allocate(host, peer),
        release: (peer, tag) => void host.given.get(peer)?.delete(tag)
      },
      random: () => (seed + ++draws * 0.618) % 1,
      now: this.#clock(host)
    })
    this.own(place, this.#options.owners ?? null)
    this.setPorts(place, [{ mac: macOf(place), claim: 1 }])
    for (const other of this.hosts) if (other !== host && other.alive) this.#join(host, other)
  }

  /** A host comes to know who may announce which MAC. */
  own(place: number, owners: Owners): void {
    const members = this.hosts.map((other) => other.key)
    this.#feed(this.host(place), { kind: 'configure', candidates: this.#candidates, members, owners })
  }

  /** The ports of a host, whole. */
  setPorts(place: number, ports: readonly Port[]): void {
    this.#feed(this.host(place), { kind: 'ports', ports })
  }

  /** The process dies; its kernel answers what still comes. */
  kill(place: number): void {
    const host = this.host(place)
    host.election = null
    host.paths.clear()
    host.waiting.length = 0
    host.tickAt = Infinity
  }

  /** The host takes its leave of the vLAN; its process lives on. */
  leave(place: number): void {
    const host = this.host(place)
    this.#feed(host, { kind: 'leave' })
    host.election = null
    host.tickAt = Infinity
    this.#left.add(host)
  }

  /** The process does not run for a while. */
  stall(place: number, forMs: number): void {
    const host = this.host(place)
    if (!host.alive || host.stalledUntil > this.now) return
    host.stalledUntil = this.now + forMs
    const { life } = host
    this.at(host.stalledUntil, () => {
      if (host.life !== life || !host.alive) return
      host.clockMs -= forMs
      for (const run of host.waiting.splice(0)) run()
      this.#feed(host, { kind: 'tick' })
    })
  }

  handoff(place: number | null): void {
    const to = place === null ? null : this.host(place).key
    for (const host of this.living) this.#feed(host, { kind: 'handoff', to })
  }

  /** Only hosts of one group reach one another. */
  partition(groups: readonly (readonly number[])[]): void {
    this.#groups = groups
    for (const left of this.living) {
      for (const right of this.living) if (left !== right) this.#losePath(left, right)
    }
  }

  heal(): void {
    this.#groups = null
    for (const left of this.living) {
      for (const right of this.living) {
        if (left.place < right.place) this.#findPath(left, right, this.random() * pathSearchMs)
      }
    }
  }

  reaches(left: VirtualHost, right: VirtualHost): boolean {
    if (this.#groups === null) return true
    return this.#groups.some((group) => group.includes(left.place) && group.includes(right.place))
  }

  // Frames.

  /** The machine of a host sends a broadcast. */
  broadcast(source: VirtualHost): Frame {
    const frame: Frame = { id: this.frames.length, source, sentAt: this.now, reached: new Map() }
    this.frames.push(frame)
    const { role } = source
    if (!source.alive || source.stalledUntil > this.now) return frame
    if (role.kind === 'active') this.#down(source, role.downlinks, frame, null)
    else if (role.uplink !== null) this.#carry(source, role.uplink.peer, role.uplink.tag, frame)
    return frame
  }

  /** The machine of every living host sends a broadcast every `everyMs` for `forMs`. */
  chatter(everyMs: number, forMs: number): void {
    for (let ms = 0; ms < forMs; ms += everyMs) {
      this.at(this.now + ms, () => {
        for (const host of this.living) this.broadcast(host)
      })
    }
  }

  // Time.

  at(at: number, run: () => void): void {
    const event = { at, order: this.#order++, run }
    let low = 0
    let high = this.#events.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#events[middle] as { at: number }).at <= at) low = middle + 1
      else high = middle
    }
    this.#events.splice(low, 0, event)
  }

  /** Lets `forMs` pass. */
  run(forMs: number): void {
    const end = this.now + forMs
    let steps = 0
    for (;;) {
      const next = this.#events[0]
      if (next === undefined || next.at > end) break
      this.#events.shift()
      if (next.at > this.now) {
        this.now = next.at
        steps = 0
      }
      assert.ok(++steps < 10_000, `no end of steps at ${this.now}`)
      next.run()
    }
    this.now = end
  }

  /** Runs until `done`, at most `forMs`; gives how long it took. */
  until(what: string, forMs: number, done: () => boolean): number {
    const from = this.now
    while (!done()) {
      assert.ok(this.now - from < forMs, `${what} did not come in ${forMs} ms: ${this.describe()}`)
      this.run(1)
    }
    return this.now - from
  }

  /** Whether all living hosts agree on one active. */
  get settled(): boolean {
    const [active, ...more] = this.actives
    if (active === undefined || more.length > 0) return false
    return this.living.every((host) => {
      if (host.view.active !== active.key || host.view.term !== active.view.term) return false
      if (host === active) return true
      const { role } = host
      const down = active.role.kind === 'active' ? active.role.downlinks.get(host.key) : undefined
      return role.kind === 'edge' && role.uplink !== null && role.uplink.tag === down
    })
  }

  describe(): string {
    return this.hosts
      .map(
        (host) =>
          `${host.place}${host.alive ? '' : '†'} ${host.role.kind} ${JSON.stringify(host.view)} wakes ${JSON.stringify(host.election?.deadline)}`
      )
      .join('\n')
  }

  // Inside.

  #clock(host: VirtualHost): Instant {
    return (this.now + host.clockMs) as Instant
  }

  #allocate(host: VirtualHost, peer: HostKey): Tag {
    const given = setOf(host.given, peer)
    // Low numbers at once again: the hardest case for fencing.
    for (let tag = host.key < peer ? 2 : 1; ; tag += 2) {
      if (given.has(tag)) continue
      given.add(tag)
      return tag as Tag
    }
  }

  #feed(host: VirtualHost, input: Input<Message>): void {
    const { election } = host
    if (election === null) return
    if (host.stalledUntil > this.now) {
      const { life } = host
      host.waiting.push(() => {
        if (host.life === life) this.#feed(host, input)
      })
      return
    }
    for (const effect of election.handle(input, this.#clock(host))) this.#carryOut(host, effect)
    this.#schedule(host, election, input.kind)
  }

  #schedule(host: VirtualHost, election: Election, after: Input<Message>['kind']): void {
    const deadline = election.deadline
    let at = deadline === null ? Infinity : Math.max(this.now, deadline.at - host.clockMs)
    // Rounded down it would come before the deadline, over and over.
    if (deadline !== null && at + host.clockMs < deadline.at) at += roundingMs
    if (deadline !== null && after === 'tick')
      assert.ok(deadline.at > this.#clock(host), `a deadline that is over: ${deadline.why}`)
    if (at === host.tickAt || at === Infinity) return
    host.tickAt = at
    const { life } = host
    this.at(at, () => {
      if (host.life !== life || host.tickAt !== at) return
      host.tickAt = Infinity
      if (host.alive) this.#feed(host, { kind: 'tick' })
    })
  }

  #carryOut(host: VirtualHost, effect: Effect<Message>): void {
    switch (effect.kind) {
      case 'send':
        this.#send(host, effect.to, effect.message)
        return
      case 'accept':
        setOf(host.accepted, effect.from).add(effect.tag)
        return
      case 'retire':
        setOf(host.accepted, effect.from).delete(effect.tag)
        return
      case 'role':
        host.role = effect.role
        return
      case 'fdb':
        host.fdb.set(effect.peer, effect.macs)
        return
      case 'superseded':
        host.superseded.push(effect)
        return
      case 'view':
        if (effect.view.active === host.key && host.view.active !== host.key) {
          host.terms.push({ counter: effect.view.term, at: this.now })
        }
        assert.ok(effect.view.term >= host.view.term, `the term of ${host.place} went back`)
        host.view = effect.view
    }
  }

  #send(host: VirtualHost, to: HostKey, message: Message): void {
    const bytes = encodeMessage(message)
    const peer = this.#byKey(to)
    const way = `${message.kind} ${host.place} ${peer.place}`
    this.sent.set(way, (this.sent.get(way) ?? 0) + 1)
    this.#travel(host, peer, () => {
      const decoded = decodeMessage(bytes)
      assert.ok(decoded !== null)
      assert.deepEqual(decoded, message)
      this.#feed(peer, { kind: 'heard', from: host.key, message: decoded })
    })
  }

  /** Carries something to a host; what comes to a dead one is refused. */
  #travel(from: VirtualHost, to: VirtualHost, arrive: () => void): void {
    const { delayMs = 0.3, jitterMs = 0, loss = 0 } = this.#options
    const lives = [from.life, to.life]
    if (!from.paths.has(to.key) || !this.reaches(from, to)) return
    const delay = (): number => delayMs + this.random() * jitterMs
    // What one host sends another in one turn shares a datagram.
    const way = `${from.place} ${to.place}`
    let datagram = this.#datagrams.get(way)
    if (datagram?.sentAt !== this.now) {
      datagram = { sentAt: this.now, arrivesAt: this.random() < loss ? Infinity : this.now + delay() }
      this.#datagrams.set(way, datagram)
    }
    if (datagram.arrivesAt === Infinity) return
    this.at(datagram.arrivesAt, () => {
      if (!this.reaches(from, to)) return
      if (to.alive) {
        // A session of a former life opens nothing.
        if (to.life === lives[1] && from.life === lives[0]) arrive()
        return
      }
      if (this.#left.has(to)) return
      this.at(this.now + delay(), () => {
        if (from.alive && from.life === lives[0] && this.reaches(from, to))
          this.#feed(from, { kind: 'refused', from: to.key })
      })
    })
  }

  #join(left: VirtualHost, right: VirtualHost): void {
    left.paths.delete(right.key)
    right.paths.delete(left.key)
    this.#findPath(left, right, sessionMs * (0.5 + this.random()))
  }

  #findPath(left: VirtualHost, right: VirtualHost, inMs: number): void {
    const lives = [left.life, right.life]
    this.at(this.now + inMs, () => {
      const same = left.life === lives[0] && right.life === lives[1]
      if (!same || !left.alive || !right.alive || !this.reaches(left, right)) return
      for (const [host, peer] of [
        [left, right],
        [right, left]
      ] as const) {
        if (host.paths.has(peer.key)) continue
        host.paths.add(peer.key)
        const rttMs = 2 * (this.#options.delayMs ?? 0.3)
        this.#feed(host, { kind: 'trunk', peer: peer.key, up: true, rttMs, fresh: true })
      }
    })
  }

  #losePath(host: VirtualHost, peer: VirtualHost): void {
    const { life } = host
    this.at(this.now + pathLostMs + this.random() * 400, () => {
      if (host.life !== life || !host.alive || this.reaches(host, peer) || !host.paths.delete(peer.key))
        return
      this.#feed(host, { kind: 'trunk', peer: peer.key, up: false, rttMs: null, fresh: false })
    })
  }

  #carry(from: VirtualHost, to: HostKey, tag: number, frame: Frame): void {
    const peer = this.#byKey(to)
    const own = from.given.get(to)?.has(tag) === true
    this.#travel(from, peer, () => {
      if (peer.accepted.get(from.key)?.has(tag) !== true) return
      const count = (frame.reached.get(peer) ?? 0) + 1
      assert.equal(count, 1, `a frame of ${frame.source.place} came twice to ${peer.place}`)
      assert.notEqual(peer, frame.source)
      frame.reached.set(peer, count)
      const { role } = peer
      if (!own && role.kind !== 'edge') this.#down(peer, role.downlinks, frame, from.key)
    })
  }

  #down(
    host: VirtualHost,
    downlinks: ReadonlyMap<HostKey, number>,
    frame: Frame,
    origin: HostKey | null
  ): void {
    for (const [peer, tag] of downlinks) if (peer !== origin) this.#carry(host, peer, tag, frame)
  }

  #byKey(key: HostKey): VirtualHost {
    return this.hosts.find((host) => host.key === key) as VirtualHost
  }
}

export function macOf(place: number): Mac {
  return `02:00:00:00:00:${place.toString(16).padStart(2, '0')}` as Mac
}

/**
 * Longest time in which what one of `hosts` sent did not reach all the others of them, ms; frames that are
 * still under way do not count.
 */
export function longestGap(network: Network, hosts: readonly VirtualHost[], from: number): number {
  let longest = 0
  for (const source of hosts) {
    let goodAt = from
    for (const frame of network.frames) {
      if (frame.source !== source || frame.sentAt < from || frame.sentAt > network.now - 500) continue
      if (!hosts.every((host) => host === source || frame.reached.has(host))) continue
      longest = Math.max(longest, frame.sentAt - goodAt)
      goodAt = frame.sentAt
    }
  }
  return longest
}

function setOf<K>(map: Map<K, Set<number>>, key: K): Set<number> {
  let set = map.get(key)
  if (set === undefined) {
    set = new Set()
    map.set(key, set)
  }
  return set
}

/**
 * Who switches one vLAN: one active host, one standby, in terms that only grow. Decides and does nothing:
 * inputs and time go in, effects come out; equal inputs give equal effects.
 *
 * Parts: edge.ts follows and finds out when the active is lost, claim.ts decides when to take over, rule.ts
 * switches, beats and hands over. They share ground.ts.
 */
import type { HostKey, Instant } from '../ids.ts'
import { unreachable } from '../ids.ts'
import { Claim } from './claim.ts'
import { Edge } from './edge.ts'
import { Ground } from './ground.ts'
import { maxShutPerMessage, type Message, type Ports, type ReignState, type Shut } from './message.ts'
import { Peer } from './peer.ts'
import { type Owners, type Port, PortTable } from './ports.ts'
import type { Reign } from './reign.ts'
import { Rule } from './rule.ts'
import type { Deadline, Effect, Input, Role, SwitchView, Tag, Tags } from './types.ts'

export interface ElectionOptions {
  readonly self: HostKey
  readonly tags: Tags
  /** Numbers in [0, 1). */
  readonly random: () => number
  readonly now: Instant
}

/** A peer's announcement of its ports that has not arrived whole. */
interface Announcement {
  readonly version: number
  readonly parts: (readonly Port[] | null)[]
}

/** What a role is made of. */
interface Made {
  reign: Reign | null
  state: ReignState | null
  revision: number
  peer: HostKey | null
  tag: Tag | null
}

const nothing: readonly Effect<Message>[] = []

export class Election {
  readonly #ground: Ground
  readonly #edge: Edge
  readonly #rule: Rule
  readonly #claim: Claim
  readonly #announced = new Map<HostKey, Announcement>()
  readonly #ports: PortTable
  #configured = false
  #role: Role = { kind: 'edge', uplink: null }
  /** What the role was made of. */
  readonly #made: Made = { reign: null, state: null, revision: 0, peer: null, tag: null }
  #view: SwitchView = { active: null, standby: null, term: 0, role: 'edge' }

  constructor(options: ElectionOptions) {
    this.#ground = new Ground(options.self, options.tags, options.random, options.now)
    this.#edge = new Edge(this.#ground)
    this.#rule = new Rule(this.#ground, this.#edge)
    this.#claim = new Claim(this.#ground, this.#edge)
    this.#ports = new PortTable(options.self)
  }

  /** When the next `tick` is wanted; null: never, until something else happens. */
  get deadline(): Deadline | null {
    return this.#ground.deadline
  }

  get view(): SwitchView {
    return this.#view
  }

  /** Takes an input; gives what is to be done, in this order. `now` must not go back. */
  handle(input: Input<Message>, now: Instant): readonly Effect<Message>[] {
    const ground = this.#ground
    ground.now = now
    if (input.kind === 'alive') return this.#alive(input.from)
    const effects: Effect<Message>[] = []
    ground.effects = effects
    this.#take(input)
    ground.forgetDeadline()
    if (!this.#configured) return effects
    this.#edge.watch()
    if (this.#claim.due()) this.#rule.claim()
    this.#rule.watch(input.kind === 'tick')
    this.#tellShut(effects)
    this.#settle()
    return effects
  }

  /** So frequent that it changes only what the next tick sees. */
  #alive(from: HostKey): readonly Effect<Message>[] {
    this.#ground.peers.get(from)?.alive(this.#ground.now)
    return nothing
  }

  #take(input: Input<Message>): void {
    const ground = this.#ground
    switch (input.kind) {
      case 'tick':
        return
      case 'configure':
        this.#configure(input.candidates, input.members)
        this.#setOwners(input.owners ?? null)
        return
      case 'ports':
        this.#setPorts(input.ports)
        return
      case 'heard':
        this.#hear(input.from, input.message)
        return
      case 'alive':
        return
      case 'refused':
        ground.peers.get(input.from)?.refuse(ground.now)
        return
      case 'trunk':
        this.#trunk(input)
        return
      case 'handoff':
        this.#rule.handoff(input.to)
        return
      case 'leave':
        this.#rule.leave()
        this.#configured = false
        return
      default:
        unreachable(input)
    }
  }

  #configure(candidates: readonly HostKey[], members: readonly HostKey[]): void {
    const ground = this.#ground
    ground.candidates = candidates
    const hosts = new Set([...candidates, ...members])
    hosts.delete(ground.self)
    for (const key of Array.from(ground.peers.keys())) {
      if (hosts.has(key)) continue
      this.#edge.removed(key)
      this.#rule.removed(key)
      this.#claim.removed(key)
      this.#announced.delete(key)
      this.#placePorts(key, [])
      ground.peers.delete(key)
    }
    for (const key of hosts) if (!ground.peers.has(key)) ground.peers.set(key, new Peer(key))
    if (!this.#configured) this.#claim.reset()
    this.#configured = true
  }

  #setPorts(ports: readonly Port[]): void {
    const ground = this.#ground
    ground.ports = ports
    ground.version++
    this.#placePorts(ground.self, ports)
    const { followed, reign } = ground
    const told = [followed?.peer ?? null, this.#edge.standby, reign?.standby ?? null]
    for (const host of new Set(told)) if (host !== null && host !== ground.self) ground.announce(host)
  }

  #trunk(input: Extract<Input<Message>, { kind: 'trunk' }>): void {
    const ground = this.#ground
    const peer = ground.peers.get(input.peer)
    if (peer === undefined) return
    peer.up = input.up
    peer.rttMs = input.rttMs ?? peer.rttMs
    if (!input.up) {
      // Whoever ended the session in good order is gone as well as one whose kernel says so.
      peer.refuse(ground.now)
      return
    }
    if (ground.reign === null) ground.probe(peer, 0)
    else this.#rule.greet(peer)
  }

  #hear(from: HostKey, message: Message): void {
    const ground = this.#ground
    const peer = ground.peers.get(from)
    if (peer === undefined) return
    const hearing = peer.hear(message, ground.now)
    if (hearing === 'stale') return
    if (hearing === 'restarted') {
      this.#edge.restarted(from)
      this.#rule.restarted(from)
      this.#announced.delete(from)
      this.#placePorts(from, [])
    }
    ground.learn(message.highest)
    ground.learn(message.follows?.counter ?? 0)
    this.#rule.hearFollows(from, message.follows)
    switch (message.kind) {
      case 'probe':
        this.#edge.heardFollows(from, message.follows)
        if (ground.reign === null) this.#edge.report(from)
        else this.#rule.probed(peer)
        return
      case 'status':
        this.#edge.heardFollows(from, message.follows)
        this.#claim.vote(from, message.follows !== null && !message.lost)
        this.#rule.hearStatus(message, peer)
        return
      case 'beat':
        if (!ground.candidates.includes(from)) return
        ground.learn(message.counter)
        this.#claim.vote(from, message.state === 'active')
        this.#rule.hearBeat(message.state, { counter: message.counter, host: from }, message.edges)
        this.#edge.hear(message, peer)
        return
      case 'ports':
        this.#announcement(from, message)
        return
      case 'handoff':
        this.#rule.prepare(from, message.counter)
        return
      case 'shut':
        this.#hearShut(from, message)
        return
      default:
        unreachable(message)
    }
  }

  /** Puts an announcement together; when it is whole, what is behind the peer is known. */
  #announcement(from: HostKey, ports: Ports): void {
    const ground = this.#ground
    let known = this.#announced.get(from)
    if (known === undefined || known.version !== ports.version || known.parts.length !== ports.parts) {
      known = { version: ports.version, parts: Array.from({ length: ports.parts }, () => null) }
      this.#announced.set(from, known)
    }
    known.parts[ports.part] = ports.ports
    const whole: Port[] = []
    for (const part of known.parts) {
      if (part === null) return
      whole.push(...part)
    }
    const seat = ground.reign?.seats.get(from)
    if (seat !== undefined) seat.have = ports.version
    this.#placePorts(from, whole)
  }

  /** What was announced before the record said so counts from now on. */
  #setOwners(owners: Owners): void {
    this.#ports.setOwners(owners)
    for (const peer of this.#announced.keys()) this.#tellPlaced(peer)
    this.#tellPlaced(this.#ground.self)
  }

  /** A host's ports, whole: tells what is behind each host that this concerns, and which own ports must go. */
  #placePorts(host: HostKey, ports: readonly Port[]): void {
    for (const concerned of this.#ports.set(host, ports)) this.#tellPlaced(concerned)
  }

  #tellPlaced(host: HostKey): void {
    const { effects, self } = this.#ground
    if (host !== self) effects.push({ kind: 'fdb', peer: host, macs: this.#ports.behind(host) })
    else for (const port of this.#ports.supersededOf(self)) effects.push({ kind: 'superseded', ...port })
  }

  /** Only of the active: it could as well not carry the frames. */
  #hearShut(from: HostKey, shut: Shut): void {
    const { followed, effects } = this.#ground
    if (followed?.peer !== from) return
    for (const port of shut.ports)
      if (this.#ports.isAbove(port)) effects.push({ kind: 'superseded', ...port })
  }

  /** The active's word to those whose ports others have under a higher claim: with each beat, and at once. */
  #tellShut(effects: readonly Effect<Message>[]): void {
    const ground = this.#ground
    if (ground.reign?.state !== 'active' || !this.#ports.isContested) return
    const told = new Set<HostKey>()
    for (const effect of effects) {
      if (effect.kind === 'fdb') told.add(effect.peer)
      else if (effect.kind === 'send' && effect.message.kind === 'beat') told.add(effect.to)
    }
    for (const host of told) {
      const ports = this.#ports.supersededOf(host)
      if (ports.length > 0) ground.send(host, { kind: 'shut', ports: ports.slice(0, maxShutPerMessage) })
    }
  }

  /** Tells what changed: where frames go, and who switches. */
  #settle(): void {
    if (this.#rolesDiffer()) {
      const role = this.#newRole()
      if (!sameRole(role, this.#role)) {
        this.#role = role
        this.#ground.effects.push({ kind: 'role', role })
      }
    }
    const view = this.#newView()
    const old = this.#view
    const same =
      view.active === old.active &&
      view.standby === old.standby &&
      view.term === old.term &&
      view.role === old.role
    if (same) return
    this.#view = view
    this.#ground.effects.push({ kind: 'view', view })
  }

  /** Whether anything changed that the role is made of: spares building it for every message. */
  #rolesDiffer(): boolean {
    const { reign, followed } = this.#ground
    const made = this.#made
    const ruled =
      made.reign === reign &&
      made.state === (reign?.state ?? null) &&
      made.revision === (reign?.revision ?? 0)
    const led = made.peer === (followed?.peer ?? null) && made.tag === (followed?.tag ?? null)
    if (ruled && led) return false
    made.reign = reign
    made.state = reign?.state ?? null
    made.revision = reign?.revision ?? 0
    made.peer = followed?.peer ?? null
    made.tag = followed?.tag ?? null
    return true
  }

  #newRole(): Role {
    const { reign, followed } = this.#ground
    const uplink = followed === null ? null : { peer: followed.peer, tag: followed.tag }
    if (reign?.state === 'active') return { kind: 'active', downlinks: reign.downlinks() }
    if (reign === null || uplink === null) return { kind: 'edge', uplink }
    return { kind: 'passing', downlinks: reign.downlinks(), uplink }
  }

  #newView(): SwitchView {
    const { reign, followed, self, floor } = this.#ground
    if (reign?.state === 'active') {
      return { active: self, standby: reign.standby, term: reign.term.counter, role: 'active' }
    }
    const { standby } = this.#edge
    return {
      active: followed === null || followed.lostAt !== null ? null : followed.peer,
      standby,
      term: followed?.term.counter ?? floor.counter,
      role: standby === self ? 'standby' : 'edge'
    }
  }
}

function sameRole(left: Role, right: Role): boolean {
  if (left.kind === 'edge' || right.kind === 'edge') {
    return left.kind === 'edge' && right.kind === 'edge' && sameWay(left.uplink, right.uplink)
  }
  if (left.kind !== right.kind || left.downlinks.size !== right.downlinks.size) return false
  for (const [peer, tag] of left.downlinks) if (right.downlinks.get(peer) !== tag) return false
  if (left.kind === 'active' || right.kind === 'active') return true
  return sameWay(left.uplink, right.uplink)
}

function sameWay(
  left: { readonly peer: HostKey; readonly tag: number } | null,
  right: { readonly peer: HostKey; readonly tag: number } | null
): boolean {
  return left?.peer === right?.peer && left?.tag === right?.tag
}

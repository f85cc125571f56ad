/**
 * What the slice's worker does around elections and fabrics: hands inputs in, carries effects out, gives
 * tags, switches frames. The election, its messages and the fabric are the product's own.
 */
import { Election } from '#core/election/election.ts'
import { type Message, decodeMessage, encodeMessage } from '#core/election/message.ts'
import type { Owner, Owners, Port, Superseded } from '#core/election/ports.ts'
import type { Effect, Input, Role, SwitchView } from '#core/election/types.ts'
import { type HostKey, type Instant, type Mac, type ViolinId, unreachable } from '#core/ids.ts'
import { formatMac, parseMac } from '#frame/ethernet.ts'
import { Fabric } from '#frame/fabric.ts'
import type { Host } from './host.ts'
import type { LanPlan } from './scenario.ts'
import type { Frame } from './seen.ts'
import { labelOf, lanPrefix } from './sketch.ts'
import { type Grant, TagSpace } from './tags.ts'
import type { World } from './world.ts'

/** A peer's data is told to elections as a sign of life at most this often (slice/forwarder/trunks.ts). */
const aliveEveryMs = 10
/** Learned MACs of a simulated vLAN: all its hosts, and few bytes. */
const fabricEntries = 64
/** A tick that comes later says that the worker stood still (slice/forwarder/loop.ts). */
const lateMs = 25
/** Above what is lost when two clocks are added and taken away. */
const roundingMs = 1e-6
/** One message of so many goes through its codec, which costs a third of an election. No rhythm falls on a prime. */
const codecEvery = 31
/** Under which each host has its machine. */
const machineClaim = 1
const noView: SwitchView = { active: null, standby: null, term: 0, role: 'edge' }

/** One vLAN on one host. */
export interface Lan {
  readonly index: number
  readonly plan: LanPlan
  readonly election: Election
  readonly fabric: Fabric
  role: Role
  view: SwitchView
  switches: boolean
  tickAt: number
  readonly fdb: Map<number, readonly Mac[]>
  /** Open ports with their claims. Port 0 is of the machine that every host has, the others are of entities. */
  readonly ports: Map<Mac, OpenPort>
  /** The hosts that may run entities, by VIOLIN and MAC. */
  readonly owners: Map<ViolinId, ReadonlyMap<Mac, Owner>>
  /** When the election was told of them last. */
  ownedAt: number
  nextPort: number
}

interface OpenPort {
  readonly port: number
  readonly claim: number
  readonly openedAt: number
}

export class Slice {
  readonly lans: Map<number, Lan> = new Map()
  readonly #world: World
  readonly #host: Host
  readonly #tags = new Map<number, TagSpace>()
  readonly #aliveAt = new Map<number, number>()
  readonly #life: number
  /** The calm clock is behind by the stalls. */
  #clockMs: number

  constructor(world: World, host: Host) {
    this.#world = world
    this.#host = host
    this.#life = host.life
    this.#clockMs = 1_000 + Math.floor(world.random.hosts.next() * 100_000)
  }

  /** Begins to take part in its vLANs. */
  start(): void {
    for (const [index, plan] of this.#world.scenario.lans.entries()) {
      if (plan.hosts.includes(this.#host.place) || plan.candidates.includes(this.#host.place)) {
        this.#open(index, plan)
      }
    }
  }

  tagsOf(peer: Host): TagSpace {
    const known = this.#tags.get(peer.place)
    if (known !== undefined) return known
    const made = new TagSpace(this.#host.key < peer.key, this.#world.random.hosts.below(32_767))
    this.#tags.set(peer.place, made)
    return made
  }

  trunk(peer: Host, up: boolean, fresh: boolean): void {
    this.#world.see({ kind: 'trunk', host: this.#host.place, peer: peer.place, up })
    this.#host.claims?.trunk(peer.id, up)
    const rttMs = this.#world.network.rttMs(this.#host.place, peer.place)
    this.#toAll(peer, { kind: 'trunk', peer: peer.key, up, rttMs: up ? rttMs : null, fresh })
  }

  refused(peer: Host): void {
    this.#toAll(peer, { kind: 'refused', from: peer.key })
  }

  handoff(index: number, to: HostKey | null): void {
    const lan = this.lans.get(index)
    if (lan !== undefined) this.#feed(lan, { kind: 'handoff', to })
  }

  /** Opens the port of an entity, or goes on with it under another claim. */
  openPort(index: number, mac: Mac, claim: number): void {
    const lan = this.lans.get(index)
    const parsed = parseMac(mac)
    if (lan === undefined || parsed === null) return
    const port = lan.ports.get(mac)?.port ?? lan.nextPort++
    if (!lan.ports.has(mac)) lan.fabric.addPort(port, parsed.high, parsed.low)
    lan.ports.set(mac, { port, claim, openedAt: this.#world.clock.now })
    this.#tellPorts(lan)
  }

  closePort(index: number, mac: Mac): void {
    const lan = this.lans.get(index)
    const open = lan?.ports.get(mac)
    const parsed = parseMac(mac)
    if (lan === undefined || open === undefined || parsed === null) return
    lan.fabric.removePort(open.port, parsed.high, parsed.low)
    lan.ports.delete(mac)
    this.#tellPorts(lan)
  }

  /** The hosts that may run the entities of a VIOLIN. */
  own(index: number, violin: ViolinId, owners: ReadonlyMap<Mac, Owner>): void {
    const lan = this.lans.get(index)
    if (lan === undefined) return
    lan.owners.set(violin, owners)
    lan.ownedAt = this.#world.clock.now
    this.#configure(lan)
  }

  #tellPorts(lan: Lan): void {
    this.#feed(lan, { kind: 'ports', ports: portsOf(lan) })
  }

  /** Who takes part may have changed. */
  reconfigure(): void {
    for (const lan of this.lans.values()) this.#configure(lan)
  }

  #configure(lan: Lan): void {
    const { world, plan } = { world: this.#world, plan: lan.plan }
    const { records } = this.#host
    const keysOf = (places: readonly number[]): HostKey[] =>
      places.flatMap((place) => (records.shuts(world.host(place)) ? [] : world.host(place).key))
    const base = ownersOf(world, plan)
    const owners =
      lan.owners.size === 0 ? base : new Map([base, ...lan.owners.values()].flatMap((one) => [...one]))
    const [candidates, members] = [keysOf(plan.candidates), keysOf(plan.hosts)]
    this.#feed(lan, { kind: 'configure', candidates, members, owners })
  }

  /** A liar says that the ports of all others are its own; those of its own are what they are. */
  claimAllPorts(): void {
    for (const lan of this.lans.values()) {
      const entities = [...lan.owners.values()].flatMap((owners) =>
        [...owners].flatMap(([mac, { hosts }]) => (hosts.includes(this.#host.key) ? [] : mac))
      )
      const macs = lan.plan.hosts.map((place) => {
        const { high, low } = macOf(place)
        return formatMac(high, low) as Mac
      })
      const foreign = [...macs, ...entities].map((mac) => ({ mac, claim: 0xffff_ffff }))
      this.#feed(lan, {
        kind: 'ports',
        ports: [...portsOf(lan).filter(({ mac }) => !macs.includes(mac)), ...foreign]
      })
    }
  }

  /**
   * The worker did not run: the calm clock leaves out for how long its next tick is late, and what waits is read
   * before anything is judged. So an active beats as soon as it runs again (slice/forwarder/loop.ts).
   */
  resumed(stalledMs: number, readWaiting: () => void): void {
    let tickAt = Infinity
    for (const { election } of this.lans.values()) {
      tickAt = Math.min(tickAt, (election.deadline?.at ?? Infinity) - this.#clockMs)
    }
    const late = Math.min(stalledMs, this.#world.clock.now - tickAt)
    if (late > lateMs) this.#clockMs -= late
    readWaiting()
    for (const lan of this.lans.values()) this.#feed(lan, { kind: 'tick' })
  }

  // Frames.

  /** The machine at this host's port sends a frame. */
  fromPort(frame: Frame): void {
    const lan = this.lans.get(frame.lan)
    if (lan === undefined) return
    const count = lan.fabric.fromPort(frame.bytes, 0, 0, this.#now)
    this.#pass(lan, count, frame, [this.#host.place])
  }

  #receive(from: Host, tag: number, meant: Grant | null, frame: Frame, path: readonly number[]): void {
    this.#alive(from)
    const tags = this.tagsOf(from)
    const accepted = tags.accepted.get(tag)
    const lan = accepted === undefined ? undefined : this.lans.get(accepted.lan)
    if (accepted === undefined || lan === undefined) return
    const up = tags.isOwn(tag)
    this.#world.see({
      kind: 'frame',
      host: this.#host.place,
      from: from.place,
      lan: lan.index,
      tag,
      up,
      meant,
      taken: accepted.grant,
      frame,
      path
    })
    const count = lan.fabric.fromTrunk(frame.bytes, 0, from.place, this.#now, up)
    this.#pass(lan, count, frame, [...path, this.#host.place])
    if (!up && this.#world.hasBug('edge-forwards') && lan.role.kind === 'edge' && lan.role.uplink !== null) {
      const { peer, tag } = lan.role.uplink
      this.#carry(this.#world.byKey(peer), tag, frame, [...path, this.#host.place])
    }
  }

  #pass(lan: Lan, count: number, frame: Frame, path: readonly number[]): void {
    const { targets, targetTags } = lan.fabric
    for (let i = 0; i < count; i++) {
      const place = targets[i] as number
      if (place < 0) this.#carry(this.#world.host(~place), targetTags[i] as number, frame, path)
      else if (place === 0) {
        frame.reached.push(this.#host.place)
        this.#world.see({ kind: 'delivered', host: this.#host.place, lan: lan.index, frame })
      }
    }
  }

  #carry(to: Host, tag: number, frame: Frame, path: readonly number[]): void {
    const meant = this.tagsOf(to).meant(tag)
    const what = this.#world.drawn ? `${lanPrefix(frame.lan)}frame` : 'frame'
    this.#world.trunk(this.#host, to)?.send(this.#host, what, () => {
      to.slice.#receive(this.#host, tag, meant, frame, path)
    })
  }

  #alive(from: Host): void {
    const { now } = this.#world.clock
    if (now - (this.#aliveAt.get(from.place) ?? -Infinity) < aliveEveryMs) return
    this.#aliveAt.set(from.place, now)
    this.#toAll(from, { kind: 'alive', from: from.key })
  }

  // Elections.

  get #now(): Instant {
    return (this.#world.clock.now + this.#clockMs) as Instant
  }

  #open(index: number, plan: LanPlan): void {
    const world = this.#world
    const { place, key } = this.#host
    const draws = world.random.election(place, this.#life, index)
    const lan: Lan = {
      index,
      plan,
      election: new Election({
        self: key,
        tags: {
          allocate: (peer) => this.tagsOf(world.byKey(peer)).allocate(place, index),
          release: (peer, tag) => this.tagsOf(world.byKey(peer)).release(tag, world.clock.now)
        },
        random: () => draws.next(),
        now: this.#now
      }),
      fabric: new Fabric(Math.max(fabricEntries, 2 * plan.hosts.length)),
      role: { kind: 'edge', uplink: null },
      view: noView,
      switches: false,
      tickAt: Infinity,
      fdb: new Map(),
      ports: new Map(),
      owners: new Map(),
      ownedAt: 0,
      nextPort: 1
    }
    this.lans.set(index, lan)
    this.#configure(lan)
    if (!plan.hosts.includes(place)) return
    const mac = macOf(place)
    lan.fabric.addPort(0, mac.high, mac.low)
    lan.ports.set(formatMac(mac.high, mac.low) as Mac, {
      port: 0,
      claim: machineClaim,
      openedAt: world.clock.now
    })
    this.#tellPorts(lan)
  }

  #toAll(peer: Host, input: Input<Message>): void {
    for (const lan of this.lans.values()) {
      if (lan.plan.hosts.includes(peer.place) || lan.plan.candidates.includes(peer.place)) {
        this.#feed(lan, input)
      }
    }
  }

  #hear(from: Host, index: number, message: Message, grant: Grant | null): void {
    const lan = this.lans.get(index)
    if (lan === undefined) return
    if (message.kind === 'beat' && grant !== null) this.tagsOf(from).heard.set(message.tag, grant)
    const read = this.#bent(lan, from, message)
    if (read !== null) this.#feed(lan, { kind: 'heard', from: from.key, message: read })
  }

  /** As a planted bug would read it; null: not at all. */
  #bent(lan: Lan, from: Host, message: Message): Message | null {
    const world = this.#world
    if (!world.hasBugs) return message
    if (world.hasBug('rivals-ignored') && lan.role.kind === 'active') {
      if (message.kind === 'beat') return null
      const follows = message.follows?.host === this.#host.key ? message.follows : null
      return message.kind === 'status' ? { ...message, follows, rival: null } : { ...message, follows }
    }
    if (world.hasBug('echoes-ignored')) {
      return { ...message, echo: this.tagsOf(from).stamps.get(lan.index) ?? 0 }
    }
    const asksNobody = world.hasBug('standby-asks-nobody') && from.key !== lan.view.active
    return asksNobody && message.kind === 'status' ? { ...message, lost: true } : message
  }

  #feed(lan: Lan, input: Input<Message>): void {
    if (this.#life !== this.#host.life || !this.#host.running) return
    for (const effect of lan.election.handle(input, this.#now)) this.#carryOut(lan, effect)
    this.#schedule(lan, input.kind)
  }

  #schedule(lan: Lan, after: Input<Message>['kind']): void {
    const { deadline } = lan.election
    if (deadline === null) return
    if (after === 'tick' && deadline.at <= this.#now)
      throw new Error(`a deadline that is over: ${deadline.why}`)
    let at = Math.max(this.#world.clock.now, deadline.at - this.#clockMs)
    // Rounded down it would come before the deadline, over and over.
    if (at + this.#clockMs < deadline.at) at += roundingMs
    // Deadlines mostly move away: an event that comes too early looks again.
    if (lan.tickAt <= at) return
    lan.tickAt = at
    this.#world.clock.at(at, () => this.#wake(lan, at))
  }

  #wake(lan: Lan, at: number): void {
    if (lan.tickAt !== at) return
    lan.tickAt = Infinity
    // A stalled worker ticks when it runs again.
    if (this.#host.worker.stalled || this.#life !== this.#host.life) return
    const { deadline } = lan.election
    if (deadline !== null && deadline.at > this.#now) this.#schedule(lan, 'alive')
    else this.#feed(lan, { kind: 'tick' })
  }

  #carryOut(lan: Lan, effect: Effect<Message>): void {
    const world = this.#world
    const { place } = this.#host
    if (effect.kind !== 'send') world.see({ kind: 'effect', host: place, lan: lan.index, effect })
    switch (effect.kind) {
      case 'send':
        return this.#send(lan, world.byKey(effect.to), effect.message)
      case 'accept':
        return this.tagsOf(world.byKey(effect.from)).accept(effect.tag, lan.index)
      case 'retire':
        if (!world.hasBug('tags-never-retired')) {
          this.tagsOf(world.byKey(effect.from)).retire(effect.tag, lan.index)
        }
        return
      case 'role':
        lan.role = effect.role
        return this.#become(lan, effect.role)
      case 'fdb':
        return this.#preload(lan, world.byKey(effect.peer), effect.macs)
      case 'superseded':
        return this.#supersede(lan, effect)
      case 'view': {
        const before = lan.view
        lan.view = effect.view
        return world.see({ kind: 'view', host: place, lan: lan.index, before, view: effect.view })
      }
      default:
        unreachable(effect)
    }
  }

  /** The port of an entity that runs elsewhere under a higher claim is shut at once. */
  #supersede(lan: Lan, { mac, claim, by }: Superseded): void {
    const open = lan.ports.get(mac)
    if (open === undefined || open.port === 0 || this.#world.hasBug('superseded-port-stays')) return
    this.closePort(lan.index, mac)
    this.#host.claims?.superseded(mac, claim, this.#world.byKey(by))
  }

  #send(lan: Lan, to: Host, message: Message): void {
    if (this.#world.hasBug('echoes-ignored')) this.tagsOf(to).stamps.set(lan.index, message.stamp)
    const bytes = this.#world.clock.count % codecEvery === 0 ? encodeMessage(message) : null
    const traffic = this.#host.sent
    traffic.trunkBytes += codecEvery * (bytes?.length ?? 0)
    traffic.messages++
    const grant = message.kind === 'beat' ? (this.tagsOf(to).given.get(message.tag) ?? null) : null
    const what = this.#world.drawn ? `${lanPrefix(lan.index)}${labelOf(message)}` : message.kind
    this.#world.trunk(this.#host, to)?.send(this.#host, what, () => {
      const decoded = bytes === null ? message : decodeMessage(bytes)
      if (decoded === null) throw new Error(`a ${message.kind} that does not decode`)
      to.slice.#hear(this.#host, lan.index, decoded, grant)
    })
  }

  #become(lan: Lan, role: Role): void {
    const { fabric } = lan
    const way = (peer: HostKey, tag: number): { trunk: number; tag: number } => ({
      trunk: this.#world.byKey(peer).place,
      tag
    })
    if (role.kind === 'edge') {
      fabric.setEdge(role.uplink === null ? null : way(role.uplink.peer, role.uplink.tag))
      lan.switches = false
      return
    }
    const downlinks = Array.from(role.downlinks, ([peer, tag]) => way(peer, tag))
    if (role.kind === 'active') fabric.setActive(downlinks)
    else fabric.setPassing(downlinks, way(role.uplink.peer, role.uplink.tag))
    const began = !lan.switches
    lan.switches = true
    if (began) for (const [peer, macs] of lan.fdb) this.#fill(lan, peer, macs)
  }

  #preload(lan: Lan, peer: Host, macs: readonly Mac[]): void {
    lan.fdb.set(peer.place, macs)
    if (lan.switches) this.#fill(lan, peer.place, macs)
  }

  #fill(lan: Lan, peer: number, macs: readonly Mac[]): void {
    const parsed = macs.map((mac) => parseMac(mac)).filter((mac) => mac !== null)
    lan.fabric.preload(peer, parsed, this.#now)
  }
}

function portsOf(lan: Lan): Port[] {
  return Array.from(lan.ports, ([mac, { claim }]) => ({ mac, claim }))
}

/** Each MAC with the one host that may have it; made once for a plan, which all its hosts share. */
function ownersOf(world: World, plan: LanPlan): NonNullable<Owners> {
  const known = owners.get(plan)
  if (known !== undefined) return known
  const made = new Map(
    plan.hosts.map((place) => {
      const { high, low } = macOf(place)
      return [
        formatMac(high, low) as Mac,
        { hosts: [world.host(place).key], maxClaim: machineClaim }
      ] as const
    })
  )
  owners.set(plan, made)
  return made
}

const owners = new WeakMap<LanPlan, NonNullable<Owners>>()

/** The MAC of the one machine that a host has on a vLAN. */
export function macOf(place: number): { readonly high: number; readonly low: number } {
  return { high: 0x0200, low: place + 1 }
}

/** An Ethernet frame of 60 bytes; `target` null: to all. */
export function frameBytes(source: number, target: number | null): Uint8Array {
  const bytes = new Uint8Array(60)
  const view = new DataView(bytes.buffer)
  const to = target === null ? { high: 0xffff, low: 0xffff_ffff } : macOf(target)
  const from = macOf(source)
  view.setUint16(0, to.high)
  view.setUint32(2, to.low)
  view.setUint16(6, from.high)
  view.setUint32(8, from.low)
  return bytes
}

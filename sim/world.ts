/**
 * A whole mesh in one process: hosts, what lies between them, what befalls them, and who watches. The same
 * scenario with the same seed is the same run, bit for bit.
 */
import { type Chain, foundChain } from '#core/admission/chain.ts'
import { acceptGrant, countersign, joinRequest } from '#core/admission/join.ts'
import { maxSlots } from '#core/admission/link.ts'
import { type Token, mintToken } from '#core/admission/token.ts'
import { ViolinError } from '#core/errors.ts'
import type { HostKey, WallTime } from '#core/ids.ts'
import { RecordSet } from '#core/records/set.ts'
import { type Rejected, type SignedRecord, maxVersion, sealRecord } from '#core/records/record.ts'
import type { Bug } from './bugs.ts'
import { Clock } from './clock.ts'
import { type Fault, type HostRef, describeFault } from './faults.ts'
import { Host } from './host.ts'
import {
  SharedRecords,
  type VirtualSigner,
  credulousCrypto,
  signerFor,
  signerOf,
  virtualCrypto
} from './keys.ts'
import { Network } from './network.ts'
import { Random } from './random.ts'
import type { Scenario } from './scenario.ts'
import type { Frame, Seen } from './seen.ts'
import { frameBytes } from './slice.ts'
import { Trunk } from './trunk.ts'

/** When the world begins, by every wall clock. */
const beginning = 1_800_000_000_000
const yearMs = 365 * 24 * 3600_000
const dayMs = 24 * 3600_000
/** Time that elections and records get before anything befalls them. */
const settleMs = 5_000
/** As core/reconcile.ts: up to so many hosts every pair has a trunk, above all have one to so many candidates. */
const fullMeshHosts = 8
const edgeTrunks = 3
/** Stalls of at most this length are weather. */
export const weatherStallMs = 300
/** In larger worlds one message of so many goes through its codec, which costs a third of an election. */
const wholeCodecHosts = 64
const codecEvery = 64
/** Events kept for the diagram of a failing run. */
const keptEvents = 400

export interface Violation {
  readonly invariant: string
  readonly atMs: number
  readonly what: string
}

export interface WorldOptions {
  readonly seed: number
  readonly bugs?: ReadonlySet<Bug>
}

interface Streams {
  readonly hosts: Random
  readonly trunks: Random
  readonly network: Random
  readonly mesh: Random
  readonly traffic: Random
  readonly weather: Random
  /** Of one election: a restart draws anew. */
  election(place: number, life: number, lan: number): Random
}

export class World {
  readonly scenario: Scenario
  readonly seed: number
  readonly clock: Clock = new Clock()
  readonly random: Streams
  readonly network: Network
  readonly hosts: Host[] = []
  readonly root: VirtualSigner = signerFor('root')
  readonly shared: SharedRecords
  readonly tokens: Token[] = []
  /** Keys of hosts that a member let in. */
  readonly admitted: Set<string> = new Set()
  readonly violations: Violation[] = []
  readonly events: { readonly atMs: number; readonly text: string }[] = []
  /** When the ways between hosts changed last, or one came or went: weather does not count. */
  changedAt = 0
  readonly #bugs: ReadonlySet<Bug>
  readonly #byKey = new Map<HostKey, Host>()
  readonly #trunks = new Map<number, Trunk>()
  readonly #trunksOf: Trunk[][] = []
  readonly #watchers: ((seen: Seen) => void)[] = []
  #silenced = 0
  #frames = 0

  constructor(scenario: Scenario, options: WorldOptions) {
    this.scenario = scenario
    this.seed = options.seed
    this.#bugs = options.bugs ?? new Set()
    const stream = (label: string): Random => new Random(options.seed, label)
    this.random = {
      hosts: stream('hosts'),
      trunks: stream('trunks'),
      network: stream('network'),
      mesh: stream('mesh'),
      traffic: stream('traffic'),
      weather: stream('weather'),
      election: (place, life, lan) => stream(`election ${place} ${life} ${lan}`)
    }
    this.shared = new SharedRecords(
      this.root.publicKey,
      this.hasBug('signatures-unchecked') ? credulousCrypto : virtualCrypto
    )
    this.network = new Network(
      scenario.network,
      this.clock,
      this.random.network,
      (place) => (this.hosts[place] as Host).presence
    )
    for (let place = 0; place < scenario.hosts + scenario.newcomers; place++) {
      const host = new Host(this, place)
      this.hosts.push(host)
      this.#byKey.set(host.key, host)
      this.#trunksOf.push([])
    }
    this.#layTrunks()
  }

  get wallNow(): WallTime {
    return Math.floor(beginning + this.clock.now) as WallTime
  }

  get gossips(): boolean {
    return this.#silenced === 0
  }

  get members(): Host[] {
    return this.hosts.filter((host) => host.records.chain !== null)
  }

  hasBug(bug: Bug): boolean {
    return this.#bugs.has(bug)
  }

  host(place: number): Host {
    return this.hosts[place] as Host
  }

  byKey(key: HostKey): Host {
    return this.#byKey.get(key) as Host
  }

  trunk(a: Host, b: Host): Trunk | undefined {
    return this.#trunks.get(Math.min(a.place, b.place) * 65_536 + Math.max(a.place, b.place))
  }

  /** Whether a message goes through its codec: all in a small world, one of many in a large one. */
  samples(): boolean {
    return this.hosts.length <= wholeCodecHosts || this.clock.count % codecEvery === 0
  }

  /** Hosts to which a host has a trunk. */
  *peersOf(host: Host): Generator<Host> {
    for (const trunk of this.#trunksOf[host.place] as Trunk[]) yield trunk.other(host)
  }

  emptySet(): RecordSet {
    return new RecordSet({
      root: this.root.publicKey,
      crypto: virtualCrypto,
      open: (bytes) => this.#open(bytes)
    })
  }

  /** With a planted bug the lower version looks like the higher one. */
  #open(bytes: Uint8Array): SignedRecord | Rejected {
    const record = this.shared.open(bytes)
    if (!this.hasBug('lower-version-wins') || 'rejected' in record) return record
    return { ...record, version: maxVersion - record.version }
  }

  // Watching.

  watch(watcher: (seen: Seen) => void): void {
    this.#watchers.push(watcher)
  }

  see(seen: Seen): void {
    for (const watcher of this.#watchers) watcher(seen)
  }

  log(text: string): void {
    if (this.events.length >= 2 * keptEvents) this.events.splice(0, keptEvents)
    this.events.push({ atMs: this.clock.now, text })
  }

  /** The run ends after this event; what follows from the first violation is not told. */
  violate(invariant: string, what: string): void {
    if (this.violations.length > 0) return
    this.violations.push({ invariant, atMs: this.clock.now, what })
    this.log(`VIOLATED ${invariant}: ${what}`)
  }

  // Running.

  /** Lets in the first members, who know one another's records. */
  begin(): void {
    this.#admitAll()
  }

  /** Lets the scenario happen, until it is over or an invariant is violated. */
  run(look: () => void, lookEveryMs: number): void {
    for (let place = 0; place < this.hosts.length; place++) {
      if (place < this.scenario.hosts || this.scenario.newcomers > 0) this.host(place).start()
    }
    this.changed(null)
    this.#startTraffic()
    this.#startWeather()
    for (const { atMs, fault } of this.scenario.steps) {
      this.clock.at(settleMs + atMs, () => this.befall(fault))
    }
    const turn = (): void => {
      look()
      this.clock.after(lookEveryMs, turn)
    }
    this.clock.after(lookEveryMs, turn)
    this.clock.run(this.endsAt, () => this.violations.length > 0)
  }

  /** When the last fault is over. */
  get restsFrom(): number {
    const ends = this.scenario.steps.map(({ atMs, fault }) => atMs + ('forMs' in fault ? fault.forMs : 0))
    return settleMs + Math.max(0, ...ends)
  }

  get endsAt(): number {
    return this.restsFrom + this.scenario.restMs
  }

  // What befalls.

  befall(fault: Fault): void {
    this.log(describeFault(fault))
    this.see({ kind: 'fault', fault, began: true })
    const end = this.#begin(fault)
    if (end === null) return
    const forMs = 'forMs' in fault ? fault.forMs : 0
    this.clock.after(forMs, () => {
      end()
      this.log(`over: ${describeFault(fault)}`)
      this.see({ kind: 'fault', fault, began: false })
    })
  }

  /** Gives what ends it; null: it is over, or could not begin. */
  #begin(fault: Fault): (() => void) | null {
    switch (fault.kind) {
      case 'kill':
      case 'power':
        return this.#fell(this.resolve(fault.host), fault.kind === 'kill' ? 'dead' : 'off')
      case 'stall': {
        const host = this.resolve(fault.host)
        if (host?.running !== true) return null
        if (fault.part !== 'all') this.#stall(host, fault.part, fault.forMs)
        else for (const part of ['worker', 'main', 'daemon'] as const) this.#stall(host, part, fault.forMs)
        return () => {}
      }
      case 'cut':
        return this.#cut(fault)
      case 'partition': {
        const groups = new Int16Array(this.hosts.length)
        for (const place of fault.hosts) groups[place] = 1
        const end = this.network.partition(groups)
        this.changed(null)
        return () => {
          end()
          this.changed(null)
        }
      }
      case 'handoff':
        this.#handoff(fault.to)
        return null
      case 'no-gossip':
        this.#silenced++
        return () => void this.#silenced--
      case 'publish': {
        const host = this.host(fault.host)
        if (host.running) host.daemon.do('command', () => host.records.publish())
        return null
      }
      case 'join': {
        const host = this.host(fault.host)
        const token = this.tokens[fault.invite]
        if (token !== undefined && host.records.chain === null) host.records.join(token, fault.via)
        return null
      }
      case 'revoke': {
        const { chain } = this.host(fault.host).records
        if (chain !== null) this.host(0).records.revoke(chain)
        return null
      }
      case 'lie':
        this.#lie(this.host(fault.host))
        return null
    }
  }

  /** The host that a reference means now; null: there is none. */
  resolve(ref: HostRef): Host | null {
    if (typeof ref === 'number') return this.host(ref)
    for (const host of this.hosts) {
      const view = host.running ? host.slice.lans.get(0)?.view : undefined
      if (view?.role !== 'active') continue
      if (ref === 'active') return host
      return view.standby === null ? null : this.byKey(view.standby)
    }
    return null
  }

  #fell(host: Host | null, presence: 'dead' | 'off'): (() => void) | null {
    if (host?.running !== true) return null
    host.end(presence)
    for (const trunk of this.#trunksOf[host.place] as Trunk[]) trunk.ended(host)
    this.changed(host)
    return () => {
      host.start()
      this.changed(host)
    }
  }

  #stall(host: Host, part: 'worker' | 'main' | 'daemon', forMs: number): void {
    host[part].stall(forMs, (stalledMs, readWaiting) => {
      if (part === 'worker') host.slice.resumed(stalledMs, readWaiting)
      else readWaiting()
      if (forMs > weatherStallMs) this.changed(host)
    })
    if (forMs <= weatherStallMs) return
    this.changed(host)
    this.clock.after(Math.min(forMs, 2 * weatherStallMs), () => this.changed(host))
  }

  #cut(fault: Extract<Fault, { kind: 'cut' }>): () => void {
    const from = fault.from.map((ref) => this.resolve(ref)).filter((host) => host !== null)
    const to =
      fault.to === null
        ? this.hosts.filter((host) => !from.includes(host))
        : fault.to.map((ref) => this.resolve(ref)).filter((host) => host !== null)
    const ways: [number, number][] = []
    for (const a of from) {
      for (const b of to) {
        if (a === b) continue
        ways.push([a.place, b.place])
        if (fault.both) ways.push([b.place, a.place])
      }
    }
    for (const [a, b] of ways) this.network.cut(a, b)
    this.changed(null)
    return () => {
      for (const [a, b] of ways) this.network.mend(a, b)
      this.changed(null)
    }
  }

  #handoff(to: number | null): void {
    for (const host of this.hosts) {
      const lan = host.running ? host.slice.lans.get(0) : undefined
      if (lan?.role.kind !== 'active') continue
      const key = to === null ? null : this.host(to).key
      host.worker.do('command', () => host.slice.handoff(0, key))
    }
  }

  /** Spreads the record of a host that says the root let it in. */
  #lie(liar: Host): void {
    const stranger = signerFor(`stranger ${this.clock.count}`)
    const forged = { publicKey: this.root.publicKey, sign: () => new Uint8Array(64).fill(7) }
    const end = (this.wallNow + yearMs) as WallTime
    const chain = foundChain(forged, stranger.publicKey, end, credulousCrypto)
    const record = sealRecord(
      {
        kind: 'host',
        version: 1,
        issuedAt: this.wallNow,
        expiresAt: (this.wallNow + dayMs) as WallTime,
        chain,
        body: {
          host: chain.host as Host['id'],
          name: 'stranger',
          addresses: [],
          capacity: { memoryMiB: 1, cpus: 1 },
          coordinate: [],
          software: 'x',
          protocols: [],
          draining: false,
          left: false,
          clockAheadMs: 0
        }
      },
      this.root.publicKey,
      stranger,
      credulousCrypto
    )
    liar.records.spread(record.bytes, null)
  }

  /** The ways to a host, or all (null), may have changed. */
  changed(host: Host | null): void {
    this.changedAt = this.clock.now
    const trunks = host === null ? this.#trunks.values() : (this.#trunksOf[host.place] as Trunk[])
    for (const trunk of trunks) trunk.reconsider()
    if (!this.scenario.records) return
    if (host === null) for (const one of this.hosts) one.records.reconsider()
    else {
      host.records.reconsider()
      for (const place of host.records.neighbours) this.host(place).records.reconsider()
    }
  }

  // The beginning.

  #layTrunks(): void {
    for (const { hosts, candidates } of this.scenario.lans) {
      const all = [...new Set([...candidates, ...hosts])]
      const hubs = all.length <= fullMeshHosts ? all : candidates.slice(0, edgeTrunks)
      for (const hub of hubs) for (const place of all) if (place !== hub) this.#layTrunk(hub, place)
    }
  }

  #layTrunk(one: number, other: number): void {
    const [a, b] = [Math.min(one, other), Math.max(one, other)]
    if (this.#trunks.has(a * 65_536 + b)) return
    const trunk = new Trunk(this, this.host(a), this.host(b))
    this.#trunks.set(a * 65_536 + b, trunk)
    ;(this.#trunksOf[a] as Trunk[]).push(trunk)
    ;(this.#trunksOf[b] as Trunk[]).push(trunk)
  }

  /** The founder lets the first members in, and makes the scenario's invites. */
  #admitAll(): void {
    const { hosts, invites } = this.scenario
    const founder = this.host(0)
    const end = (this.wallNow + yearMs) as WallTime
    const chain = foundChain(this.root, founder.signer.publicKey, end, virtualCrypto)
    const chains: Chain[] = [chain]
    let token: Token | null = null
    for (let place = 1; place < hosts; place++) {
      const slot = (place - 1) % maxSlots
      if (slot === 0) token = this.#invite(chain, `members ${place}`, Math.min(maxSlots, hosts - place))
      chains.push(this.#letIn(chain, token as Token, slot, this.host(place)))
    }
    for (const [index, slots] of invites.entries())
      this.tokens.push(this.#invite(chain, `invite ${index}`, slots))
    for (const place of chains.keys()) this.admitted.add(this.host(place).signer.publicKey)
    if (!this.scenario.records) return
    this.#meetAll(hosts)
    this.#silenced++
    for (const [place, one] of chains.entries()) this.host(place).records.found(one)
    const first = this.hosts.slice(0, hosts).map((host) => host.records.set.entries('mesh'))
    for (const host of this.hosts.slice(0, hosts)) {
      for (const records of first)
        for (const record of records) host.records.set.merge(record.bytes, this.wallNow)
    }
    this.#silenced--
  }

  #invite(chain: Chain, label: string, slots: number): Token {
    const wish = {
      role: 'member',
      redeemBy: (this.wallNow + dayMs) as WallTime,
      slots,
      addresses: []
    } as const
    return mintToken(chain, this.host(0).signer, signerFor(label), wish, this.wallNow, virtualCrypto).token
  }

  #letIn(founder: Chain, token: Token, slot: number, host: Host): Chain {
    const proof = signerOf(token.seed)
    const request = joinRequest(token, proof, host.signer.publicKey, slot, `host-${host.place}`)
    const witness = {
      chain: founder,
      signer: this.host(0).signer,
      usedSlots: () => new Map(),
      isRevoked: () => false
    }
    const answer = countersign(request, host.id, witness, this.wallNow, virtualCrypto)
    if (answer.kind !== 'granted') throw new Error(`${host.place} is not let in: ${JSON.stringify(answer)}`)
    const chain = acceptGrant(token, host.signer.publicKey, answer.chain, virtualCrypto)
    if (chain instanceof ViolinError) throw chain
    return chain
  }

  /** A ring, so that all hang together, and random ones beside. */
  #meetAll(hosts: number): void {
    const { degree } = this.scenario
    for (let place = 0; place < hosts; place++) {
      if (hosts - 1 <= degree) {
        for (let other = 0; other < place; other++) this.#meetOne(place, other)
        continue
      }
      this.#meetOne(place, (place + 1) % hosts)
      for (let i = 2; i < degree / 2 + 1; i++) this.#meetOne(place, this.random.mesh.below(hosts))
    }
  }

  /** A newcomer gets to know some members. */
  meet(host: Host, via: number): void {
    this.#meetOne(host.place, via)
    const members = this.members.map((member) => member.place)
    for (const place of this.random.mesh.sample(members, this.scenario.degree / 2))
      this.#meetOne(host.place, place)
  }

  #meetOne(a: number, b: number): void {
    if (a === b) return
    this.host(a).records.neighbours.add(b)
    this.host(b).records.neighbours.add(a)
    this.host(b).records.reconsider()
  }

  // What goes on.

  #startTraffic(): void {
    const { traffic, lans } = this.scenario
    if (traffic === null) return
    for (const [index, { hosts }] of lans.entries()) {
      for (const [turn, place] of hosts.entries()) {
        const next = hosts[(turn + 1) % hosts.length] as number
        const target = traffic.kind === 'ring' ? next : null
        const bytes = frameBytes(place, target)
        const host = this.host(place)
        const send = (): void => {
          this.clock.after(traffic.everyMs, send)
          if (!host.running) return
          const frame: Frame = {
            id: this.#frames++,
            lan: index,
            source: place,
            target,
            sentAt: this.clock.now,
            bytes,
            reached: []
          }
          this.see({ kind: 'sent', frame })
          host.worker.do('port', () => host.slice.fromPort(frame))
        }
        this.clock.after(this.random.traffic.next() * traffic.everyMs, send)
      }
    }
  }

  #startWeather(): void {
    const { stalls } = this.scenario
    if (stalls === null) return
    const random = this.random.weather
    for (const host of this.hosts) {
      const stall = (): void => {
        const part = random.pick(['worker', 'main', 'daemon', 'all'] as const)
        const forMs = 10 + random.next() * (stalls.ms - 10)
        const parts = part === 'all' ? (['worker', 'main', 'daemon'] as const) : [part]
        // Two that overlap would be one that is longer than the weather allows.
        const free = host.running && parts.every((one) => !host[one].stalled)
        if (free) for (const one of parts) this.#stall(host, one, forMs)
        this.clock.after(-Math.log(1 - random.next()) * stalls.everyMs, stall)
      }
      this.clock.after(-Math.log(1 - random.next()) * stalls.everyMs, stall)
    }
  }
}

/**
 * A whole mesh in one process: hosts, what lies between them, and who watches. The same scenario with the same
 * seed is the same run, bit for bit. What befalls it: befall.ts; how it begins: beginning.ts.
 */
import type { Token } from '#core/admission/token.ts'
import type { HostId, HostKey, ViolinId, WallTime } from '#core/ids.ts'
import { Ring } from '#core/liveness/ring.ts'
import { type Rejected, type SignedRecord, maxVersion } from '#core/records/record.ts'
import { RecordSet, type RecordSetOptions } from '#core/records/set.ts'
import { sharedNodes } from '#core/records/tree.ts'
import { admitFirst, layTrunks } from './beginning.ts'
import { befall } from './befall.ts'
import type { Bug } from './bugs.ts'
import { Clock } from './clock.ts'
import { runnerIn } from './claims.ts'
import { endOf, type HostRef } from './faults.ts'
import { Common } from './common.ts'
import { Host } from './host.ts'
import { SharedRecords, type VirtualSigner, credulousCrypto, signerFor, virtualCrypto } from './keys.ts'
import { Network } from './network.ts'
import { Random } from './random.ts'
import { SignColumns } from './ears.ts'
import type { EntitiesPlan, Scenario, ViolinPlan } from './scenario.ts'
import type { Seen } from './seen.ts'
import type { Line } from './sketch.ts'
import { startTraffic } from './traffic.ts'
import { Trunk } from './trunk.ts'
import { startWeather } from './weather.ts'

/** When the world begins, by every wall clock that is right. */
const beginning = 1_800_000_000_000
/** Time in which all hosts meet, before anything befalls them. */
export const settleMs = 5_000
/** Nodes of trees of records by which sets find one another: some states of 10,000 hosts. */
const sharedTreeNodes = 262_144
/** A look at whole states takes in so many hosts, or such a part of them: every host is seen within two seconds. */
const lookedAtOnce = 128
const lookTurns = 8
/** From so many hosts on the order of their turns matters for how long a run takes. */
const manyHosts = 1_000
/** Lines kept of a run, and of one that is drawn with its messages. */
const keptLines = 400
const keptDrawnLines = 20_000

export interface Violation {
  readonly invariant: string
  readonly atMs: number
  readonly what: string
}

export interface WorldOptions {
  readonly seed: number
  readonly bugs?: ReadonlySet<Bug>
  readonly drawn?: boolean
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
  /** Of one machine's boot. */
  boot(place: number, life: number, what: string): Random
  /** Of one fault, so that leaving out another changes nothing in it. */
  fault(name: string): Random
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
  /** All members from the start, as each host knows them. */
  readonly ring: Ring
  /** What each hears of those. */
  readonly signs: SignColumns
  /** Keys of hosts that a member let in. */
  readonly admitted: Set<string> = new Set()
  /** Members that an admin made up out of nothing: they count where records are counted. */
  minted = 0
  /** Records that others took the place of, some of them: what a liar replays. */
  readonly past: SignedRecord[] = []
  readonly common: Common = new Common()
  readonly violations: Violation[] = []
  readonly events: Line[] = []
  /** Messages are kept among the events. */
  readonly drawn: boolean
  /** When the ways between hosts changed last, or one came or went: weather does not count. */
  changedAt = 0
  /** Stalls of workers that the weather brought: what endangers a switch. */
  weatheredStalls = 0
  /** Calm time that passed without being played. */
  leftOutMs = 0
  readonly #bugs: ReadonlySet<Bug>
  readonly #byKey = new Map<HostKey, Host>()
  readonly #byId = new Map<HostId, Host>()
  readonly #trunks = new Map<number, Trunk>()
  readonly #trunksOf: Trunk[][] = []
  readonly #watchers: ((seen: Seen) => void)[] = []
  /** Sets that come to hold the same share their trees. */
  readonly #sets: RecordSetOptions
  #entities: ReadonlyMap<ViolinId, EntitiesPlan | null> | null = null
  #silenced = 0
  #lookedFrom = 0

  constructor(scenario: Scenario, options: WorldOptions) {
    this.scenario = scenario
    this.seed = options.seed
    this.#bugs = options.bugs ?? new Set()
    this.drawn = options.drawn === true
    this.random = streamsOf(options.seed)
    this.shared = new SharedRecords(
      this.root.publicKey,
      this.hasBug('signatures-unchecked') ? credulousCrypto : virtualCrypto
    )
    this.#sets = {
      root: this.root.publicKey,
      crypto: virtualCrypto,
      open: (bytes) => this.#open(bytes),
      share: sharedNodes(sharedTreeNodes)
    }
    const places = scenario.hosts + scenario.newcomers
    this.network = new Network(scenario.network, this.clock, this.random.network, places)
    if (this.drawn) {
      this.network.drawn = (message) => this.#keep({ kind: 'message', atMs: this.clock.now, ...message })
    }
    for (let place = 0; place < places; place++) {
      const host = new Host(this, place)
      this.hosts.push(host)
      this.#byKey.set(host.key, host)
      this.#byId.set(host.id, host)
      this.#trunksOf.push([])
    }
    this.signs = new SignColumns(places)
    this.ring = new Ring(this.root.publicKey, virtualCrypto)
    if (scenario.liveness) for (const host of this.hosts.slice(0, scenario.hosts)) this.ring.add(host.id)
    layTrunks(this)
  }

  /** The right time. */
  get wallNow(): WallTime {
    return Math.floor(beginning + this.clock.now) as WallTime
  }

  get gossips(): boolean {
    return this.#silenced === 0
  }

  get members(): Host[] {
    return this.hosts.filter((host) => host.records.chain !== null)
  }

  get hasBugs(): boolean {
    return this.#bugs.size > 0
  }

  hasBug(bug: Bug): boolean {
    return this.#bugs.size > 0 && this.#bugs.has(bug)
  }

  host(place: number): Host {
    return this.hosts[place] as Host
  }

  byKey(key: HostKey): Host {
    return this.#byKey.get(key) as Host
  }

  byId(id: HostId): Host | undefined {
    return this.#byId.get(id)
  }

  /** The host that a reference means now; null: there is none. */
  resolve(ref: HostRef): Host | null {
    if (typeof ref === 'number') return this.host(ref)
    if (ref === 'runner') return runnerIn(this)
    for (const host of this.hosts) {
      const view = host.running ? host.slice.lans.get(0)?.view : undefined
      if (view?.role !== 'active') continue
      if (ref === 'active') return host
      return view.standby === null ? null : this.byKey(view.standby)
    }
    return null
  }

  trunk(a: Host, b: Host): Trunk | undefined {
    return this.#trunks.get(Math.min(a.place, b.place) * 65_536 + Math.max(a.place, b.place))
  }

  trunksOf(host: Host): readonly Trunk[] {
    return this.#trunksOf[host.place] as Trunk[]
  }

  /** Hosts to which a host has a trunk. */
  *peersOf(host: Host): Generator<Host> {
    for (const trunk of this.trunksOf(host)) yield trunk.other(host)
  }

  /** Lays a trunk between two hosts that have none. */
  layTrunk(one: number, other: number): void {
    const [a, b] = [Math.min(one, other), Math.max(one, other)]
    if (this.#trunks.has(a * 65_536 + b)) return
    const trunk = new Trunk(this, this.host(a), this.host(b))
    this.#trunks.set(a * 65_536 + b, trunk)
    ;(this.#trunksOf[a] as Trunk[]).push(trunk)
    ;(this.#trunksOf[b] as Trunk[]).push(trunk)
  }

  /** A VIOLIN of the scenario. */
  violin(index: number): { readonly id: ViolinId; readonly owner: Host } {
    const owner = this.host((this.scenario.violins[index] as ViolinPlan).owner)
    return { id: owner.records.owner.violinOf(index), owner }
  }

  /** What runs in a VIOLIN; null: it is records alone. */
  entitiesOf(violin: ViolinId): EntitiesPlan | null {
    this.#entities ??= new Map(
      this.scenario.violins.map(({ entities }, index) => [this.violin(index).id, entities ?? null])
    )
    return this.#entities.get(violin) ?? null
  }

  emptySet(): RecordSet {
    return new RecordSet(this.#sets)
  }

  /** With a planted bug the lower version looks like the higher one. */
  #open(bytes: Uint8Array): SignedRecord | Rejected {
    const record = this.shared.open(bytes)
    if (!this.hasBug('lower-version-wins') || 'rejected' in record) return record
    return { ...record, version: maxVersion - record.version }
  }

  /** Gossip delivers nothing until the returned function is called. */
  silence(): () => void {
    this.#silenced++
    return () => void this.#silenced--
  }

  /**
   * When within its period a host's turn comes, 0..1: by chance. Of many they come in the order in which their memory
   * lies, which a processor's caches reward by a third of the time.
   */
  phaseOf(place: number): number {
    const chance = this.random.mesh.next()
    return this.hosts.length < manyHosts ? chance : (place + chance) / this.hosts.length
  }

  /** The ways to a host, or all (null), may have changed. */
  changed(host: Host | null): void {
    this.changedAt = this.clock.now
    // Where ways are cut, others may go by this host.
    const trunks = host === null || this.network.hasCuts ? this.#trunks.values() : this.trunksOf(host)
    for (const trunk of trunks) trunk.reconsider()
    if (!this.scenario.records) return
    if (host === null) for (const one of this.hosts) one.records.connections.reconsider()
    else {
      const { connections } = host.records
      connections.reconsider()
      for (const place of connections.neighbours) this.host(place).records.connections.reconsider()
    }
  }

  // Watching.

  watch(watcher: (seen: Seen) => void): void {
    this.#watchers.push(watcher)
  }

  see(seen: Seen): void {
    for (const watcher of this.#watchers) watcher(seen)
  }

  log(text: string, host: number | null = null): void {
    const atMs = this.clock.now
    this.#keep(host === null ? { kind: 'all', atMs, text } : { kind: 'note', atMs, host, text })
  }

  #keep(line: Line): void {
    const most = this.drawn ? keptDrawnLines : keptLines
    if (this.events.length >= 2 * most) this.events.splice(0, most)
    this.events.push(line)
  }

  /** The run ends after this event; what follows from the first violation is not told. */
  violate(invariant: string, what: string): void {
    if (this.violations.length > 0) return
    this.violations.push({ invariant, atMs: this.clock.now, what })
    this.log(`VIOLATED ${invariant}: ${what}`)
  }

  /** Hosts whose state is looked at this time: all, in a large world a part in turn. */
  looked(): readonly Host[] {
    const size = Math.max(lookedAtOnce, Math.ceil(this.hosts.length / lookTurns))
    if (this.#lookedFrom >= this.hosts.length) this.#lookedFrom = 0
    return this.hosts.slice(this.#lookedFrom, this.#lookedFrom + size)
  }

  // Running.

  /** Lets in the first members, who know one another's records. */
  begin(): void {
    admitFirst(this)
  }

  /** Lets the scenario happen, until it is over or an invariant is violated. */
  run(look: () => void, lookEveryMs: number): void {
    for (const host of this.hosts) host.start()
    this.changed(null)
    startTraffic(this)
    startWeather(this)
    for (const { atMs, fault } of this.scenario.steps)
      this.clock.at(settleMs + atMs, () => befall(this, fault))
    const turn = (): void => {
      look()
      this.#lookedFrom += this.looked().length
      this.clock.after(lookEveryMs, turn)
    }
    this.clock.after(lookEveryMs, turn)
    this.clock.run(this.endsAt, () => this.violations.length > 0)
  }

  /** When the last fault is over. */
  get restsFrom(): number {
    return settleMs + Math.max(0, ...this.scenario.steps.map(endOf))
  }

  get endsAt(): number {
    return this.restsFrom + this.scenario.restMs
  }
}

function streamsOf(seed: number): Streams {
  const stream = (label: string): Random => new Random(seed, label)
  return {
    hosts: stream('hosts'),
    trunks: stream('trunks'),
    network: stream('network'),
    mesh: stream('mesh'),
    traffic: stream('traffic'),
    weather: stream('weather'),
    election: (place, life, lan) => stream(`election ${place} ${life} ${lan}`),
    boot: (place, life, what) => stream(`boot ${place} ${life} ${what}`),
    fault: (name) => stream(`fault ${name}`)
  }
}

/**
 * The records of this host at work: kept in the store, spread by gossip, repaired with neighbours, seen
 * through the view. Correctness rests on the repair alone; gossip makes it fast.
 */
import type { Chain } from '#core/admission/chain.ts'
import { publicKeyOf } from '#core/admission/host-id.ts'
import { claimSameSlot } from '#core/admission/seat.ts'
import { ascii, hex } from '#core/derive.ts'
import { errorData, ViolinError } from '#core/errors.ts'
import type { HostId, Instant, PublicKey, Signer, ViolinId, WallTime } from '#core/ids.ts'
import { isLivenessMessage } from '#core/liveness/message.ts'
import { AuthorBudget } from '#core/records/budget.ts'
import { ClockWatch, wrongClockMs } from '#core/records/clock.ts'
import { holdersOf, showsHolder, wantsRecord } from '#core/records/holders.ts'
import { hostsOfOwner } from '#core/records/owners.ts'
import { maxBytesPerAuthor, maxViolinsPerOwner } from '#core/records/quota.ts'
import {
  type Draft,
  type Scope,
  type SignedRecord,
  maxRecordBytes,
  maxVersion,
  sealRecord
} from '#core/records/record.ts'
import { type Merged, RecordSet } from '#core/records/set.ts'
import {
  type Access,
  type Synced,
  answerSync,
  applySync,
  maxSyncBytes,
  maxSyncRounds,
  syncRequest
} from '#core/records/sync.ts'
import { type View, view } from '#core/records/view.ts'
import type { Mesh, Verdict } from '#mesh/contract.ts'
import type { Store } from '#store/contract.ts'
import { crypto } from './crypto.ts'
import { Awaited } from './awaited.ts'
import type { Subject } from './events.ts'
import { RecordStore, storeKey } from './record-store.ts'
import { Seats } from './seats.ts'
import { sayLost, Signings } from './signings.ts'

/** A neighbour drawn at random is asked this often: what gossip lost is late by about this much. */
const repairEveryMs = 3_000
/** One exchange takes at most this long; the next round begins anew where it ended. */
const repairTimeoutMs = 20_000
/** At most so many records that an exchange brought are gossiped on; more are a newcomer's first load. */
const passedOn = 16
/** The topic of all members. */
export const meshTopic = 'mesh'

/** Told of every change, once per batch. */
export type RecordsListener = (changed: readonly SignedRecord[]) => void

export interface RecordsOptions {
  readonly root: PublicKey
  readonly self: HostId
  readonly store: Store
  /** This host's clock; default: the machine's. */
  readonly wallNow?: () => WallTime
  /** What people should know. */
  readonly tell: (kind: string, text: string, violin?: Subject) => void
  readonly log: (message: string, fields: Record<string, unknown>) => void
}

export class Records {
  readonly set: RecordSet
  readonly seats: Seats
  readonly signings: Signings
  readonly #self: HostId
  readonly #wallNow: () => WallTime
  readonly #store: RecordStore
  readonly #log: RecordsOptions['log']
  readonly #tell: RecordsOptions['tell']
  readonly #clock = new ClockWatch()
  readonly #awaited = new Awaited()
  /** What was last told of the clock. */
  #toldClock = false
  /** In the store, but over by this host's clock; dropped once neighbours say that the clock is right. */
  #over: readonly string[]
  readonly #budget = new AuthorBudget()
  readonly #listeners = new Set<RecordsListener>()
  readonly #topics = new Map<string, Scope>()
  /** Hosts that answered an exchange since this daemon's start. */
  readonly #answered = new Map<HostId, number>()
  /** Exchanges under way, by peer: one at a time with each. */
  readonly #repairing = new Map<HostId, Promise<void>>()
  #heard: (bytes: Uint8Array, from: HostId) => Verdict = () => 'ignore'
  #mesh: Mesh | null = null
  #view: { readonly revision: number; readonly at: WallTime; readonly view: View } | null = null
  #timer: NodeJS.Timeout | null = null

  /** Loads what the store holds; what ended meanwhile is dropped by the merge itself. */
  constructor(options: RecordsOptions) {
    this.set = new RecordSet({ root: options.root, crypto })
    this.seats = new Seats({
      set: this.set,
      view: () => this.view,
      now: () => this.now,
      isConnected: (host) => this.#mesh?.isMember(host) === true
    })
    this.#self = options.self
    this.#wallNow = options.wallNow ?? ((): WallTime => Date.now() as WallTime)
    this.#store = new RecordStore(options.store, options.tell)
    this.#log = options.log
    this.#tell = options.tell
    this.signings = new Signings({
      self: options.self,
      entries: this.#store.signed(),
      write: (changes) => void this.#store.write(changes, false),
      tell: (violin, lost) =>
        this.#tell('version-lost', sayLost(lost, this.#nameOf(lost.standing.host)), violin)
    })
    const over: string[] = []
    for (const { key, value } of this.#store.entries()) {
      const merged = this.set.merge(value, this.now)
      if (merged.reason === 'expired' || merged.reason === 'too-new') over.push(key)
      if (merged.reason === 'revoked' && merged.record !== null) this.seats.cut([merged.record])
      if (merged.verdict === 'accepted')
        this.seats.cut(merged.removed.filter(({ chain }) => this.set.isRevoked(chain)))
      if (merged.verdict === 'rejected')
        options.log('a stored record does not open', { key, reason: merged.reason })
    }
    // What ended or was cut while this host was away does not stay behind in the store.
    this.#over = over
    // A host that does not know its own record cannot tell what it owns.
    const key = publicKeyOf(this.#self)
    const knowsItself = key !== null && this.set.get('host', key, '') !== null
    for (const violin of knowsItself ? this.set.violins() : []) {
      const holders = holdersOf(this.set, violin, this.now)
      if (holders.size > 0 && !holders.has(this.#self)) this.set.forget(violin)
    }
    const kept = new Set([...over, ...[...this.set.all(), ...this.set.dropped].map(storeKey)])
    const gone = this.#store.entries().filter(({ key }) => !kept.has(key))
    void this.#store.write(
      gone.map(({ key }) => ({ key, value: null })),
      false
    )
    for (const violin of this.signings.violins()) {
      if (this.set.holds(violin)) this.#compare(violin)
      else if (!over.some((key) => key.endsWith(violin))) this.signings.forget(violin)
    }
  }

  get now(): WallTime {
    return this.#wallNow()
  }

  /** Most neighbours say that this host's clock is wrong: it starts nothing and forgets nothing. */
  get clockIsWrong(): boolean {
    return this.#clock.isWrong(steady(), this.now)
  }

  /** How far this host's clock is ahead of its neighbours' median, ms; null when none was heard. */
  get clockAheadMs(): number | null {
    return this.#clock.aheadMs(steady(), this.now)
  }

  /**
   * Who refused what this host showed said why: a revocation, or the record of whoever keeps its slot, which is taken as
   * any other, by what it shows.
   */
  refused(why: Uint8Array, shown: Chain): void {
    if (why.length > maxRecordBytes) return
    const merged = this.set.merge(
      why,
      this.now,
      ({ kind, chain }) =>
        kind === 'revocation' || (kind === 'host' && chain !== null && claimSameSlot(chain, shown))
    )
    if (merged.verdict === 'accepted') void this.#changed([merged.record], merged.removed, false)
  }

  /** For how long yet a record of a VIOLIN is expected of which none is known here, ms; 0: no more. */
  awaitedMs(violin: ViolinId): number {
    return this.#awaited.leftMs(violin, steady())
  }

  /** When the last exchange with a host that came to its end began, by the monotonic clock; null: none did. */
  askedAt(host: HostId): number | null {
    return this.#answered.get(host) ?? null
  }

  /** What the records mean now. */
  get view(): View {
    const { now } = this
    const known = this.#view
    if (known?.revision === this.set.revision && known.at <= now && now < known.view.until) return known.view
    this.#view = { revision: this.set.revision, at: now, view: view(this.set, now) }
    return this.#view.view
  }

  /** Calls back at every change, until the returned function is called. */
  onChange(listener: RecordsListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Joins gossip and repair; from here on changes come in from others. */
  attach(mesh: Mesh): void {
    this.#mesh = mesh
    mesh.serve('sync', { maxRequestBytes: maxSyncBytes }, (body, from) =>
      Promise.resolve(this.#answer(body, from))
    )
    mesh.on((event) => {
      // Both sides ask: the first to see the other proven may not be proven there yet.
      if (event.kind === 'member-connected') void this.repairWith(event.peer)
    })
    this.#subscribe()
    for (const peer of mesh.members()) void this.repairWith(peer)
    this.#timer = setInterval(() => this.tick(), repairEveryMs)
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
  }

  /** Seals, keeps and spreads a record; resolved, it survives power loss here. Throws ViolinError. */
  async publish(draft: Draft, signer: Signer): Promise<SignedRecord> {
    const record = sealRecord(draft, this.set.root, signer, crypto)
    // An owner's or an admin's word counts once it is kept; what a host says of itself it can say again.
    if (draft.kind === 'violin' || draft.kind === 'revocation') {
      this.#taken(draft, this.set.fork().merge(record.bytes, this.now))
      const change = { key: storeKey(record), value: record.bytes }
      await this.#store.promise(
        record.kind === 'violin' ? [change, this.signings.changeFor(record)] : [change]
      )
    }
    const merged = this.set.merge(record.bytes, this.now)
    if (record.kind === 'violin' && merged.reason === 'not-newer') {
      // Another that beats it came while it was written, and is written after it.
      this.signings.signed(record)
      this.#compare(record.key as ViolinId)
      return record
    }
    const { removed } = this.#taken(draft, merged)
    if (record.kind === 'violin') this.signings.signed(record)
    await this.#changed([record], removed, true)
    await this.#spread(record)
    return record
  }

  /** What merging a record of one's own did. Throws where it was not taken. */
  #taken({ kind }: Draft, merged: Merged): Extract<Merged, { verdict: 'accepted' }> {
    if (merged.verdict === 'accepted') return merged
    if (merged.reason === 'quota')
      throw new ViolinError(
        'refused',
        `this owner has ${maxViolinsPerOwner} VIOLINs, or ${maxBytesPerAuthor / 2 ** 20} MiB of records`,
        'delete some: violin list'
      )
    throw new Error(`own ${kind} record not taken: ${merged.reason}`)
  }

  /** The version with which a record of one's own must be published to stand above all that were seen. */
  nextVersion(kind: Draft['kind'], author: PublicKey, key: string): number {
    const version = (this.set.get(kind, author, key)?.version ?? 0) + 1
    if (version <= maxVersion || kind === 'violin') return version
    throw new ViolinError(
      'refused',
      `this host's own ${kind} record stands in version ${maxVersion}, above which there is none`,
      'somebody else signed with its key: have it revoked (violin revoke), and join in a new folder'
    )
  }

  /**
   * Exchanges with a connected peer until both hold what both may hold; `also` are VIOLINs that it held
   * before and shall hear the news of. Rejects when the peer does not answer.
   */
  async exchange(peer: HostId, also: readonly ViolinId[], signal: AbortSignal): Promise<void> {
    const mesh = this.#mesh
    if (mesh === null) return
    const beganAt = steady()
    const shares = (scope: Scope): boolean =>
      scope === 'mesh' || also.includes(scope) || this.view.violins.get(scope)?.holders.has(peer) === true
    const access: Access = {
      allows: shares,
      wants: (record) => this.#wants(record),
      shows: (record) => showsHolder(record, peer)
    }
    const scopes: Scope[] = ['mesh', ...this.set.violins().filter(shares)]
    let request: Uint8Array | null = syncRequest(this.set, scopes, this.now)
    for (let round = 0; request !== null && round < maxSyncRounds; round++) {
      const sentAt = steady()
      const answer: Uint8Array = await mesh.request(peer, 'sync', request, signal)
      const [at, { now }] = [steady(), this]
      const applied = applySync(this.set, answer, now, access)
      this.#clock.heard(peer, applied.theirs, sentAt, at, now)
      if (applied.accepted.length > 0) await this.#exchanged(applied)
      request = applied.next
    }
    const isFirst = !this.#answered.has(peer)
    this.#answered.set(peer, beganAt)
    this.#awaited.compared(steady())
    if (!isFirst) return
    for (const listener of this.#listeners) listener([])
  }

  /** As {@link exchange}, in the background: failures are the next round's business. */
  repairWith(peer: HostId): Promise<void> {
    const running = this.#repairing.get(peer)
    if (running !== undefined) return running
    const exchange = this.exchange(peer, [], AbortSignal.timeout(repairTimeoutMs))
      .catch((error: unknown) => this.#log('repair failed', { peer, reason: errorData(error).message }))
      .finally(() => this.#repairing.delete(peer))
    this.#repairing.set(peer, exchange)
    return exchange
  }

  /** Drops all of a VIOLIN: it is over, or no longer this host's business. */
  async forget(violin: ViolinId): Promise<void> {
    this.signings.forget(violin)
    await this.#changed([], this.set.forget(violin), false)
  }

  /** What is done every few seconds: forgets what has ended, exchanges with one neighbour. */
  tick(): void {
    void this.#store.write([], false)
    this.#tellClock()
    if (!this.clockIsWrong) this.#forgetEnded()
    const members = this.#mesh?.members() ?? []
    const peer = members[Math.floor(Math.random() * members.length)]
    if (peer !== undefined) void this.repairWith(peer)
  }

  #forgetEnded(): void {
    const ended = this.set.removeExpired(this.now)
    if (ended.length > 0) void this.#changed([], ended, false)
    if (this.#over.length === 0 || this.clockAheadMs === null) return
    const over = this.#over
    this.#over = []
    for (const key of over) this.#reload(key)
  }

  /** Looks at a stored record again, now that the clock is known to be right. */
  #reload(key: string): void {
    const stored = this.#store.get(key)
    const merged = stored === null ? null : this.set.merge(stored, this.now)
    if (merged?.verdict === 'accepted') void this.#changed([merged.record], merged.removed, false)
    else if (merged?.reason === 'expired') void this.#store.write([{ key, value: null }], false)
    else if (merged?.reason === 'too-new') this.#over = [...this.#over, key]
  }

  #tellClock(): void {
    const ahead = this.clockAheadMs ?? 0
    const isOff = Math.abs(ahead) > wrongClockMs
    if (isOff === this.#toldClock) return
    this.#toldClock = isOff
    const minutes = `${Math.round(Math.abs(ahead) / 60_000)} minutes ${ahead > 0 ? 'ahead of' : 'behind'}`
    if (!isOff) this.#tell('clock-right', 'the clock agrees with the neighbours again')
    else if (this.clockIsWrong)
      this.#tell(
        'clock-wrong',
        `the clock is ${minutes} the neighbours: nothing is started or forgotten until it is set (timedatectl set-ntp true)`
      )
    else this.#tell('clock-wrong', `the clock is ${minutes} the one neighbour: one of the two is wrong`)
    // Whoever waited for a right clock looks again.
    for (const listener of this.#listeners) listener([])
  }

  #answer(body: Uint8Array, from: HostId): Uint8Array {
    const access: Access = {
      // Of a VIOLIN that is unknown here nothing can be told; what comes in must name this host.
      allows: (scope) => scope === 'mesh' || !this.set.holds(scope) || this.concerns(scope, from),
      wants: (record) => this.#wants(record),
      shows: (record) => showsHolder(record, from)
    }
    const synced = answerSync(this.set, body, this.now, access)
    if (synced.rejected > 0) this.#log('wrong records in an exchange', { from, count: synced.rejected })
    if (synced.accepted.length > 0) void this.#exchanged(synced)
    return synced.answer
  }

  /** Whether a host has reason to keep a VIOLIN's records: it owns it, or they name it still. */
  concerns(violin: ViolinId, host: HostId): boolean {
    const seen = this.view.violins.get(violin)
    return seen === undefined || seen.holders.has(host)
  }

  /** What was news here is news for neighbours too: they shall not wait for their own exchange. */
  async #exchanged(synced: Synced): Promise<void> {
    await this.#changed(synced.accepted, synced.removed, false)
    if (synced.accepted.length > passedOn) return
    const now = performance.now()
    const within = synced.accepted.filter(({ chain }) => this.#budget.take(chain, now))
    await Promise.all(within.map((record) => this.#spread(record)))
  }

  #wants(record: SignedRecord): boolean {
    return wantsRecord(this.set, this.#self, record)
  }

  /** Tells once where what this host signed does not count any more. */
  #compare(violin: ViolinId): void {
    const seen = this.view.violins.get(violin)
    if (seen !== undefined) this.signings.look(seen)
  }

  #nameOf(host: HostId): string {
    return this.view.members.get(host)?.body.name ?? host
  }

  /** Who hears the messages that travel beside the records on the mesh's topic. */
  onMessage(listener: (bytes: Uint8Array, from: HostId) => Verdict): void {
    this.#heard = listener
  }

  #gossiped(bytes: Uint8Array, from: HostId): Verdict {
    if (isLivenessMessage(bytes)) return this.#heard(bytes, from)
    if (bytes.length > maxRecordBytes) return 'reject'
    const merged = this.set.merge(bytes, this.now, (record) => this.#wants(record))
    if (merged.verdict === 'rejected') return 'reject'
    if (merged.verdict === 'ignored') return 'ignore'
    void this.#changed([merged.record], merged.removed, false)
    return this.#budget.take(merged.record.chain, performance.now()) ? 'accept' : 'ignore'
  }

  async #changed(
    accepted: readonly SignedRecord[],
    removed: readonly SignedRecord[],
    sync: boolean
  ): Promise<void> {
    if (accepted.some(({ kind }) => kind === 'revocation')) this.seats.cut(removed)
    for (const record of removed) {
      const cut = record.kind === 'violin' ? this.set.revocationOf(record.chain) : null
      if (cut === null) continue
      const hosts = hostsOfOwner(this.set.tree('hosts'), record.author)
      const isOut = cut.body.key === record.author || this.view.revoked.has(record.author)
      this.#awaited.cut(record.key as ViolinId, hosts.length > 0 && !isOut, steady())
    }
    const versions = new Set(
      accepted.flatMap(({ kind, key }) => (kind === 'violin' ? [key as ViolinId] : []))
    )
    for (const violin of versions) {
      this.#awaited.came(violin)
      this.#compare(violin)
    }
    // Versions that are kept aside are not to come back as news after a restart.
    const kept = new Set([...accepted, ...this.set.dropped].map(storeKey))
    const writes = [
      ...removed
        .filter((record) => !kept.has(storeKey(record)))
        .map((record) => ({ key: storeKey(record), value: null })),
      ...accepted.map((record) => ({ key: storeKey(record), value: record.bytes }))
    ]
    const written = this.#store.write(writes, sync)
    this.#subscribe()
    for (const listener of this.#listeners) listener([...accepted, ...removed])
    await written
  }

  async #spread(record: SignedRecord): Promise<void> {
    const violin = record.kind === 'violin' || record.kind === 'runs' ? (record.key as ViolinId) : null
    const topic = violin === null ? meshTopic : topicOf(violin)
    await this.#mesh?.publish(topic, record.bytes).catch((error: unknown) => {
      this.#log('record not spread; repair will', { reason: errorData(error).message })
    })
  }

  /** Topics: the mesh's, and one for each VIOLIN that is held. */
  #subscribe(): void {
    const mesh = this.#mesh
    if (mesh === null) return
    const wanted = new Map<string, Scope>([[meshTopic, 'mesh']])
    for (const violin of this.set.violins()) wanted.set(topicOf(violin), violin)
    for (const topic of this.#topics.keys()) if (!wanted.has(topic)) mesh.unsubscribe(topic)
    for (const topic of wanted.keys())
      if (!this.#topics.has(topic)) mesh.subscribe(topic, (bytes, from) => this.#gossiped(bytes, from))
    this.#topics.clear()
    for (const [topic, scope] of wanted) this.#topics.set(topic, scope)
  }
}

/** The clock that nobody sets. */
function steady(): Instant {
  return performance.now() as Instant
}

/** Opaque to who does not hold the VIOLIN. */
function topicOf(violin: ViolinId): string {
  return hex(crypto.sha256(ascii(`violin topic ${violin}`)).subarray(0, 16))
}

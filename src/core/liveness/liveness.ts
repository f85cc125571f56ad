/**
 * Which hosts are alive, as this one sees it (after memberlist's Lifeguard). Any byte is a sign of life. A
 * watcher that hears nothing tells the other watchers and the accused; the mesh is told once several agree, or
 * where nobody objected. A refutation ends it, and so does hearing the host directly; else it is dead.
 *
 * Invariant: what a tick costs depends on the watched and the suspected, never on the members.
 */
import { type Crypto, type HostId, type Instant, type PublicKey, type Signer, unreachable } from '../ids.ts'
import { Case } from './case.ts'
import {
  type Refutation,
  type Suspicion,
  type Told,
  maxTurn,
  openMessage,
  sealRefutation,
  sealSuspicion
} from './message.ts'
import type { Ring } from './ring.ts'
import {
  accusersPerSide,
  agreeing,
  firstMs,
  freshMs,
  isolationMs,
  lateMs,
  listenMs,
  maxEvidence,
  maxIncarnation,
  maxMuteMs,
  maxPatienceMs,
  maxPassed,
  muteMs,
  passedMs,
  silenceMs,
  tickMs,
  watchersPerSide
} from './settings.ts'

export type LifeState = 'alive' | 'suspect' | 'dead'

export type Effect =
  /** For these of the hosts that are connected. */
  | { readonly kind: 'tell'; readonly to: readonly HostId[]; readonly told: Told }
  /** For every host of the mesh. */
  | { readonly kind: 'publish'; readonly bytes: Uint8Array }
  | { readonly kind: 'state'; readonly host: HostId; readonly state: LifeState; readonly why: string }
  /** Connections to these are to be kept; they hear from this host every {@link signEveryMs}. */
  | { readonly kind: 'watch'; readonly hosts: readonly HostId[] }
  | { readonly kind: 'isolated'; readonly isolated: boolean }

/** What came of a message. */
export interface Received {
  /** As gossip asks; what was told to this host alone is never relayed by it. */
  readonly verdict: 'accept' | 'ignore' | 'reject'
  /** Who signed it; null: nobody. */
  readonly author: HostId | null
  readonly effects: readonly Effect[]
}

/** How a message came: to this host alone, or to the whole mesh. */
export type Way = { readonly from: HostId; readonly spread: boolean }

export interface LivenessOptions {
  readonly self: HostId
  readonly root: PublicKey
  readonly signer: Signer
  readonly crypto: Crypto
  /** All members that have not left; the caller changes it and calls {@link Liveness.changed}. */
  readonly ring: Ring
  /** When any byte of a host came last, in this life; null: never. */
  readonly heardAt: (host: HostId) => Instant | null
  readonly now: Instant
}

/** One host that this one watches. */
interface Watch {
  readonly since: Instant
  mutedUntil: number
  muteMs: number
}

/** What comes of nearly every tick. */
const nothing: readonly Effect[] = []

export class Liveness {
  readonly #with: LivenessOptions
  #watched = new Map<HostId, Watch>()
  /** Their names, made anew only when they change. */
  #watchedHosts: readonly HostId[] = []
  /** Until then, by what was heard so far, none of them is silent. */
  #soundUntil = -Infinity
  readonly #cases = new Map<HostId, Case>()
  readonly #dead = new Map<HostId, Suspicion>()
  /** Held dead though bytes of it came not long ago: looked at in every tick. */
  readonly #justDied = new Map<HostId, Instant>()
  /** The last refutation of each host that ever made one. */
  readonly #refutations = new Map<HostId, Refutation>()
  /** What was handed on not long ago, so that it does not go round. */
  readonly #passed = new Map<string, Instant>()
  #own: Refutation | null = null
  #tickedAt: Instant
  /** Added to the silence that this host takes for a loss: it may be its own. */
  #patienceMs = 0
  #isolatedSince: Instant | null = null
  /** Hosts that died to this one while it was isolated, until it is no more. */
  readonly #diedAlone = new Set<HostId>()
  /** While it was isolated it met one again: it was the lost one. */
  #met = false
  /** Silence before this was this host's own. */
  #soundSince: Instant
  #holdsBack = false
  #effects: Effect[] = []

  constructor(options: LivenessOptions) {
    this.#with = options
    this.#soundSince = options.now
    this.#tickedAt = options.now
  }

  /** More than a third of the watched were lost at once: whoever starts things elsewhere must not now. */
  get isolated(): boolean {
    return this.#isolatedSince !== null
  }

  get watched(): readonly HostId[] {
    return this.#watchedHosts
  }

  get dead(): readonly HostId[] {
    return [...this.#dead.keys()]
  }

  /** Whether this host holds that one dead. */
  isDead(host: HostId): boolean {
    return this.#dead.size > 0 && this.#dead.has(host)
  }

  /** A watched host that was not heard yet is suspect; of others nothing bad was said. */
  stateOf(host: HostId): LifeState {
    if (this.isDead(host)) return 'dead'
    const unheard = this.#watched.has(host) && this.#with.heardAt(host) === null
    return unheard || this.#cases.has(host) ? 'suspect' : 'alive'
  }

  /**
   * For how long this host itself has not heard that one: its own evidence, no hearsay; null: it hears it. The
   * time runs from the start at the earliest, and from when this host was last cut off or stood still.
   */
  lostForMs(host: HostId, now: Instant): number | null {
    const heardAt = this.#with.heardAt(host)
    if (heardAt !== null && now - heardAt < silenceMs) return null
    return now - Math.max(heardAt ?? -Infinity, this.#soundSince)
  }

  /** Members came or went: whom this host watches may have changed. */
  changed(now: Instant): readonly Effect[] {
    const { ring } = this.#with
    for (const known of [this.#cases, this.#dead, this.#refutations, this.#justDied]) {
      for (const host of known.keys()) if (!ring.has(host)) known.delete(host)
    }
    this.#watchAnew(now)
    return this.#flush()
  }

  /** Whom this host watches: its nearest that it does not hold dead. */
  #watchAnew(now: Instant): void {
    const { self, ring } = this.#with
    const nearest = ring.nearest(self, watchersPerSide, this.#isDead)
    const before = this.#watched
    this.#watchedHosts = nearest
    this.#soundUntil = -Infinity
    this.#watched = new Map(
      nearest.map((host) => [host, before.get(host) ?? { since: now, mutedUntil: 0, muteMs }])
    )
    const same = before.size === nearest.length && nearest.every((host) => before.has(host))
    if (same) return
    this.#effects.push({ kind: 'watch', hosts: nearest })
    for (const [host, one] of this.#cases) {
      if (one.spread || this.#watched.has(host)) continue
      this.#cases.delete(host)
      this.#tellState(host, 'alive', 'it is for others to watch')
    }
  }

  /** Every {@link tickMs}. */
  tick(now: Instant): readonly Effect[] {
    const elapsedMs = now - this.#tickedAt
    this.#tickedAt = now
    const late = elapsedMs - tickMs > lateMs
    this.#doubt(elapsedMs - tickMs, now)
    if (this.#cases.size + this.#justDied.size > 0) {
      for (const host of [...this.#cases.keys(), ...this.#justDied.keys()]) this.#lookAgain(host, now)
    }
    const hearsAll = this.#judgeSelf(now)
    // What waits for one who stood still is read before it judges: in the next tick.
    if (!hearsAll && !this.#holdsBack && !late) {
      for (const [host, watch] of this.#watched) if (this.#isLost(host, watch, now)) this.#accuse(host, now)
    }
    for (const [host, one] of this.#cases) {
      if (this.#holdsBack && one.mine !== null && one.accusers === 1) one.pause(elapsedMs)
      else if (!late) this.#advance(host, one, now)
    }
    return this.#flush()
  }

  /** A connection to a host is proven: it is there. */
  connected(host: HostId, now: Instant): readonly Effect[] {
    this.#heard(host, now)
    return this.#flush()
  }

  /** Bytes that another host told or published. */
  receive(bytes: Uint8Array, way: Way, now: Instant): Received {
    const { root, crypto } = this.#with
    const message = openMessage(bytes, root, crypto)
    if (message === null) return { verdict: 'reject', author: null, effects: [] }
    const author = message.kind === 'refutation' ? message.host : message.accuser
    const isNews =
      message.kind === 'refutation'
        ? this.#refuted(message, way, now)
        : message.kind === 'suspicion'
          ? this.#suspected(message, way, now)
          : unreachable(message)
    return { verdict: isNews ? 'accept' : 'ignore', author, effects: this.#flush() }
  }

  /** What shows a host that starts who is dead. */
  evidence(): Told {
    const messages = [...this.#dead.values()].slice(0, maxEvidence).map(({ bytes }) => bytes)
    return { spread: true, messages }
  }

  /**
   * What a neighbour showed of deaths before this host's time. It is taken on its word where nothing is known
   * here: dialling the dead now and then finds out who is not.
   */
  learn(messages: readonly Uint8Array[], now: Instant): readonly Effect[] {
    const { root, crypto } = this.#with
    for (const bytes of messages) {
      const message = openMessage(bytes, root, crypto)
      if (message?.kind !== 'suspicion' || !this.#with.ring.has(message.accused)) continue
      const { accused, refutation } = message
      const known = this.#cases.has(accused) || this.#dead.has(accused) || this.#refutations.has(accused)
      if (known || accused === this.#with.self || this.#with.heardAt(accused) !== null) continue
      if (refutation !== null) this.#refutations.set(accused, refutation)
      this.#die(accused, message, 'a neighbour knew', now)
    }
    return this.#flush()
  }

  readonly #isDead = (host: HostId): boolean => this.#dead.has(host)

  #flush(): readonly Effect[] {
    if (this.#effects.length === 0) return nothing
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  // What this host hears itself.

  /** The time for which this host stood still is nobody's silence. */
  #doubt(stoodMs: number, now: Instant): void {
    if (stoodMs >= silenceMs) this.#soundSince = now
    if (stoodMs <= lateMs) {
      this.#patienceMs = Math.max(0, this.#patienceMs - tickMs / 2)
      return
    }
    this.#patienceMs = Math.min(maxPatienceMs, this.#patienceMs + stoodMs)
    for (const one of this.#cases.values()) one.pause(stoodMs)
  }

  #silenceMs(host: HostId, now: Instant): number {
    return now - (this.#with.heardAt(host) ?? -Infinity)
  }

  #isLost(host: HostId, watch: Watch, now: Instant): boolean {
    if (now < watch.mutedUntil || (this.#cases.get(host)?.mine ?? null) !== null) return false
    const heardAt = this.#with.heardAt(host)
    return heardAt === null || isBefore(heardAt, watch)
      ? now - watch.since >= firstMs
      : now - heardAt >= silenceMs + this.#patienceMs
  }

  /** Someone suspected or dead may have been heard meanwhile. */
  #lookAgain(host: HostId, now: Instant): void {
    const since = this.#cases.get(host)?.beganAt ?? this.#justDied.get(host)
    if (since === undefined) return
    const heardAt = this.#with.heardAt(host)
    if (heardAt !== null && heardAt > since) this.#heard(host, now)
    else if (now - since > listenMs) this.#justDied.delete(host)
  }

  #heard(host: HostId, now: Instant): void {
    this.#met ||= this.isolated
    const watch = this.#watched.get(host)
    if (watch !== undefined) Object.assign(watch, { mutedUntil: 0, muteMs })
    const one = this.#cases.get(host)
    const evidence = this.#dead.get(host) ?? one?.mine ?? one?.evidence
    if (evidence === undefined) return
    // It does not know yet what is said of it: its objection is for all who heard that.
    const spread = this.#dead.has(host) || one?.spread === true
    this.#effects.push({ kind: 'tell', to: [host], told: { spread, messages: [evidence.bytes] } })
    this.#live(host, 'it is heard again', now)
  }

  /** Takes itself for the lost one where much of what it heard is silent at once. True where nothing is. */
  #judgeSelf(now: Instant): boolean {
    if (now <= this.#soundUntil) return true
    let heard = 0
    let lost = 0
    let earliest = Infinity
    for (const [host, watch] of this.#watched) {
      const heardAt = this.#with.heardAt(host)
      if (heardAt === null || isBefore(heardAt, watch)) continue
      heard++
      if (now - heardAt > freshMs) lost++
      else if (heardAt < earliest) earliest = heardAt
    }
    const many = lost > Math.max(1, heard / 3)
    const was = this.isolated
    if (many) this.#isolatedSince ??= now
    // One who lost all that it watched holds them dead in the end, and still hears nobody.
    else if (heard > lost) this.#isolatedSince = null
    this.#holdsBack = many && now - (this.#isolatedSince ?? now) < isolationMs
    if (was && !this.isolated) this.#begunAgain(now)
    if (was !== this.isolated) this.#effects.push({ kind: 'isolated', isolated: this.isolated })
    const hearsAll = lost === 0 && heard === this.#watched.size
    this.#soundUntil = hearsAll ? earliest + freshMs : -Infinity
    return hearsAll
  }

  /** It is isolated no more: of those that are not heard again yet nothing is known, so they are accused anew. */
  #begunAgain(now: Instant): void {
    this.#soundSince = now
    const doubted = this.#met ? this.#diedAlone : []
    for (const host of doubted) if (this.#dead.has(host)) this.#live(host, 'this host was the lost one', now)
    this.#diedAlone.clear()
    this.#met = false
  }

  #accuse(host: HostId, now: Instant): void {
    const { signer, root } = this.#with
    const refutation = this.#refutations.get(host) ?? null
    const mine = sealSuspicion(signer, host, refutation, Math.floor(now) % maxTurn, root)
    const known = this.#cases.get(host)
    const one = known ?? new Case(mine, now)
    one.mine = mine
    one.join(this.#with.self)
    this.#cases.set(host, one)
    this.#tell([host, ...this.#watchersOf(host)], mine.bytes, false)
    if (known === undefined) this.#tellState(host, 'suspect', 'no byte of it came')
    this.#advance(host, one, now)
  }

  // What others say.

  /** Whether it was news. */
  #suspected(suspicion: Suspicion, way: Way, now: Instant): boolean {
    const { accused, refutation } = suspicion
    if (accused === this.#with.self) return this.#object(suspicion, way)
    if (!this.#counts(suspicion)) return false
    if (refutation !== null) this.#refuted(refutation, way, now)
    if (this.#dead.has(accused) || (!way.spread && this.#hadBefore(suspicion, now))) return false
    const known = this.#refutations.get(accused)
    if ((refutation?.incarnation ?? 0) < (known?.incarnation ?? 0)) {
      // The accuser missed a refutation.
      if (!way.spread && known !== undefined) this.#tell([way.from], known.bytes, false)
      return false
    }
    const one = this.#cases.get(accused)
    if (one === undefined && this.#silenceMs(accused, now) < freshMs) {
      // Not lost here: whoever hears the accused lets it object.
      if (this.#watched.has(accused)) this.#tell([accused], suspicion.bytes, way.spread)
      if (!way.spread) this.#passOn(accused, suspicion.bytes, [way.from, suspicion.accuser])
      return true
    }
    // What the accused says to that is told to its watchers alone: whoever is none would never hear it.
    if (one === undefined && !way.spread && !this.#watched.has(accused)) return false
    if (one !== undefined && !one.join(suspicion.accuser)) return false
    const joined = one ?? new Case(suspicion, now)
    joined.spread ||= way.spread
    this.#cases.set(accused, joined)
    if (one === undefined) this.#tellState(accused, 'suspect', 'its watchers do not hear it')
    if (!way.spread) this.#passOn(accused, suspicion.bytes, [way.from, suspicion.accuser])
    this.#advance(accused, joined, now)
    return true
  }

  /** What is told comes from several sides, and with a stalled host late. */
  #hadBefore({ accuser, accused, turn }: Suspicion, now: Instant): boolean {
    const name = `${accuser} ${accused} ${turn}`
    for (const [old, at] of this.#passed) {
      if (now - at < passedMs && this.#passed.size < maxPassed) break
      this.#passed.delete(old)
    }
    if (this.#passed.has(name)) return true
    this.#passed.set(name, now)
    return false
  }

  /** Somebody says that this host is lost: it says that it is there, in an incarnation above all before. */
  #object(suspicion: Suspicion, way: Way): boolean {
    const { self, signer, root } = this.#with
    // An accuser that is dead to this host may be there again.
    if (!this.#counts(suspicion) && !this.#counts(suspicion, () => false)) return false
    const accusedOf = suspicion.refutation?.incarnation ?? 0
    if (this.#own !== null && this.#own.incarnation > accusedOf) {
      if (way.spread) this.#effects.push({ kind: 'publish', bytes: this.#own.bytes })
      else this.#tell([way.from], this.#own.bytes, false)
      return false
    }
    if (accusedOf === maxIncarnation) return false
    this.#own = sealRefutation(signer, accusedOf + 1, root)
    this.#tell([...new Set([way.from, ...this.#watchersOf(self)])], this.#own.bytes, way.spread)
    if (way.spread) this.#effects.push({ kind: 'publish', bytes: this.#own.bytes })
    return true
  }

  #refuted(refutation: Refutation, way: Way, now: Instant): boolean {
    const { host, incarnation } = refutation
    if (host === this.#with.self || !this.#with.ring.has(host)) return false
    if (incarnation <= (this.#refutations.get(host)?.incarnation ?? 0)) return false
    this.#refutations.set(host, refutation)
    const watch = this.#watched.get(host)
    if (watch !== undefined && (this.#cases.get(host)?.mine ?? null) !== null) {
      watch.mutedUntil = now + watch.muteMs
      watch.muteMs = Math.min(maxMuteMs, 2 * watch.muteMs)
    }
    this.#live(host, 'it says that it is there', now)
    if (!way.spread) this.#passOn(host, refutation.bytes, [way.from])
    // It may be back for a moment only, with nobody yet who passes on what it publishes.
    else if (way.from === host) this.#effects.push({ kind: 'publish', bytes: refutation.bytes })
    return true
  }

  /** An accuser must be one of those who may watch the accused. */
  #counts({ accuser, accused }: Suspicion, isOut = this.#isDead): boolean {
    const { ring, self } = this.#with
    if (accuser === self || accuser === accused || !ring.has(accused)) return false
    return ring.nearest(accused, accusersPerSide, isOut).includes(accuser)
  }

  // What comes of it.

  #watchersOf(host: HostId): readonly HostId[] {
    return this.#with.ring.nearest(host, watchersPerSide, this.#isDead)
  }

  /** Tells the mesh once enough agree, and draws the conclusion when the time to object is over. */
  #advance(host: HostId, one: Case, now: Instant): void {
    const needed = Math.max(1, Math.min(agreeing, this.#watchersOf(host).length))
    const isOver = one.isOver(now, needed)
    if (one.mine !== null && !one.published && (one.spread || one.accusers >= needed || isOver)) {
      one.spread = true
      one.published = true
      this.#effects.push({ kind: 'publish', bytes: one.mine.bytes })
    }
    if (isOver)
      this.#die(host, one.mine ?? one.evidence, `${one.accusers} of its watchers do not hear it`, now)
  }

  #die(host: HostId, evidence: Suspicion, why: string, now: Instant): void {
    this.#cases.delete(host)
    this.#dead.set(host, evidence)
    if (this.isolated) this.#diedAlone.add(host)
    if (this.#silenceMs(host, now) < listenMs) this.#justDied.set(host, now)
    this.#tellState(host, 'dead', why)
    this.#watchAnew(now)
  }

  #live(host: HostId, why: string, now: Instant): void {
    const wasDead = this.#dead.delete(host)
    const wasSuspect = this.#cases.delete(host)
    this.#justDied.delete(host)
    if (wasDead || wasSuspect) this.#tellState(host, 'alive', why)
    if (wasDead) this.#watchAnew(now)
  }

  #tellState(host: HostId, state: LifeState, why: string): void {
    this.#effects.push({ kind: 'state', host, state, why })
  }

  /** Watchers hand on what was news to them, so that it comes to those whom its author cannot reach. */
  #passOn(about: HostId, bytes: Uint8Array, not: readonly HostId[]): void {
    if (!this.#watched.has(about)) return
    this.#tell(
      [about, ...this.#watchersOf(about)].filter((host) => !not.includes(host)),
      bytes,
      false
    )
  }

  #tell(to: readonly HostId[], bytes: Uint8Array, spread: boolean): void {
    const others = to.filter((host) => host !== this.#with.self)
    if (others.length > 0)
      this.#effects.push({ kind: 'tell', to: others, told: { spread, messages: [bytes] } })
  }
}

/** Heard too long before it was watched: one that is watched anew gets time to come. */
function isBefore(heardAt: Instant, watch: Watch): boolean {
  return heardAt < watch.since - silenceMs
}

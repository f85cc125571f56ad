/**
 * Liveness at work: the core's machine is fed from the mesh, what it says is told and spread, and the hosts
 * that it watches, and some across the ring, are kept connected. So the mesh hangs together however large it is.
 */
import { errorData } from '#core/errors.ts'
import type { HostId, Instant, PublicKey, Signer } from '#core/ids.ts'
import { type Effect, type LifeState, Liveness } from '#core/liveness/liveness.ts'
import { type Told, decodeTold, encodeTold, maxMessageBytes } from '#core/liveness/message.ts'
import { Ring } from '#core/liveness/ring.ts'
import { tickMs } from '#core/liveness/settings.ts'
import { AuthorBudget } from '#core/records/budget.ts'
import type { SignedRecord } from '#core/records/record.ts'
import type { Mesh, Verdict } from '#mesh/contract.ts'
import { crypto } from './crypto.ts'
import type { Journal } from './events.ts'
import { meshTopic, type Records } from './records.ts'

/** Members across the ring to which a host keeps connections: news crosses 10,000 hosts in five steps. */
const across = 8
/** Those of them that are missing are dialled this often. */
const dialEveryMs = 3_000
/** One random host that is held dead is dialled this often, for ever: halves of a mesh find each other. */
const dialDeadEveryMs = 15_000
const tellTimeoutMs = 5_000
/** Messages that one request may bring. */
const maxToldAtOnce = 16
/** Neighbours that a starting host asks who is dead. */
const neighboursAsked = 2

interface Options {
  readonly self: HostId
  readonly signer: Signer
  readonly records: Records
  readonly mesh: Mesh
  readonly journal: Journal
  readonly nameOf: (host: HostId) => string
  /** Connects to a host; rejects where it cannot. */
  readonly reach: (host: HostId) => Promise<void>
  readonly log: (message: string, fields: Record<string, unknown>) => void
}

export class Watching {
  readonly #with: Options
  readonly #ring: Ring
  readonly #liveness: Liveness
  readonly #budget = new AuthorBudget()
  readonly #timers: readonly NodeJS.Timeout[]
  readonly #unlisten: () => void
  #asked = 0

  constructor(options: Options) {
    const { self, signer, records, mesh } = options
    const root: PublicKey = records.set.root
    this.#with = options
    this.#ring = new Ring(root, crypto)
    this.#ring.add(self)
    this.#liveness = new Liveness({
      self,
      root,
      signer,
      crypto,
      ring: this.#ring,
      heardAt: (host) => mesh.heardAt(host) as Instant | null,
      now: now()
    })
    mesh.serve('liveness', { maxRequestBytes: maxToldAtOnce * (maxMessageBytes + 3) + 16 }, (body, from) =>
      Promise.resolve(this.#answer(body, from))
    )
    mesh.on(({ kind, peer }) => {
      if (kind === 'member-connected') this.#connected(peer)
    })
    this.#unlisten = records.onChange((changed) => this.#membersChanged(changed))
    records.onMessage((bytes, from) => this.#published(bytes, from))
    this.#countMembers()
    this.#timers = [
      setInterval(() => this.#carry(this.#liveness.tick(now())), tickMs),
      setInterval(() => this.#dialMissing(), dialEveryMs),
      setInterval(() => this.#dialOneDead(), dialDeadEveryMs)
    ]
  }

  /** More than a third of what this host watches was lost at once: it must not start others' entities. */
  get isolated(): boolean {
    return this.#liveness.isolated
  }

  stateOf(host: HostId): LifeState {
    return this.#liveness.stateOf(host)
  }

  /** For how long this host itself has not heard that one; null: it hears it. */
  lostForMs(host: HostId): number | null {
    return this.#liveness.lostForMs(host, now())
  }

  close(): void {
    this.#unlisten()
    for (const timer of this.#timers) clearInterval(timer)
  }

  // Members.

  #membersChanged(changed: readonly SignedRecord[]): void {
    // A revocation may cut many, and free slots for others.
    if (changed.some(({ kind }) => kind === 'revocation')) return this.#countMembers()
    const hosts = changed.filter((record) => record.kind === 'host').map(({ body }) => body.host)
    const moved = hosts.filter((host) => this.#seat(host))
    if (moved.length > 0) this.#carry(this.#liveness.changed(now()))
  }

  #countMembers(): void {
    const { members } = this.#with.records.view
    for (const host of new Set([...members.keys(), ...this.#ring.hosts()])) this.#seat(host)
    this.#carry(this.#liveness.changed(now()))
  }

  /** Gives a member its place and takes it from who is none; whether that changed anything. */
  #seat(host: HostId): boolean {
    const member = this.#with.records.view.members.get(host)
    const belongs = host === this.#with.self || (member !== undefined && !member.body.left)
    return belongs ? this.#ring.add(host) : this.#ring.delete(host)
  }

  // What comes in.

  #connected(peer: HostId): void {
    this.#carry(this.#liveness.connected(peer, now()))
    if (this.#asked < neighboursAsked) void this.#askWhoIsDead(peer)
  }

  async #askWhoIsDead(peer: HostId): Promise<void> {
    this.#asked++
    const answer = await this.#ask(peer, { spread: false, messages: [] })
    const told = answer === null ? null : decodeTold(answer)
    if (told === null) this.#asked--
    else this.#carry(this.#liveness.learn(told.messages, now()), { silently: true })
  }

  #answer(body: Uint8Array, from: HostId): Uint8Array {
    const told = decodeTold(body)
    for (const bytes of told?.messages ?? []) {
      const { effects } = this.#liveness.receive(bytes, { from, spread: told?.spread === true }, now())
      this.#carry(effects)
    }
    const asks = told?.messages.length === 0
    return encodeTold(asks ? this.#liveness.evidence() : { spread: false, messages: [] })
  }

  #published(bytes: Uint8Array, from: HostId): Verdict {
    const { verdict, author, effects } = this.#liveness.receive(bytes, { from, spread: true }, now())
    this.#carry(effects)
    const member = author === null ? undefined : this.#with.records.view.members.get(author)
    if (verdict !== 'accept' || member === undefined) return verdict
    // A member that lies all day is passed on as rarely as one that publishes all day.
    return this.#budget.take(member.record.chain, performance.now()) ? 'accept' : 'ignore'
  }

  // What goes out.

  #carry(
    effects: readonly Effect[],
    { silently }: { readonly silently: boolean } = { silently: false }
  ): void {
    const { mesh, log } = this.#with
    for (const effect of effects) {
      switch (effect.kind) {
        case 'tell':
          for (const host of effect.to) if (mesh.isMember(host)) void this.#ask(host, effect.told)
          break
        case 'publish':
          mesh
            .publish(meshTopic, effect.bytes)
            .catch((error: unknown) => log('not published', { reason: errorData(error).message }))
          break
        case 'watch':
          mesh.watch(effect.hosts)
          this.#dialMissing()
          break
        case 'state':
          if (!silently) this.#note(effect)
          break
        case 'isolated':
          this.#noteIsolation(effect.isolated)
      }
    }
  }

  async #ask(host: HostId, told: Told): Promise<Uint8Array | null> {
    const { mesh, log } = this.#with
    const signal = AbortSignal.timeout(tellTimeoutMs)
    return mesh.request(host, 'liveness', encodeTold(told), signal).catch((error: unknown) => {
      log('liveness not told', { host, reason: errorData(error).message })
      return null
    })
  }

  #note({ host, state, why }: Extract<Effect, { kind: 'state' }>): void {
    const { journal, nameOf } = this.#with
    const name = nameOf(host)
    if (state === 'suspect') journal.note('host-suspect', null, `${name} may be lost: ${why}`)
    else if (state === 'dead') journal.note('host-lost', null, `${name} does not answer any more: ${why}`)
    else journal.note('host-back', null, `${name} is there: ${why}`)
  }

  #noteIsolation(isolated: boolean): void {
    const text = isolated
      ? 'much of what this host hears fell silent at once: it takes itself for the lost one'
      : 'this host hears others again'
    this.#with.journal.note(isolated ? 'isolated' : 'rejoined', null, text)
  }

  // Connections.

  #dialMissing(): void {
    const { self, mesh } = this.#with
    for (const host of new Set([...this.#liveness.watched, ...this.#ring.across(self, across)])) {
      if (!mesh.isMember(host) && this.stateOf(host) !== 'dead') this.#reach(host)
    }
  }

  #dialOneDead(): void {
    const { dead } = this.#liveness
    const host = dead[Math.floor(Math.random() * dead.length)]
    if (host !== undefined) this.#reach(host)
  }

  #reach(host: HostId): void {
    const { reach, log } = this.#with
    reach(host).catch((error: unknown) => log('host not reached', { host, reason: errorData(error).message }))
  }
}

function now(): Instant {
  return performance.now() as Instant
}

/**
 * What the parts of one election share: who takes part, the ways to them, whom this host follows or rules,
 * and the effects of the input at hand.
 */
import type { HostKey, Instant } from '../ids.ts'
import { type Message, maxParts, maxPortsPerMessage } from './message.ts'
import { nextStamp, type Peer } from './peer.ts'
import type { Port } from './ports.ts'
import type { Reign } from './reign.ts'
import { maxCounter } from './settings.ts'
import { compareTerms } from './term.ts'
import type { Deadline, Effect, Tag, Tags, Term } from './types.ts'

/** One message lifts the counter by so much at most: years of honest terms, and far from the end of the numbers. */
const maxLeap: number = 2 ** 16

/** The active that this host uses. */
export interface Followed {
  readonly peer: HostKey
  term: Term
  tag: Tag
  readonly since: Instant
  /** First doubt since it was last heard; null: none. */
  suspectAt: Instant | null
  /** When it was found lost. Its tag stays in use until another is followed. */
  lostAt: Instant | null
  /** It said itself that it reigns no more: nobody need be asked. */
  resigned: boolean
  /** When it was asked to prove itself because another claims. */
  challengedAt: Instant | null
}

/** A message without what every message says alike. */
export type Body = Message extends infer M
  ? M extends Message
    ? Omit<M, 'life' | 'stamp' | 'echo' | 'highest' | 'follows'>
    : never
  : never

export class Ground {
  readonly self: HostKey
  readonly tags: Tags
  readonly random: () => number
  readonly life: number
  now: Instant
  candidates: readonly HostKey[] = []
  readonly peers: Map<HostKey, Peer> = new Map()
  /** Highest counter heard or used. */
  highest = 0
  /** Invariant: only grows. This host never follows nor holds a term below. */
  floor: Term
  reign: Reign | null = null
  followed: Followed | null = null
  ports: readonly Port[] = []
  version = 0
  effects: Effect<Message>[] = []
  #wakeAt = Infinity
  #wakeWhy = ''
  #stamp = 0

  constructor(self: HostKey, tags: Tags, random: () => number, now: Instant) {
    this.self = self
    this.tags = tags
    this.random = random
    this.now = now
    this.life = 1 + Math.floor(random() * 0xffff_fffe)
    this.floor = { counter: 0, host: self }
  }

  /** Whose switch this host uses. */
  get follows(): Term | null {
    const { reign, followed } = this
    return reign?.state === 'active' ? reign.term : (followed?.term ?? null)
  }

  get isCandidate(): boolean {
    return this.candidates.includes(this.self)
  }

  /** Place in the record's order; those that are not in it come last. */
  rank(host: HostKey): number {
    const index = this.candidates.indexOf(host)
    return index < 0 ? this.candidates.length : index
  }

  /** Hears of a counter. A leap is a lie or a defect: it must not bring anybody to the end of the numbers. */
  learn(counter: number): void {
    if (counter > this.highest && counter <= Math.min(maxCounter - 1, this.highest + maxLeap))
      this.highest = counter
  }

  raiseFloor(term: Term): void {
    if (compareTerms(term, this.floor) > 0) this.floor = term
  }

  /** A term of this host above all that it heard of. */
  nextTerm(): Term {
    this.highest++
    return { counter: this.highest, host: this.self }
  }

  send(to: HostKey, body: Body): void {
    const peer = this.peers.get(to)
    if (peer === undefined || !peer.up) return
    this.#stamp = nextStamp(this.now, this.#stamp)
    const message: Message = {
      ...body,
      life: this.life,
      stamp: this.#stamp,
      echo: peer.stamp,
      highest: this.highest,
      follows: this.follows
    }
    this.effects.push({ kind: 'send', to, message })
  }

  /** Asks a peer whether it is there, at most once in `everyMs`; gives when it may be asked again. */
  probe(peer: Peer, everyMs: number): number {
    if (this.now >= peer.probedAt + everyMs) {
      peer.probedAt = this.now
      this.send(peer.key, { kind: 'probe' })
    }
    return peer.probedAt + everyMs
  }

  /** Tells a host which ports are here. */
  announce(to: HostKey): void {
    const parts = Math.min(maxParts, Math.max(1, Math.ceil(this.ports.length / maxPortsPerMessage)))
    for (let part = 0; part < parts; part++) {
      const ports = this.ports.slice(part * maxPortsPerMessage, (part + 1) * maxPortsPerMessage)
      this.send(to, { kind: 'ports', version: this.version, part, parts, ports })
    }
  }

  /** Asks for a tick at `at`; the earliest wish counts. */
  wake(at: number, why: string): void {
    if (at >= this.#wakeAt) return
    this.#wakeAt = at
    this.#wakeWhy = why
  }

  get deadline(): Deadline | null {
    return this.#wakeAt === Infinity ? null : { at: this.#wakeAt as Instant, why: this.#wakeWhy }
  }

  forgetDeadline(): void {
    this.#wakeAt = Infinity
  }
}

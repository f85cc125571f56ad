/**
 * One host's time as the vSwitch: the tags that it gave, who follows, who stands by, who else reigns.
 */
import type { HostKey, Instant } from '../ids.ts'
import type { ReignState } from './message.ts'
import { echoMs, maxWitnesses, rivalGoneMs } from './settings.ts'
import { sameTerm } from './term.ts'
import type { Tag, Tags, Term } from './types.ts'

/** One host as the switch sees it. */
export interface Seat {
  readonly peer: HostKey
  readonly tag: Tag
  /** It accepts frames under the tag. Set by {@link Reign.take}. */
  taken: boolean
  /** It sends its frames here. */
  follows: boolean
  /** When it last said so. */
  answeredAt: Instant
  /** Since when it follows and says so without a gap. */
  steadyAt: Instant
  /** It accepts the successor's tag as well. */
  tookSuccessor: boolean
  /** Version of its ports that arrived whole. */
  have: number
}

/** Another active, as far as it is known. */
export interface Rival {
  term: Term
  readonly since: Instant
  /** When it, or one that follows it, was heard. */
  seenAt: Instant
  /** When a beat of its own came; -Infinity: it is known by hearsay. */
  directAt: Instant
  /** How many follow it, as it says. */
  edges: number
  /** Hosts that say that they follow it, and when. */
  readonly followers: Map<HostKey, Instant>
}

/** The handover under way. */
export interface Handing {
  readonly peer: HostKey
  /** The successor's term, as soon as it offered one. */
  term: Term | null
  readonly since: Instant
  /** It has won over this host: there is no way back. */
  readonly forced: boolean
  /** Nobody needs it: only when every edge can go along. */
  readonly optional: boolean
}

export class Reign {
  term: Term
  state: ReignState
  readonly since: Instant
  readonly seats: Map<HostKey, Seat> = new Map()
  readonly rivals: Map<HostKey, Rival> = new Map()
  standby: HostKey | null = null
  witnesses: readonly HostKey[] = []
  handing: Handing | null = null
  /** It began with a claim, not with a handover: its place was not chosen. Infinity: it was. */
  returnsAfterMs: number = Infinity
  /** When it began to send its edges over. */
  retiringAt: Instant = Infinity as Instant
  /** Since when nobody follows any more. */
  emptyAt: Instant = Infinity as Instant
  /** Beats go fast to those that do not follow until then. */
  eagerUntil: Instant
  /** Grows with every change of the downlinks. */
  revision = 0
  readonly #tags: Tags

  constructor(term: Term, state: ReignState, tags: Tags, now: Instant, eagerUntil: Instant) {
    this.term = term
    this.state = state
    this.#tags = tags
    this.since = now
    this.eagerUntil = eagerUntil
  }

  /** The seat of a host, made with a tag when there is none; `made` is told. */
  seat(peer: HostKey, made: (seat: Seat) => void): Seat {
    let seat = this.seats.get(peer)
    if (seat === undefined) {
      seat = {
        peer,
        tag: this.#tags.allocate(peer),
        taken: false,
        follows: false,
        answeredAt: -Infinity as Instant,
        steadyAt: Infinity as Instant,
        tookSuccessor: false,
        have: 0
      }
      this.seats.set(peer, seat)
      made(seat)
    }
    return seat
  }

  /** Notes that a host said that it follows. */
  answer(seat: Seat, now: Instant): void {
    if (!seat.follows || now - seat.answeredAt >= echoMs) seat.steadyAt = now
    seat.follows = true
    seat.answeredAt = now
    this.take(seat, true)
  }

  /** Notes whether a host accepts frames. */
  take(seat: Seat, taken: boolean): void {
    if (seat.taken !== taken) this.revision++
    seat.taken = taken
  }

  /** Ends a seat. The caller retires its tag. */
  vacate(seat: Seat): void {
    this.take(seat, false)
    this.seats.delete(seat.peer)
    this.#tags.release(seat.peer, seat.tag)
  }

  downlinks(): Map<HostKey, Tag> {
    const downlinks = new Map<HostKey, Tag>()
    for (const seat of this.seats.values()) if (seat.taken) downlinks.set(seat.peer, seat.tag)
    return downlinks
  }

  /** Those that follow and said so since `since`. */
  edges(since: number): number {
    let count = 0
    for (const seat of this.seats.values()) if (seat.follows && seat.answeredAt >= since) count++
    return count
  }

  isFast(peer: HostKey): boolean {
    return peer === this.standby || this.witnesses.includes(peer)
  }

  /** Keeps standby and witnesses while they answer; fills up from the candidates in order, then from others. */
  appoint(candidates: readonly HostKey[], now: Instant): void {
    const answers = (peer: HostKey): boolean => {
      const seat = this.seats.get(peer)
      return seat !== undefined && seat.follows && now - seat.answeredAt < echoMs
    }
    const keep = this.standby !== null && answers(this.standby) && candidates.includes(this.standby)
    // At first the order counts, not who answered first.
    if (!keep || now < this.eagerUntil) {
      this.standby = candidates.find(answers) ?? null
    }
    const kept = this.witnesses.filter((peer) => peer !== this.standby && answers(peer))
    for (const peer of this.seats.keys()) {
      if (kept.length >= maxWitnesses) break
      if (peer !== this.standby && !kept.includes(peer) && answers(peer)) kept.push(peer)
    }
    this.witnesses = kept
  }

  /** Notes another active. */
  noteRival(term: Term, now: Instant): Rival {
    let rival = this.rivals.get(term.host)
    if (rival === undefined) {
      rival = {
        term,
        since: now,
        seenAt: now,
        directAt: -Infinity as Instant,
        edges: 0,
        followers: new Map()
      }
      this.rivals.set(term.host, rival)
    }
    if (!sameTerm(rival.term, term) && term.counter > rival.term.counter) rival.term = term
    rival.seenAt = now
    return rival
  }

  /** Forgets rivals that were not heard of for long. */
  forgetRivals(now: Instant): void {
    for (const [host, rival] of this.rivals) if (now - rival.seenAt >= rivalGoneMs) this.rivals.delete(host)
  }
}

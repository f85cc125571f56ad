/**
 * The side of one that follows: takes tags, stays loyal while its active lives, finds out when it does not.
 */
import type { HostKey, Instant } from '../ids.ts'
import type { Followed, Ground } from './ground.ts'
import type { Beat } from './message.ts'
import type { Peer } from './peer.ts'
import {
  aloneMs,
  challengeMs,
  deafMs,
  echoMs,
  formerMs,
  maxAsked,
  probeMs,
  refusedMs,
  silentMs,
  slowLostMs,
  slowProbeMs,
  slowSuspectMs,
  suspectMs,
  witnessMs
} from './settings.ts'
import { compareTerms, sameTerm } from './term.ts'
import type { Tag, Term } from './types.ts'

/** Accepted from a switch until `untilAt`. */
interface Taken {
  readonly term: Term
  readonly tag: Tag
  untilAt: number
}

export class Edge {
  readonly #ground: Ground
  /** The newest beat of each that switches. */
  readonly #beats = new Map<HostKey, { readonly beat: Beat; readonly term: Term; readonly at: Instant }>()
  readonly #taken = new Map<HostKey, Taken>()
  /** The last of the followed, for when it resigned: it named who comes next. */
  #lastBeat: Beat | null = null
  /** Another active that was heard while this host is loyal. */
  #rival: { readonly term: Term; readonly at: Instant } | null = null

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /** No active, or one that is lost. */
  get seeking(): boolean {
    const { followed } = this.#ground
    return followed === null || followed.lostAt !== null
  }

  get standby(): HostKey | null {
    return this.#followedBeat()?.standby ?? null
  }

  /** Hosts that the active named to ask about it. */
  get witnesses(): readonly HostKey[] {
    return this.#followedBeat()?.witnesses ?? []
  }

  /**
   * Who can say whether the active lives: those that hear every beat. One that hears slow beats only does not
   * know; it is asked where nobody else is there.
   */
  voters(): ReadonlySet<HostKey> {
    const { self, candidates } = this.#ground
    const others = this.witnesses.filter((host) => host !== self)
    const voters = new Set(others.length > 0 ? others : candidates.slice(0, maxAsked))
    if (this.standby !== null) voters.add(this.standby)
    voters.delete(self)
    return voters
  }

  // What is heard.

  /** A beat of another host, which is a candidate. */
  hear(beat: Beat, from: Peer): void {
    const ground = this.#ground
    const known = this.#beats.get(from.key)
    const same = known !== undefined && known.term.counter === beat.counter
    const term = same ? known.term : { counter: beat.counter, host: from.key }
    if (beat.state === 'over') this.#ended(from.key, beat.successor)
    else {
      this.#beats.set(from.key, { beat, term, at: ground.now })
      if (ground.followed?.peer === from.key) this.#lastBeat = beat
      if (ground.followed?.peer === from.key) this.#ofFollowed(ground.followed, beat, term)
      else if (ground.reign?.state !== 'active') this.#ofAnother(beat, term, from)
      this.#takeSuccessor()
    }
    this.report(from.key)
    if (beat.have !== ground.version && this.#uses(from.key)) ground.announce(from.key)
  }

  /** What any other message of the followed says of its own allegiance. */
  heardFollows(from: HostKey, follows: Term | null): void {
    const { followed } = this.#ground
    if (followed === null || followed.peer !== from || sameTerm(follows, followed.term)) return
    if (follows?.host === from && compareTerms(follows, followed.term) > 0) return
    if (follows !== null && this.#succeed(follows)) return
    // It was not let yet: it reigns as soon as its predecessor's word arrives.
    if (this.#beats.get(from)?.beat.state === 'offer') return
    // It holds the term no longer: loyalty ends.
    followed.resigned = true
    this.#lose(followed)
    const next = follows === null ? undefined : this.#beats.get(follows.host)
    if (next !== undefined) this.#tryFollow(next.beat, next.term)
  }

  /** A peer began anew: what it gave is over. */
  restarted(peer: HostKey): void {
    const { followed } = this.#ground
    this.#beats.delete(peer)
    this.#drop(peer)
    if (followed?.peer !== peer) return
    followed.resigned = true
    this.#lose(followed)
  }

  /** A host has no part any more. */
  removed(peer: HostKey): void {
    this.restarted(peer)
    if (this.#ground.followed?.peer === peer) this.#ground.followed = null
  }

  // What is told.

  /** Tells a host how this one stands. */
  report(to: HostKey): void {
    const ground = this.#ground
    const { followed } = ground
    const took = followed?.peer === to ? undefined : this.#taken.get(to)
    ground.send(to, {
      kind: 'status',
      lost: followed !== null && this.#holdsLost(followed),
      took: took?.term ?? this.#takenBeside(followed),
      rival: this.#rival?.term ?? null,
      version: ground.version
    })
  }

  /** The newest term whose tag is taken to stay beside that of the followed. */
  #takenBeside(followed: Followed | null): Term | null {
    let beside: Term | null = null
    for (const { term, untilAt } of this.#taken.values()) {
      if (term.host !== followed?.peer && untilAt === Infinity) beside = term
    }
    return beside
  }

  // What time tells.

  watch(): void {
    const ground = this.#ground
    for (const [peer, taken] of this.#taken) {
      if (ground.now >= taken.untilAt) this.#drop(peer)
      else ground.wake(taken.untilAt, 'the former active’s tag ends')
    }
    if (this.#rival !== null && ground.now - this.#rival.at >= echoMs) this.#rival = null
    const { followed } = ground
    if (followed === null) return
    const peer = ground.peers.get(followed.peer)
    if (peer !== undefined) this.#watchFollowed(followed, peer)
  }

  #watchFollowed(followed: Followed, peer: Peer): void {
    const ground = this.#ground
    if (followed.lostAt !== null) {
      if (!this.#isBack(followed, followed.lostAt, peer)) return this.#probeAll(followed, peer)
      followed.lostAt = followed.suspectAt = followed.challengedAt = null
      followed.resigned = false
    }
    this.#challenge(followed, peer)
    const heardAt = Math.max(peer.heardAt, followed.since)
    const doubtAt = peer.refused ? ground.now : heardAt + (this.#isFast() ? suspectMs : slowSuspectMs)
    if (ground.now < doubtAt) {
      followed.suspectAt = null
      ground.wake(doubtAt, 'a beat is missed')
    } else followed.suspectAt ??= ground.now
    const lostAt = Math.min(this.#silentAt(peer, heardAt), this.#deafAt(followed, peer))
    if (ground.now >= lostAt) this.#lose(followed)
    else ground.wake(lostAt, 'the active is lost')
    if (followed.suspectAt !== null) this.#probeAll(followed, peer)
  }

  /** Whether one that was lost beats and hears again, in the term that is followed or above. */
  #isBack({ peer: key, term }: Followed, lostAt: Instant, peer: Peer): boolean {
    const last = this.#beats.get(key)
    if (last === undefined || compareTerms(last.term, term) < 0) return false
    return last.at >= lostAt && peer.echoedAt > lostAt
  }

  /** When silence is death. */
  #silentAt(peer: Peer, heardAt: number): number {
    if (!this.#isFast()) {
      return peer.refusedAt === null ? heardAt + slowSuspectMs + slowLostMs : peer.refusedAt + refusedMs
    }
    if (peer.refused) return heardAt + refusedMs
    const alone = this.standby === this.#ground.self && this.witnesses.length === 0
    return heardAt + (alone ? aloneMs : silentMs)
  }

  /** When one that does not hear us is no active for us. */
  #deafAt(followed: Followed, peer: Peer): number {
    const patience = this.#isFast() ? deafMs : 2 * (slowSuspectMs + slowLostMs)
    return Math.max(peer.echoedAt, followed.since) + patience
  }

  /** Another claims: the active must answer soon. */
  #challenge(followed: Followed, peer: Peer): void {
    const ground = this.#ground
    if (followed.challengedAt === null) return
    const dueAt = followed.challengedAt + Math.max(challengeMs, 3 * peer.rttMs)
    if (peer.echoedAt >= followed.challengedAt) followed.challengedAt = null
    else if (peer.refused || ground.now >= dueAt) this.#lose(followed)
    else ground.wake(dueAt, 'the active does not answer')
  }

  #probeAll(followed: Followed, peer: Peer): void {
    const ground = this.#ground
    const everyMs = this.#isFast() ? probeMs : slowProbeMs
    const asked = new Set([...this.voters(), ...ground.candidates.slice(0, maxAsked)])
    asked.delete(followed.peer)
    let next = ground.probe(peer, everyMs)
    for (const key of asked) {
      const other = ground.peers.get(key)
      if (other?.up === true) next = Math.min(next, ground.probe(other, everyMs))
    }
    if (peer.up || asked.size > 0) ground.wake(next, 'ask again')
  }

  /** Whether a witness would say that its active is lost. */
  #holdsLost(followed: Followed): boolean {
    const ground = this.#ground
    const peer = ground.peers.get(followed.peer)
    if (followed.lostAt !== null || peer === undefined) return true
    if (!this.#isFast()) return false
    const silence = ground.now - Math.max(peer.heardAt, followed.since)
    const soonMs = silentMs - witnessMs
    return (
      silence >= (peer.refused ? suspectMs : witnessMs) || ground.now >= this.#deafAt(followed, peer) - soonMs
    )
  }

  // Steps.

  #ofFollowed(followed: Followed, beat: Beat, term: Term): void {
    const ground = this.#ground
    if (compareTerms(term, followed.term) < 0) return
    followed.term = term
    ground.raiseFloor(term)
    followed.tag = beat.tag
    if (this.#taken.get(followed.peer)?.tag !== beat.tag) this.#take(followed.peer, term, beat.tag)
    // A handover that was given up leaves no tag behind: this host would take the frames of two switches.
    for (const [peer, taken] of this.#taken) {
      const meant = peer === followed.peer || peer === beat.successor?.host
      if (!meant && taken.untilAt === Infinity) this.#drop(peer)
    }
    if (beat.state !== 'retiring' || beat.successor === null || this.#succeed(beat.successor)) return
    const next = this.#beats.get(beat.successor.host)
    if (next !== undefined && this.#isOffer(next, beat.successor)) {
      this.follow(next.term, next.beat.tag, formerMs)
    } else this.#lose(followed)
  }

  /** The active follows this host's offer: this host is the active from now on. */
  #succeed(term: Term): boolean {
    const ground = this.#ground
    if (ground.reign?.state !== 'offer' || !sameTerm(ground.reign.term, term)) return false
    ground.reign.state = 'active'
    ground.raiseFloor(term)
    this.leave(formerMs)
    return true
  }

  #ofAnother(beat: Beat, term: Term, from: Peer): void {
    const ground = this.#ground
    const { followed } = ground
    if (this.#tryFollow(beat, term)) return
    if (followed === null || followed.lostAt !== null || beat.state !== 'active') return
    this.#rival = { term, at: ground.now }
    const successor = this.#followedBeat()?.successor ?? null
    if (successor?.host === from.key || compareTerms(term, followed.term) < 0) return
    if (followed.challengedAt !== null) return
    const peer = ground.peers.get(followed.peer)
    followed.challengedAt = ground.now
    if (peer !== undefined) ground.probe(peer, 0)
  }

  /** Follows who reigns, if this host is free to and is heard there. */
  #tryFollow(beat: Beat, term: Term): boolean {
    const ground = this.#ground
    const peer = ground.peers.get(term.host)
    const free = this.seeking && ground.reign?.state !== 'active'
    if (!free || beat.state !== 'active' || peer === undefined) return false
    if (ground.now - peer.echoedAt > echoMs) return false
    if (compareTerms(term, ground.floor) < 0) {
      // Heard in the answer to its beat, this makes it go on in a term above.
      ground.learn(ground.floor.counter + 1)
      return false
    }
    this.follow(term, beat.tag, 0)
    return true
  }

  /** Sends its frames to another from now on; takes those of the former for `formerForMs` more. */
  follow(term: Term, tag: Tag, formerForMs: number): void {
    const ground = this.#ground
    const former = ground.followed?.peer ?? null
    this.leave(formerForMs)
    this.#take(term.host, term, tag)
    this.#lastBeat = null
    ground.followed = {
      peer: term.host,
      term,
      tag,
      since: ground.now,
      suspectAt: null,
      lostAt: null,
      resigned: false,
      challengedAt: null
    }
    ground.raiseFloor(term)
    for (const [peer, taken] of this.#taken) {
      if (peer !== term.host && taken.untilAt === Infinity) this.#drop(peer)
    }
    ground.announce(term.host)
    if (this.standby !== null && this.standby !== ground.self) ground.announce(this.standby)
    this.report(term.host)
    if (former !== null && former !== term.host) this.report(former)
  }

  /** Follows nobody any more; takes the former's frames for `formerForMs` more. */
  leave(formerForMs: number): void {
    const ground = this.#ground
    const { followed } = ground
    if (followed === null) return
    ground.followed = null
    const taken = this.#taken.get(followed.peer)
    if (taken !== undefined) taken.untilAt = ground.now + formerForMs
    if (formerForMs === 0) this.#drop(followed.peer)
  }

  /** Takes the tag of one that will be followed in this term or a later one; false when it offers none. */
  takeOffer(successor: Term): boolean {
    const offer = this.#beats.get(successor.host)
    if (offer === undefined || !this.#isOffer(offer, successor)) return false
    const taken = this.#taken.get(successor.host)
    const isEnding = taken !== undefined && taken.untilAt !== Infinity
    if (isEnding || taken?.tag !== offer.beat.tag || !sameTerm(taken.term, offer.term)) {
      this.#take(successor.host, offer.term, offer.beat.tag)
    }
    return true
  }

  /** Whether a beat is of the successor, and not one from before it was. */
  #isOffer(offer: { readonly beat: Beat; readonly term: Term }, successor: Term): boolean {
    return offer.beat.state !== 'retiring' && compareTerms(offer.term, successor) >= 0
  }

  /** The newest term and tag that a host offers. */
  offerOf(host: HostKey): { readonly term: Term; readonly tag: Tag } | null {
    const offer = this.#beats.get(host)
    return offer === undefined ? null : { term: offer.term, tag: offer.beat.tag }
  }

  #ended(host: HostKey, successor: Term | null): void {
    const ground = this.#ground
    this.#beats.delete(host)
    this.#drop(host)
    const { followed } = ground
    if (followed?.peer !== host) return
    followed.resigned = true
    this.#lose(followed)
    const next = successor === null ? undefined : this.#beats.get(successor.host)
    if (next !== undefined) this.#tryFollow(next.beat, next.term)
  }

  /** During a handover: takes the successor's tag, and says so to the one that hands over. */
  #takeSuccessor(): void {
    const { followed, self } = this.#ground
    const successor = this.#followedBeat()?.successor ?? null
    if (followed === null || successor === null || successor.host === self) return
    const had = this.#taken.get(successor.host)
    if (!this.takeOffer(successor) || had === this.#taken.get(successor.host)) return
    this.report(followed.peer)
    this.report(successor.host)
  }

  #lose(followed: Followed): void {
    if (followed.lostAt !== null) return
    followed.lostAt = this.#ground.now
    followed.suspectAt ??= this.#ground.now
    for (const { beat, term } of this.#beats.values()) {
      if (term.host !== followed.peer && this.#tryFollow(beat, term)) return
    }
    // Nobody leads the handover any more that another's tag was taken for.
    for (const [peer, taken] of this.#taken) {
      if (peer !== followed.peer) taken.untilAt = Math.min(taken.untilAt, this.#ground.now + formerMs)
    }
    // What they say from now on counts: the rhythm of probes would cost up to its length.
    for (const voter of this.voters()) {
      const peer = this.#ground.peers.get(voter)
      if (peer?.up === true && voter !== followed.peer) this.#ground.probe(peer, 0)
    }
  }

  #take(host: HostKey, term: Term, tag: Tag): void {
    const former = this.#taken.get(host)
    if (former !== undefined && former.tag !== tag) this.#drop(host)
    this.#taken.set(host, { term, tag, untilAt: Infinity })
    this.#ground.effects.push({ kind: 'accept', from: host, tag })
  }

  #drop(host: HostKey): void {
    const taken = this.#taken.get(host)
    if (taken === undefined) return
    this.#taken.delete(host)
    this.#ground.effects.push({ kind: 'retire', from: host, tag: taken.tag })
  }

  #followedBeat(): Beat | null {
    const { followed } = this.#ground
    if (followed === null) return null
    return this.#beats.get(followed.peer)?.beat ?? (followed.resigned ? this.#lastBeat : null)
  }

  #isFast(): boolean {
    return this.#followedBeat()?.fast ?? false
  }

  #uses(host: HostKey): boolean {
    return this.#ground.followed?.peer === host || this.#taken.has(host)
  }
}

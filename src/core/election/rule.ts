/**
 * The side of one that switches: gives out tags, beats, appoints, hands over, and settles with another active.
 */
import type { HostKey, Instant } from '../ids.ts'
import type { Edge } from './edge.ts'
import type { Ground } from './ground.ts'
import type { ReignState, Status } from './message.ts'
import type { Peer } from './peer.ts'
import { type Handing, Reign, type Rival, type Seat } from './reign.ts'
import {
  againMs,
  beatMs,
  eagerMs,
  echoMs,
  handoverMs,
  lingerMs,
  maxAgain,
  promptMs,
  returnJitterMs,
  returnMs,
  rivalMs,
  slowBeatMs
} from './settings.ts'
import { compareTerms } from './term.ts'
import type { Term } from './types.ts'

/** A question of one that follows. */
interface Asked {
  readonly at: Instant
  /** Beats that may yet come again. */
  left: number
}

export class Rule {
  readonly #ground: Ground
  readonly #edge: Edge
  /** The last beat to each host. */
  readonly #beatAt = new Map<HostKey, number>()
  /** Who follows, misses beats, and has not answered since. */
  readonly #asked = new Map<HostKey, Asked>()
  #gridAt = 0

  constructor(ground: Ground, edge: Edge) {
    this.#ground = ground
    this.#edge = edge
  }

  /** Becomes the active at once, in a term above all; whoever was followed is given up. */
  claim(): void {
    const ground = this.#ground
    this.#edge.leave(0)
    if (ground.reign === null) this.#begin('active')
    const reign = ground.reign as unknown as Reign
    reign.state = 'active'
    reign.handing = null
    reign.emptyAt = Infinity as Instant
    if (compareTerms(reign.term, ground.floor) < 0) reign.term = ground.nextTerm()
    ground.raiseFloor(reign.term)
    reign.eagerUntil = (ground.now + eagerMs) as Instant
    reign.returnsAfterMs = returnMs + ground.random() * returnJitterMs
    this.#beatAll()
  }

  /** The active asks this host to take over: gives out tags and waits until it is let. */
  prepare(from: HostKey, counter: number): void {
    const { followed, reign, isCandidate } = this.#ground
    const asked = followed?.peer === from && followed.term.counter === counter && isCandidate
    if (!asked || reign !== null) return
    this.#begin('offer')
    this.#beatAll()
  }

  /** The owner's wish to move the switch. */
  handoff(to: HostKey | null): void {
    const { reign, now, candidates, self } = this.#ground
    if (reign?.state !== 'active' || reign.handing !== null) return
    const follows = (host: HostKey | null): host is HostKey =>
      host !== null && host !== self && reign.seats.get(host)?.follows === true
    const target = to ?? (follows(reign.standby) ? reign.standby : candidates.find(follows))
    if (target === undefined || !follows(target) || !candidates.includes(target)) return
    this.#handTo(reign, { peer: target, term: null, since: now, forced: false, optional: false })
  }

  /** Gives up at once, whoever takes over. */
  leave(): void {
    const { reign } = this.#ground
    if (reign !== null) this.#over(reign)
  }

  // What is heard.

  /** What every message of a host says of whom it follows. */
  hearFollows(from: HostKey, follows: Term | null): void {
    const { reign, self, now } = this.#ground
    const seat = reign?.seats.get(from)
    if (reign === null || seat === undefined) return
    if (follows?.host === self) reign.answer(seat, now)
    else seat.follows = false
  }

  /** A host answered. */
  hearStatus(status: Status, from: Peer): void {
    const ground = this.#ground
    const { reign } = ground
    if (reign === null) return
    const seat = reign.seats.get(from.key)
    if (seat === undefined) return
    this.#asked.delete(from.key)
    reign.take(seat, seat.follows || status.took?.host === ground.self)
    seat.answeredAt = ground.now
    seat.tookSuccessor = isAtLeast(status.took, reign) || isAtLeast(status.follows, reign)
    if (reign.state === 'active') this.#hearAllegiance(reign, status, from)
    const free = status.follows === null || status.lost
    if (!seat.taken && free) this.greet(from)
  }

  /** Another that switches was heard. */
  hearBeat(state: ReignState, term: Term, edges: number): void {
    const { reign, now } = this.#ground
    if (reign === null) return
    if (reign.handing?.peer === term.host && (state === 'offer' || state === 'active')) {
      if (compareTerms(term, reign.term) > 0) reign.handing.term = term
    }
    if (reign.state !== 'active') return
    if (state === 'over' || state === 'retiring') reign.rivals.delete(term.host)
    if (state !== 'active') return
    const rival = this.#noteRival(reign, term)
    rival.directAt = now
    rival.edges = edges
  }

  /** A host asks whether this one is there. */
  probed(peer: Peer): void {
    const { reign, now } = this.#ground
    this.greet(peer)
    const follows = reign?.state === 'active' && peer.up && reign.seats.get(peer.key)?.follows === true
    const asked = this.#asked.get(peer.key)
    if (!follows || (asked !== undefined && now - asked.at < promptMs)) return
    this.#asked.set(peer.key, { at: now, left: maxAgain })
  }

  /** Beats to one host out of turn, so that it can answer: when it came up, asked, or does not follow yet. */
  greet(peer: Peer): void {
    const { reign, now } = this.#ground
    if (reign === null || !peer.up) return
    if (now - (this.#beatAt.get(peer.key) ?? -Infinity) >= promptMs) {
      this.#beat(reign, peer.key, reign.edges(now - echoMs))
    }
  }

  restarted(peer: HostKey): void {
    const { reign } = this.#ground
    this.#asked.delete(peer)
    const seat = reign?.seats.get(peer)
    if (reign !== null && seat !== undefined) {
      reign.take(seat, false)
      seat.follows = seat.tookSuccessor = false
      seat.have = 0
    }
    reign?.rivals.delete(peer)
  }

  removed(peer: HostKey): void {
    const { reign } = this.#ground
    this.#beatAt.delete(peer)
    this.#asked.delete(peer)
    if (reign === null) return
    reign.rivals.delete(peer)
    if (reign.handing?.peer === peer) reign.handing = null
    const seat = reign.seats.get(peer)
    if (seat !== undefined) this.#vacate(reign, seat)
  }

  // What time tells.

  /** `ticks`: this host read all that waited for it. */
  watch(ticks: boolean): void {
    const ground = this.#ground
    const { reign, now } = ground
    if (reign === null) return
    if (reign.state === 'active') {
      if (now >= this.#gridAt || reign.standby === null) reign.appoint(ground.candidates, now)
      if (!ground.isCandidate) this.handoff(null)
      this.#giveBack(reign)
      this.#settleRivals(reign)
      this.#handOver(reign)
    } else if (reign.state === 'offer') this.#watchOffer(reign)
    if (reign.state === 'retiring') this.#retire(reign)
    if (ground.reign !== reign) return
    this.#rhythm(reign, ticks)
    if (this.#asked.size > 0) this.#beatAgain(reign, ticks)
  }

  // Beats.

  /**
   * All beats of a host, whatever the vLAN, fall on the same instants: they share datagrams. Who stood still reads
   * first what waits: a beat after the first of it would echo what is old, and another stall make it look deaf.
   */
  #rhythm(reign: Reign, ticks: boolean): void {
    const ground = this.#ground
    const { now } = ground
    if (ticks && now >= this.#gridAt) {
      const before = this.#gridAt - beatMs
      const slow = Math.floor(before / slowBeatMs) !== Math.floor(now / slowBeatMs)
      const edges = reign.edges(now - echoMs)
      for (const peer of ground.peers.values()) {
        if (peer.up && (slow || this.#isFast(reign, peer.key))) this.#beat(reign, peer.key, edges)
      }
      if (reign.handing !== null && reign.handing.term === null && !reign.handing.forced) {
        ground.send(reign.handing.peer, { kind: 'handoff', counter: reign.term.counter })
      }
      this.#gridAt = (Math.floor(now / beatMs) + 1) * beatMs
    }
    ground.wake(this.#gridAt, 'beat')
  }

  /** A beat, and the one in its stead, may be lost while time is short. */
  #beatAgain(reign: Reign, ticks: boolean): void {
    const ground = this.#ground
    for (const [host, asked] of this.#asked) {
      const pauseMs = (): number => againMs * 2 ** (maxAgain - asked.left)
      let dueAt = (this.#beatAt.get(host) ?? -Infinity) + pauseMs()
      if (ticks && ground.now >= dueAt) {
        this.#beat(reign, host, reign.edges(ground.now - echoMs))
        asked.left--
        dueAt = ground.now + pauseMs()
      }
      if (asked.left === 0) this.#asked.delete(host)
      else ground.wake(dueAt, 'say again that it is there')
    }
  }

  #isFast(reign: Reign, peer: HostKey): boolean {
    if (reign.state !== 'active' || reign.handing !== null || reign.isFast(peer)) return true
    return this.#ground.now < reign.eagerUntil && reign.seats.get(peer)?.follows !== true
  }

  #beatAll(): void {
    const { reign, peers, now } = this.#ground
    if (reign === null) return
    const edges = reign.edges(now - echoMs)
    for (const peer of peers.values()) if (peer.up) this.#beat(reign, peer.key, edges)
  }

  #beat(reign: Reign, to: HostKey, edges: number): void {
    const ground = this.#ground
    const seat = reign.seat(to, (made) => {
      ground.effects.push({ kind: 'accept', from: to, tag: made.tag })
    })
    this.#beatAt.set(to, ground.now)
    ground.send(to, {
      kind: 'beat',
      state: reign.state,
      counter: reign.term.counter,
      tag: seat.tag,
      fast: reign.isFast(to),
      edges,
      have: seat.have,
      standby: reign.standby,
      successor: reign.handing?.term ?? null,
      witnesses: reign.isFast(to) ? reign.witnesses : []
    })
  }

  // Another active.

  #hearAllegiance(reign: Reign, status: Status, from: Peer): void {
    const { self, now } = this.#ground
    const { follows } = status
    for (const rival of reign.rivals.values()) rival.followers.delete(from.key)
    if (follows !== null && follows.host !== self && !status.lost) {
      const rival = this.#noteRival(reign, follows)
      if (follows.host !== from.key) rival.followers.set(from.key, now)
    } else if (follows?.host === self) {
      // It follows what this host was before it began anew, and nothing below that.
      if (follows.counter > reign.term.counter) this.#raise(reign)
    } else if (status.highest > reign.term.counter && reign.handing === null) this.#raise(reign)
    if (status.rival !== null && status.rival.host !== self) this.#ground.learn(status.rival.counter)
  }

  #noteRival(reign: Reign, term: Term): Rival {
    const known = reign.rivals.has(term.host)
    const rival = reign.noteRival(term, this.#ground.now)
    if (!known) this.#beatAll()
    return rival
  }

  /** More edges win, then the record's order. The one that loses hands over when the other's term is higher. */
  #settleRivals(reign: Reign): void {
    const ground = this.#ground
    const { now } = ground
    reign.forgetRivals(now)
    for (const [host, rival] of reign.rivals) {
      if (now < rival.since + rivalMs) {
        ground.wake(rival.since + rivalMs, 'compare with another active')
        continue
      }
      const wins = this.#winsOver(reign, host, rival)
      if (wins && compareTerms(rival.term, reign.term) > 0) this.#raise(reign)
      if (wins || reign.handing !== null) continue
      const direct = now - rival.directAt < echoMs
      if (direct && compareTerms(rival.term, reign.term) > 0) {
        this.#handTo(reign, { peer: host, term: rival.term, since: now, forced: true, optional: false })
      } else if (!direct && now - rival.since >= handoverMs) this.#over(reign)
    }
  }

  #winsOver(reign: Reign, host: HostKey, rival: Rival): boolean {
    const { now, self } = this.#ground
    const mine = reign.edges(Math.max(rival.since, now - echoMs))
    let followers = 0
    for (const at of rival.followers.values()) if (now - at < echoMs) followers++
    const theirs = Math.max(followers, now - rival.directAt < echoMs ? rival.edges : 0)
    return mine === theirs ? this.#ground.rank(self) < this.#ground.rank(host) : mine > theirs
  }

  /** Goes on in a term above all. The tags stay: it is the same switch. */
  #raise(reign: Reign): void {
    reign.term = this.#ground.nextTerm()
    this.#ground.raiseFloor(reign.term)
    this.#beatAll()
  }

  // Handing over.

  #handTo(reign: Reign, handing: Handing): void {
    reign.handing = handing
    for (const seat of reign.seats.values()) seat.tookSuccessor = false
    if (handing.term === null) {
      this.#ground.send(handing.peer, { kind: 'handoff', counter: reign.term.counter })
    } else this.#beatAll()
  }

  /** After a failover: the first candidate gets the switch back when it is there for good. */
  #giveBack(reign: Reign): void {
    const { candidates, now } = this.#ground
    const [first] = candidates
    const seat = first === undefined ? undefined : reign.seats.get(first)
    if (seat === undefined || reign.handing !== null || reign.rivals.size > 0) return
    const there = seat.follows && now - seat.answeredAt < echoMs
    if (!there || now < seat.steadyAt + reign.returnsAfterMs) return
    // If it does not come about, the same time passes before the next attempt.
    seat.steadyAt = now
    this.#handTo(reign, { peer: seat.peer, term: null, since: now, forced: false, optional: true })
  }

  #handOver(reign: Reign): void {
    const { handing } = reign
    const ground = this.#ground
    if (handing === null) return
    const late = ground.now >= handing.since + handoverMs
    const offered = handing.term !== null && this.#edge.takeOffer(handing.term)
    let missing = 0
    for (const seat of reign.seats.values()) {
      const counts = seat.follows && ground.now - seat.answeredAt < echoMs && seat.peer !== handing.peer
      if (counts && !seat.tookSuccessor) missing++
    }
    const followers = reign.edges(ground.now - echoMs)
    const most = !handing.optional && 2 * missing < followers
    if (offered && (missing === 0 || (late && (handing.forced || most)))) {
      this.#send(reign)
    } else if (late) {
      reign.handing = null
      if (handing.forced) this.#over(reign)
    } else ground.wake(handing.since + handoverMs, 'the handover does not come about')
  }

  /** Sends the edges over, and goes with them. */
  #send(reign: Reign): void {
    const ground = this.#ground
    const offer = reign.handing === null ? null : this.#edge.offerOf(reign.handing.peer)
    if (reign.handing === null || offer === null) return
    if (compareTerms(offer.term, ground.floor) < 0) {
      // This reign was raised meanwhile: whoever compares next sees who wins.
      reign.handing = null
      return
    }
    reign.handing.term = offer.term
    reign.state = 'retiring'
    reign.retiringAt = ground.now
    this.#edge.follow(offer.term, offer.tag, 0)
    this.#beatAll()
  }

  #retire(reign: Reign): void {
    const ground = this.#ground
    const left = reign.edges(reign.retiringAt - echoMs) === 0
    if (!left) reign.emptyAt = Infinity as Instant
    else if (reign.emptyAt === Infinity) reign.emptyAt = ground.now
    const end = Math.min(reign.emptyAt + lingerMs, reign.retiringAt + handoverMs)
    if (ground.now >= end || ground.followed === null) this.#over(reign)
    else ground.wake(end, 'nothing comes any more')
  }

  #watchOffer(reign: Reign): void {
    const ground = this.#ground
    if (ground.now >= reign.since + 2 * handoverMs) this.#over(reign)
    else ground.wake(reign.since + 2 * handoverMs, 'the offer is not taken up')
  }

  #begin(state: ReignState): void {
    const ground = this.#ground
    const eagerUntil = (ground.now + eagerMs) as Instant
    ground.reign = new Reign(ground.nextTerm(), state, ground.tags, ground.now, eagerUntil)
    this.#gridAt = ground.now
  }

  /** Ends the reign: its tags mean nothing from now on. */
  #over(reign: Reign): void {
    const ground = this.#ground
    reign.state = 'over'
    this.#beatAll()
    for (const seat of Array.from(reign.seats.values())) this.#vacate(reign, seat)
    this.#asked.clear()
    ground.reign = null
  }

  #vacate(reign: Reign, seat: Seat): void {
    reign.vacate(seat)
    this.#ground.effects.push({ kind: 'retire', from: seat.peer, tag: seat.tag })
  }
}

/** Whether a term is that of the successor to whom `reign` is handed over. */
function isAtLeast(term: Term | null, reign: Reign): boolean {
  const successor = reign.handing?.term ?? null
  return term !== null && term.host === successor?.host && compareTerms(term, successor) >= 0
}

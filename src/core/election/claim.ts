/**
 * The side of one that may take over: asks who else lost the active, and says when this host shall claim.
 * The standby goes first; most of those that answer must have lost the active too. Others wait for those
 * before them in the record's order that are there.
 */
import type { HostKey } from '../ids.ts'
import type { Edge } from './edge.ts'
import type { Followed, Ground } from './ground.ts'
import {
  aloneMs,
  answerMs,
  deferMs,
  listenMs,
  lonelyMs,
  maxAsked,
  probeMs,
  refusedMs,
  slowBeatMs,
  staggerMs,
  voteMs
} from './settings.ts'

/** What a host said of the active. */
interface Vote {
  living: boolean
  at: number
}

export class Claim {
  readonly #ground: Ground
  readonly #edge: Edge
  readonly #votes = new Map<HostKey, Vote>()
  /** Since when this host has no active, not even a lost one. */
  #idleAt: number
  #jitterMs = 0

  constructor(ground: Ground, edge: Edge) {
    this.#ground = ground
    this.#edge = edge
    this.#idleAt = ground.now
  }

  /** A host said whether it has an active that lives. */
  vote(from: HostKey, living: boolean): void {
    const known = this.#votes.get(from)
    if (known === undefined) this.#votes.set(from, { living, at: this.#ground.now })
    else {
      known.living = living
      known.at = this.#ground.now
    }
  }

  removed(peer: HostKey): void {
    this.#votes.delete(peer)
  }

  /** This host had an active until now. */
  reset(): void {
    this.#idleAt = this.#ground.now
    this.#jitterMs = this.#ground.random() * deferMs
  }

  /** Whether to claim now; else wishes for a tick when that may have changed. */
  due(): boolean {
    const ground = this.#ground
    const { followed } = ground
    if (ground.reign?.state === 'active' || !this.#edge.seeking) {
      this.reset()
      return false
    }
    if (followed === null) this.#ask()
    if (!ground.isCandidate) return false
    const at = followed === null ? this.#startAt() : this.#takeoverAt(followed.lostAt ?? ground.now)
    if (ground.now >= at) return true
    ground.wake(at, 'claim')
    return false
  }

  /** At the start, or when nobody is left: listen, and let those before us go first. */
  #startAt(): number {
    const ground = this.#ground
    const others = ground.candidates.some((host) => host !== ground.self)
    if (!others) return this.#idleAt
    const { living, lost } = this.#count(ground.now - voteMs)
    if (living > 0 && living >= lost) return Infinity
    if (living + lost === 0) return this.#idleAt + lonelyMs + this.#jitterMs
    return this.#idleAt + listenMs + this.#rank(ground.now - voteMs) * staggerMs
  }

  /** After the active was lost. */
  #takeoverAt(lostAt: number): number {
    const ground = this.#ground
    const { followed } = ground
    if (followed === null) return Infinity
    const { living, lost } = this.#count(lostAt)
    if (living > 0 && living >= lost && !followed.resigned) return Infinity
    const silent = this.#silent(followed)
    const isStandby = this.#edge.standby === ground.self
    const peer = ground.peers.get(followed.peer)
    let base: number = lostAt
    if (lost > 0 && !followed.resigned) {
      // Those that did not answer yet may say that it lives.
      if (lost <= living + silent) base = lostAt + answerMs
    } else if (!followed.resigned) {
      // Nobody says so too: with nobody to ask silence must last longer, else their answers are awaited.
      const patience = peer?.refused === true ? refusedMs : aloneMs
      const heardAt = Math.max(peer?.heardAt ?? 0, followed.since)
      base = Math.max(heardAt + patience, silent > 0 ? lostAt + answerMs : lostAt)
    }
    if (isStandby) return base
    const since = Math.max(followed.suspectAt ?? lostAt, ground.now - voteMs)
    return base + deferMs + this.#jitterMs + this.#rank(since) * staggerMs
  }

  /** How many were asked about the lost active, and are to be waited for: they have not answered since. */
  #silent({ peer: active, suspectAt, lostAt }: Followed): number {
    const ground = this.#ground
    const since = lostAt ?? ground.now
    const doubtedAt = suspectAt ?? since
    let silent = 0
    for (const host of this.#edge.voters()) {
      const peer = ground.peers.get(host)
      if (host === active || peer?.up !== true || peer.refused) continue
      // One that was asked for long, and never answered, is gone as well.
      if (peer.heardAt < doubtedAt && since - doubtedAt >= answerMs) continue
      if ((this.#votes.get(host)?.at ?? -Infinity) < since) silent++
    }
    return silent
  }

  #count(since: number): { living: number; lost: number } {
    let living = 0
    let lost = 0
    const voters = this.#edge.voters()
    for (const [host, vote] of this.#votes) {
      // What one said that is out of reach now may have been over long ago.
      const isThere = this.#ground.peers.get(host)?.up === true
      if (vote.at < since || !voters.has(host) || !isThere) continue
      if (vote.living) living++
      else lost++
    }
    return { living, lost }
  }

  /** How many that are there go first: the standby, and earlier candidates. */
  #rank(since: number): number {
    const ground = this.#ground
    const own = ground.rank(ground.self)
    let before = 0
    for (const [index, host] of ground.candidates.entries()) {
      const first = index < own || host === this.#edge.standby
      if (!first || host === ground.self || host === ground.followed?.peer) continue
      if ((ground.peers.get(host)?.heardAt ?? -Infinity) >= since) before++
    }
    return before
  }

  #ask(): void {
    const ground = this.#ground
    const everyMs = ground.now - this.#idleAt < 2 * lonelyMs ? probeMs : slowBeatMs
    let next = Infinity
    for (const host of ground.candidates.slice(0, maxAsked)) {
      const peer = ground.peers.get(host)
      if (peer?.up === true) next = Math.min(next, ground.probe(peer, everyMs))
    }
    ground.wake(next, 'ask who is there')
  }
}

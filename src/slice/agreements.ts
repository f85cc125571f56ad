/**
 * Which trunks are wanted and which are agreed: asks for a session, again and again with growing patience,
 * until the daemons bring both halves together.
 */
import { ViolinError } from '#core/errors.ts'
import type { HostId, HostKey, ViolinId } from '#core/ids.ts'
import type { TrunkHalf } from './contract.ts'
import type { TrunkSession } from './forwarder/contract.ts'
import { deriveTrunkSession, makeTrunkHalf, type OwnHalf } from './forwarder/derive.ts'

/** A half that nobody answered is forgotten. */
const pendingMs = 30_000
/** Halves that wait at once for one peer: both sides may ask, and ask again. */
const maxPending = 8
/** Between two wishes for the same trunk: soon at first, for a peer that was restarted, then rarely. */
const firstWishMs = 1_000
const lastWishMs = 30_000

export interface AgreementsOptions {
  readonly violin: ViolinId
  readonly self: HostId
  readonly keyOf: (host: HostId) => HostKey
  /** Where this slice's socket can be reached. */
  readonly candidates: () => TrunkHalf['candidates']
  readonly wanted: (peer: HostId) => void
}

interface Wish {
  delayMs: number
  timer: NodeJS.Timeout | null
}

interface Pending {
  readonly peer: HostId
  readonly own: OwnHalf
  readonly timer: NodeJS.Timeout
}

export class Agreements {
  readonly #options: AgreementsOptions
  /** Peers with which trunks are wanted; `timer` is null while one is agreed. */
  readonly #wishes = new Map<HostId, Wish>()
  /** By our index. */
  readonly #pending = new Map<number, Pending>()

  constructor(options: AgreementsOptions) {
    this.#options = options
  }

  /** Sets the peers wanted; gives those that are no more. */
  setPeers(peers: readonly HostId[]): HostId[] {
    const { self } = this.#options
    const gone = [...this.#wishes.keys()].filter((peer) => !peers.includes(peer))
    for (const peer of gone) {
      this.#stopAsking(peer)
      this.#wishes.delete(peer)
    }
    for (const peer of peers) if (peer !== self && !this.#wishes.has(peer)) this.want(peer, true)
    return gone
  }

  has(peer: HostId): boolean {
    return this.#wishes.has(peer)
  }

  /** The session with a peer is over, or never was: asks for one. `fresh` adds the peer. */
  want(peer: HostId, fresh = false): void {
    if (!fresh && !this.#wishes.has(peer)) return
    this.#stopAsking(peer)
    const wish: Wish = { delayMs: firstWishMs, timer: null }
    this.#wishes.set(peer, wish)
    this.#ask(peer, wish)
  }

  /** Asks again for all that are open, as to a daemon that just came. */
  repeat(): void {
    for (const [peer, wish] of this.#wishes) if (wish.timer !== null) this.want(peer)
  }

  /** All sessions are gone. */
  wantAll(): void {
    for (const peer of this.#wishes.keys()) this.want(peer)
  }

  /** Makes a fresh half. Throws ViolinError `refused` for a peer that is not wanted. */
  offer(peer: HostId): TrunkHalf {
    if (!this.#wishes.has(peer))
      throw new ViolinError(
        'refused',
        `no trunk with ${peer} is wanted here`,
        'wait until both hosts have the same version of the record'
      )
    const own = makeTrunkHalf(this.#options.candidates())
    const same = [...this.#pending.entries()].filter(([, pending]) => pending.peer === peer)
    const oldest = same[0]
    if (same.length >= maxPending && oldest !== undefined) this.#forget(oldest[0])
    const timer = setTimeout(() => this.#forget(own.half.index), pendingMs).unref()
    this.#pending.set(own.half.index, { peer, own, timer })
    return own.half
  }

  /** Completes a session. Throws ViolinError `refused` for a half that is not pending, or a malformed one. */
  join(peer: HostId, ownIndex: number, half: TrunkHalf, authForMs: number): TrunkSession {
    const pending = this.#pending.get(ownIndex)
    if (pending?.peer !== peer || !this.#wishes.has(peer))
      throw new ViolinError(
        'refused',
        `no half of a trunk with ${peer} waits under this index`,
        'offer again'
      )
    const { violin, self, keyOf } = this.#options
    const session = deriveTrunkSession({
      violin,
      self,
      peer,
      peerKey: keyOf(peer),
      own: pending.own,
      peerHalf: half,
      authForMs
    })
    this.#forget(ownIndex)
    this.#stopAsking(peer)
    return session
  }

  close(): void {
    for (const peer of this.#wishes.keys()) this.#stopAsking(peer)
    for (const index of this.#pending.keys()) this.#forget(index)
    this.#wishes.clear()
  }

  #ask(peer: HostId, wish: Wish): void {
    wish.timer = setTimeout(() => this.#ask(peer, wish), wish.delayMs)
    wish.delayMs = Math.min(wish.delayMs * 2, lastWishMs)
    this.#options.wanted(peer)
  }

  #stopAsking(peer: HostId): void {
    const wish = this.#wishes.get(peer)
    if (wish === undefined || wish.timer === null) return
    clearTimeout(wish.timer)
    wish.timer = null
  }

  #forget(index: number): void {
    clearTimeout(this.#pending.get(index)?.timer)
    this.#pending.delete(index)
  }
}

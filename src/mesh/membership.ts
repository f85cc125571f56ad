/**
 * Which connections are proven. Both sides show their membership as soon as a connection is open; until that
 * went well a peer is a stranger: {@link Membership.whenMember} says no for it, there are few of it at a
 * time, and its connection ends soon.
 */
import { setMaxListeners } from 'node:events'
import { performance } from 'node:perf_hooks'
import { ViolinError } from '#core/errors.ts'
import { HANG_UP_MS, MAX_PROOFS } from './bounds.ts'
import { asError, hostIdOf } from './peer.ts'
import { answerProof, askProof } from './proof.ts'
import type { Connection, Stream } from '@libp2p/interface'
import type { HostId } from '#core/ids.ts'
import type { Bounds } from './bounds.ts'
import type { MeshOptions } from './contract.ts'
import type { Outcome } from './proof.ts'

export interface MembershipEvents {
  /** The first proven connection of a peer; false when its last one is gone. */
  readonly changed: (peer: HostId, isMember: boolean, connection: Connection) => void
  /** Any connection is proven, the first included. */
  readonly proven: (connection: Connection) => void
  /** A member lost one of its connections and has this one still. */
  readonly fellBack: (connection: Connection) => void
}

interface State {
  readonly connection: Connection
  readonly peer: HostId
  outcome: Outcome | 'unknown' | 'failed'
  /** The exchange under way, or the one that the peer is expected to begin; never rejects. */
  settled: Promise<void>
  /** Whether we had something to show in the last exchange. */
  shown: boolean
  proofs: number
  /** Requests open to strangers that are under way. */
  busy: number
  /** By the monotonic clock, ms. */
  readonly openedAt: number
  timer: NodeJS.Timeout
}

type Options = Pick<MeshOptions, 'presentation' | 'admit' | 'why' | 'refused' | 'log'>

export class Membership {
  readonly protocol: string
  readonly #options: Options
  readonly #bounds: Bounds
  readonly #events: MembershipEvents
  readonly #closing = new AbortController()
  readonly #states = new Map<Connection, State>()
  /** Invariant: exactly the peers with a proven connection, which is not empty. */
  readonly #members = new Map<HostId, Set<Connection>>()
  /** What ends the waiting for a peer's first exchange. */
  readonly #expected = new Map<State, () => void>()

  constructor(protocol: string, options: Options, bounds: Bounds, events: MembershipEvents) {
    this.protocol = protocol
    this.#options = options
    this.#bounds = bounds
    this.#events = events
    setMaxListeners(0, this.#closing.signal)
  }

  members(): readonly HostId[] {
    return [...this.#members.keys()]
  }

  isMember(peer: HostId): boolean {
    return this.#members.has(peer)
  }

  /** The proven connections of a peer, the oldest first. */
  connectionsOf(peer: HostId): readonly Connection[] {
    return [...(this.#members.get(peer) ?? [])]
  }

  opened(connection: Connection): void {
    this.#stateOf(connection)
    this.#evictStrangers()
  }

  closed(connection: Connection): void {
    const state = this.#states.get(connection)
    if (state === undefined) return
    clearTimeout(state.timer)
    this.#states.delete(connection)
    const connections = this.#members.get(state.peer)
    if (connections?.delete(connection) !== true) return
    const left = [...connections].at(-1)
    if (left !== undefined) {
      this.#events.fellBack(left)
      return
    }
    this.#members.delete(state.peer)
    this.#events.changed(state.peer, false, connection)
  }

  /** Whether the peer of a connection is a member, after the exchange that may be under way on it. */
  async whenMember(connection: Connection): Promise<boolean> {
    const peer = hostIdOf(connection.remotePeer)
    if (this.isMember(peer)) return true
    await this.#stateOf(connection).settled
    return this.isMember(peer)
  }

  /**
   * Waits until a connection is proven, or known to stay a stranger's; begins the exchange again where we
   * have something to show that we had not before. Throws ViolinError `not-a-member` when either refused.
   */
  async prove(connection: Connection): Promise<void> {
    const state = this.#stateOf(connection)
    await state.settled
    if (!this.isMember(state.peer) && !state.shown) await this.#showAgain(state)
    if (this.isMember(state.peer)) return
    if (state.outcome === 'refused' || state.outcome === 'failed') throw notMember(state)
  }

  /** Shows our membership on all connections that are not proven: either side may have joined since. */
  async present(): Promise<void> {
    await Promise.all(
      [...this.#states.values()].map(async (state) => {
        await state.settled
        if (state.outcome !== 'proven') await this.#showAgain(state)
      })
    )
  }

  /** The peer began the exchange: the handler of {@link protocol}. */
  async serve(stream: Stream, connection: Connection): Promise<void> {
    const state = this.#stateOf(connection)
    await this.#exchange(state, async (signal) => answerProof(stream, this.#party(state), signal), stream)
  }

  /** Marks a stranger's connection as in use until the given function is called. */
  busy(connection: Connection): () => void {
    const state = this.#stateOf(connection)
    state.busy += 1
    return () => {
      state.busy -= 1
      if (state.busy === 0 && this.#states.has(connection) && state.outcome !== 'proven') this.#wait(state)
    }
  }

  isStranger(connection: Connection): boolean {
    return !this.isMember(hostIdOf(connection.remotePeer))
  }

  close(): void {
    this.#closing.abort(new Error('the mesh is closing'))
    for (const { timer } of this.#states.values()) clearTimeout(timer)
  }

  #stateOf(connection: Connection): State {
    const known = this.#states.get(connection)
    if (known !== undefined) return known
    const state: State = {
      connection,
      peer: hostIdOf(connection.remotePeer),
      outcome: 'unknown',
      settled: Promise.resolve(),
      shown: false,
      proofs: 0,
      busy: 0,
      openedAt: performance.now(),
      timer: setTimeout(() => this.#overdue(state), this.#bounds.strangerMs)
    }
    // A connection that closed before we heard of it would never be forgotten.
    if (connection.status === 'open') this.#states.set(connection, state)
    else clearTimeout(state.timer)
    if (connection.direction === 'outbound') void this.#ask(state)
    else state.settled = this.#expectProof(state)
    return state
  }

  /** The side that dialled begins; the other waits for it so long. */
  async #expectProof(state: State): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, this.#bounds.proofMs)
    state.connection.addEventListener('close', () => resolve(), { once: true })
    this.#expected.set(state, resolve)
    await promise
    this.#expected.delete(state)
    clearTimeout(timer)
  }

  async #showAgain(state: State): Promise<void> {
    if (this.#options.presentation() !== null && state.connection.status === 'open') await this.#ask(state)
  }

  async #ask(state: State): Promise<void> {
    await this.#exchange(state, async (signal) => {
      const stream = await state.connection.newStream(this.protocol, { signal, runOnLimitedConnection: true })
      return askProof(stream, this.#party(state), signal).catch((error: unknown) => {
        stream.abort(asError(error))
        throw error
      })
    })
  }

  /** Runs one exchange and draws the conclusion; never rejects. */
  async #exchange(
    state: State,
    run: (signal: AbortSignal) => Promise<Outcome>,
    stream?: Stream
  ): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    state.settled = promise
    state.proofs += 1
    state.shown = this.#options.presentation() !== null
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(this.#bounds.proofMs)])
    setMaxListeners(0, signal)
    try {
      if (state.proofs > MAX_PROOFS) throw new Error('too many presentations on one connection')
      this.#conclude(state, await run(signal))
    } catch (error: unknown) {
      stream?.abort(asError(error))
      this.#fail(state, error)
    } finally {
      resolve()
      this.#expected.get(state)?.()
    }
  }

  #conclude(state: State, outcome: Outcome): void {
    // A proof is not taken back by a later exchange on the same connection.
    if (state.outcome !== 'proven') state.outcome = outcome
    const { connection, peer } = state
    if (outcome === 'refused') {
      this.#options.log('peer refused', { peer, address: connection.remoteAddr.toString() })
      void this.#hangUp(connection)
    } else if (outcome === 'proven' && this.#states.has(connection)) {
      clearTimeout(state.timer)
      const known = this.#members.get(peer)
      const connections = (known ?? new Set()).add(connection)
      this.#members.set(peer, connections)
      if (known === undefined) this.#events.changed(peer, true, connection)
      this.#events.proven(connection)
    }
  }

  #fail(state: State, error: unknown): void {
    if (state.outcome !== 'proven') state.outcome = 'failed'
    if (this.#closing.signal.aborted || state.connection.status !== 'open') return
    const reason = error instanceof Error ? error.message : String(error)
    this.#options.log('presentation failed', { peer: state.peer, reason })
    if (state.outcome === 'failed') void this.#hangUp(state.connection)
  }

  #party(state: State): Parameters<typeof askProof>[1] {
    return {
      presentation: this.#options.presentation(),
      admit: (presented) => this.#options.admit(state.peer, presented),
      why: (presented) => this.#options.why?.(state.peer, presented) ?? new Uint8Array(),
      refused: (why) => this.#options.refused?.(why)
    }
  }

  /** Gives an idle stranger its time anew, within what its whole life may last. */
  #wait(state: State): void {
    const { strangerMs, strangerBusyMs } = this.#bounds
    const leftMs = state.openedAt + strangerBusyMs - performance.now()
    clearTimeout(state.timer)
    state.timer = setTimeout(() => this.#overdue(state), Math.min(strangerMs, Math.max(0, leftMs)))
  }

  #overdue(state: State): void {
    const { connection, busy, openedAt } = state
    const old = performance.now() - openedAt >= this.#bounds.strangerBusyMs
    if (busy > 0 && !old) this.#wait(state)
    else void this.#hangUp(connection)
  }

  #evictStrangers(): void {
    const strangers = [...this.#states.values()].filter(({ outcome }) => outcome !== 'proven')
    if (strangers.length <= this.#bounds.maxStrangers) return
    const oldest = strangers.find(({ busy }) => busy === 0) ?? strangers[0]
    oldest?.connection.abort(new Error('too many strangers'))
  }

  async #hangUp(connection: Connection): Promise<void> {
    try {
      await connection.close({ signal: AbortSignal.timeout(HANG_UP_MS) })
    } catch (error: unknown) {
      connection.abort(asError(error))
    }
  }
}

function notMember({ peer, outcome }: State): ViolinError {
  return outcome === 'refused'
    ? new ViolinError(
        'not-a-member',
        `${peer} and this host do not take each other for members`,
        'see whether one of them was revoked, has lapsed, or belongs to another mesh'
      )
    : new ViolinError(
        'not-a-member',
        `${peer} did not show a membership of this mesh`,
        'see that it runs a daemon of the same mesh and version'
      )
}

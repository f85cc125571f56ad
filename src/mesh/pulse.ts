/**
 * Pings each proven connection, measures its round trip, and ends a connection that stays silent: TCP alone
 * notices a dead host after minutes.
 */
import { performance } from 'node:perf_hooks'
import { asError, hostIdOf } from './peer.ts'
import type { Connection, Stream } from '@libp2p/interface'
import type { HostId } from '#core/ids.ts'
import type { Bounds } from './bounds.ts'
import type { MeshOptions } from './contract.ts'
import type { Hearing } from './hearing.ts'

const PING_PROTOCOL = '/ipfs/ping/1.0.0'
const PING_BYTES = 32
/** A time-out that is noticed so much too late says that this host slept, not that the peer is dead. */
const SLEPT_MS = 1_000
/** Time-outs in a row during which other bytes came: a ping that late was lost by a peer that will not answer. */
const MAX_PATIENCE = 12

interface Asking {
  readonly connections: () => readonly Connection[]
  readonly hearing: Hearing
  readonly bounds: Bounds
  readonly log: MeshOptions['log']
}

export class Pulse {
  readonly #with: Asking
  readonly #closing: AbortSignal
  readonly #timer: NodeJS.Timeout
  readonly #asked = new Set<Connection>()
  #watched: ReadonlySet<HostId> = new Set()
  #turn = 0
  readonly #rttMs = new Map<HostId, number>()
  /** What pings go on, and come back on for as long as it is open: a stream for each would cost ten times as much. */
  readonly #streams = new WeakMap<Connection, Stream>()

  constructor(asking: Asking, closing: AbortSignal) {
    this.#with = asking
    this.#closing = closing
    this.#timer = setInterval(() => {
      const all = this.#turn++ % 2 === 0
      for (const connection of asking.connections())
        if (all || this.#watched.has(hostIdOf(connection.remotePeer))) this.ask(connection)
    }, asking.bounds.pingIntervalMs / 2)
  }

  /** Pings these twice as often. */
  watch(peers: readonly HostId[]): void {
    this.#watched = new Set(peers)
  }

  rttMs(peer: HostId): number | null {
    return this.#rttMs.get(peer) ?? null
  }

  forget(peer: HostId): void {
    this.#rttMs.delete(peer)
  }

  /** Pings a connection, unless the last ping is still out. */
  ask(connection: Connection): void {
    if (this.#asked.has(connection) || this.#closing.aborted) return
    this.#asked.add(connection)
    void this.#ask(connection).finally(() => this.#asked.delete(connection))
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  async #ask(connection: Connection): Promise<void> {
    const peer = hostIdOf(connection.remotePeer)
    const { hearing, bounds, log } = this.#with
    const ended = new AbortController()
    const signal = AbortSignal.any([this.#closing, ended.signal])
    const pinged = this.#ping(connection, signal)
    // Its failure is judged below, where it is awaited too late to be seen as handled.
    pinged.catch(() => undefined)
    try {
      for (let patience = MAX_PATIENCE; ; patience--) {
        const begin = performance.now()
        const rttMs = await within(pinged, bounds.pingTimeoutMs)
        if (rttMs !== null) {
          if (connection.status === 'open') this.#rttMs.set(peer, rttMs)
          return
        }
        const tookMs = performance.now() - begin
        const slept = tookMs > bounds.pingTimeoutMs + SLEPT_MS
        if (!slept && hearing.silenceMs(connection) >= tookMs) throw new Error('no byte came')
        if (patience === 0) throw new Error('no answer to a ping')
      }
    } catch (error: unknown) {
      if (this.#closing.aborted || connection.status !== 'open') return
      log('connection silent', { peer, reason: asError(error).message })
      connection.abort(new Error('the peer is silent'))
    } finally {
      ended.abort()
    }
  }

  /** One round trip in ms, from sending to the last byte that came back. */
  async #ping(connection: Connection, signal: AbortSignal): Promise<number> {
    const known = this.#streams.get(connection)
    if (known?.status === 'open') {
      const rttMs = await roundTrip(known, signal)
      // The other side may end a stream at any time, which says nothing of whether it lives.
      if (rttMs !== null) return rttMs
    }
    const stream = await connection.newStream(PING_PROTOCOL, { signal, runOnLimitedConnection: true })
    this.#streams.set(connection, stream)
    const rttMs = await roundTrip(stream, signal)
    if (rttMs === null) throw new Error('the peer ended the ping')
    return rttMs
  }
}

/** What a promise gives within a time; null when the time is over first. */
async function within<T>(promise: Promise<T>, timeMs: number): Promise<T | null> {
  const { promise: over, resolve } = Promise.withResolvers<null>()
  const timer = setTimeout(() => resolve(null), timeMs)
  try {
    return await Promise.race([promise, over])
  } finally {
    clearTimeout(timer)
  }
}

/** Null: the stream ended first. Rejects with the signal's reason; the stream is of no use then. */
async function roundTrip(stream: Stream, signal: AbortSignal): Promise<number | null> {
  const { promise, resolve, reject } = Promise.withResolvers<number | null>()
  // Where sending fails it is never awaited.
  promise.catch(() => undefined)
  const giveUp = (): void => {
    stream.abort(asError(signal.reason))
    reject(asError(signal.reason))
  }
  let received = 0
  const hear = ({ data }: { readonly data: { readonly byteLength: number } }): void => {
    received += data.byteLength
    if (received >= PING_BYTES) resolve(performance.now() - begin)
  }
  const close = (): void => resolve(null)
  signal.addEventListener('abort', giveUp, { once: true })
  stream.addEventListener('message', hear)
  stream.addEventListener('close', close)
  const begin = performance.now()
  try {
    stream.send(crypto.getRandomValues(new Uint8Array(PING_BYTES)))
    return await promise
  } finally {
    signal.removeEventListener('abort', giveUp)
    stream.removeEventListener('message', hear)
    stream.removeEventListener('close', close)
  }
}

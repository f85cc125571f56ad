/**
 * Pings each proven connection, measures its round trip, and ends a connection that stays silent: TCP alone
 * notices a dead host after minutes.
 */
import { performance } from 'node:perf_hooks'
import { PING_INTERVAL_MS, PING_TIMEOUT_MS } from './bounds.ts'
import { asError, hostIdOf } from './peer.ts'
import type { Connection, Stream } from '@libp2p/interface'
import type { HostId } from '#core/ids.ts'
import type { MeshOptions } from './contract.ts'

const PING_PROTOCOL = '/ipfs/ping/1.0.0'
const PING_BYTES = 32
/** A time-out that is noticed so much too late says that this host slept, not that the peer is dead. */
const SLEPT_MS = 1_000

export class Pulse {
  readonly #connections: () => readonly Connection[]
  readonly #log: MeshOptions['log']
  readonly #closing: AbortSignal
  readonly #timer: NodeJS.Timeout
  readonly #asked = new Set<Connection>()
  readonly #rttMs = new Map<HostId, number>()

  constructor(connections: () => readonly Connection[], log: MeshOptions['log'], closing: AbortSignal) {
    this.#connections = connections
    this.#log = log
    this.#closing = closing
    this.#timer = setInterval(() => {
      for (const connection of this.#connections()) this.ask(connection)
    }, PING_INTERVAL_MS)
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
    for (;;) {
      const begin = performance.now()
      try {
        const rttMs = await ping(
          connection,
          AbortSignal.any([this.#closing, AbortSignal.timeout(PING_TIMEOUT_MS)])
        )
        if (connection.status === 'open') this.#rttMs.set(peer, rttMs)
        return
      } catch (error: unknown) {
        if (this.#closing.aborted || connection.status !== 'open') return
        const slept = performance.now() - begin > PING_TIMEOUT_MS + SLEPT_MS
        if (slept) continue
        this.#log('connection silent', { peer, reason: asError(error).message })
        connection.abort(new Error('the peer is silent'))
        return
      }
    }
  }
}

/** One round trip in ms, from sending to the last byte that came back. */
async function ping(connection: Connection, signal: AbortSignal): Promise<number> {
  const stream = await connection.newStream(PING_PROTOCOL, { signal, runOnLimitedConnection: true })
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const giveUp = (): void => reject(asError(signal.reason))
  signal.addEventListener('abort', giveUp, { once: true })
  let received = 0
  stream.addEventListener('message', ({ data }) => {
    received += data.byteLength
    if (received >= PING_BYTES) resolve(performance.now() - begin)
  })
  stream.addEventListener('close', ({ error }) => reject(error ?? new Error('the peer ended the ping')))
  const begin = performance.now()
  try {
    stream.send(crypto.getRandomValues(new Uint8Array(PING_BYTES)))
    return await promise
  } finally {
    signal.removeEventListener('abort', giveUp)
    end(stream, signal)
  }
}

function end(stream: Stream, signal: AbortSignal): void {
  stream.close({ signal }).catch((error: unknown) => stream.abort(asError(error)))
}

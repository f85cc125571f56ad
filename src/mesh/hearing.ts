/**
 * When bytes last came in on a connection. A ping can wait behind bulk data; whoever sends bulk data is alive.
 */
import { performance } from 'node:perf_hooks'
import type { Connection, MultiaddrConnection } from '@libp2p/interface'

export class Hearing {
  /** By the timeline, the one object that a connection shares with what carries it. */
  readonly #lastMs = new WeakMap<object, number>()

  /** Listens to what will carry a connection. */
  listen(carrier: MultiaddrConnection): void {
    const note = (): void => void this.#lastMs.set(carrier.timeline, performance.now())
    note()
    carrier.addEventListener('message', note)
  }

  /** When bytes last came, by the monotonic clock; -Infinity for a connection that was not listened to. */
  lastMs(connection: Connection): number {
    return this.#lastMs.get(connection.timeline) ?? -Infinity
  }

  /** Milliseconds since bytes last came. */
  silenceMs(connection: Connection): number {
    return performance.now() - this.lastMs(connection)
  }
}

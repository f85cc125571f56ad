/**
 * How a daemon spreads what is news: the mesh's records to those to whom it is connected, a VIOLIN's to its
 * holders among them. Each author has a budget at every relay.
 */
import { AuthorBudget } from '#core/records/budget.ts'
import { isRejected, scopeOf } from '#core/records/record.ts'
import type { Host } from './host.ts'
import type { World } from './world.ts'

/** Most neighbours to whom news is pushed: gossipsub's upper bound of a mesh. */
const maxPushed = 12

export class Gossip {
  readonly #world: World
  readonly #host: Host
  #budget: AuthorBudget | null = null

  constructor(world: World, host: Host) {
    this.#world = world
    this.#host = host
  }

  start(): void {
    this.#budget = null
  }

  /** Hands a record to the subscribers of its topic to whom this host is connected, but not back. */
  spread(bytes: Uint8Array, from: number | null): void {
    if (!this.#world.gossips) return
    let pushed = 0
    for (const place of this.#subscribers(bytes)) {
      if (place === from || pushed === maxPushed) continue
      pushed++
      this.#host.sent.gossipBytes += bytes.length
      const peer = this.#world.host(place)
      this.#world.network.stream(this.#host.place, place, 'gossip', () => {
        peer.daemon.do('datagram', () => peer.records.gossip.#heard(bytes, this.#host.place))
      })
    }
  }

  #subscribers(bytes: Uint8Array): Iterable<number> {
    const { connections } = this.#host.records
    const record = this.#world.shared.open(bytes)
    const scope = isRejected(record) ? 'mesh' : scopeOf(record)
    if (scope === 'mesh') return connections.connected
    return connections.topic(scope).filter((place) => connections.connected.has(place))
  }

  #heard(bytes: Uint8Array, from: number): void {
    if (this.#host.records.chain === null) return
    const record = this.#host.records.merge(bytes)
    if (record === null) return
    this.#budget ??= new AuthorBudget()
    if (this.#budget.take(record.chain, this.#world.clock.now)) this.spread(bytes, from)
  }
}

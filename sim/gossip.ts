/**
 * How a daemon spreads what is news: the mesh's records along gossipsub's mesh, a VIOLIN's to its holders among
 * those to whom it is connected. Each author has a budget at every relay.
 */
import { AuthorBudget } from '#core/records/budget.ts'
import { isRejected, scopeOf } from '#core/records/record.ts'
import { GossipMesh } from './gossip-mesh.ts'
import type { Host } from './host.ts'
import type { World } from './world.ts'

export class Gossip {
  readonly #world: World
  readonly #host: Host
  #budget: AuthorBudget | null = null
  readonly #mesh: GossipMesh

  constructor(world: World, host: Host) {
    this.#world = world
    this.#host = host
    this.#mesh = new GossipMesh(
      {
        connected: () => host.records.connections.connected,
        after: (ms, run) => this.#later(ms, run),
        graft: (peer, refused) => this.#graft(peer, refused)
      },
      world.random.mesh
    )
  }

  start(): void {
    this.#budget = null
    this.#mesh.clear()
  }

  /** There is a connection to a peer. */
  met(): void {
    this.#mesh.met()
  }

  /** And now there is none. */
  lost(peer: number): void {
    this.#mesh.lost(peer)
  }

  /** Hands a record to the subscribers of its topic to whom this host is connected, but not back. */
  spread(bytes: Uint8Array, from: number | null): void {
    if (!this.#world.gossips) return
    for (const place of this.#targets(bytes, from === null)) {
      if (place === from) continue
      this.#host.sent.gossipBytes += bytes.length
      const peer = this.#world.host(place)
      this.#world.network.stream(this.#host.place, place, 'gossip', () => {
        peer.daemon.do('datagram', () => peer.records.gossip.#heard(bytes, this.#host.place))
      })
    }
  }

  /** Its own words go to all whom it meets in the topic (flood publishing), others' along the mesh. */
  #targets(bytes: Uint8Array, own: boolean): Iterable<number> {
    const { connections } = this.#host.records
    const record = this.#world.shared.open(bytes)
    const scope = isRejected(record) ? 'mesh' : scopeOf(record)
    if (scope === 'mesh') return own ? connections.connected : this.#mesh.peers
    return connections.topic(scope).filter((place) => connections.connected.has(place))
  }

  #graft(place: number, refused: () => void): void {
    const peer = this.#world.host(place)
    this.#host.records.connections.call(peer, 'graft', (reply) => {
      if (!peer.records.gossip.#mesh.grafted(this.#host.place)) reply(refused)
    })
  }

  #later(ms: number, run: () => void): void {
    const { life } = this.#host
    this.#world.clock.after(ms, () => {
      if (life === this.#host.life && this.#host.running) this.#host.daemon.do('command', run)
    })
  }

  #heard(bytes: Uint8Array, from: number): void {
    if (this.#host.records.chain === null) return
    const record = this.#host.records.merge(bytes)
    if (record === null) return
    this.#budget ??= new AuthorBudget()
    if (this.#budget.take(record.chain, this.#world.clock.now)) this.spread(bytes, from)
  }
}

/**
 * Whom a host hands news on to: gossipsub's mesh, as @libp2p/gossipsub 17 keeps it. A host that at a heartbeat has
 * fewer than four neighbours in its mesh grafts some, up to six; who is grafted takes it up to twelve; who publishes
 * tells all that it is connected to (flood publishing).
 *
 * Left out, for they change no delay where connections lose nothing: IHAVE and IWANT, which repair what a mesh did
 * not bring (here records do that by themselves), and IDONTWANT, which saves a copy only if it overtakes it.
 */
import type { Random } from './random.ts'

const wanted = 6
const low = 4
const high = 12
const heartbeatMs = 1_000

/** What a mesh needs of its host. */
export interface GossipHost {
  /** Peers with a connection. */
  connected(): ReadonlySet<number>
  /** Runs at a time from now, unless the host died meanwhile. */
  after(ms: number, run: () => void): void
  /** Asks a peer to take this host into its mesh; `refused` runs if it does not. */
  graft(peer: number, refused: () => void): void
}

export class GossipMesh {
  readonly #peers = new Set<number>()
  readonly #host: GossipHost
  readonly #random: Random
  #beats = false

  constructor(host: GossipHost, random: Random) {
    this.#host = host
    this.#random = random
  }

  get peers(): ReadonlySet<number> {
    return this.#peers
  }

  /** A connection came. */
  met(): void {
    this.#lookSoon()
  }

  lost(peer: number): void {
    if (this.#peers.delete(peer)) this.#lookSoon()
  }

  /** A peer wants this host in its mesh; false: it has enough. */
  grafted(by: number): boolean {
    if (!this.#host.connected().has(by) || (this.#peers.size >= high && !this.#peers.has(by))) return false
    this.#peers.add(by)
    return true
  }

  clear(): void {
    this.#peers.clear()
    this.#beats = false
  }

  /** Only a heartbeat that could change something happens: others would cost an event a second for each host. */
  #lookSoon(): void {
    if (this.#beats || this.#peers.size >= low) return
    this.#beats = true
    this.#host.after(this.#random.next() * heartbeatMs, () => this.#beat())
  }

  #beat(): void {
    this.#beats = false
    if (this.#peers.size >= low) return
    const others = [...this.#host.connected()].filter((peer) => !this.#peers.has(peer))
    for (const peer of this.#random.sample(others, wanted - this.#peers.size)) {
      this.#peers.add(peer)
      this.#host.graft(peer, () => {
        if (this.#peers.delete(peer)) this.#lookSoon()
      })
    }
  }
}

/**
 * Gossip and DHT are libp2p services that serve whoever is connected. They are handed a registrar and a
 * connection manager that know of members only: a stranger's stream waits for its proof and is aborted
 * without one, a stranger is not announced to them, and what they dial is given to them once it is proven.
 *
 * (libp2p's own stream middleware cannot do it: 3.3 appends each handler to the registered array, so the
 * second stream of a protocol runs the first one's handler again.)
 */
import { MAX_CONNECTIONS } from './bounds.ts'
import type { Connection, Stream, StreamHandler, Topology } from '@libp2p/interface'
import type { ConnectionManager, Registrar } from '@libp2p/interface-internal'
import type { Membership } from './membership.ts'

export class Gate {
  readonly #membership: () => Membership
  readonly #topologies: { readonly topology: Topology; readonly met: Map<string, Connection> }[] = []

  constructor(membership: () => Membership) {
    this.#membership = membership
  }

  /** A registrar for one service; all calls but two go through as they are. */
  registrar(registrar: Registrar): Registrar {
    return Object.create(registrar, {
      handle: {
        value: (protocol: string, handler: StreamHandler, options?: Parameters<Registrar['handle']>[2]) =>
          registrar.handle(protocol, this.membersOnly(handler), options)
      },
      register: {
        value: (protocol: string, topology: Topology) =>
          registrar.register(protocol, this.#topology(topology))
      }
    }) as Registrar
  }

  /** A handler that strangers do not reach. */
  membersOnly(handler: StreamHandler): StreamHandler {
    return (stream, connection) => this.#handle(handler, stream, connection)
  }

  /** A connection manager for one service. */
  connectionManager(manager: ConnectionManager): ConnectionManager {
    const openStream: ConnectionManager['openStream'] = async (peer, protocols, options) => {
      const connection = await manager.openConnection(peer, options)
      if (!(await this.#membership().whenMember(connection))) throw new Error('the peer is not a member')
      return connection.newStream(protocols, options)
    }
    return Object.create(manager, { openStream: { value: openStream } }) as ConnectionManager
  }

  /** A peer is proven: the services hear of it, if it speaks their protocols. Harmless when they know it. */
  async announce(connection: Connection): Promise<void> {
    const peer = connection.remotePeer
    for (const { topology, met } of this.#topologies) {
      if (met.has(peer.toString())) await topology.onConnect?.(peer, connection)
    }
  }

  async #handle(handler: StreamHandler, stream: Stream, connection: Connection): Promise<void> {
    if (stream.status !== 'open') return
    // Paused, so that a stranger's stream holds no more than one window.
    stream.pause()
    if (!(await this.#membership().whenMember(connection))) {
      stream.abort(new Error('the peer is not a member'))
      return
    }
    if (stream.readStatus !== 'paused') return
    // What is buffered waits for the handler's reader, which it attaches before it first waits.
    stream.resume()
    await handler(stream, connection)
  }

  #topology(topology: Topology): Topology {
    const met = new Map<string, Connection>()
    this.#topologies.push({ topology, met })
    return {
      ...(topology.notifyOnLimitedConnection === undefined
        ? {}
        : { notifyOnLimitedConnection: topology.notifyOnLimitedConnection }),
      onConnect: async (peer, connection) => {
        met.set(peer.toString(), connection)
        if (met.size > MAX_CONNECTIONS) forgetClosed(met)
        if (this.#membership().isStranger(connection)) return
        await topology.onConnect?.(peer, connection)
      },
      onDisconnect: async (peer) => {
        met.delete(peer.toString())
        await topology.onDisconnect?.(peer)
      }
    }
  }
}

/** libp2p does not tell of the parting of peers that its peer store forgot. */
function forgetClosed(met: Map<string, Connection>): void {
  for (const [peer, connection] of met) if (connection.status !== 'open') met.delete(peer)
}

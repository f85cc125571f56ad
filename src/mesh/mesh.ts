/**
 * The {@link Mesh} on libp2p. This file puts the parts together; each part is in a file of its own.
 */
import assert from 'node:assert/strict'
import { setMaxListeners } from 'node:events'
import { multiaddr } from '@multiformats/multiaddr'
import { ViolinError } from '#core/errors.ts'
import { HANG_UP_MS, MAX_HEARD_PEERS, MAX_STREAMS, defaultBounds } from './bounds.ts'
import { Dht } from './dht.ts'
import { streamDuplex } from './duplex.ts'
import { Gate } from './gate.ts'
import { Gossip } from './gossip.ts'
import { Hearing } from './hearing.ts'
import { beyondLoopback } from './loopback.ts'
import { Membership } from './membership.ts'
import { createNode, protocolPrefix, startNode } from './node.ts'
import { asError, hostIdOf, peerIdOf } from './peer.ts'
import { Network } from './protection.ts'
import { Pulse } from './pulse.ts'
import { Redial } from './redial.ts'
import { Requests, refusalOf } from './requests.ts'
import type { Duplex } from 'node:stream'
import type { Connection, Stream } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Libp2p } from 'libp2p'
import type { HostId } from '#core/ids.ts'
import type { Bounds } from './bounds.ts'
import type { Mesh, MeshEvent, MeshOptions, NetworkMismatch, ServeOptions } from './contract.ts'
import type { Services } from './node.ts'

type Answer = Parameters<Mesh['serve']>[2]
type Accept = Parameters<Mesh['serveStream']>[1]

/** Starts a node of the mesh. Throws ViolinError `port-taken`, `usage`. */
export async function createMesh(options: MeshOptions): Promise<Mesh> {
  const dht = new Dht()
  // The services are made before the membership that they ask, and ask it only later.
  const gate = new Gate(() => mesh.membership)
  const hearing = new Hearing()
  const network = new Network(options.networkKey ?? null, (mismatch) => options.otherNetwork?.(mismatch))
  const node = await createNode(options, gate, dht, hearing, network)
  const mesh = new Libp2pMesh(options, node, { gate, dht, hearing, network })
  await mesh.start()
  return mesh
}

/** What the node was made with. */
interface Parts {
  readonly gate: Gate
  readonly dht: Dht
  readonly hearing: Hearing
  readonly network: Network
}

class Libp2pMesh implements Mesh {
  readonly self: HostId
  readonly membership: Membership
  readonly #options: MeshOptions
  readonly #bounds: Bounds
  readonly #node: Libp2p<Services>
  readonly #gate: Gate
  readonly #dht: Dht
  readonly #gossip: Gossip
  readonly #requests: Requests
  readonly #pulse: Pulse
  readonly #hearing: Hearing
  readonly #network: Network
  /** When a peer that is not connected now was heard last; the longest gone are forgotten. */
  readonly #heardAt = new Map<HostId, number>()
  readonly #listeners: ((event: MeshEvent) => void)[] = []
  readonly #closing = new AbortController()
  #redial: Redial | null = null

  constructor(options: MeshOptions, node: Libp2p<Services>, parts: Parts) {
    const { gate, dht, hearing, network } = parts
    const bounds = { ...defaultBounds, ...options.bounds }
    this.#options = options
    this.#bounds = bounds
    this.#node = node
    this.#gate = gate
    this.#dht = dht
    this.#hearing = hearing
    this.#network = network
    this.self = hostIdOf(node.peerId)
    setMaxListeners(0, this.#closing.signal)
    this.membership = new Membership(this.#protocol('member'), options, bounds, {
      changed: (peer, isMember, connection) => this.#changed(peer, isMember, connection),
      proven: (connection) => this.#proven(connection),
      fellBack: (connection) => this.#announce(connection)
    })
    this.#gossip = new Gossip(node.services.gossip, options.log)
    this.#requests = new Requests(this.membership, options.log, this.#closing.signal)
    this.#pulse = new Pulse(
      { connections: () => this.#provenConnections(), hearing, bounds, log: options.log },
      this.#closing.signal
    )
  }

  async start(): Promise<void> {
    const node = this.#node
    node.addEventListener('connection:open', ({ detail }) => this.membership.opened(detail))
    node.addEventListener('connection:close', ({ detail }) => this.membership.closed(detail))
    await node.handle(
      this.membership.protocol,
      (stream, connection) => this.membership.serve(stream, connection),
      { maxInboundStreams: 2, runOnLimitedConnection: true }
    )
    try {
      await startNode(node, this.#options.listen)
    } catch (error: unknown) {
      this.#stopOwn()
      throw error
    }
    const redial = new Redial(
      {
        connections: () => this.membership.members().length,
        remembered: this.#options.remembered,
        connected: (peer) => peer === this.self || this.membership.isMember(peer),
        addressesOf: (peer) => this.addressesOf(peer),
        dial: (addresses, signal) => this.dial(addresses, signal),
        log: this.#options.log,
        bounds: this.#bounds
      },
      this.#closing.signal
    )
    this.#redial = redial
    node.services.mdns?.addEventListener('peer', ({ detail: { id, multiaddrs } }) => {
      redial.heard({ id: hostIdOf(id), addresses: multiaddrs.map(String) })
    })
  }

  addresses(): readonly string[] {
    return beyondLoopback(this.#node.getMultiaddrs().map(String))
  }

  members(): readonly HostId[] {
    return this.membership.members()
  }

  isMember(peer: HostId): boolean {
    return this.membership.isMember(peer)
  }

  heardAt(peer: HostId): number | null {
    const connections = this.membership.connectionsOf(peer)
    if (connections.length === 0) return this.#heardAt.get(peer) ?? null
    return Math.max(...connections.map((connection) => this.#hearing.lastMs(connection)))
  }

  watch(peers: readonly HostId[]): void {
    this.#pulse.watch(peers)
  }

  async dial(addresses: readonly string[], signal: AbortSignal): Promise<HostId> {
    const targets = addresses.map(parseAddress)
    const both = AbortSignal.any([signal, this.#closing.signal])
    const connection = await this.#node.dial(targets, { signal: both }).catch((error: unknown) => {
      signal.throwIfAborted()
      for (const address of addresses) {
        const mismatch = this.#network.mismatchAt(address)
        if (mismatch !== null) throw otherNetwork(address, mismatch)
      }
      const message = `nobody answered at ${addresses.join(', ') || 'no address'}`
      throw new ViolinError(
        'nobody-reachable',
        message,
        'see that it runs there, and that no firewall is between',
        {
          cause: error
        }
      )
    })
    await this.membership.prove(connection)
    return hostIdOf(connection.remotePeer)
  }

  async hangUp(peer: HostId): Promise<void> {
    await this.#node.hangUp(peerIdOf(peer), { signal: AbortSignal.timeout(HANG_UP_MS) })
    this.#redial?.forget(peer)
  }

  rest(): void {
    this.#redial?.stop()
  }

  present(): Promise<void> {
    return this.membership.present()
  }

  async addressesOf(peer: HostId): Promise<readonly string[]> {
    const id = peerIdOf(peer)
    const dialled = this.#node.getConnections(id).filter(({ direction }) => direction === 'outbound')
    const known = (await this.#node.peerStore.has(id)) ? (await this.#node.peerStore.get(id)).addresses : []
    const all = [...dialled.map(({ remoteAddr }) => remoteAddr), ...known.map(({ multiaddr }) => multiaddr)]
    const distinct = [...new Set(all.map((address) => withoutPeer(address)))]
    // Each tells its peers of loopback, too: there this host would meet itself.
    return beyondLoopback(distinct).map((address) => `${address}/p2p/${peer}`)
  }

  rttMs(peer: HostId): number | null {
    return this.membership.isMember(peer) ? this.#pulse.rttMs(peer) : null
  }

  async request(peer: HostId, protocol: string, body: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    return this.#requests.ask(this.#connectionTo(peer), this.#protocol(protocol), body, signal)
  }

  serve(protocol: string, options: ServeOptions, answer: Answer): void {
    this.#handle(protocol, (stream, connection) => this.#requests.serve(stream, connection, options, answer))
  }

  async open(peer: HostId, protocol: string, signal: AbortSignal): Promise<Duplex> {
    const name = this.#protocol(protocol)
    try {
      const stream = await this.#connectionTo(peer).newStream(name, {
        signal,
        maxOutboundStreams: MAX_STREAMS,
        runOnLimitedConnection: true
      })
      return this.#duplex(stream, peer, protocol)
    } catch (error: unknown) {
      throw refusalOf(error, peer, name, signal)
    }
  }

  serveStream(protocol: string, accept: Accept): void {
    this.#handle(
      protocol,
      this.#gate.membersOnly((stream, connection) => {
        const from = hostIdOf(connection.remotePeer)
        accept(this.#duplex(stream, from, protocol), from)
      })
    )
  }

  subscribe(topic: string, validate: Parameters<Mesh['subscribe']>[1]): void {
    this.#gossip.subscribe(topic, validate)
  }

  unsubscribe(topic: string): void {
    this.#gossip.unsubscribe(topic)
  }

  publish(topic: string, bytes: Uint8Array): Promise<void> {
    return this.#gossip.publish(topic, bytes)
  }

  whenTopicPeers(topic: string, count: number, signal: AbortSignal): Promise<readonly HostId[]> {
    return this.#gossip.whenSubscribers(topic, count, signal)
  }

  put(key: string, value: Uint8Array, signal: AbortSignal): Promise<void> {
    return this.#dht.put(this.#node.services.dht, key, value, signal)
  }

  get(key: string, signal: AbortSignal): Promise<Uint8Array | null> {
    return this.#dht.get(this.#node.services.dht, key, signal)
  }

  setDhtValidator(...judges: Parameters<Mesh['setDhtValidator']>): void {
    this.#dht.setValidator(...judges)
  }

  on(listener: (event: MeshEvent) => void): void {
    this.#listeners.push(listener)
  }

  async close(): Promise<void> {
    this.#stopOwn()
    await this.#node.stop()
  }

  #stopOwn(): void {
    this.#closing.abort(new Error('the mesh is closing'))
    this.#redial?.stop()
    this.#pulse.stop()
    this.membership.close()
  }

  #changed(peer: HostId, isMember: boolean, connection: Connection): void {
    const addresses = connection.direction === 'outbound' ? [connection.remoteAddr.toString()] : []
    if (!isMember) {
      this.#noteHeard(peer, this.#hearing.lastMs(connection))
      this.#pulse.forget(peer)
      this.#redial?.lost({ id: peer, addresses })
    }
    const event: MeshEvent = isMember
      ? { kind: 'member-connected', peer, addresses }
      : { kind: 'member-disconnected', peer }
    for (const listener of this.#listeners) listener(event)
  }

  #noteHeard(peer: HostId, at: number): void {
    this.#heardAt.delete(peer)
    if (this.#heardAt.size >= MAX_HEARD_PEERS) this.#heardAt.delete([...this.#heardAt.keys()][0] as HostId)
    this.#heardAt.set(peer, at)
  }

  #proven(connection: Connection): void {
    this.#pulse.ask(connection)
    this.#announce(connection)
    // When there are too many connections, strangers' go first.
    this.#node.peerStore
      .merge(connection.remotePeer, { tags: { member: { value: 50 } } })
      .catch((error: unknown) => this.#options.log('member not tagged', { reason: asError(error).message }))
  }

  #announce(connection: Connection): void {
    this.#gate.announce(connection).catch((error: unknown) => {
      this.#options.log('service refused a member', { reason: asError(error).message })
    })
  }

  #provenConnections(): readonly Connection[] {
    return this.membership.members().flatMap((peer) => this.membership.connectionsOf(peer))
  }

  /** A proven connection if there is one; strangers can be asked what they serve to strangers. */
  #connectionTo(peer: HostId): Connection {
    const open = (connections: readonly Connection[]): Connection | undefined =>
      connections.findLast(({ status }) => status === 'open')
    const found = open(this.membership.connectionsOf(peer)) ?? open(this.#node.getConnections(peerIdOf(peer)))
    if (found !== undefined) return found
    throw new ViolinError('nobody-reachable', `${peer} is not connected`, 'see whether its daemon runs')
  }

  #handle(protocol: string, handler: (stream: Stream, connection: Connection) => void | Promise<void>): void {
    const limits = {
      maxInboundStreams: MAX_STREAMS,
      maxOutboundStreams: MAX_STREAMS,
      runOnLimitedConnection: true
    }
    this.#node.handle(this.#protocol(protocol), handler, limits).catch((error: unknown) => {
      // It refuses a name that is served already: our own mistake, which nothing can go on from.
      queueMicrotask(() => assert.fail(asError(error)))
    })
  }

  #duplex(stream: Stream, peer: HostId, protocol: string): Duplex {
    const duplex = streamDuplex(stream)
    // A reset by the peer is no reason to die for who listens to 'close' only.
    duplex.on('error', (error) =>
      this.#options.log('stream broke', { peer, protocol, reason: error.message })
    )
    return duplex
  }

  #protocol(name: string): string {
    assert.match(name, /^[a-z][a-z0-9-]{0,31}$/, `not a protocol name: ${name}`)
    return `${protocolPrefix(this.#options.meshId)}/${name}/1`
  }
}

/** Reads a multiaddr. Throws ViolinError `usage`. */
export function parseAddress(address: string): Multiaddr {
  try {
    return multiaddr(address)
  } catch (error: unknown) {
    throw new ViolinError(
      'usage',
      `${JSON.stringify(address.slice(0, 200))} is no multiaddr`,
      'write it as /ip4/192.0.2.1/tcp/4790',
      {
        cause: error
      }
    )
  }
}

function withoutPeer(address: Multiaddr): string {
  return address.toString().replace(/\/p2p\/[^/]+$/, '')
}

function otherNetwork(address: string, mismatch: NetworkMismatch): ViolinError {
  const what = {
    open: 'a network that is open, and this one has a key',
    closed: 'a closed network, and this one has no key',
    'other-key': 'a closed network with another key'
  }[mismatch]
  return new ViolinError(
    'refused',
    `${address} is in ${what}`,
    'see that identity/network.key is the same on both hosts, or on neither'
  )
}

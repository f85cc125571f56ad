/** Two ways of a message from one process to all that take its topic: IP multicast, and libp2p's gossipsub. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { Gossip, gossipService } from '#mesh/gossip.ts'
import { groupOf } from '../../../examples/pubsub/topics.ts'
import type { GossipSub } from '@chainsafe/libp2p-gossipsub'

export interface Carrier {
  /** Where others dial it; empty where nobody has to. */
  readonly address: string
  dial(addresses: readonly string[]): Promise<void>
  /** Resolves when it has neighbours to send to for every topic. */
  meet(): Promise<void>
  publish(topic: string, bytes: Uint8Array): Promise<void>
}

type Heard = (topic: string, bytes: Uint8Array) => void

const port = 5_700
/** Routers between a source and who is farthest, at most. */
const hops = 16
const dialMs = 60_000
/** A mesh has that many neighbours at least (gossipsub's Dlo), where there are so many. */
const leastNeighbours = 4

/** A socket for each topic, so that the kernel says which one a message is of. */
export async function ipCarrier(topics: readonly string[], heard: Heard): Promise<Carrier> {
  const sending = createSocket('udp4')
  sending.bind(0)
  await once(sending, 'listening')
  sending.setMulticastTTL(hops)
  // What a process sends does not come back to it, as in gossipsub.
  sending.setMulticastLoopback(false)
  for (const topic of topics) {
    const socket = createSocket('udp4')
    socket.on('message', (bytes) => heard(topic, bytes))
    socket.bind(port, groupOf(topic))
    await once(socket, 'listening')
    socket.addMembership(groupOf(topic))
  }
  return {
    address: '',
    dial: async () => {},
    meet: async () => {},
    async publish(topic, bytes) {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      sending.send(bytes, port, groupOf(topic), (error) => (error === null ? resolve() : reject(error)))
      await promise
    }
  }
}

/** A node as the mesh's own are (src/mesh/node.ts), without its DHT and its proofs of membership. */
export async function gossipCarrier(
  listen: string,
  topics: readonly string[],
  heard: Heard
): Promise<Carrier> {
  const node = await createLibp2p<{ readonly gossip: GossipSub }>({
    privateKey: await generateKeyPair('Ed25519'),
    addresses: { listen: [listen] },
    transports: [tcp({ dialOpts: { noDelay: true }, listenOpts: { noDelay: true } })],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    connectionMonitor: { enabled: false },
    connectionManager: {
      inboundConnectionThreshold: Infinity,
      maxIncomingPendingConnections: Infinity,
      // All shake hands on the processors of one machine.
      dialTimeout: dialMs,
      inboundUpgradeTimeout: dialMs
    },
    services: {
      identify: identify(),
      gossip: gossipService({ registrar: (all) => all, connectionManager: (all) => all })
    } as never
  })
  const service = node.services.gossip as GossipSub & { getMeshPeers(topic: string): string[] }
  const gossip = new Gossip(service, () => {})
  for (const topic of topics)
    gossip.subscribe(topic, (bytes) => {
      heard(topic, bytes)
      return 'accept'
    })
  return {
    address: node.getMultiaddrs()[0]?.toString() ?? '',
    async dial(addresses) {
      for (const address of addresses) await node.dial(multiaddr(address))
    },
    async meet() {
      const { promise, resolve } = Promise.withResolvers<void>()
      const look = (): void => {
        const wanted = Math.min(leastNeighbours, node.getPeers().length)
        if (wanted > 0 && topics.every((topic) => service.getMeshPeers(topic).length >= wanted)) resolve()
      }
      service.addEventListener('gossipsub:heartbeat', look)
      await promise
      service.removeEventListener('gossipsub:heartbeat', look)
    },
    publish: (topic, bytes) => gossip.publish(topic, bytes)
  }
}

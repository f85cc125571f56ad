/**
 * The libp2p node as VIOLIN sets it up: TCP, noise, yamux; identify and ping for everyone; gossip and DHT
 * for members.
 */
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { mdns } from '@libp2p/mdns'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { ViolinError } from '#core/errors.ts'
import {
  MAX_CONNECTIONS,
  MAX_INBOUND_PENDING,
  MAX_INBOUND_PER_SECOND,
  MAX_MUXED_STREAMS,
  MAX_STREAM_WINDOW_BYTES,
  PING_STREAM_MS
} from './bounds.ts'
import { BoundedDatastore } from './datastore.ts'
import { gossipService } from './gossip.ts'
import { asError } from './peer.ts'
import type { GossipSub } from '@chainsafe/libp2p-gossipsub'
import type { MultiaddrConnection, PeerDiscovery } from '@libp2p/interface'
import type { KadDHT } from '@libp2p/kad-dht'
import type { Libp2p } from 'libp2p'
import type { MeshOptions } from './contract.ts'
import type { Dht } from './dht.ts'
import type { Gate } from './gate.ts'
import type { Hearing } from './hearing.ts'
import type { Network } from './protection.ts'

export interface Services extends Record<string, unknown> {
  readonly gossip: GossipSub
  readonly dht: KadDHT
  readonly mdns?: PeerDiscovery
}

/** The first digits of the mesh id name it on the wire: 64 bits tell meshes apart, admission guards them. */
export function protocolPrefix(meshId: string): string {
  return `/violin/${meshId.slice(0, 16)}`
}

/** Makes the node; it listens once {@link startNode} ran. */
export async function createNode(
  options: MeshOptions,
  gate: Gate,
  dht: Dht,
  hearing: Hearing,
  network: Network
): Promise<Libp2p<Services>> {
  const name = options.meshId.slice(0, 16)
  return createLibp2p<Services>({
    start: false,
    privateKey: await generateKeyPairFromSeed('Ed25519', options.hostSeed),
    nodeInfo: { name: 'violin', version: '1', userAgent: 'violin/1' },
    addresses: { listen: [...options.listen] },
    datastore: new BoundedDatastore(),
    transports: [
      tcp({ dialOpts: { noDelay: true, keepAlive: true }, listenOpts: { noDelay: true, keepAlive: true } })
    ],
    connectionProtector: network.protector,
    connectionEncrypters: [noise()],
    streamMuxers: [
      yamux({
        maxInboundStreams: MAX_MUXED_STREAMS,
        maxOutboundStreams: MAX_MUXED_STREAMS,
        // Its own windows grow above what a paused reader may hold, which then resets the stream.
        streamOptions: {
          maxStreamWindowSize: MAX_STREAM_WINDOW_BYTES,
          maxReadBufferLength: 2 * MAX_STREAM_WINDOW_BYTES
        }
      })
    ],
    connectionGater: {
      // Hosts on private addresses, and several on one machine, are meant to meet.
      denyDialMultiaddr: () => false,
      denyInboundUpgradedConnection: (_peer, carrier) => listened(hearing, carrier),
      denyOutboundUpgradedConnection: (_peer, carrier) => listened(hearing, carrier)
    },
    // Ours pings faster, and only those that are proven.
    connectionMonitor: { enabled: false },
    connectionManager: {
      maxConnections: MAX_CONNECTIONS,
      inboundConnectionThreshold: MAX_INBOUND_PER_SECOND,
      maxIncomingPendingConnections: MAX_INBOUND_PENDING
    },
    services: {
      identify: identify(),
      ping: ping({ maxInboundStreams: 8, maxOutboundStreams: 8, timeout: PING_STREAM_MS }),
      gossip: gossipService(gate),
      dht: dht.service(`${protocolPrefix(options.meshId)}/kad/1`, gate),
      ...(options.mdns ? { mdns: mdns({ serviceTag: `_violin-${name}._udp.local` }) } : {})
    } as never
  })
}

/** Denies nothing: it is where libp2p shows what carries a connection that it is about to open. */
function listened(hearing: Hearing, carrier: MultiaddrConnection): boolean {
  hearing.listen(carrier)
  return false
}

/** Starts it. Throws ViolinError `port-taken`, or `usage` where an address is not one of this machine. */
export async function startNode(node: Libp2p<Services>, listen: readonly string[]): Promise<void> {
  try {
    await node.start()
  } catch (error: unknown) {
    await node.stop()
    throw listenRefusal(asError(error), listen)
  }
}

function listenRefusal(error: Error, listen: readonly string[]): Error {
  const failed = /(EADDRINUSE|EADDRNOTAVAIL|EACCES)[^\n]*?(\S+:\d+)/.exec(error.message)
  const at = failed?.[2] ?? listen.join(', ')
  if (failed?.[1] === 'EADDRINUSE') {
    return new ViolinError(
      'port-taken',
      `${at} is in use by another program`,
      'stop it, or choose another port',
      {
        cause: error
      }
    )
  }
  if (failed === null && error.name !== 'UnsupportedListenAddressesError') return error
  return new ViolinError(
    'usage',
    `cannot listen on ${at}`,
    'name an address of this machine that it may use',
    {
      cause: error
    }
  )
}

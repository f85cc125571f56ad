/**
 * A member with a program of its own: it holds a real membership and a real key, and keeps to none of the rules
 * that its daemon would. What it opens are libp2p's own streams.
 */
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { RPC } from '@chainsafe/libp2p-gossipsub/message'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { encode } from 'it-length-prefixed'
import { createLibp2p, type Libp2p } from 'libp2p'
import { protocolPrefix } from '#mesh/node.ts'
import { askProof } from '#mesh/proof.ts'
import type { Connection, Stream, StreamHandler } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'

/** What a gossipsub packet may hold; all of it is optional. */
export type Rpc = Parameters<typeof RPC.encode>[0]

export interface Rogue extends AsyncDisposable {
  readonly node: Libp2p
  readonly connection: Connection
  /** Opens `/violin/MESH/NAME/1`. */
  open(name: string): Promise<Stream>
  /** Sends gossipsub packets on a stream of its own, with the far end's backpressure. */
  gossip(packets: Iterable<Rpc> | AsyncIterable<Rpc>): Promise<number>
  /** Resolves when the host has answered a ping that was sent after all else. */
  answered(): Promise<void>
}

export interface RogueOptions {
  readonly seed: Uint8Array
  readonly meshId: string
  /** What it shows; null: nothing, so it stays a stranger. */
  readonly presentation: Uint8Array | null
  readonly address: string
  /** Protocols that it serves in its own way. */
  readonly handlers?: Readonly<Record<string, StreamHandler>>
}

const dialMs = 20_000

/** Tells who started this that all members are where they shall be. */
export function sayInPlace(): void {
  process.stderr.write('in place\n')
}

/** Dials a host and shows the membership. Throws when it is not taken. */
export async function rogueMember(options: RogueOptions): Promise<Rogue> {
  const node = await createLibp2p({
    privateKey: await generateKeyPairFromSeed('Ed25519', options.seed),
    // The DHT takes nobody in who has no address.
    addresses: { listen: options.handlers === undefined ? [] : ['/ip4/0.0.0.0/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux({ maxOutboundStreams: 100_000, maxInboundStreams: 1_000 })],
    connectionGater: { denyDialMultiaddr: () => false },
    connectionMonitor: { enabled: false },
    services: { identify: identify(), ping: ping() }
  })
  // Gossip opens a stream back: what comes on it is swallowed.
  await node.handle(['/meshsub/1.2.0', '/meshsub/1.1.0'], (stream) => {
    stream.addEventListener('message', () => undefined)
  })
  for (const [protocol, handler] of Object.entries(options.handlers ?? {}))
    await node.handle(protocol, handler, { maxInboundStreams: 1_000 })
  try {
    const signal = AbortSignal.timeout(dialMs)
    const connection = await node.dial(multiaddr(options.address), { signal })
    const prefix = protocolPrefix(options.meshId)
    if (options.presentation !== null)
      await prove(connection, `${prefix}/member/1`, options.presentation, signal)
    return {
      node,
      connection,
      open: (name) => connection.newStream(`${prefix}/${name}/1`, { maxOutboundStreams: 100_000 }),
      gossip: (packets) => gossip(connection, packets),
      answered: async () => {
        await node.services.ping.ping(connection.remotePeer, { signal: AbortSignal.timeout(dialMs) })
      },
      [Symbol.asyncDispose]: async () => node.stop()
    }
  } catch (error: unknown) {
    await node.stop()
    throw error
  }
}

async function prove(
  connection: Connection,
  protocol: string,
  presentation: Uint8Array,
  signal: AbortSignal
): Promise<void> {
  const stream = await connection.newStream(protocol, { signal })
  const party = { presentation, admit: () => true, why: () => new Uint8Array(), refused: () => {} }
  const outcome = await askProof(stream, party, signal)
  if (outcome !== 'proven') throw new Error(`the rogue is ${outcome}`)
}

/** How many packets went out before the far end would take no more. */
async function gossip(connection: Connection, packets: Iterable<Rpc> | AsyncIterable<Rpc>): Promise<number> {
  const stream = await connection.newStream('/meshsub/1.2.0')
  let sent = 0
  try {
    for await (const packet of packets) {
      const bytes: Uint8ArrayList | Uint8Array = encode.single(RPC.encode(packet))
      if (!stream.send(bytes)) await whenSent(stream)
      sent++
    }
    await stream.close()
  } catch {
    // Cut off: what a host may well do.
  }
  return sent
}

/** `onDrain` would let one more packet pile up with every bit of the window that is given back. */
async function whenSent(stream: Stream): Promise<void> {
  if (stream.writeBufferLength === 0) return
  const { promise, resolve } = Promise.withResolvers<void>()
  for (const end of ['idle', 'close'] as const) stream.addEventListener(end, () => resolve(), { once: true })
  await promise
}

/**
 * The overlay of libp2p nodes as the daemon sees it: members found, proven, and asked. It knows nothing of
 * what the bytes mean; who is a member is decided by the {@link MeshOptions.admit} that it is given.
 */
import type { Duplex } from 'node:stream'
import type { HostId } from '#core/ids.ts'
import type { Bounds } from './bounds.ts'

export type Verdict = 'accept' | 'ignore' | 'reject'

/** What was dialled is of a network that is open, or closed where this one is open, or closed by another key. */
export type NetworkMismatch = 'open' | 'closed' | 'other-key'

export interface MeshOptions {
  /** Ed25519 private key of the host, 32-byte seed. */
  readonly hostSeed: Uint8Array
  /** 32 bytes that every host of a closed network has, under all else; null: the network is open. */
  readonly networkKey?: Uint8Array | null
  /** Once: a peer that was dialled is in another network than the key says, and none ever was in this one. */
  readonly otherNetwork?: (mismatch: NetworkMismatch) => void
  /** Multiaddrs to listen on. */
  readonly listen: readonly string[]
  /** Opaque id of the mesh (hex of its root key): names its protocols, DHT and mDNS service. */
  readonly meshId: string
  /** This host's membership as it shows it on every connection; null before it joined. */
  readonly presentation: () => Uint8Array | null
  /** Whether what a peer showed makes it a member. Called once per connection, before anything else is served. */
  readonly admit: (peer: HostId, presented: Uint8Array) => boolean
  /** What a peer is told whose membership is refused, ≤ 16 KiB; null: nothing. Default: nothing. */
  readonly why?: (peer: HostId, presented: Uint8Array) => Uint8Array | null
  /** A peer refused what this host showed, and said why. */
  readonly refused?: (why: Uint8Array) => void
  /** Peers remembered from before: dialled at start and for ever after, one at a time. */
  readonly remembered: () => readonly { readonly id: HostId; readonly addresses: readonly string[] }[]
  readonly mdns: boolean
  /** Patience other than the defaults, for networks that are slower or faster than most. */
  readonly bounds?: Partial<Bounds>
  readonly log: (message: string, fields: Record<string, unknown>) => void
}

export interface ServeOptions {
  /** Peers without a membership may ask this (only the join protocol). Default false. */
  readonly strangers?: boolean
  readonly maxRequestBytes: number
}

export interface Mesh {
  readonly self: HostId
  /** Own addresses that others can dial, with `/p2p/ID`. */
  addresses(): readonly string[]
  /** Members with a live, proven connection. */
  members(): readonly HostId[]
  isMember(peer: HostId): boolean
  /** When any byte of a member came last, by the monotonic clock, ms; null: never in this life. */
  heardAt(peer: HostId): number | null
  /** These are to hear from this host twice a second; others once. */
  watch(peers: readonly HostId[]): void
  /** Connects to a peer at one of these addresses; resolves when connected (and proven, if both are members). */
  dial(addresses: readonly string[], signal: AbortSignal): Promise<HostId>
  /** Ends every connection of a peer, which is not dialled again as one that was lost. */
  hangUp(peer: HostId): Promise<void>
  /** Dials nobody by itself any more: there is no use in it. */
  rest(): void
  /** Shows the presentation on every open connection that is not proven yet: for the moment after joining. */
  present(): Promise<void>
  /** Addresses at which a peer said that it listens, or was dialled; empty when it is not known. */
  addressesOf(peer: HostId): Promise<readonly string[]>
  /** Round trip of the last ping to a connected member, ms. */
  rttMs(peer: HostId): number | null
  /** One request, one answer. `protocol` is a short name such as `sync`. Throws ViolinError. */
  request(peer: HostId, protocol: string, body: Uint8Array, signal: AbortSignal): Promise<Uint8Array>
  serve(
    protocol: string,
    options: ServeOptions,
    answer: (body: Uint8Array, from: HostId, signal: AbortSignal) => Promise<Uint8Array>
  ): void
  /** A two-way byte stream to a member. */
  open(peer: HostId, protocol: string, signal: AbortSignal): Promise<Duplex>
  serveStream(protocol: string, accept: (stream: Duplex, from: HostId) => void): void
  subscribe(topic: string, validate: (bytes: Uint8Array, from: HostId) => Verdict): void
  unsubscribe(topic: string): void
  /** The same bytes within two minutes are spread once; needs no subscription of one's own. */
  publish(topic: string, bytes: Uint8Array): Promise<void>
  /** Resolves with the connected members that take what is published on a topic once they are `count`. */
  whenTopicPeers(topic: string, count: number, signal: AbortSignal): Promise<readonly HostId[]>
  /**
   * Stores a small value in the DHT (≤ 4 KiB); `validate` of {@link setDhtValidator} is asked at every hop.
   * `key` is without `/violin/`, here and where it is judged.
   */
  put(key: string, value: Uint8Array, signal: AbortSignal): Promise<void>
  get(key: string, signal: AbortSignal): Promise<Uint8Array | null>
  /** Judges values under `/violin/…` keys; `select` gives the index of the best of several. */
  setDhtValidator(
    validate: (key: string, value: Uint8Array) => boolean,
    select: (key: string, values: readonly Uint8Array[]) => number
  ): void
  on(listener: (event: MeshEvent) => void): void
  close(): Promise<void>
}

export type MeshEvent =
  /** A member's connection is proven. */
  | { readonly kind: 'member-connected'; readonly peer: HostId; readonly addresses: readonly string[] }
  | { readonly kind: 'member-disconnected'; readonly peer: HostId }

/**
 * Gossipsub as the mesh uses it. The one place that knows what its exported types leave out.
 *
 * Messages are not signed by gossipsub (StrictNoSign): what is spread is signed itself, and the hash of the
 * bytes as the message id lets equal bytes from several hosts be one message.
 */
import { TopicValidatorResult, gossipsub } from '@chainsafe/libp2p-gossipsub'
import { ViolinError } from '#core/errors.ts'
import { MAX_GOSSIP_BYTES, MAX_GOSSIP_PACKET_BYTES, MAX_TOPIC_BYTES_PER_PEER } from './bounds.ts'
import { asError, hostIdOf } from './peer.ts'
import type {
  GossipSub,
  GossipSubComponents,
  GossipsubMessage,
  GossipsubOpts
} from '@chainsafe/libp2p-gossipsub'
import type { HostId } from '#core/ids.ts'
import type { Mesh, MeshOptions, Verdict } from './contract.ts'
import type { Gate } from './gate.ts'

type Validate = Parameters<Mesh['subscribe']>[1]

/** There, but not in the exported interface. */
interface GossipSubWithReports extends GossipSub {
  reportMessageValidationResult(msgId: string, source: string, verdict: TopicValidatorResult): void
}

const options: Partial<GossipsubOpts> = {
  globalSignaturePolicy: 'StrictNoSign',
  asyncValidation: true,
  allowPublishToZeroTopicPeers: true,
  ignoreDuplicatePublishError: true,
  runOnLimitedConnection: true,
  fallbackToFloodsub: false,
  maxInboundStreams: 2,
  maxOutboundStreams: 2,
  maxInboundDataLength: MAX_GOSSIP_PACKET_BYTES,
  maxOutboundBufferSize: 2 * MAX_GOSSIP_PACKET_BYTES,
  maxTopicBytesPerPeer: MAX_TOPIC_BYTES_PER_PEER,
  decodeRpcLimits: {
    maxSubscriptions: 512,
    maxMessages: 512,
    maxControlMessages: 512,
    maxIhaveMessageIDs: 5_000,
    maxIwantMessageIDs: 5_000,
    maxIdontwantMessageIDs: 512,
    maxPeerInfos: 16
  },
  // Hosts behind one address, as in a lab or an office, are no attack: they are members.
  scoreParams: { IPColocationFactorWeight: 0 }
}

const verdicts: Record<Verdict, TopicValidatorResult> = {
  accept: TopicValidatorResult.Accept,
  ignore: TopicValidatorResult.Ignore,
  reject: TopicValidatorResult.Reject
}

/** The service for libp2p; it meets members only. */
export function gossipService(gate: Gate): (components: GossipSubComponents) => GossipSub {
  return ({ privateKey, peerId, peerStore, registrar, connectionManager, logger }) =>
    gossipsub(options)({
      privateKey,
      peerId,
      peerStore,
      logger,
      registrar: gate.registrar(registrar),
      connectionManager: gate.connectionManager(connectionManager)
    })
}

export class Gossip {
  readonly #gossip: GossipSubWithReports
  readonly #log: MeshOptions['log']
  readonly #validators = new Map<string, Validate>()

  constructor(service: GossipSub, log: MeshOptions['log']) {
    this.#gossip = service as GossipSubWithReports
    this.#log = log
    service.addEventListener('gossipsub:message', ({ detail }) => this.#judge(detail))
  }

  subscribe(topic: string, validate: Validate): void {
    this.#validators.set(topic, validate)
    this.#gossip.subscribe(topic)
  }

  unsubscribe(topic: string): void {
    this.#validators.delete(topic)
    this.#gossip.unsubscribe(topic)
  }

  async publish(topic: string, bytes: Uint8Array): Promise<void> {
    if (bytes.byteLength > MAX_GOSSIP_BYTES) {
      throw new ViolinError(
        'too-large',
        `a message of ${bytes.byteLength} bytes to spread`,
        'spread its hash instead'
      )
    }
    await this.#gossip.publish(topic, bytes)
  }

  subscribers(topic: string): readonly HostId[] {
    return this.#gossip.getSubscribers(topic).map(hostIdOf)
  }

  /** Resolves once so many connected members take the topic; rejects with the signal's reason. */
  async whenSubscribers(topic: string, count: number, signal: AbortSignal): Promise<readonly HostId[]> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const look = (): void => {
      if (this.subscribers(topic).length >= count) resolve()
    }
    const giveUp = (): void => reject(signal.reason as Error)
    this.#gossip.addEventListener('subscription-change', look)
    signal.addEventListener('abort', giveUp, { once: true })
    look()
    try {
      await promise
      return this.subscribers(topic)
    } finally {
      this.#gossip.removeEventListener('subscription-change', look)
      signal.removeEventListener('abort', giveUp)
    }
  }

  #judge({ msgId, propagationSource, msg }: GossipsubMessage): void {
    const verdict = this.#verdict(msg.topic, msg.data, hostIdOf(propagationSource))
    this.#gossip.reportMessageValidationResult(msgId, propagationSource.toString(), verdicts[verdict])
  }

  #verdict(topic: string, bytes: Uint8Array, from: HostId): Verdict {
    const validate = this.#validators.get(topic)
    if (validate === undefined) return 'ignore'
    if (bytes.byteLength > MAX_GOSSIP_BYTES) return 'reject'
    try {
      return validate(bytes, from)
    } catch (error: unknown) {
      this.#log('validator failed', { topic, from, reason: asError(error).message })
      return 'ignore'
    }
  }
}

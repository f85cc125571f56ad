/**
 * Gossipsub as the mesh uses it. The one place that knows what its exported types leave out.
 *
 * Messages are not signed by gossipsub (StrictNoSign): what is spread is signed itself, and the hash of the
 * bytes as the message id lets equal bytes from several hosts be one message.
 *
 * A member may be hijacked, so what gossipsub would keep of it is bounded here: messages of topics that nobody
 * here takes, ids of any length, floods. Who sends what is wrong is passed over for a while.
 */
import { performance } from 'node:perf_hooks'
import { TopicValidatorResult, gossipsub } from '@chainsafe/libp2p-gossipsub'
import { toString } from 'uint8arrays/to-string'
import { ViolinError } from '#core/errors.ts'
import {
  FREE_PENALTIES,
  GOSSIP_BURST,
  GOSSIP_BURST_BYTES,
  GOSSIP_BYTES_PER_SECOND,
  GOSSIP_PER_SECOND,
  MAX_CONNECTIONS,
  MAX_GOSSIP_BYTES,
  MAX_GOSSIP_PACKET_BYTES,
  MAX_TOPIC_BYTES_PER_PEER,
  MESSAGE_ID_BYTES,
  PENALTY_DECAY
} from './bounds.ts'
import { asError, hostIdOf } from './peer.ts'
import { Rates } from './rate.ts'
import { throttled } from './throttle.ts'
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
  /** By peer. What is sent to one that has none is dropped. */
  readonly streamsOutbound: ReadonlyMap<string, unknown>
  readonly score: { addPenalty(peer: string, penalty: number, label: string): void }
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
  scoreParams: {
    // Hosts behind one address, as in a lab or an office, are no attack: they are members.
    IPColocationFactorWeight: 0,
    behaviourPenaltyThreshold: FREE_PENALTIES,
    behaviourPenaltyDecay: PENALTY_DECAY
  },
  // Ids that are none are one id: those of IDONTWANT are kept for five seconds, however long they are.
  msgIdToStrFn: (id) => (id.length === MESSAGE_ID_BYTES ? toString(id, 'base64') : '')
}

const verdicts: Record<Verdict, TopicValidatorResult> = {
  accept: TopicValidatorResult.Accept,
  ignore: TopicValidatorResult.Ignore,
  reject: TopicValidatorResult.Reject
}

/** The service for libp2p; it meets members only. */
export function gossipService(
  gate: Pick<Gate, 'registrar' | 'connectionManager'>
): (components: GossipSubComponents) => GossipSub {
  return ({ privateKey, peerId, peerStore, registrar, connectionManager, logger }) => {
    const taken = new Set<string>()
    const bytesOf = new Rates(GOSSIP_BURST_BYTES, GOSSIP_BYTES_PER_SECOND, MAX_CONNECTIONS)
    const service = gossipsub({ ...options, dataTransform: gateOf(taken) })({
      privateKey,
      peerId,
      peerStore,
      logger,
      registrar: throttled(gate.registrar(registrar), bytesOf),
      connectionManager: gate.connectionManager(connectionManager)
    })
    topicsOf.set(service, taken)
    return service
  }
}

/** Topics that are taken here, by service: the gate is made before the {@link Gossip} that fills it. */
const topicsOf = new WeakMap<GossipSub, Set<string>>()

/** Gossipsub would keep a message of any topic for five seconds before it asks whether anybody takes it. */
function gateOf(taken: ReadonlySet<string>): NonNullable<GossipsubOpts['dataTransform']> {
  return {
    inboundTransform(topic, data) {
      if (!taken.has(topic)) throw new Error('a message of a topic that is not taken here')
      if (data.byteLength > MAX_GOSSIP_BYTES) throw new Error('a message that is too long')
      return data
    },
    outboundTransform: (_topic, data) => data
  }
}

export class Gossip {
  readonly #gossip: GossipSubWithReports
  readonly #log: MeshOptions['log']
  readonly #validators = new Map<string, Validate>()
  readonly #topics: Set<string>
  /** Messages that each neighbour may bring. */
  readonly #messagesOf = new Rates(GOSSIP_BURST, GOSSIP_PER_SECOND, MAX_CONNECTIONS)

  constructor(service: GossipSub, log: MeshOptions['log']) {
    this.#gossip = service as GossipSubWithReports
    this.#topics = topicsOf.get(service) ?? new Set()
    this.#log = log
    service.addEventListener('gossipsub:message', ({ detail }) => this.#judge(detail))
  }

  subscribe(topic: string, validate: Validate): void {
    this.#validators.set(topic, validate)
    this.#topics.add(topic)
    this.#gossip.subscribe(topic)
  }

  unsubscribe(topic: string): void {
    this.#validators.delete(topic)
    this.#topics.delete(topic)
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

  /**
   * Resolves once so many connected members take the topic and can be sent to; rejects with the signal's reason.
   * That a member takes it may be heard before the own stream to it is open, of which gossipsub tells nobody:
   * its heartbeat looks again.
   */
  async whenSubscribers(topic: string, count: number, signal: AbortSignal): Promise<readonly HostId[]> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const look = (): void => {
      const open = this.#gossip
        .getSubscribers(topic)
        .filter((id) => this.#gossip.streamsOutbound.has(id.toString()))
      if (open.length >= count) resolve()
    }
    const giveUp = (): void => reject(signal.reason as Error)
    this.#gossip.addEventListener('subscription-change', look)
    this.#gossip.addEventListener('gossipsub:heartbeat', look)
    signal.addEventListener('abort', giveUp, { once: true })
    look()
    try {
      await promise
      return this.subscribers(topic)
    } finally {
      this.#gossip.removeEventListener('subscription-change', look)
      this.#gossip.removeEventListener('gossipsub:heartbeat', look)
      signal.removeEventListener('abort', giveUp)
    }
  }

  #judge({ msgId, propagationSource, msg }: GossipsubMessage): void {
    const source = propagationSource.toString()
    const allowed = this.#messagesOf.of(source).take(performance.now())
    const verdict = allowed ? this.#verdict(msg.topic, msg.data, hostIdOf(propagationSource)) : 'ignore'
    if (!allowed || verdict === 'reject') this.#gossip.score.addPenalty(source, 1, verdict)
    this.#gossip.reportMessageValidationResult(msgId, source, verdicts[verdict])
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

/** The mesh between hosts of one test, in memory: requests and topics, and nothing of libp2p. */
import type { HostId } from '#core/ids.ts'
import type { Mesh, MeshEvent, Verdict } from '#mesh/contract.ts'

type Answer = (body: Uint8Array, from: HostId, signal: AbortSignal) => Promise<Uint8Array>

export class PlayedNetwork {
  readonly nodes: Map<HostId, PlayedMesh> = new Map<HostId, PlayedMesh>()
  /** Whether what is published reaches anyone. */
  gossips = false

  join(self: HostId): PlayedMesh {
    const node = new PlayedMesh(self, this)
    this.nodes.set(self, node)
    return node
  }
}

/** What Records asks of a mesh. */
export class PlayedMesh {
  readonly self: HostId
  readonly served: Map<string, Answer> = new Map<string, Answer>()
  /** Messages that it published so far. */
  published = 0
  readonly #network: PlayedNetwork
  readonly #topics = new Map<string, (bytes: Uint8Array, from: HostId) => Verdict>()

  constructor(self: HostId, network: PlayedNetwork) {
    this.self = self
    this.#network = network
  }

  get asMesh(): Mesh {
    return this as unknown as Mesh
  }

  members(): readonly HostId[] {
    return [...this.#network.nodes.keys()].filter((host) => host !== this.self)
  }

  serve(protocol: string, _options: unknown, answer: Answer): void {
    this.served.set(protocol, answer)
  }

  request(peer: HostId, protocol: string, body: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const answer = this.#network.nodes.get(peer)?.served.get(protocol)
    return answer === undefined ? Promise.reject(new Error('not there')) : answer(body, this.self, signal)
  }

  subscribe(topic: string, validate: (bytes: Uint8Array, from: HostId) => Verdict): void {
    this.#topics.set(topic, validate)
  }

  unsubscribe(topic: string): void {
    this.#topics.delete(topic)
  }

  publish(topic: string, bytes: Uint8Array): Promise<void> {
    this.published++
    if (this.#network.gossips)
      for (const node of this.#network.nodes.values())
        if (node !== this) node.#topics.get(topic)?.(bytes, this.self)
    return Promise.resolve()
  }

  on(_listener: (event: MeshEvent) => void): void {}
}

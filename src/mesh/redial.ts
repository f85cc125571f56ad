/**
 * Finds peers again: the remembered ones at the start, then one random missing one every 15 s, for ever; and
 * those that mDNS hears, one at a time.
 */
import { MAX_FIRST_DIALS, MAX_HEARD, REDIAL_MS, REDIAL_TIMEOUT_MS } from './bounds.ts'
import { asError } from './peer.ts'
import type { HostId } from '#core/ids.ts'
import type { MeshOptions } from './contract.ts'

interface Known {
  readonly id: HostId
  readonly addresses: readonly string[]
}

export interface Redialling {
  readonly remembered: () => readonly Known[]
  /** Whether a peer needs no dial. */
  readonly connected: (peer: HostId) => boolean
  readonly dial: (addresses: readonly string[], signal: AbortSignal) => Promise<unknown>
  readonly log: MeshOptions['log']
}

export class Redial {
  readonly #with: Redialling
  readonly #closing: AbortSignal
  readonly #timer: NodeJS.Timeout
  readonly #heard = new Map<HostId, Known>()
  #dialling = false

  constructor(redialling: Redialling, closing: AbortSignal) {
    this.#with = redialling
    this.#closing = closing
    this.#timer = setInterval(() => void this.#dialOne(), REDIAL_MS)
    void this.#dialFirst()
  }

  /** A peer announced itself on the LAN. */
  heard(peer: Known): void {
    if (this.#with.connected(peer.id) || this.#heard.size >= MAX_HEARD) return
    this.#heard.set(peer.id, peer)
    void this.#dialHeard()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  async #dialFirst(): Promise<void> {
    const missing = shuffled(this.#missing())
    const next = async (): Promise<void> => {
      for (let known = missing.pop(); known !== undefined; known = missing.pop()) await this.#dial(known)
    }
    await Promise.all(Array.from({ length: MAX_FIRST_DIALS }, next))
  }

  async #dialOne(): Promise<void> {
    const known = shuffled(this.#missing())[0]
    if (known !== undefined) await this.#dial(known)
  }

  async #dialHeard(): Promise<void> {
    if (this.#dialling) return
    this.#dialling = true
    for (const [id, known] of this.#heard) {
      if (!this.#with.connected(id)) await this.#dial(known)
      this.#heard.delete(id)
    }
    this.#dialling = false
  }

  #missing(): Known[] {
    return this.#with
      .remembered()
      .filter(({ id, addresses }) => addresses.length > 0 && !this.#with.connected(id))
  }

  async #dial({ id, addresses }: Known): Promise<void> {
    if (this.#closing.aborted) return
    const signal = AbortSignal.any([this.#closing, AbortSignal.timeout(REDIAL_TIMEOUT_MS)])
    try {
      await this.#with.dial(withPeer(id, addresses), signal)
    } catch (error: unknown) {
      this.#with.log('peer not reached', { peer: id, reason: asError(error).message })
    }
  }
}

/** Who answers at a remembered address must be the peer that is remembered there. */
function withPeer(id: HostId, addresses: readonly string[]): readonly string[] {
  return addresses.map((address) => (address.includes('/p2p/') ? address : `${address}/p2p/${id}`))
}

function shuffled<T>(items: readonly T[]): T[] {
  const keyed = items.map((item) => ({ item, order: Math.random() }))
  return keyed.toSorted((a, b) => a.order - b.order).map(({ item }) => item)
}

/**
 * Finds peers again: remembered ones at the start, then one random missing one every 15 s, until there are enough
 * connections; those that were lost, again and again for two minutes; and those that mDNS hears, one at a time.
 */
import { performance } from 'node:perf_hooks'
import { ViolinError } from '#core/errors.ts'
import {
  ENOUGH_CONNECTIONS,
  HEARD_AGAIN_MS,
  LOST_DIAL_TIMEOUT_MS,
  MAX_FIRST_DIALS,
  MAX_HEARD,
  MAX_LOST,
  REDIAL_TIMEOUT_MS
} from './bounds.ts'
import { asError } from './peer.ts'
import type { HostId } from '#core/ids.ts'
import type { Bounds } from './bounds.ts'
import type { MeshOptions } from './contract.ts'

interface Known {
  readonly id: HostId
  readonly addresses: readonly string[]
}

export interface Redialling {
  readonly remembered: () => readonly Known[]
  /** Members connected now. */
  readonly connections: () => number
  /** Whether a peer needs no dial. */
  readonly connected: (peer: HostId) => boolean
  /** What libp2p knows of a peer that was connected. */
  readonly addressesOf: (peer: HostId) => Promise<readonly string[]>
  readonly dial: (addresses: readonly string[], signal: AbortSignal) => Promise<unknown>
  readonly log: MeshOptions['log']
  readonly bounds: Bounds
}

/** A peer that was connected and is not any more. */
interface Lost extends Known {
  delayMs: number
  /** By the monotonic clock, ms. */
  readonly giveUpAt: number
  timer: NodeJS.Timeout
}

export class Redial {
  readonly #with: Redialling
  readonly #closing: AbortSignal
  readonly #timer: NodeJS.Timeout
  readonly #heard = new Map<HostId, Known>()
  readonly #lost = new Map<HostId, Lost>()
  /** When whom this host was refused by, or refused, was dialled last; the first of many are forgotten. */
  readonly #refusedAt = new Map<HostId, number>()
  #dialling = false
  #stopped = false

  constructor(redialling: Redialling, closing: AbortSignal) {
    this.#with = redialling
    this.#closing = closing
    this.#timer = setInterval(() => void this.#dialOne(), redialling.bounds.redialMs)
    void this.#dialFirst()
  }

  /** A peer announced itself on the LAN. */
  heard(peer: Known): void {
    if (this.#stopped || this.#with.connected(peer.id) || this.#heard.size >= MAX_HEARD) return
    // Who announces itself does so again and again.
    if (performance.now() - (this.#refusedAt.get(peer.id) ?? -Infinity) < HEARD_AGAIN_MS) return
    this.#heard.set(peer.id, peer)
    void this.#dialHeard()
  }

  /** The last connection of a peer is gone; `addresses`: where it was dialled, if it was. */
  lost(peer: Known): void {
    if (this.#stopped || this.#closing.aborted || this.#lost.size >= MAX_LOST) return
    this.forget(peer.id)
    const { lostDialMs, lostMs } = this.#with.bounds
    const giveUpAt = performance.now() + lostMs
    const timer = setTimeout(() => this.#dialLostSoon(lost), jittered(lostDialMs))
    const lost: Lost = { ...peer, delayMs: lostDialMs, giveUpAt, timer }
    this.#lost.set(peer.id, lost)
  }

  /** A peer was given up on purpose: it is not dialled as a lost one. */
  forget(peer: HostId): void {
    clearTimeout(this.#lost.get(peer)?.timer)
    this.#lost.delete(peer)
  }

  stop(): void {
    this.#stopped = true
    clearInterval(this.#timer)
    for (const peer of this.#lost.keys()) this.forget(peer)
  }

  #dialLostSoon(lost: Lost): void {
    this.#dialLost(lost).catch((error: unknown) => {
      this.forget(lost.id)
      this.#with.log('lost peer given up', { peer: lost.id, reason: asError(error).message })
    })
  }

  async #dialLost(lost: Lost): Promise<void> {
    const { connected, addressesOf, bounds } = this.#with
    const wanted = (): boolean => this.#lost.get(lost.id) === lost && !connected(lost.id)
    const remembered = this.#with.remembered().find(({ id }) => id === lost.id)?.addresses ?? []
    const known = new Set([...lost.addresses, ...(await addressesOf(lost.id)), ...remembered])
    const peer = { id: lost.id, addresses: [...known] }
    const again = wanted() && known.size > 0 && (await this.#dial(peer, LOST_DIAL_TIMEOUT_MS)) && wanted()
    if (!again || performance.now() > lost.giveUpAt) {
      if (this.#lost.get(lost.id) === lost) this.forget(lost.id)
      return
    }
    lost.delayMs = Math.min(lost.delayMs * 2, bounds.maxLostDialMs)
    lost.timer = setTimeout(() => this.#dialLostSoon(lost), jittered(lost.delayMs))
  }

  async #dialFirst(): Promise<void> {
    const missing = shuffled(this.#missing())
    const next = async (): Promise<void> => {
      for (let known = missing.pop(); known !== undefined; known = missing.pop()) {
        if (this.#hasEnough()) return
        await this.#dial(known)
      }
    }
    await Promise.all(Array.from({ length: MAX_FIRST_DIALS }, next))
  }

  async #dialOne(): Promise<void> {
    if (this.#hasEnough()) return
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

  #hasEnough(): boolean {
    return this.#with.connections() >= ENOUGH_CONNECTIONS
  }

  #missing(): Known[] {
    return this.#with
      .remembered()
      .filter(({ id, addresses }) => addresses.length > 0 && !this.#with.connected(id))
  }

  /** False where it is no use to dial the peer again: it refuses us, or is refused. */
  async #dial({ id, addresses }: Known, timeoutMs: number = REDIAL_TIMEOUT_MS): Promise<boolean> {
    if (this.#stopped || this.#closing.aborted) return false
    const signal = AbortSignal.any([this.#closing, AbortSignal.timeout(timeoutMs)])
    try {
      await this.#with.dial(withPeer(id, addresses), signal)
    } catch (error: unknown) {
      this.#with.log('peer not reached', { peer: id, reason: asError(error).message })
      if (!(error instanceof ViolinError && error.code === 'not-a-member')) return true
      this.#noteRefused(id)
      return false
    }
    return true
  }

  #noteRefused(id: HostId): void {
    this.#refusedAt.delete(id)
    if (this.#refusedAt.size >= MAX_HEARD) this.#refusedAt.delete([...this.#refusedAt.keys()][0] as HostId)
    this.#refusedAt.set(id, performance.now())
  }
}

/** Who answers at a remembered address must be the peer that is remembered there. */
function withPeer(id: HostId, addresses: readonly string[]): readonly string[] {
  return addresses.map((address) => (address.includes('/p2p/') ? address : `${address}/p2p/${id}`))
}

/** Both sides of a lost connection dial: they should not do it at the same moment. */
function jittered(delayMs: number): number {
  return delayMs * (0.5 + Math.random() / 2)
}

/** The same in an order by chance. */
export function shuffled<T>(items: readonly T[]): T[] {
  const keyed = items.map((item) => ({ item, order: Math.random() }))
  return keyed.toSorted((a, b) => a.order - b.order).map(({ item }) => item)
}

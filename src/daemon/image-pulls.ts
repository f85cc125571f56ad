/** Pulls of images that are under way: one for each image, however many wait for it, until nobody does. */
import type { HostId } from '#core/ids.ts'
import type { ImageHash } from '#core/image.ts'
import { pullImage, type PullOptions, type PullProgress } from '#images/pull.ts'
import type { ImageStore } from '#images/store.ts'
import type { Mesh } from '#mesh/contract.ts'
import type { ImageExchange } from './image-exchange.ts'
import type { Peers } from './peers.ts'

/** Who waits for an image; the signal: no longer. */
export interface Waiter {
  /** What it calls the image; null: nothing. */
  readonly name: string | null
  readonly told: (progress: PullProgress) => void
  readonly signal: AbortSignal
}

/** One under way. Invariant: somebody waits for it, or it is stopped. */
interface Pull {
  readonly done: Promise<void>
  readonly stop: AbortController
  readonly waiting: Set<Waiter>
  progress: PullProgress | null
}

export interface ImagePullsParts {
  readonly store: ImageStore
  readonly mesh: Mesh
  readonly peers: Pick<Peers, 'reach'>
  readonly exchange: ImageExchange
}

export class ImagePulls {
  readonly #parts: ImagePullsParts
  readonly #pulls = new Map<ImageHash, Pull>()
  readonly #closing = new AbortController()

  constructor(parts: ImagePullsParts) {
    this.#parts = parts
  }

  close(): void {
    this.#closing.abort(new Error('the daemon ends'))
  }

  /** What is pulled. */
  images(): Iterable<ImageHash> {
    return this.#pulls.keys()
  }

  has(image: ImageHash): boolean {
    return this.#pulls.has(image)
  }

  /** How far a pull is; null: it is at its beginning. */
  progressOf(image: ImageHash): PullProgress | null {
    return this.#pulls.get(image)?.progress ?? null
  }

  /** What those who wait for an image call it. */
  namesOf(image: ImageHash): string[] {
    const waiting = [...(this.#pulls.get(image)?.waiting ?? [])]
    return waiting.map(({ name }) => name).filter((name) => name !== null)
  }

  /** Resolves when an image is here. `firstHosts` are asked for it first. Throws ViolinError, and the signal's reason. */
  async wait(
    image: ImageHash,
    firstHosts: readonly HostId[],
    waiter: Waiter,
    accept?: PullOptions['accept']
  ): Promise<void> {
    let pull = this.#pulls.get(image)
    for (; pull?.stop.signal.aborted === true; pull = this.#pulls.get(image))
      await pull.done.catch(() => undefined)
    waiter.signal.throwIfAborted()
    pull ??= this.#begin(image, firstHosts, accept)
    pull.waiting.add(waiter)
    if (pull.progress !== null) waiter.told(pull.progress)
    try {
      await Promise.race([pull.done, rejected(waiter.signal)])
    } finally {
      pull.waiting.delete(waiter)
      if (pull.waiting.size === 0) {
        pull.stop.abort(new Error('nobody waits for it any more'))
        await pull.done.catch(() => undefined)
      }
    }
  }

  #begin(image: ImageHash, firstHosts: readonly HostId[], accept: PullOptions['accept']): Pull {
    const stop = new AbortController()
    const signal = AbortSignal.any([this.#closing.signal, stop.signal])
    const told = (progress: PullProgress): void => {
      pull.progress = progress
      for (const waiter of pull.waiting) waiter.told(progress)
    }
    const pulled = async (): Promise<void> => {
      const { store, mesh, peers, exchange } = this.#parts
      await Promise.all(firstHosts.map((host) => peers.reach(host).catch(() => undefined)))
      const hosts = (): HostId[] => {
        const there = mesh.members()
        const first = firstHosts.filter((host) => there.includes(host))
        return [...first, ...there.filter((host) => !first.includes(host))]
      }
      const fetch = exchange.partsOf(image, hosts)
      await pullImage(store, image, { fetch, told, signal, ...(accept === undefined ? {} : { accept }) })
    }
    const done = pulled().finally(() => this.#pulls.delete(image))
    const pull: Pull = { done, stop, waiting: new Set(), progress: null }
    this.#pulls.set(image, pull)
    return pull
  }
}

/** Rejects with the signal's reason when it aborts. */
function rejected(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const giveUp = (): void => reject(signal.reason as Error)
    if (signal.aborted) giveUp()
    else signal.addEventListener('abort', giveUp, { once: true })
  })
}

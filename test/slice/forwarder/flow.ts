/** A steady flow of numbered frames between two machines, both ways, and what of it was lost, doubled or late. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

/** Two hundred frames a second each way. */
const everyMs = 5
/** A flow that does not come through again by then does not. */
const throughMs = 20_000

/** A machine: path of its network namespace, and its address on the vLAN. */
export interface FlowEnd {
  readonly namespace: string
  readonly ip: string
}

export interface FlowPlan {
  readonly ends: readonly [FlowEnd, FlowEnd]
  readonly everyMs: number
}

export type FlowOrder = { readonly kind: 'mark' } | { readonly kind: 'stop' }

export type FlowAnswer =
  | { readonly kind: 'through' }
  | { readonly kind: 'done'; readonly ways: readonly [OneWay, OneWay] }

/** Of each frame by its number when it was sent and when it came, ms since 1970 by the monotonic clock; null: it did not. */
export interface OneWay {
  readonly sentMs: readonly number[]
  readonly cameMs: readonly (number | null)[]
  readonly doubled: number
}

/** What was noticed, of the way that was worse. */
export interface Noticed {
  /** Longest time between two arrivals. */
  readonly gapMs: number
  readonly lost: number
  readonly doubled: number
  readonly ways: readonly [OneWay, OneWay]
}

export class Flow implements AsyncDisposable {
  readonly #worker: Worker

  private constructor(worker: Worker) {
    this.#worker = worker
  }

  /** Starts a flow; resolves when it comes through. */
  static async start(left: FlowEnd, right: FlowEnd): Promise<Flow> {
    const plan: FlowPlan = { ends: [left, right], everyMs }
    const flow = new Flow(new Worker(new URL('./flow-worker.ts', import.meta.url), { workerData: plan }))
    try {
      await flow.through()
      return flow
    } catch (error: unknown) {
      await flow[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Resolves when frames sent from now on come through, many in a row each way. */
  async through(timeoutMs: number = throughMs): Promise<void> {
    this.#order({ kind: 'mark' })
    await this.#answer('through', timeoutMs)
  }

  /** Ends it; gives what was noticed. */
  async stop(): Promise<Noticed> {
    this.#order({ kind: 'stop' })
    const answer = await this.#answer('done', throughMs)
    await this[Symbol.asyncDispose]()
    if (answer.kind !== 'done') throw new Error('unreachable')
    return noticed(answer.ways)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate()
  }

  async #answer(kind: FlowAnswer['kind'], timeoutMs: number): Promise<FlowAnswer> {
    const signal = AbortSignal.timeout(timeoutMs)
    for (;;) {
      const [answer] = (await once(this.#worker, 'message', { signal })) as [FlowAnswer]
      if (answer.kind === kind) return answer
    }
  }

  #order(order: FlowOrder): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker.postMessage(order)
  }
}

/** Gap, losses and doubles of two ways. */
export function noticed(ways: readonly [OneWay, OneWay]): Noticed {
  const [left, right] = ways.map((way) => {
    const came = way.cameMs.filter((at) => at !== null).toSorted((a, b) => a - b)
    let gapMs = 0
    for (let i = 1; i < came.length; i++)
      gapMs = Math.max(gapMs, (came[i] as number) - (came[i - 1] as number))
    return { gapMs, lost: way.cameMs.length - came.length, doubled: way.doubled }
  }) as [{ gapMs: number; lost: number; doubled: number }, { gapMs: number; lost: number; doubled: number }]
  return {
    gapMs: Math.max(left.gapMs, right.gapMs),
    lost: left.lost + right.lost,
    doubled: left.doubled + right.doubled,
    ways
  }
}

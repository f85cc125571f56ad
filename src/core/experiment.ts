/**
 * An experiment: steps that begin at times or after one another. What begins when is decided here, from times
 * that are handed in; cli/experiment carries it out and says how each step ended.
 */
import type { LinkField } from './link.ts'

/** When a step begins: so long after the VIOLIN runs, or after another step did what it should. */
export type When =
  | { readonly kind: 'at'; readonly atMs: number }
  | { readonly kind: 'after'; readonly step: string; readonly waitMs: number }

export type Action =
  | {
      readonly kind: 'exec'
      readonly entity: string
      /** A line for the shell inside. */
      readonly run: string
      /** Its status when it did what it should; null: any. */
      readonly expect: number | null
      /** Tried again after so long until it does; null: tried once. */
      readonly retryMs: number | null
    }
  | {
      readonly kind: 'link'
      readonly entity: string
      readonly nic: string
      readonly reset: boolean
      readonly set: Readonly<Partial<Record<LinkField, number>>>
      readonly down: boolean | null
    }
  | { readonly kind: 'power'; readonly entity: string; readonly turns: readonly boolean[] }
  | { readonly kind: 'migrate'; readonly entity: string; readonly to: string }
  | { readonly kind: 'gather'; readonly entity: string; readonly files: readonly string[] }
  | {
      readonly kind: 'capture'
      /** `ENTITY:NIC`, or a vLAN. */
      readonly target: string
      /** How long; null: until nothing else is left to do. */
      readonly forMs: number | null
    }

export interface Step {
  /** Unique, and a name for a file. */
  readonly name: string
  readonly when: When
  readonly action: Action
  readonly timeoutMs: number
}

/** What is to begin next. Invariant: each step begins once or never. */
export class Schedule<S extends Pick<Step, 'name' | 'when'>> {
  readonly #waiting: S[]
  readonly #running = new Set<string>()
  /** When a step that did what it should had done it. */
  readonly #done = new Map<string, number>()
  readonly #failed = new Set<string>()

  constructor(steps: readonly S[]) {
    this.#waiting = [...steps]
  }

  /** Takes the steps whose time has come, the earliest first, of one time in the order of the file. */
  due(nowMs: number): S[] {
    const begun = this.#waiting
      .map((step) => ({ step, atMs: this.#beginMs(step) }))
      .filter(({ atMs }) => atMs <= nowMs)
      .toSorted((a, b) => a.atMs - b.atMs)
      .map(({ step }) => step)
    for (const step of begun) {
      this.#waiting.splice(this.#waiting.indexOf(step), 1)
      this.#running.add(step.name)
    }
    return begun
  }

  /**
   * A step that had begun ended, and did what it should or did not. One that goes on in the background, as a capture
   * does once it captures, ends here when it has begun to.
   */
  ended(name: string, good: boolean, nowMs: number): void {
    if (!this.#running.delete(name)) return
    if (good) this.#done.set(name, nowMs)
    else this.#failed.add(name)
  }

  /** When the next step begins, as far as that is known; Infinity: not before another ended. */
  get nextMs(): number {
    return Math.min(Infinity, ...this.#waiting.map((step) => this.#beginMs(step)))
  }

  /** Nothing runs, and nothing will. */
  get over(): boolean {
    return this.#running.size === 0 && this.nextMs === Infinity
  }

  /** Steps that will never begin, for what they wait for failed, once all is {@link over}. */
  get left(): readonly S[] {
    return this.#waiting
  }

  #beginMs({ when }: S): number {
    if (when.kind === 'at') return when.atMs
    const done = this.#done.get(when.step)
    return done === undefined ? Infinity : done + when.waitMs
  }
}

/** A step that waits for itself, through others or at once; null: none does. */
export function findCycle(steps: readonly Pick<Step, 'name' | 'when'>[]): string | null {
  const waitsFor = new Map(
    steps.map(({ name, when }) => [name, when.kind === 'after' ? when.step : null] as const)
  )
  for (const [first] of waitsFor) {
    let at: string | null | undefined = first
    // A chain without a loop has no more links than there are steps.
    for (let links = 0; at !== null && at !== undefined; links++) {
      at = waitsFor.get(at)
      if (links > steps.length) return first
    }
  }
  return null
}

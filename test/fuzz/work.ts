/**
 * How much a decoder does for an input, counted and not timed: blocks of code that ran, as V8 counts them for
 * coverage. The same on every machine, however busy.
 */
import { Session } from 'node:inspector'
import type { Profiler } from 'node:inspector'

export class WorkCounter implements Disposable {
  readonly #session = new Session()

  constructor() {
    this.#session.connect()
    this.#session.post('Profiler.enable')
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  }

  /** Blocks of the project's source and of what it decodes with that ran since the last call. */
  take(): number {
    let blocks = 0
    this.#session.post(
      'Profiler.takePreciseCoverage',
      (error, result?: Profiler.TakePreciseCoverageReturnType) => {
        if (error !== null) throw error
        for (const { url, functions } of result?.result ?? []) {
          if (!/\/(src|node_modules\/(cborg|zod|yaml))\//.test(url)) continue
          for (const { ranges } of functions) for (const { count } of ranges) blocks += count
        }
      }
    )
    return blocks
  }

  [Symbol.dispose](): void {
    this.#session.disconnect()
  }
}

/** Steps of a demonstration, told as they finish: a tick, what, how long; or what went wrong. */
import { styleText } from 'node:util'

export interface Step {
  readonly name: string
  readonly ok: boolean
  readonly ms: number
}

/** A step whose failure was told; nothing after it makes sense. */
export class StepFailed extends Error {}

export class Steps {
  readonly done: Step[] = []
  readonly #out: NodeJS.WriteStream
  readonly #started = performance.now()
  #stopped = false

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
  }

  get ok(): boolean {
    return this.done.every(({ ok }) => ok)
  }

  get elapsedMs(): number {
    return performance.now() - this.#started
  }

  /** Does one step. `work` gives what it is worth saying about, or nothing. Throws StepFailed. */
  async step(name: string, work: () => Promise<string | void>): Promise<void> {
    const started = performance.now()
    if (this.#stopped) throw new StepFailed(name)
    if (this.#out.isTTY) this.#out.write(`  ${name} …`)
    try {
      const said = await work()
      this.#finish(name, true, performance.now() - started, said ?? '')
    } catch (error: unknown) {
      this.#finish(
        name,
        false,
        performance.now() - started,
        error instanceof Error ? error.message : String(error)
      )
      throw new StepFailed(name, { cause: error })
    }
  }

  /** Prints lines below the last step. */
  show(text: string): void {
    for (const line of text.trimEnd().split('\n')) this.#out.write(`      ${line}\n`)
  }

  /** Prints a line. */
  say(line: string): void {
    this.#out.write(`${line}\n`)
  }

  /** Says why it ends here; what the current step still does is not told. */
  stop(line: string): void {
    if (this.#out.isTTY) this.#out.write('\r\x1b[K')
    this.say(line)
    this.#stopped = true
  }

  #finish(name: string, ok: boolean, ms: number, said: string): void {
    if (this.#stopped) return
    this.done.push({ name, ok, ms: Math.round(ms) })
    if (this.#out.isTTY) this.#out.write('\r\x1b[K')
    const mark = styleText(ok ? 'green' : 'red', ok ? '✔' : '✖', { stream: this.#out })
    this.#out.write(
      `${mark} ${name} ${styleText('dim', `(${(ms / 1000).toFixed(1)} s)`, { stream: this.#out })}\n`
    )
    if (said !== '') this.show(said)
  }
}

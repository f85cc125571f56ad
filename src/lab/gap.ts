/** How long a vLAN was silent: pings at a short interval from inside, and the longest run that had no answer. */
import type { LabHost } from './host.ts'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

const intervalMs = 10

export interface Silence {
  /** Longest time between two pings that were answered, 10 ms when none is missing. */
  readonly gapMs: number
  readonly sent: number
  readonly lost: number
}

/** A running ping of 10 ms intervals. */
export class Pinging {
  readonly #done: Promise<readonly Reply[]>
  readonly #replies: Reply[] = []
  readonly #waiting = new Set<() => void>()
  #complaint = ''

  /** Pings `address` from inside `target` (`VIOLIN/ENTITY`), asked for at `host`, `count` times. */
  constructor(host: LabHost, target: string, address: string, count: number) {
    const ping = ['ping', '-i', String(intervalMs / 1000), '-c', String(count), address]
    const child = host.spawn(host.command('exec', target, '--', ...ping))
    child.stdin?.end()
    child.stderr?.on('data', (chunk: Buffer) => (this.#complaint += chunk.toString()))
    const ended = Promise.withResolvers<readonly Reply[]>()
    const lines = createInterface({ input: child.stdout as Readable })
    lines.on('line', (line) => {
      const seq = /seq=(\d+)/.exec(line)?.[1]
      if (seq === undefined) return
      this.#replies.push({ seq: Number(seq), at: performance.now() })
      for (const look of this.#waiting) look()
    })
    lines.once('close', () => {
      ended.resolve(this.#replies)
      for (const look of this.#waiting) look()
    })
    this.#done = ended.promise
    child.once('error', ended.reject)
  }

  /** Resolves when so many were answered; throws when it ended before. */
  async answered(count: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const look = (): void => {
      if (this.#replies.length >= count) resolve()
    }
    this.#waiting.add(look)
    look()
    await Promise.race([promise, this.#done])
    this.#waiting.delete(look)
    if (this.#replies.length < count) throw new Error(`only ${this.#replies.length} pings were answered`)
  }

  /** Waits for its end. Throws when pings were not answered at the end: the silence lasts. */
  async silence(count: number): Promise<Silence> {
    const replies = await this.#done
    try {
      return silenceOf(replies, count)
    } catch (error: unknown) {
      throw new Error(`${(error as Error).message} ${this.#complaint.trim()}`, { cause: error })
    }
  }
}

interface Reply {
  readonly seq: number
  /** When it was heard of here, ms. */
  readonly at: number
}

/** The longest silence among replies to pings 0 to `count` - 1. */
export function silenceOf(replies: readonly Reply[], count: number): Silence {
  const [first, last] = [replies[0], replies.at(-1)]
  // The last ones may be on their way when ping gives up waiting.
  if (first === undefined || last === undefined || last.seq < count - 5)
    throw new Error(`no answer any more after ping ${last?.seq ?? 0} of ${count}`)
  // A guest that is busy pings less often than asked; how often shows in when the answers came.
  const realMs = Math.max(intervalMs, (last.at - first.at) / Math.max(1, last.seq - first.seq))
  let longest = 1
  for (let place = 1; place < replies.length; place++)
    longest = Math.max(longest, (replies[place] as Reply).seq - (replies[place - 1] as Reply).seq)
  return {
    gapMs: Math.round(longest * realMs),
    sent: count,
    lost: count - new Set(replies.map(({ seq }) => seq)).size
  }
}

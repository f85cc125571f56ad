/**
 * What a host knows of the way to another: when it heard it, and since when it knows itself heard.
 */
import type { HostKey, Instant } from '../ids.ts'
import type { Message } from './message.ts'

const never = -Infinity as Instant

/** Ticks of a stamp in a millisecond: messages of one turn have stamps of their own. */
const ticksPerMs = 16
/** An echo that is older says nothing; nor is a message stale to one that heard nothing for so long. */
const memoryMs = 60_000

/** The sender's clock in sixteenths of a millisecond modulo 2³², each later than the one before, never 0. */
export function nextStamp(now: Instant, before: number): number {
  const stamp = Math.floor((now * ticksPerMs) % 2 ** 32) >>> 0
  const later = before === 0 || ((stamp - before) | 0) > 0 ? stamp : (before + 1) >>> 0
  return later || 1
}

/**
 * What hearing a message told about its sender. `stale`: it is older than one heard before and says nothing.
 * `restarted`: the sender began anew since and remembers nothing.
 */
export type Hearing = 'stale' | 'heard' | 'restarted'

export class Peer {
  readonly key: HostKey
  /** The trunk has a path. */
  up = false
  rttMs = 0
  /** Newest stamp heard, for the echo; 0: none. */
  stamp = 0
  /** When anything came from it. */
  heardAt: Instant = never
  /** When the newest message was sent that it is known to have heard. */
  echoedAt: Instant = never
  /** When its kernel, or its trunk's end, first said that nobody is there; null: not since it was heard. */
  refusedAt: Instant | null = null
  probedAt: Instant = never
  #life = 0

  constructor(key: HostKey) {
    this.key = key
  }

  /** Whether it was refused since it was heard last. */
  get refused(): boolean {
    return this.refusedAt !== null
  }

  /** Takes note of a refusal: the first since it was heard counts. */
  refuse(now: Instant): void {
    this.refusedAt ??= now
  }

  /** Takes note of a sign of life. */
  alive(now: Instant): void {
    this.heardAt = now
    this.refusedAt = null
  }

  /** Takes note of a message's header. */
  hear(message: Message, now: Instant): Hearing {
    const sameLife = message.life === this.#life
    const recent = now - this.heardAt < memoryMs
    if (sameLife && recent && ((message.stamp - this.stamp) | 0) < 0) return 'stale'
    const restarted = !sameLife && this.#life !== 0
    this.#life = message.life
    this.stamp = message.stamp
    this.alive(now)
    if (restarted) this.echoedAt = never
    if (message.echo !== 0) this.#echoed(message.echo, now)
    return restarted ? 'restarted' : 'heard'
  }

  #echoed(echo: number, now: Instant): void {
    const ticks = (nextStamp(now, 0) - echo) | 0
    const at = now - Math.max(0, ticks) / ticksPerMs
    if (now - at < memoryMs && at > this.echoedAt) this.echoedAt = at as Instant
  }
}

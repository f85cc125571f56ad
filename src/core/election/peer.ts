/**
 * What a host knows of the way to another: when it heard it, and since when it knows itself heard.
 */
import type { HostKey, Instant } from '../ids.ts'
import type { Message } from './message.ts'

const never = -Infinity as Instant

/** What a stamp says of `now`: ms modulo 2³², never 0. */
export function stampOf(now: Instant): number {
  return Math.floor(now) >>> 0 || 1
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
  /** When its kernel, or its trunk's end, said that nobody is there. */
  refusedAt: Instant = never
  probedAt: Instant = never
  #life = 0

  constructor(key: HostKey) {
    this.key = key
  }

  /** Whether it was refused since it was heard last. */
  get refused(): boolean {
    return this.refusedAt > this.heardAt
  }

  /** Takes note of a message's header. */
  hear(message: Message, now: Instant): Hearing {
    const sameLife = message.life === this.#life
    if (sameLife && ((message.stamp - this.stamp) | 0) < 0) return 'stale'
    const restarted = !sameLife && this.#life !== 0
    this.#life = message.life
    this.stamp = message.stamp
    this.heardAt = now
    if (restarted) this.echoedAt = never
    const age = (stampOf(now) - message.echo) >>> 0
    if (message.echo !== 0 && age < 60_000 && now - age > this.echoedAt)
      this.echoedAt = (now - age) as Instant
    return restarted ? 'restarted' : 'heard'
  }
}

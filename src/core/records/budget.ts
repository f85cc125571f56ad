/**
 * How often a key's records are passed on: a token bucket for each author (RFC 2697's committed rate, in
 * records), and a wider one for each branch of the chain above it, so that an admin gains nothing by making
 * many keys. What a relay does not pass on still comes by anti-entropy, only slower.
 */
import type { Chain } from '../admission/chain.ts'
import type { PublicKey } from '../ids.ts'

/** Records that an author may publish at once. */
export const authorBurst = 8
/** Time in which one more is earned, ms. */
export const authorRefillMs = 5000
/** The same for all authors under one host or token together. */
export const branchBurst = 1024
export const branchRefillMs = 20
/** Buckets kept; the longest untouched go first, which fills them: 10,000 hosts with owner keys fit. */
export const maxBuckets = 32_768

interface Bucket {
  level: number
  at: number
}

export class AuthorBudget {
  readonly #authors = new Map<PublicKey, Bucket>()
  readonly #branches = new Map<PublicKey, Bucket>()

  /**
   * Whether one more record of this author may be passed on now; it then counts. `now` is any clock in ms
   * that does not go back. The mesh root (null) has no limit.
   */
  take(chain: Chain | null, now: number): boolean {
    if (chain === null) return true
    const buckets = [level(this.#authors, chain.subject, authorBurst, authorRefillMs, now)]
    // The founding link is the whole mesh, no branch of it.
    for (const link of chain.path.slice(1, -1)) {
      buckets.push(level(this.#branches, link.subject, branchBurst, branchRefillMs, now))
    }
    if (buckets.some((bucket) => bucket.level < 1)) return false
    for (const bucket of buckets) bucket.level -= 1
    return true
  }
}

function level(
  buckets: Map<PublicKey, Bucket>,
  key: PublicKey,
  burst: number,
  refillMs: number,
  now: number
): Bucket {
  const bucket = buckets.get(key) ?? { level: burst, at: now }
  bucket.level = Math.min(burst, bucket.level + Math.max(0, now - bucket.at) / refillMs)
  bucket.at = now
  buckets.delete(key)
  if (buckets.size >= maxBuckets) buckets.delete(buckets.keys().next().value as PublicKey)
  buckets.set(key, bucket)
  return bucket
}

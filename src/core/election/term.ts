/**
 * Terms: (counter, host), compared as a whole.
 */
import type { Term } from './types.ts'

/** Negative when `left` is the older, 0 when they are the same. */
export function compareTerms(left: Term, right: Term): number {
  if (left.counter !== right.counter) return left.counter - right.counter
  if (left.host === right.host) return 0
  return left.host < right.host ? -1 : 1
}

/** Whether both are terms, and the same. */
export function sameTerm(left: Term | null, right: Term | null): boolean {
  return left !== null && right !== null && left.counter === right.counter && left.host === right.host
}

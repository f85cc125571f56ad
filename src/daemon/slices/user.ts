/**
 * A user id of its own for each slice of a root daemon, from a range that no distribution gives to anybody.
 */
import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { ViolinError } from '#core/errors.ts'
import { usersInUse } from './process.ts'

/** Above what is given to people and containers (subuid(5)), below where ids become special. */
const range = { first: 0x7000_0000, last: 0x7fff_0000 } as const
/** Inside of a container that maps few ids: Debian keeps these free for local use (policy 9.2.2). */
const smallRange = { first: 61_184, last: 64_999 } as const
const attempts = 100

/** An id that neither a process here has, nor `taken` says. Throws ViolinError `refused` when there is none. */
export function freeUser(taken: ReadonlySet<number>): number {
  const { first, last } = mapped(range) ? range : smallRange
  const used = usersInUse()
  for (let attempt = 0; attempt < attempts; attempt++) {
    const id = randomInt(first, last + 1)
    if (!used.has(id) && !taken.has(id)) return id
  }
  throw new ViolinError('refused', 'no free user id for a slice', 'give this container more user ids')
}

/** Whether this user namespace has all of a range. */
function mapped(ids: { readonly first: number; readonly last: number }): boolean {
  return readFileSync('/proc/self/uid_map', 'utf8')
    .trim()
    .split('\n')
    .some((line) => {
      const [from, , count] = line.trim().split(/\s+/).map(Number)
      return from !== undefined && count !== undefined && from <= ids.first && from + count > ids.last
    })
}

/**
 * Something that must hold all along, in every world.
 */
import type { Seen } from '../seen.ts'
import type { World } from '../world.ts'

export interface Invariant {
  readonly name: string
  readonly why: string
  /** A watcher of one world; it tells the world what is violated. */
  watch(world: World): Watcher
}

export interface Watcher {
  /** At every event. */
  readonly see?: (seen: Seen) => void
  /** At whole states, four times a second. */
  readonly look?: () => void
  /** When the run is over, after the time of rest. */
  readonly end?: () => void
}

/**
 * One run: a scenario, a seed, all invariants watching.
 */
import type { Bug } from './bugs.ts'
import { invariants } from './invariants/list.ts'
import type { HostKey } from '#core/ids.ts'
import type { Scenario } from './scenario.ts'
import type { Seen } from './seen.ts'
import { describeLine, lanPrefix } from './sketch.ts'
import { settleMs, type Violation, World } from './world.ts'

/** How often invariants look at the whole world. */
const lookEveryMs = 250
/** In a world of so many the diagram shows whom each holds dead. */
const drawnHosts = 64
/** Events shown of a failing run. */
const shownEvents = 40

export interface Outcome {
  readonly world: World
  /** The first; null: all held. */
  readonly violation: Violation | null
  /** Simulated time that passed. */
  readonly ms: number
  /** Of it, since the mesh had settled. */
  readonly settledMs: number
}

export interface RunOptions {
  readonly seed: number
  readonly bugs?: ReadonlySet<Bug>
  /** Keeps messages too, for a diagram: a run that is repeated to be looked at. */
  readonly drawn?: boolean
  /** Told of the world before it runs: for measuring. */
  readonly prepare?: (world: World) => void
  /** Told when the mesh has settled: all have met, and what the scenario tells begins. */
  readonly settled?: () => void
}

/** Runs a scenario to its end, or to the first invariant that does not hold. */
export function runScenario(scenario: Scenario, options: RunOptions): Outcome {
  const world = new World(scenario, options)
  const watchers = invariants.map((invariant) => invariant.watch(world))
  for (const { see } of watchers) if (see !== undefined) world.watch(see)
  world.watch((seen) => draw(world, seen))
  options.prepare?.(world)
  world.begin()
  if (options.settled !== undefined) world.clock.at(settleMs, options.settled)
  world.run(() => {
    for (const watcher of watchers) watcher.look?.()
  }, lookEveryMs)
  if (world.violations.length === 0) for (const watcher of watchers) watcher.end?.()
  const { now } = world.clock
  return { world, violation: world.violations[0] ?? null, ms: now, settledMs: Math.max(0, now - settleMs) }
}

/** Notes what a person wants to see of a failing run. */
function draw(world: World, seen: Seen): void {
  switch (seen.kind) {
    case 'view': {
      const { role, term, active, standby } = seen.view
      const name = (key: HostKey | null): string => (key === null ? 'nobody' : String(world.byKey(key).place))
      const text = role === 'edge' ? `follows ${name(active)}` : `${role}, standby ${name(standby)}`
      return world.log(`${lanPrefix(seen.lan)}${text}, term ${term}`, seen.host)
    }
    case 'trunk':
      return world.log(`trunk to ${seen.peer} ${seen.up ? 'up' : 'down'}`, seen.host)
    case 'joined':
      return world.log(`joined at ${seen.at}, slot ${seen.slot}`, seen.host)
    case 'life':
      // In a large world everyone tells of every death.
      if (world.hosts.length <= drawnHosts) world.log(`holds ${seen.about} ${seen.state}`, seen.host)
      return
    case 'entity':
      return world.log(`${seen.name} is ${seen.state} under claim ${seen.claim}`, seen.host)
    case 'displaced':
      return world.log('lost its slot', seen.host)
    case 'fault':
    case 'moved':
    case 'effect':
    case 'frame':
    case 'sent':
    case 'delivered':
    case 'record':
      return
  }
}

/** The last events before a violation, a line each. */
export function lastEvents(world: World): readonly string[] {
  return world.events.slice(-shownEvents).map(describeLine)
}

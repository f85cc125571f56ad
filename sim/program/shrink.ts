/** The least of a world and of what befell it that still breaks the same invariant. */
import type { Bug } from '../bugs.ts'
import { runScenario } from '../run.ts'
import type { Scenario } from '../scenario.ts'
import type { Found } from '../swarm.ts'
import {
  type Places,
  unnamedHosts,
  withEntities,
  withoutHosts,
  withoutInvites,
  withoutLans,
  withoutSteps,
  withoutViolins
} from '../without.ts'
import { possibleOf } from './scenario-file.ts'

/** Runs that shrinking may cost. */
const maxShrinkRuns = 60

/** A list in a scenario, any of which may be left out. */
interface Part {
  readonly count: (made: Scenario) => number
  readonly without: (made: Scenario, gone: Places) => Scenario
}

const violins: Part = { count: (made) => made.violins.length, without: withoutViolins }
const lans: Part = { count: (made) => made.lans.length, without: withoutLans }
const invites: Part = { count: (made) => made.invites.length, without: withoutInvites }
const steps: Part = { count: (made) => made.steps.length, without: withoutSteps }
/** All but the founder, without whom there is no mesh. */
const others: Part = {
  count: (made) => made.hosts + made.newcomers - 1,
  without: (made, gone) => withoutHosts(made, new Set([...gone].map((place) => place + 1)))
}

/**
 * Leaves out what can be: of the world as a whole, then list by list, halves before single ones, again as long as
 * something goes, for what one hid another may not. What befell it comes before its hosts: with other hosts at other
 * places chance is another, which a bug that takes a rare moment does not survive.
 */
export function shrink(found: Found, bugs: ReadonlySet<Bug>): Found {
  let best = found
  let runs = 0
  const tried = new Set([JSON.stringify(found.scenario)])
  /** Keeps a scenario that still fails in the same way. */
  const tries = (made: Scenario): boolean => {
    if (runs >= maxShrinkRuns) return false
    const scenario = possibleOf(made)
    if (scenario === null) return false
    const text = JSON.stringify(scenario)
    if (tried.has(text)) return false
    tried.add(text)
    runs++
    const outcome = runScenario(scenario, { seed: best.seed, bugs })
    const same = outcome.violation?.invariant === best.outcome.violation?.invariant
    if (same) best = { ...best, scenario, outcome }
    return same
  }
  const thin = ({ count, without }: Part): void => {
    for (let size = count(best.scenario); size >= 1; size = Math.floor(size / 2))
      for (let from = 0; from < count(best.scenario) && runs < maxShrinkRuns;) {
        const gone = new Set(Array.from({ length: size }, (_, i) => from + i))
        if (!tries(without(best.scenario, gone))) from += size
      }
  }
  let before: Found
  do {
    before = best
    tries({ ...best.scenario, stalls: null })
    tries(withoutNewcomers(best.scenario))
    if (!tries(withEntities(best.scenario, 0))) tries(withEntities(best.scenario, 1))
    tries({ ...best.scenario, liveness: false })
    tries({ ...best.scenario, records: false })
    thin(violins)
    thin(lans)
    thin(invites)
    thin(steps)
    tries(withoutHosts(best.scenario, unnamedHosts(best.scenario)))
    thin(others)
  } while (best !== before)
  return best
}

function withoutNewcomers(made: Scenario): Scenario {
  const newcomers = Array.from({ length: made.newcomers }, (_, i) => made.hosts + i)
  return { ...withoutHosts(made, new Set(newcomers)), invites: [] }
}

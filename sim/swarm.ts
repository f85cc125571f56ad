/**
 * Random scenarios: whatever may befall a mesh, at random, and the least of it that still breaks an invariant.
 */
import type { Bug } from './bugs.ts'
import type { Fault, Step } from './faults.ts'
import { lan, rough, wide } from './network.ts'
import { Random } from './random.ts'
import { type Outcome, runScenario } from './run.ts'
import { type LanPlan, type Scenario, scenario } from './scenario.ts'

/** Faults begin within this time. */
const faultsForMs = 20_000
/** After the last one records have this long to converge. */
const restMs = 40_000
/** Runs that shrinking may cost. */
const maxShrinkRuns = 60

/** A world and what befalls it, all by chance. */
export function randomScenario(seed: number, hosts: number): Scenario {
  const random = new Random(seed, 'swarm')
  const newcomers = random.below(6)
  const count = 1 + random.below(8)
  const steps = Array.from({ length: count }, (): Step => ({
    atMs: Math.round(random.next() * faultsForMs),
    fault: randomFault(random, hosts)
  }))
  steps.push(...storm(random, hosts, newcomers))
  steps.sort((a, b) => a.atMs - b.atMs)
  return scenario(`swarm`, 'whatever chance brings', hosts, {
    newcomers,
    invites: [1 + random.below(4)],
    network: random.pick([lan, rough, wide]),
    lans: randomLans(random, hosts),
    stalls: random.chance(0.3) ? { everyMs: 10_000, ms: 300 } : null,
    steps,
    restMs
  })
}

/** Newcomers that ask at about the same time, with half of the hosts cut off from the rest now and then. */
function storm(random: Random, hosts: number, newcomers: number): Step[] {
  const atMs = Math.round(random.next() * faultsForMs)
  const steps: Step[] = Array.from({ length: newcomers }, (_, i) => ({
    atMs: atMs + random.below(2_000),
    fault: { kind: 'join', host: hosts + i, invite: 0, via: random.below(hosts) }
  }))
  if (newcomers < 2 || random.chance(0.5)) return steps
  const all = Array.from({ length: hosts + newcomers }, (_, place) => place)
  const half = random.sample(all, Math.floor(all.length / 2))
  return [{ atMs, fault: { kind: 'partition', hosts: half, forMs: 8_000 } }, ...steps]
}

function randomLans(random: Random, hosts: number): LanPlan[] {
  const all = Array.from({ length: hosts }, (_, place) => place)
  return Array.from({ length: 1 + random.below(3) }, () => {
    const members = random.sample(all, Math.min(hosts, 2 + random.below(7)))
    const candidates = random.chance(0.5) ? members : random.sample(members, 1 + random.below(3))
    return { hosts: members, candidates }
  })
}

function randomFault(random: Random, hosts: number): Fault {
  const host = random.chance(0.4) ? random.pick(['active', 'standby'] as const) : random.below(hosts)
  const forMs = Math.round(random.pick([200, 1_000, 4_000, 10_000]) * random.between(0.5, 1.5))
  switch (random.below(10)) {
    case 0:
      return { kind: 'kill', host, forMs }
    case 1:
      return { kind: 'power', host, forMs }
    case 2:
      return { kind: 'stall', host, part: random.pick(['worker', 'main', 'daemon', 'all'] as const), forMs }
    case 3: {
      const [from, to] = random.sample([...Array(hosts).keys()], 2) as [number, number]
      const pair = random.chance(0.5) ? ([['active'], ['standby']] as const) : ([[from], [to]] as const)
      return { kind: 'cut', from: pair[0], to: pair[1], both: random.chance(0.5), forMs }
    }
    case 4:
      return { kind: 'cut', from: [host], to: null, both: random.chance(0.3), forMs }
    case 5: {
      const from = [...Array(hosts).keys()]
      return { kind: 'cut', from, to: [host], both: false, forMs }
    }
    case 6: {
      const part = random.sample([...Array(hosts).keys()], 1 + random.below(hosts - 1))
      return { kind: 'partition', hosts: part, forMs }
    }
    case 7:
      return { kind: 'handoff', to: null }
    case 8:
      return random.chance(0.7)
        ? { kind: 'publish', host: random.below(hosts) }
        : { kind: 'lie', host: random.below(hosts) }
    default:
      return { kind: 'no-gossip', forMs }
  }
}

export interface Found {
  readonly seed: number
  readonly scenario: Scenario
  readonly outcome: Outcome
}

/** Runs seeds `from`, `from + 1`, …, until one violates an invariant; null: none of `count` did. */
export function swarm(
  from: number,
  count: number,
  hosts: number,
  bugs: ReadonlySet<Bug>,
  ran: (seed: number, outcome: Outcome) => void = () => {}
): Found | null {
  for (let seed = from; seed < from + count; seed++) {
    const scenario = randomScenario(seed, hosts)
    const outcome = runScenario(scenario, { seed, bugs })
    ran(seed, outcome)
    if (outcome.violation !== null) return { seed, scenario, outcome }
  }
  return null
}

/** Leaves out what befell, step by step, while the same invariant is still violated. */
export function shrink(found: Found, bugs: ReadonlySet<Bug>): Found {
  let best = found
  let runs = 0
  for (let size = Math.ceil(best.scenario.steps.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let place = 0; place < best.scenario.steps.length && runs < maxShrinkRuns;) {
      const steps = best.scenario.steps.toSpliced(place, size)
      const scenario = { ...best.scenario, steps }
      const outcome = runScenario(scenario, { seed: best.seed, bugs })
      runs++
      if (outcome.violation?.invariant === best.outcome.violation?.invariant) {
        best = { ...best, scenario, outcome }
      } else place += size
    }
  }
  return best
}

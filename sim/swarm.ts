/**
 * Random scenarios: whatever may befall a mesh, at random.
 */
import type { Bug } from './bugs.ts'
import { type Restart, restarts } from '#core/spec.ts'
import { type Fault, type HostRef, type Lie, type Step, endOf, lies } from './faults.ts'
import { lan, rough, wide } from './network.ts'
import { Random } from './random.ts'
import { type Outcome, runScenario } from './run.ts'
import { type LanPlan, type Scenario, type ViolinPlan, scenario } from './scenario.ts'

/** Faults begin within this time. */
const faultsForMs = 20_000
/** After the last one records have this long to converge. */
const restMs = 40_000
/** VIOLINs of a world. */
const violins = 3

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
  const made = {
    newcomers,
    invites: [1 + random.below(4)],
    network: random.pick([lan, rough, wide]),
    lans: randomLans(random, hosts),
    violins: Array.from({ length: violins }, () => ({
      owner: random.below(hosts),
      hosts: random.chance(0.5) ? [] : random.sample(placesOf(hosts), 1 + random.below(5))
    })),
    stalls: random.chance(0.3) ? { everyMs: 10_000, ms: 300 } : null
  }
  const running = random.chance(0.5) ? randomEntities(random, hosts, made.lans, steps) : null
  steps.sort((a, b) => a.atMs - b.atMs)
  return scenario(`swarm`, 'whatever chance brings', hosts, {
    ...made,
    ...(running === null ? {} : { violins: [...made.violins, running], liveness: true }),
    steps,
    restMs
  })
}

/** A VIOLIN whose entities run on hosts of a vLAN, and what befalls them, their lists and their claims. */
function randomEntities(random: Random, hosts: number, lans: readonly LanPlan[], steps: Step[]): ViolinPlan {
  const lan = random.below(lans.length)
  const places = (lans[lan] as LanPlan).hosts
  const some = (): number[] => random.sample(places, 1 + random.below(places.length))
  const befall = (fault: Fault): void =>
    void steps.push({ atMs: Math.round(random.next() * faultsForMs), fault })
  for (let left = random.below(4); left > 0; left--) befall(randomLoss(random))
  for (let left = random.below(3); left > 0; left--)
    befall({ kind: 'change', violin: violins, hosts: some() })
  if (random.chance(0.3)) befall({ kind: 'lie', host: random.pick(places), lie: 'foreign-claim' })
  if (random.chance(0.3)) befall({ kind: 'lie', host: random.pick(places), lie: 'foreign-ports' })
  const failures = random.pick([0, 0, 0.2])
  const count = 1 + random.below(3)
  const plan = { owner: random.pick(places), hosts: some() }
  const wishes = Array.from({ length: count }, (): Restart => random.pick([...restarts, 'failover']))
  const ofEntity = (): { violin: number; entity: number } => ({
    violin: violins,
    entity: random.below(count)
  })
  const migrate = (): Fault => ({ kind: 'migrate', ...ofEntity(), to: random.pick(places) })
  for (let left = random.below(3); left > 0; left--) befall(migrate())
  for (let left = random.below(3); left > 0; left--)
    befall({
      kind: 'drain',
      host: random.chance(0.5) ? 'runner' : random.pick(places),
      forMs: someMs(random)
    })
  if (random.chance(0.3)) befall({ kind: 'stop', ...ofEntity(), forMs: someMs(random) })
  // Half of the mesh against the other, for longer than it takes to hold that one lost.
  if (random.chance(0.3))
    befall({
      kind: 'partition',
      hosts: random.sample(placesOf(hosts), Math.ceil(hosts / 2)),
      forMs: Math.round(20_000 * random.between(0.5, 1.5))
    })
  if (random.chance(0.3)) {
    // In a world in which all is just over, or that is calm.
    const overAt = Math.max(0, ...steps.map(endOf))
    const atMs = overAt + Math.round(random.pick([0, 1_000, 10_000]) * random.next())
    steps.push({ atMs, fault: migrate() })
  } else if (random.chance(0.5)) {
    const atMs = Math.max(0, ...steps.map(endOf))
    const fault = randomReturn(random, hosts, places)
    const backAt = endOf({ atMs, fault })
    const to = fault.kind === 'drain' ? (fault.host as number) : random.pick(places)
    steps.push({ atMs, fault })
    for (let entity = 0; entity < count; entity++)
      steps.push({
        atMs: backAt + Math.round(random.pick([0, 300, 2_000]) * random.next()),
        fault: { kind: 'migrate', violin: violins, entity, to }
      })
  }
  return { ...plan, entities: { lan, count, bootMs: [500, 2_500], failures, restarts: wishes } }
}

/** What takes an entity's host away, long enough for another to take over or not. */
function randomLoss(random: Random): Fault {
  const forMs = Math.round(random.pick([1_000, 8_000, 20_000]) * random.between(0.5, 1.5))
  const kind = random.pick(['kill', 'power', 'suspend', 'cut'] as const)
  if (kind !== 'cut') return { kind, host: 'runner', forMs }
  return { kind, from: ['runner'], to: null, both: random.chance(0.7), forMs }
}

/** Who was away for longer than it takes to hold others lost, or drained, and is back: what it knows is old news. */
function randomReturn(random: Random, hosts: number, places: readonly number[]): Fault {
  const forMs = Math.round(random.between(11_000, 20_000))
  switch (random.pick(['cut', 'suspend', 'drain', 'partition'] as const)) {
    case 'cut':
      return { kind: 'cut', from: ['runner'], to: null, both: true, forMs }
    case 'suspend':
      return { kind: 'suspend', host: 'runner', forMs }
    case 'drain':
      return { kind: 'drain', host: random.pick(places), forMs }
    case 'partition':
      return { kind: 'partition', hosts: random.sample(placesOf(hosts), Math.ceil(hosts / 2)), forMs }
  }
}

/** Newcomers that ask at about the same time, with half of the hosts cut off from the rest now and then. */
function storm(random: Random, hosts: number, newcomers: number): Step[] {
  const atMs = Math.round(random.next() * faultsForMs)
  const steps: Step[] = Array.from({ length: newcomers }, (_, i) => ({
    atMs: atMs + random.below(2_000),
    fault: { kind: 'join', host: hosts + i, invite: 0, via: random.below(hosts) }
  }))
  if (newcomers < 2 || random.chance(0.5)) return steps
  const all = placesOf(hosts + newcomers)
  const half = random.sample(all, Math.floor(all.length / 2))
  return [{ atMs, fault: { kind: 'partition', hosts: half, forMs: 8_000 } }, ...steps]
}

function randomLans(random: Random, hosts: number): LanPlan[] {
  const all = placesOf(hosts)
  return Array.from({ length: 1 + random.below(3) }, () => {
    const members = random.sample(all, Math.min(hosts, 2 + random.below(7)))
    const candidates = random.chance(0.5) ? members : random.sample(members, 1 + random.below(3))
    return { hosts: members, candidates }
  })
}

type Draw = (random: Random, hosts: number) => Fault

/** Every kind of fault with the chance that it is drawn, in parts of the sum. */
const draws: readonly (readonly [number, Draw])[] = [
  [4, (random, hosts) => ({ kind: 'kill', host: someHost(random, hosts), forMs: someMs(random) })],
  [3, (random, hosts) => ({ kind: 'power', host: someHost(random, hosts), forMs: someMs(random) })],
  [2, (random, hosts) => ({ kind: 'suspend', host: someHost(random, hosts), forMs: someMs(random) })],
  [
    4,
    (random, hosts) => ({
      kind: 'stall',
      host: someHost(random, hosts),
      part: random.pick(['worker', 'main', 'daemon', 'all'] as const),
      forMs: someMs(random)
    })
  ],
  [1, (random) => ({ kind: 'churn', everyMs: 1_000, awayMs: 2_000, forMs: someMs(random) })],
  [4, cutPair],
  [
    4,
    (random, hosts) => ({
      kind: 'cut',
      from: [someHost(random, hosts)],
      to: null,
      both: random.chance(0.3),
      forMs: someMs(random)
    })
  ],
  [
    4,
    (random, hosts) => ({
      kind: 'cut',
      from: placesOf(hosts),
      to: [someHost(random, hosts)],
      both: false,
      forMs: someMs(random)
    })
  ],
  [4, (random, hosts) => ({ kind: 'partition', hosts: someOf(random, hosts), forMs: someMs(random) })],
  [2, (random, hosts) => ({ kind: 'nat', hosts: someOf(random, hosts), forMs: someMs(random) })],
  [
    2,
    (random, hosts) => ({
      kind: 'skew',
      host: random.below(hosts),
      byMs: Math.round(random.between(-4, 4) * 3600_000),
      forMs: someMs(random)
    })
  ],
  [2, (random, hosts) => ({ kind: 'disk-full', host: random.below(hosts), forMs: someMs(random) })],
  [2, (random, hosts) => ({ kind: 'disk-lost', host: random.below(hosts), forMs: someMs(random) })],
  [2, (random, hosts) => ({ kind: 'backup', host: random.below(hosts), forMs: someMs(random) })],
  [4, () => ({ kind: 'handoff', to: null })],
  [4, (random) => ({ kind: 'no-gossip', forMs: someMs(random) })],
  [4, (random, hosts) => ({ kind: 'publish', host: random.below(hosts) })],
  [
    6,
    (random, hosts) => ({ kind: 'change', violin: random.below(violins), hosts: somePlaces(random, hosts) })
  ],
  [3, (random, hosts) => ({ kind: 'lie', host: random.below(hosts), lie: random.pick(allLies) })],
  // The founder is whose word counts.
  [3, (random, hosts) => ({ kind: 'revoke', host: 1 + random.below(hosts - 1) })],
  [2, (random) => ({ kind: 'refuse', violin: random.below(violins) })]
]
const allLies = Object.keys(lies) as readonly Lie[]
const allParts = draws.reduce((sum, [parts]) => sum + parts, 0)

function randomFault(random: Random, hosts: number): Fault {
  let left = random.below(allParts)
  for (const [parts, draw] of draws) {
    if (left < parts) return draw(random, hosts)
    left -= parts
  }
  throw new Error('unreachable')
}

function cutPair(random: Random, hosts: number): Fault {
  const [from, to] = random.sample(placesOf(hosts), 2) as [number, number]
  const pair = random.chance(0.5) ? ([['active'], ['standby']] as const) : ([[from], [to]] as const)
  return { kind: 'cut', from: pair[0], to: pair[1], both: random.chance(0.5), forMs: someMs(random) }
}

/** Hosts of a VIOLIN's next version; now and then none, which ends it. */
function somePlaces(random: Random, hosts: number): number[] {
  return random.chance(0.1) ? [] : random.sample(placesOf(hosts), 1 + random.below(Math.min(hosts, 9)))
}

function placesOf(hosts: number): number[] {
  return Array.from({ length: hosts }, (_, place) => place)
}

function someOf(random: Random, hosts: number): number[] {
  return random.sample(placesOf(hosts), 1 + random.below(hosts - 1))
}

function someHost(random: Random, hosts: number): HostRef {
  return random.chance(0.4) ? random.pick(['active', 'standby'] as const) : random.below(hosts)
}

function someMs(random: Random): number {
  return Math.round(random.pick([200, 1_000, 4_000, 10_000]) * random.between(0.5, 1.5))
}

export interface Found {
  readonly seed: number
  readonly scenario: Scenario
  readonly outcome: Outcome
}

/** Runs seeds `from`, `from + 1`, …, until one violates an invariant or `goOn` says no; null: none of them did. */
export function swarm(
  from: number,
  count: number,
  hosts: number,
  bugs: ReadonlySet<Bug>,
  goOn: (seed: number, outcome: Outcome) => boolean = () => true
): Found | null {
  for (let seed = from; seed < from + count; seed++) {
    const scenario = randomScenario(seed, hosts)
    const outcome = runScenario(scenario, { seed, bugs })
    const more = goOn(seed, outcome)
    if (outcome.violation !== null) return { seed, scenario, outcome }
    if (!more) break
  }
  return null
}

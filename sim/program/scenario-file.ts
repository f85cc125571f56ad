/** A scenario that somebody wrote: every word, number and reference in it is checked here, once. */
import * as z from 'zod'
import { nearest } from '#core/nearest.ts'
import { restarts } from '#core/spec.ts'
import { type Fault, lies } from '../faults.ts'
import { type Scenario, scenario } from '../scenario.ts'

/** Hosts of one world: keys of trunks have 16 bits for each end, and memory bounds it before that does. */
export const maxHosts = 20_000
/** Longest time that anything in a scenario takes, ms: a day. */
const maxMs = 24 * 3600_000
/** Shortest time between things that recur, ms: a world must come to its end. */
const minEveryMs = 1
/** Most of what is lost: what a connection loses is sent again until it comes. */
const maxLoss = 0.9
const maxSteps = 100_000
const maxLans = 10_000
const maxViolins = 10_000
const maxEntities = 1_000
const maxSlots = 10_000

const ms = z.number().min(0).max(maxMs)
const everyMs = z.number().min(minEveryMs).max(maxMs)
/** Boots that fail: what never comes up shows nothing. */
const maxFailures = 0.2
const loss = z.number().min(0).max(maxLoss)
const count = (least: number, most: number): z.ZodNumber => z.int().min(least).max(most)
/** A place in a list of the scenario; that something stands there is looked up in {@link referencesOf}. */
const place = count(0, 2 * maxHosts)
const places = z.array(place).max(2 * maxHosts)
const parts = ['active', 'standby', 'runner'] as const
const ref = z.union([place, z.enum(parts)], {
  error: `is no host: write its number, or ${parts.join(', ')}`
})
const refs = z.array(ref).max(2 * maxHosts)
const forMs = ms

const faults = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('kill'), host: ref, forMs }),
  z.strictObject({ kind: z.literal('power'), host: ref, forMs }),
  z.strictObject({ kind: z.literal('suspend'), host: ref, forMs }),
  z.strictObject({
    kind: z.literal('stall'),
    host: ref,
    part: z.enum(['worker', 'main', 'daemon', 'all']),
    forMs
  }),
  z.strictObject({ kind: z.literal('churn'), everyMs, awayMs: ms, forMs }),
  z.strictObject({ kind: z.literal('cut'), from: refs, to: refs.nullable(), both: z.boolean(), forMs }),
  z.strictObject({ kind: z.literal('partition'), hosts: places, forMs }),
  z.strictObject({ kind: z.literal('nat'), hosts: places, forMs }),
  z.strictObject({ kind: z.literal('skew'), host: place, byMs: z.number().min(-maxMs).max(maxMs), forMs }),
  z.strictObject({ kind: z.literal('disk-full'), host: place, forMs }),
  z.strictObject({ kind: z.literal('disk-lost'), host: place, forMs }),
  z.strictObject({ kind: z.literal('backup'), host: place, forMs }),
  z.strictObject({ kind: z.literal('handoff'), to: place.nullable() }),
  z.strictObject({ kind: z.literal('no-gossip'), forMs }),
  z.strictObject({ kind: z.literal('publish'), host: place }),
  z.strictObject({ kind: z.literal('change'), violin: place, hosts: places, by: place.optional() }),
  z.strictObject({ kind: z.literal('migrate'), violin: place, entity: place, to: place }),
  z.strictObject({ kind: z.literal('stop'), violin: place, entity: place, forMs }),
  z.strictObject({ kind: z.literal('drain'), host: ref, forMs }),
  z.strictObject({ kind: z.literal('join'), host: place, invite: place, via: place }),
  // The founder let all in: nobody stands above it.
  z.strictObject({ kind: z.literal('revoke'), host: count(1, 2 * maxHosts) }),
  z.strictObject({ kind: z.literal('refuse'), violin: place }),
  z.strictObject({
    kind: z.literal('lie'),
    host: place,
    lie: z.enum(Object.keys(lies) as [keyof typeof lies, ...(keyof typeof lies)[]])
  })
])

const matrix = <T extends z.ZodType<number>>(of: T) => z.array(z.array(of).min(1).max(64)).min(1).max(64)

const shape = z.strictObject({
  name: z.string().max(256),
  why: z.string().max(1_024),
  hosts: count(2, maxHosts),
  newcomers: count(0, maxHosts),
  invites: z.array(count(1, maxSlots)).max(maxSlots),
  network: z.strictObject({
    delayMs: matrix(ms),
    jitterMs: ms,
    measuredMs: z.array(ms).max(1_000_000).optional(),
    loss: z.union([loss, matrix(loss)], {
      error: `is no share that is lost: write a number from 0 to ${maxLoss}, or one for each pair of regions`
    })
  }),
  lans: z.array(z.strictObject({ hosts: places.min(1), candidates: places.min(1) })).max(maxLans),
  violins: z
    .array(
      z.strictObject({
        owner: place,
        copies: places.optional(),
        hosts: places,
        entities: z
          .strictObject({
            lan: place,
            count: count(1, maxEntities),
            bootMs: z.tuple([ms, ms]),
            failures: z.number().min(0).max(maxFailures),
            restarts: z.array(z.enum(restarts)).min(1).max(maxEntities).optional()
          })
          .optional()
      })
    )
    .max(maxViolins),
  traffic: z.strictObject({ kind: z.enum(['broadcast', 'ring']), everyMs }).nullable(),
  stalls: z.strictObject({ everyMs, ms, leastMs: ms.optional(), calmMs: everyMs.optional() }).nullable(),
  degree: count(1, maxHosts),
  records: z.boolean(),
  liveness: z.boolean(),
  steps: z.array(z.strictObject({ atMs: ms, fault: faults })).max(maxSteps),
  restMs: ms
})

type Path = readonly PropertyKey[]

/** What is wrong with a scenario: where in it, what, and what would be right. */
export class ScenarioError extends Error {
  /** As `steps[2].fault.host`; of the whole: ''. */
  readonly path: string
  readonly remedy: string

  constructor(path: Path, what: string, remedy: string) {
    super(what)
    this.path = path
      .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
      .join('')
      .replace(/^\./, '')
    this.remedy = remedy
  }
}

/** Reads a scenario; what it leaves out is as in {@link scenario}. Throws ScenarioError. */
export function readScenario(text: string, name: string, hosts: number | null): Scenario {
  let written: unknown
  try {
    written = JSON.parse(text)
  } catch (error: unknown) {
    throw new ScenarioError([], `is no JSON: ${(error as Error).message}`, 'mend it there')
  }
  if (typeof written !== 'object' || written === null || Array.isArray(written))
    throw new ScenarioError([], 'is no scenario', 'write an object with hosts and steps')
  const parsed = shape.partial().safeParse(hosts === null ? written : { ...written, hosts })
  if (!parsed.success) throw refusalOf(parsed.error.issues, written)
  const { name: called = name, why = '', hosts: some = 2 } = parsed.data
  const made = scenario(called, why, some, parsed.data as Partial<Scenario>)
  checkScenario(made)
  return made
}

/** Checks a whole scenario, whoever made it. Throws ScenarioError. */
export function checkScenario(made: Scenario): void {
  const parsed = shape.safeParse(made)
  if (!parsed.success) throw refusalOf(parsed.error.issues, made)
  for (const { path, what, remedy } of objections(made)) throw new ScenarioError(path, what, remedy)
}

/** A scenario without the steps that are of nothing that is there; null: it would be none without them either. */
export function possibleOf(made: Scenario): Scenario | null {
  if (!shape.safeParse(made).success) return null
  const idle = new Set<PropertyKey | undefined>()
  for (const { path } of objections(made)) {
    if (path[0] !== 'steps') return null
    idle.add(path[1])
  }
  return idle.size === 0 ? made : { ...made, steps: made.steps.filter((_, place) => !idle.has(place)) }
}

function refusalOf(issues: readonly z.core.$ZodIssue[], value: unknown): ScenarioError {
  // An unknown word is told before what follows from it.
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? (issues[0] as z.core.$ZodIssue)
  const { path } = issue
  if (issue.code === 'unrecognized_keys') {
    const word = issue.keys[0] as string
    return new ScenarioError([...path, word], 'is an unknown word', meant(word, wordsAt(path, value)))
  }
  if (issue.code === 'invalid_union' && issue.discriminator === 'kind') {
    const kinds = faults.options.map((one) => one.shape.kind.value)
    return new ScenarioError([...path], `is no kind of fault`, meant(String(valueAt(value, path)), kinds))
  }
  if (valueAt(value, path) === undefined && issue.code !== 'custom')
    return new ScenarioError(path, 'is missing', 'add it')
  if (issue.code === 'invalid_value') {
    const words = issue.values.map(String)
    return new ScenarioError(path, 'is an unknown word', meant(String(valueAt(value, path)), words))
  }
  if (issue.code === 'too_big')
    return new ScenarioError(path, `is above ${issue.maximum}, which is the most`, 'write less')
  if (issue.code === 'too_small')
    return new ScenarioError(path, `is below ${issue.minimum}, which is the least`, 'write more')
  if (issue.code === 'invalid_union') return new ScenarioError(path, issue.message, 'see docs/simulation.md')
  const expected = issue.code === 'invalid_type' ? `is no ${issue.expected}` : issue.message
  return new ScenarioError(path, expected, 'see sim/scenario.ts and sim/faults.ts for what goes there')
}

function meant(word: string, words: readonly string[]): string {
  const near = nearest(word, words)
  return near === null ? `one of: ${words.join(', ')}` : `did you mean ${near}?`
}

function valueAt(value: unknown, path: Path): unknown {
  let at: unknown = value
  for (const step of path) at = (at as Record<PropertyKey, unknown> | null | undefined)?.[step]
  return at
}

/** Words that may stand at a place. */
function wordsAt(path: Path, value: unknown): readonly string[] {
  const last = path.at(-1)
  if (path.length === 0) return Object.keys(shape.shape)
  if (last === 'fault') {
    const kind = (valueAt(value, path) as Fault).kind
    const one = faults.options.find((option) => option.shape.kind.value === kind)
    return Object.keys(one?.shape ?? {})
  }
  if (last === 'network') return Object.keys(shape.shape.network.shape)
  if (last === 'traffic') return Object.keys(shape.shape.traffic.unwrap().shape)
  if (last === 'stalls') return Object.keys(shape.shape.stalls.unwrap().shape)
  if (last === 'entities') return Object.keys(entitiesShape.shape)
  if (path[0] === 'steps') return Object.keys(shape.shape.steps.element.shape)
  if (path[0] === 'lans') return Object.keys(shape.shape.lans.element.shape)
  return Object.keys(shape.shape.violins.element.shape)
}
const entitiesShape = shape.shape.violins.element.shape.entities.unwrap()

interface Objection {
  readonly path: Path
  readonly what: string
  readonly remedy: string
}

/** What no type says: every host, vLAN, VIOLIN and invite that is named must be there. */
function* objections(made: Scenario): Generator<Objection, void, void> {
  const all = made.hosts + made.newcomers
  if (all > maxHosts)
    yield { path: ['newcomers'], what: `makes ${all} hosts of them`, remedy: `at most ${maxHosts} in all` }
  yield* regionsOf(made)
  yield* recordsOf(made)
  for (const [i, { hosts, candidates }] of made.lans.entries()) {
    yield* within(['lans', i, 'hosts'], hosts, all, 'host')
    yield* twice(['lans', i, 'hosts'], hosts)
    yield* twice(['lans', i, 'candidates'], candidates)
    yield* among(['lans', i, 'candidates'], candidates, hosts, 'has no port on that vLAN')
  }
  for (const [i, { owner, copies, hosts, entities }] of made.violins.entries()) {
    yield* within(['violins', i, 'owner'], [owner], made.hosts, 'host')
    yield* within(['violins', i, 'copies'], copies ?? [], made.hosts, 'host')
    yield* within(['violins', i, 'hosts'], hosts, all, 'host')
    yield* twice(['violins', i, 'hosts'], hosts)
    if (entities === undefined) continue
    if (!made.liveness)
      yield {
        path: ['violins', i, 'entities'],
        what: 'are taken over by nobody: hosts do not watch one another',
        remedy: 'write "liveness": true'
      }
    yield* within(['violins', i, 'entities', 'lan'], [entities.lan], made.lans.length, 'vLAN')
    const lan = made.lans[entities.lan]?.hosts ?? []
    yield* among(['violins', i, 'hosts'], hosts, lan, "has no port on its entities' vLAN")
    if (entities.bootMs[0] > entities.bootMs[1])
      yield {
        path: ['violins', i, 'entities', 'bootMs'],
        what: 'is longest first',
        remedy: 'write [shortest, longest]'
      }
  }
  const { stalls } = made
  if (stalls?.leastMs !== undefined && stalls.leastMs > stalls.ms)
    yield { path: ['stalls', 'leastMs'], what: 'is above ms', remedy: 'write it below that' }
  for (const [i, { fault }] of made.steps.entries()) yield* referencesOf(made, ['steps', i, 'fault'], fault)
}

function* regionsOf({ network }: Scenario): Generator<Objection, void, void> {
  const regions = network.delayMs.length
  const square = (matrix: readonly (readonly number[])[]): boolean =>
    matrix.length === regions && matrix.every((row) => row.length === regions)
  const remedy = 'as many rows as regions, and in each as many numbers'
  if (!square(network.delayMs)) yield { path: ['network', 'delayMs'], what: 'is not square', remedy }
  if (typeof network.loss !== 'number' && !square(network.loss))
    yield { path: ['network', 'loss'], what: `is not of ${regions} regions, as delayMs is`, remedy }
}

/** Faults of records alone. */
const ofRecords: ReadonlySet<Fault['kind']> = new Set([
  'backup',
  'change',
  'drain',
  'join',
  'lie',
  'migrate',
  'no-gossip',
  'publish',
  'refuse',
  'revoke',
  'stop'
])

/** Without records some of what may be said means nothing; and a host has one owner key. */
function* recordsOf(made: Scenario): Generator<Objection, void, void> {
  const remedy = 'leave out "records": false'
  for (const [i, { fault }] of made.steps.entries())
    if (!made.records && ofRecords.has(fault.kind))
      yield {
        path: ['steps', i, 'fault'],
        what: `${fault.kind} does nothing where there are no records`,
        remedy
      }
  if (!made.records && made.violins.length > 0)
    yield { path: ['violins'], what: 'are records, and there are none', remedy }
  for (const [i, { owner, copies = [] }] of made.violins.entries()) {
    const other = copies.find((copy) =>
      made.violins.some(
        (one) => one.owner !== owner && (one.owner === copy || one.copies?.includes(copy) === true)
      )
    )
    if (other !== undefined)
      yield {
        path: ['violins', i, 'copies'],
        what: `host ${other} has the key of another VIOLIN's owner`,
        remedy: 'one host, one owner key: choose another'
      }
  }
}

function* referencesOf(made: Scenario, path: Path, fault: Fault): Generator<Objection, void, void> {
  const all = made.hosts + made.newcomers
  const hosts = (word: string, named: readonly (number | string)[]): Generator<Objection, void, void> =>
    within(
      [...path, word],
      named.filter((one) => typeof one === 'number'),
      all,
      'host'
    )
  if ('host' in fault) {
    yield* hosts('host', [fault.host])
    yield* partsOf(made, [...path, 'host'], [fault.host])
  }
  if ('hosts' in fault) yield* hosts('hosts', fault.hosts)
  if ('violin' in fault) yield* within([...path, 'violin'], [fault.violin], made.violins.length, 'VIOLIN')
  switch (fault.kind) {
    case 'cut':
      yield* hosts('from', fault.from)
      yield* hosts('to', fault.to ?? [])
      yield* partsOf(made, [...path, 'from'], fault.from)
      yield* partsOf(made, [...path, 'to'], fault.to ?? [])
      if (cutsNothing(fault))
        yield {
          path,
          what: 'cuts nobody from another',
          remedy: 'name two hosts, or "to": null for all others'
        }
      return
    case 'partition': {
      const apart = new Set(fault.hosts).size
      if (apart === 0 || apart === all)
        yield {
          path: [...path, 'hosts'],
          what: `has ${apart === 0 ? 'nobody' : 'everybody'} on one side`,
          remedy: `name some of the ${all} hosts`
        }
      return
    }
    case 'lie':
      if (fault.lie === 'foreign-claim' && made.violins.length === 0)
        yield {
          path: [...path, 'lie'],
          what: 'is of nothing: there is no VIOLIN',
          remedy: 'add one to violins'
        }
      return
    case 'handoff':
      yield* partsOf(made, path, ['active'])
      return yield* hosts('to', fault.to === null ? [] : [fault.to])
    case 'change': {
      yield* hosts('by', fault.by === undefined ? [] : [fault.by])
      const lan = made.violins[fault.violin]?.entities?.lan
      if (lan === undefined) return
      const there = made.lans[lan]?.hosts ?? []
      return yield* among([...path, 'hosts'], fault.hosts, there, "has no port on its entities' vLAN")
    }
    case 'migrate':
    case 'stop': {
      const entities = made.violins[fault.violin]?.entities
      yield* within([...path, 'entity'], [fault.entity], entities?.count ?? 0, 'entity')
      if (fault.kind === 'stop' || entities === undefined) return
      yield* hosts('to', [fault.to])
      const there = made.lans[entities.lan]?.hosts ?? []
      return yield* among([...path, 'to'], [fault.to], there, "has no port on its entities' vLAN")
    }
    case 'join':
      yield* within([...path, 'invite'], [fault.invite], made.invites.length, 'invite')
      yield* hosts('via', [fault.via])
      if (fault.host < made.hosts)
        yield {
          path: [...path, 'host'],
          what: `${fault.host} is a member already`,
          remedy: `newcomers are numbered from ${made.hosts}`
        }
      return
    default:
      return
  }
}

/** Whether both ends of a cut are one host, or one of them nobody. */
function cutsNothing({ from, to }: Extract<Fault, { kind: 'cut' }>): boolean {
  return to === null ? from.length === 0 : from.every((one) => to.every((other) => one === other))
}

/** A part that a host plays needs what it plays it in. */
function* partsOf(
  made: Scenario,
  path: Path,
  refs: readonly (number | string)[]
): Generator<Objection, void, void> {
  if (refs.includes('runner') && made.violins.every(({ entities }) => entities === undefined))
    yield { path, what: 'is nobody: no VIOLIN has entities', remedy: 'give one entities' }
  if ((refs.includes('active') || refs.includes('standby')) && made.lans.length === 0)
    yield { path, what: 'is nobody: there is no vLAN', remedy: 'add one to lans' }
}

function* within(
  path: Path,
  named: readonly number[],
  count: number,
  what: string
): Generator<Objection, void, void> {
  const beyond = named.find((one) => one >= count)
  if (beyond === undefined) return
  const known = count === 0 ? 'there is none' : `they are numbered 0 to ${count - 1}`
  yield { path, what: `no ${what} ${beyond}`, remedy: known }
}

function* twice(path: Path, named: readonly number[]): Generator<Objection, void, void> {
  const seen = new Set<number>()
  for (const one of named) {
    if (seen.has(one)) return yield { path, what: `names ${one} twice`, remedy: 'name each once' }
    seen.add(one)
  }
}

function* among(
  path: Path,
  named: readonly number[],
  of: readonly number[],
  objection: string
): Generator<Objection, void, void> {
  const there = new Set(of)
  const stranger = named.find((one) => !there.has(one))
  if (stranger !== undefined)
    yield { path, what: `host ${stranger} ${objection}`, remedy: `these have: ${of.join(', ')}` }
}

/**
 * Which host runs an entity. The record lists hosts in order; whoever runs it says so under a claim, a number
 * that only grows, and the highest living claim keeps the entity. A host claims when it has itself lost every
 * host before it, or when those say that they cannot; nobody's word makes it. Pure: daemon/reconciler.ts feeds
 * and obeys it, sim/ too.
 */
import type { HostId } from './ids.ts'
import type { RunState } from './records/bodies.ts'
import type { RunsRecord } from './records/record.ts'
import type { Restart } from './spec.ts'

/** Claims of one generation. A claim's number is generation · 2¹⁶ + counter: later generations stand above. */
const claimsPerGeneration = 0x1_0000
/** A host is lost when nothing came from it for so long: longer than a restart of its daemon takes. */
export const lostMs = 10_000
/** Entities taken over that boot at once on a host: a dead host's load comes in turns. */
export const takeoversAtOnce = 2

/** What a host says of an entity in its `runs` record. */
export interface Told {
  readonly claim: number
  readonly state: RunState
}

/** What this host itself has of an entity. */
export interface Own extends Told {
  /** The highest claim of another for which the ports here were shut; 0: none. */
  readonly superseded: number
}

/** An entity as a host sees it. */
export interface Question {
  readonly name: string
  /** Who may run it, in order. */
  readonly hosts: readonly HostId[]
  readonly generation: number
  readonly restart: Restart
  /** What hosts say of it. */
  readonly told: ReadonlyMap<HostId, Told>
  /** Null: nothing of it is here. */
  readonly own: Own | null
  /** Records were compared with the host that superseded this one, since it did. */
  readonly heardSince: boolean
  /** For how long ports here have been shut for that one's claim; 0: they are not. */
  readonly shutForMs: number
  /** A co-host answered since this host's start, or none was in reach for {@link lostMs}. */
  readonly settled: boolean
}

/** What a host knows of others. */
export interface Sight {
  readonly self: HostId
  /** For how long this host has itself lost another, by every way there is; null: it is there. */
  lostForMs(host: HostId): number | null
  /** Left the mesh, or shut out of it. */
  isGone(host: HostId): boolean
  isDraining(host: HostId): boolean
  /** All others were lost at once: it is this host that is lost. */
  readonly isolated: boolean
}

export type Verdict =
  /** `fresh`: under a claim that was not there before; others are to hear of it at once. */
  | {
      readonly kind: 'run'
      readonly claim: number
      readonly fresh: boolean
      /** Its ports are shut here, and may have to be opened then; null: nothing is waited for. */
      readonly againInMs: number | null
    }
  /** It is not for this host to run. Unless something else happens first, ask again then. */
  | { readonly kind: 'rest'; readonly why: string; readonly againInMs: number | null }

/** Verdicts for all entities of a host, in their order; of what it takes over only so many boot at once. */
export function decideAll(questions: readonly Question[], sight: Sight): Verdict[] {
  let places = takeoversAtOnce
  for (const { own, hosts } of questions)
    if (own !== null && isBooting(own) && isTakeover(own.claim, sight.self, hosts)) places--
  return questions.map((question): Verdict => {
    const verdict = decide(question, sight)
    // A machine that is there already only goes on under another claim.
    const boots = question.own === null || !isAlive(question.own.state)
    if (verdict.kind === 'rest' || !verdict.fresh || !boots) return verdict
    if (!isTakeover(verdict.claim, sight.self, question.hosts)) return verdict
    if (places <= 0) return rest('waits for others to boot')
    places--
    return verdict
  })
}

/** The verdict for one entity. */
export function decide(question: Question, sight: Sight): Verdict {
  const { hosts, own } = question
  const { self } = sight
  if (!hosts.includes(self)) return rest('its record names other hosts')
  const rival = keeper(question, sight)
  if (own !== null && own.claim > 0 && isAlive(own.state)) {
    if (isMovedHere(question, sight, own, rival)) return fresh(question)
    const outranked = rival !== null && outranks(rival, { host: self, claim: own.claim }, hosts)
    // What others took over stops here when it runs there.
    if (outranked && rival.state === 'running') return rest(`runs on another host under claim ${rival.claim}`)
    if (outranked || own.superseded <= own.claim)
      return goOn(own.claim, own.superseded > own.claim ? lostMs : null)
    return reclaim(question, sight, own)
  }
  return mayClaim(question, sight, rival)
}

/** What is moved to where it runs goes on there, under a claim of its new generation. */
function isMovedHere(question: Question, sight: Sight, own: Own, rival: Claim | null): boolean {
  const { hosts, generation, restart } = question
  const { self } = sight
  if (generationOf(own.claim) >= generation || sight.isDraining(self)) return false
  if (rival !== null && generationOf(rival.claim) === generation) return false
  // It got there, and stays where it ran since.
  if (restart !== 'failover' && lastKeeper(question, self) !== null) return false
  return hosts.slice(0, hosts.indexOf(self)).every((host) => cannot(host, question, patient(sight)))
}

/** While an entity runs, that the host to which it is moved is lost or drains may be old news. */
function patient(sight: Sight): Sight {
  return { ...sight, lostForMs: () => null, isDraining: () => false }
}

/** Who keeps an entity as far as hosts say: the highest claim; where there is none, the first of the list. */
export function keeperOf(
  { hosts, generation }: Pick<Question, 'hosts' | 'generation'>,
  told: ReadonlyMap<HostId, Told>
): HostId | null {
  return highest(hosts, generation, told, () => true)?.host ?? hosts[0] ?? null
}

/** The same, by what hosts say in their records. */
export function keeperIn(
  runs: ReadonlyMap<HostId, RunsRecord>,
  entity: Pick<Question, 'name' | 'hosts' | 'generation'>
): HostId | null {
  return keeperOf(entity, toldIn(runs, entity.name))
}

/** Who says in its record that it keeps an entity, whether it can be asked now or not; null: nobody. */
export function claimantIn(
  runs: ReadonlyMap<HostId, RunsRecord>,
  { name, hosts, generation }: Pick<Question, 'name' | 'hosts' | 'generation'>
): HostId | null {
  return highest(hosts, generation, toldIn(runs, name), () => true)?.host ?? null
}

function toldIn(runs: ReadonlyMap<HostId, RunsRecord>, entity: string): Map<HostId, Told> {
  const told = new Map<HostId, Told>()
  for (const [host, { body }] of runs) {
    const said = body.entities.find(({ name }) => name === entity)
    if (said !== undefined) told.set(host, said)
  }
  return told
}

interface Claim extends Told {
  readonly host: HostId
}

/** The highest claim of another that lives, as this host sees it. */
function keeper({ hosts, generation, told }: Question, sight: Sight): Claim | null {
  return highest(
    hosts,
    generation,
    told,
    (host) => host !== sight.self && !sight.isGone(host) && (sight.lostForMs(host) ?? 0) < lostMs
  )
}

function highest(
  hosts: readonly HostId[],
  generation: number,
  told: ReadonlyMap<HostId, Told>,
  counts: (host: HostId) => boolean
): Claim | null {
  let best: Claim | null = null
  for (const [host, { claim, state }] of told) {
    // Only the listed may claim, and only in a generation that there is: anything else is void.
    const isVoid = claim <= 0 || !hosts.includes(host) || generationOf(claim) > generation
    if (isVoid || !isAlive(state) || !counts(host)) continue
    const one = { host, claim, state }
    if (best === null || outranks(one, best, hosts)) best = one
  }
  return best
}

/** The higher number; of equal ones the host that comes first in the list. */
function outranks(
  a: { readonly host: HostId; readonly claim: number },
  b: { readonly host: HostId; readonly claim: number },
  hosts: readonly HostId[]
): boolean {
  return a.claim === b.claim ? hosts.indexOf(a.host) < hosts.indexOf(b.host) : a.claim > b.claim
}

/** The ports here were shut for a claim of which no record tells (any more): its host died, or began anew, since. */
function reclaim(question: Question, sight: Sight, own: Own): Verdict {
  const { hosts, told, generation, heardSince, shutForMs } = question
  // Whoever shut them was there then: a loss from before is this host's own absence.
  const isLost = (host: HostId): boolean =>
    host !== sight.self && !sight.isGone(host) && (sight.lostForMs(host) ?? 0) >= lostMs
  const lost = highest(hosts, generation, told, isLost)
  if (lost !== null && lost.claim >= own.superseded && (sight.isolated || shutForMs < lostMs))
    return goOn(own.claim, sight.isolated ? lostMs : lostMs - shutForMs)
  const by = hosts.find((host) => {
    const claim = host === sight.self ? 0 : (told.get(host)?.claim ?? 0)
    return claim >= own.superseded && generationOf(claim) <= generation
  })
  const others = hosts.filter((host) => host !== sight.self)
  const allLost = others.every((host) => sight.isGone(host) || (sight.lostForMs(host) ?? 0) >= lostMs)
  // Its record is on its way; until then its ports are shut here, which does no harm.
  const lostSince = allLost && !sight.isolated && shutForMs >= lostMs
  if (by === undefined && !heardSince && !lostSince) return goOn(own.claim, lostMs)
  return fresh(question)
}

/** Whether this host, which runs nothing of it, may. */
function mayClaim(question: Question, sight: Sight, rival: Claim | null): Verdict {
  const { hosts, generation, restart, own, settled } = question
  const { self } = sight
  let seen = sight
  if (own?.state === 'failed' && generationOf(own.claim) === generation) return rest('it failed here')
  if (hosts.length > 1 && !settled) return rest('no other host of it has answered since the start', lostMs)
  if (sight.isDraining(self)) return rest('this host is being drained')
  if (rival !== null && !sight.isDraining(rival.host)) {
    const isMoving = generationOf(rival.claim) < generation
    if (!isMoving) return rest(`${rival.host} has claim ${rival.claim}`, lossOf(rival.host, sight))
    // It runs until the first of its new list takes it.
    seen = patient(sight)
  }
  const last = restart === 'failover' ? null : lastKeeper(question, self)
  const stays =
    last !== null && (last.state === 'failed' || !(sight.isGone(last.host) || sight.isDraining(last.host)))
  if (stays && last.host !== self) return rest(`it ran on ${last.host} last, and stays there`)
  // Its own word is what is left of a life that it forgot, as one restored from a backup does.
  if (restart === 'never' && last?.host === self && isAlive(last.state))
    return rest('it ran here, and is over')
  // Where it ran last it may start again; and who is given it up may pass over others as at a failover.
  const before = last?.host === self ? [] : hosts.slice(0, hosts.indexOf(self))
  const mayPass = restart === 'failover' || last !== null
  let againInMs: number | null = null
  let byLoss = false
  for (const host of before) {
    if (cannot(host, question, seen)) continue
    const lostForMs = mayPass ? seen.lostForMs(host) : null
    // No event tells of a silence that begins: whoever would end it is asked for again.
    if (lostForMs === null) return rest(`${host} comes before`, mayPass ? lostMs : null)
    byLoss = true
    if (lostForMs < lostMs) againInMs = Math.max(againInMs ?? 0, lostMs - lostForMs)
  }
  if (againInMs !== null) return rest('those before it are lost only now', againInMs)
  return claimUnlessLost(question, sight, byLoss)
}

/** Who ran an entity last in this generation, as far as hosts say, this one included; null: nobody yet. */
function lastKeeper({ hosts, generation, told, own }: Question, self: HostId): Claim | null {
  let last: Claim | null = null
  const all = own === null ? told : new Map([...told, [self, own]])
  for (const [host, { claim, state }] of all) {
    if (!hosts.includes(host) || state === 'refused' || claim <= 0 || generationOf(claim) !== generation)
      continue
    const one = { host, claim, state }
    if (last === null || outranks(one, last, hosts)) last = one
  }
  return last
}

/**
 * What is left of an entity that a former life of this host had: it failed, or is over, for good; or it starts only
 * here again; null: nothing.
 */
export function leftBehind(state: RunState, restart: Restart | undefined): 'failed' | 'stopped' | null {
  if (state === 'failed') return 'failed'
  if (state === 'refused') return null
  return restart === 'never' ? 'failed' : restart === 'on-failure' ? 'stopped' : null
}

/** A host that lost all others starts nothing of theirs: it is itself the lost one. */
function claimUnlessLost(question: Question, sight: Sight, byLoss: boolean): Verdict {
  const { hosts, generation, told } = question
  const lost = (host: HostId): boolean => host !== sight.self && (sight.lostForMs(host) ?? 0) >= lostMs
  const passesOver = byLoss || highest(hosts, generation, told, lost) !== null
  if (passesOver && sight.isolated) return rest('this host has lost all others', lostMs)
  return fresh(question)
}

/** Whether a host says itself, or has no say any more, that it will not run it. */
function cannot(host: HostId, { generation, restart, told }: Question, sight: Sight): boolean {
  if (sight.isGone(host) || sight.isDraining(host)) return true
  const said = told.get(host)
  if (said === undefined || said.claim <= 0 || generationOf(said.claim) !== generation) return false
  return said.state === 'refused' || (said.state === 'failed' && restart === 'failover')
}

/** When a host that may be lost now, or begin to be at any moment, is lost at the earliest. */
function lossOf(host: HostId, sight: Sight): number {
  return Math.max(0, lostMs - (sight.lostForMs(host) ?? 0))
}

/** A claim above all that were heard of. */
function fresh(question: Question): Verdict {
  const claim = nextClaim(question)
  if (claim === null) return rest('the claims of this generation are used up')
  return { kind: 'run', claim, fresh: true, againInMs: null }
}

/** The number of the next claim of an entity; null: there is none in this generation. */
export function nextClaim({ hosts, generation, told, own }: Question): number | null {
  let above = generation * claimsPerGeneration
  for (const [host, { claim }] of told)
    if (hosts.includes(host) && generationOf(claim) <= generation) above = Math.max(above, claim)
  above = Math.max(above, own?.claim ?? 0, own?.superseded ?? 0)
  return generationOf(above + 1) > generation ? null : above + 1
}

export function generationOf(claim: number): number {
  return Math.floor(claim / claimsPerGeneration)
}

/** The last claim of a generation. */
export function maxClaimOf(generation: number): number {
  return (generation + 1) * claimsPerGeneration - 1
}

function isAlive(state: RunState): boolean {
  return state === 'pending' || isBooting({ state }) || state === 'running'
}

function isBooting({ state }: Pick<Told, 'state'>): boolean {
  return state === 'pending' || state === 'booting'
}

/** Whether a claim is not the first one of the first host: somebody else ran it before, or should have. */
function isTakeover(claim: number, self: HostId, hosts: readonly HostId[]): boolean {
  return self !== hosts[0] || claim % claimsPerGeneration > 1
}

function goOn(claim: number, againInMs: number | null): Verdict {
  return { kind: 'run', claim, fresh: false, againInMs }
}

function rest(why: string, againInMs: number | null = null): Verdict {
  return { kind: 'rest', why, againInMs }
}

/**
 * Which entities this host runs: what hosts say in their records and what this one sees itself are put to
 * core/claims.ts, whose verdicts are kept here, with what this host's operator does not let in.
 */
import { type Held, isWanted, questionsOf, remind, toldOf } from '#core/asking.ts'
import { decideAll, leftBehind, type Question, type Sight, type Verdict } from '#core/claims.ts'
import type { HostId, ViolinId } from '#core/ids.ts'
import { type Limits, ownerRefusal, refusals } from '#core/limits.ts'
import { printable } from '#core/printable.ts'
import { bodyLimits, type RunsBody } from '#core/records/bodies.ts'
import type { ViolinView } from '#core/records/view.ts'
import type { Spec, SpecEntity } from '#core/spec.ts'
import type { EntityStatus } from '#slice/contract.ts'
import type { Doors } from './doors/doors.ts'
import type { Host } from './host.ts'
import type { Records } from './records.ts'

/** What this host sees of others by libp2p. */
export interface CoHosts {
  /** For how long this host itself has not heard that one; null: it hears it. */
  lostForMs(host: HostId): number | null
  isConnected(host: HostId): boolean
  /** Too much was lost at once: this host is the lost one. */
  readonly isolated: boolean
}

/** An entity that is, or would be, this host's to run. */
export interface Holding extends Held {
  readonly reason: string
}

/** What is to be run now. */
export interface Decided {
  /** Claims by entity, for each VIOLIN with a spec. */
  readonly claims: ReadonlyMap<ViolinId, ReadonlyMap<string, number>>
  /** VIOLINs of which others are to be told at once. */
  readonly changed: readonly ViolinId[]
  /** When to decide again though nothing happens. */
  readonly againInMs: number | null
}

interface Asked {
  readonly violin: ViolinView
  readonly entity: SpecEntity
  readonly question: Question
}

export class Claims {
  readonly #host: Host
  readonly #records: Records
  readonly #coHosts: CoHosts
  readonly #limits: () => Limits
  readonly #doors: Pick<Doors, 'mayRun'>
  readonly #held = new Map<ViolinId, Map<string, Holding>>()
  /** What a former life of this daemon ran and starts only here again, by its claim, until it does. */
  readonly #former = new Map<ViolinId, Map<string, number>>()
  /** The version of the `runs` record of a VIOLIN that this life spoke last; absent: none. */
  readonly #spoken = new Map<ViolinId, number>()
  /** The version in which a former life spoke, as far as it was heard; it may come back from others late. */
  readonly #recalled = new Map<ViolinId, number>()
  /** By what others were told last of the claims of a VIOLIN; absent: nothing in this life. */
  readonly #told = new Map<ViolinId, string>()
  /** Trunks to hosts: the VIOLINs in which one is up, and since when there is none. */
  readonly #trunks = new Map<HostId, { readonly up: Set<ViolinId>; lostAt: number }>()
  readonly #startedAt = performance.now()

  constructor(
    host: Host,
    records: Records,
    coHosts: CoHosts,
    limits: () => Limits,
    doors: Pick<Doors, 'mayRun'>
  ) {
    this.#limits = limits
    this.#doors = doors
    this.#host = host
    this.#records = records
    this.#coHosts = coHosts
  }

  /** Decides for all VIOLINs that are known here. */
  decide(): Decided {
    const violins = [...this.#records.view.violins.values()]
    const sight = this.#sight()
    const asked = violins.flatMap((violin) =>
      violin.spec === null ? [] : this.#ask(violin, violin.spec, sight)
    )
    const verdicts = decideAll(
      asked.map(({ question }) => question),
      sight
    )
    this.#settle(asked, verdicts)
    for (const violin of this.#held.keys()) {
      if (this.#concerns(violin)) continue
      this.#held.delete(violin)
      this.#former.delete(violin)
    }
    const again = verdicts.flatMap((verdict) => (verdict.againInMs === null ? [] : [verdict.againInMs]))
    return {
      claims: new Map(violins.map(({ id }) => [id, this.#runningOf(id)])),
      changed: violins.filter(({ id }) => this.#isNews(id)).map(({ id }) => id),
      againInMs: again.length === 0 ? null : Math.min(...again)
    }
  }

  /** Whether a VIOLIN has a spec here, or may have one again. */
  #concerns(violin: ViolinId): boolean {
    const known = this.#records.view.violins.get(violin)
    return known === undefined ? this.#records.awaitedMs(violin) > 0 : known.spec !== null
  }

  /** What this host holds of a VIOLIN, by entity; those that it refused, or that failed here, too. */
  held(violin: ViolinId): ReadonlyMap<string, Holding> {
    return this.#held.get(violin) ?? new Map<string, Holding>()
  }

  /** A slice went on while no daemon ran. */
  adopt(violin: ViolinId, entities: readonly EntityStatus[]): void {
    const held = this.#heldOf(violin)
    for (const status of entities) if (status.claim > 0) held.set(status.name, holdingOf(status, null))
  }

  /** What a slice says of an entity. */
  heard(violin: ViolinId, status: EntityStatus): void {
    const held = this.#held.get(violin)
    const known = held?.get(status.name)
    if (known === undefined || known.claim !== status.claim || known.state === 'refused') return
    held?.set(status.name, holdingOf(status, known))
  }

  /** Its slice is gone: what it ran is to be started again, or never. */
  ended(violin: ViolinId): void {
    for (const [peer, trunk] of this.#trunks) if (trunk.up.has(violin)) this.trunk(violin, peer, false)
    const held = this.#held.get(violin)
    const entities = this.#records.view.violins.get(violin)?.spec?.entities
    for (const [name, holding] of held ?? []) {
      if (holding.state !== 'running' && holding.state !== 'booting') continue
      const isOver = entities?.find((entity) => entity.name === name)?.restart === 'never'
      held?.set(
        name,
        isOver ? { ...holding, state: 'failed', reason: neverAgain } : { ...holding, state: 'pending' }
      )
    }
  }

  trunk(violin: ViolinId, peer: HostId, isUp: boolean): void {
    const known = this.#trunks.get(peer) ?? { up: new Set(), lostAt: -Infinity }
    this.#trunks.set(peer, known)
    if (isUp) known.up.add(violin)
    else if (known.up.delete(violin) && known.up.size === 0) known.lostAt = performance.now()
  }

  /** Whether this host's operator lets nothing of a VIOLIN in. */
  refusesOwnerOf({ founding, ownerHost }: ViolinView): boolean {
    return ownerRefusal({ owners: founding.owners, ownerHost }, this.#limits()) !== null
  }

  /** What the `runs` record says of the VIOLIN's entities; it counts as told. */
  tell(violin: ViolinId): RunsBody['entities'] {
    this.#told.set(violin, this.#newsOf(violin))
    return this.#rowsOf(violin)
  }

  /** What is told goes out as this version. */
  speaks(violin: ViolinId, version: number): void {
    this.#spoken.set(violin, version)
  }

  #sight(): Sight {
    const { members } = this.#records.view
    const named = [...this.#records.view.violins.values()].flatMap(({ holders }) => [...holders])
    const revoked = this.#records.seats.revoked(new Set(named))
    return {
      self: this.#host.identity.id,
      lostForMs: (host) => this.#lostForMs(host),
      isGone: (host) => revoked.has(host) || members.get(host)?.body.left === true,
      isDraining: (host) => members.get(host)?.body.draining === true,
      isolated: this.#coHosts.isolated
    }
  }

  /** Lost is what libp2p lost, and the trunks, too, where there are any. */
  #lostForMs(host: HostId): number | null {
    const trunk = this.#trunks.get(host)
    if (trunk !== undefined && trunk.up.size > 0) return null
    const lostForMs = this.#coHosts.lostForMs(host)
    return lostForMs === null ? null : Math.min(lostForMs, performance.now() - (trunk?.lostAt ?? -Infinity))
  }

  #ask(violin: ViolinView, spec: Spec, sight: Sight): Asked[] {
    const held = this.#heldOf(violin.id)
    const told = toldOf(this.#records.view.runs.get(violin.id) ?? new Map())
    const listed = spec.entities.filter(
      (entity) =>
        entity.stopped !== true && entity.hosts.includes(sight.self) && this.#doors.mayRun(violin, entity)
    )
    // A host that holds the records may be listed for none of it any more.
    for (const name of held.keys()) if (!listed.some((entity) => entity.name === name)) held.delete(name)
    const former = this.#former.get(violin.id)
    if (former !== undefined) remind(told, former, listed, held, sight.self)
    const seen = {
      now: performance.now(),
      startedAt: this.#startedAt,
      answeredAt: (host: HostId) => this.#records.askedAt(host),
      isConnected: (host: HostId) => this.#coHosts.isConnected(host)
    }
    const questions = questionsOf(listed, told, held, violin.holders, sight, seen)
    for (const { name, own } of questions) if (own === null) held.delete(name)
    return questions.map((question, place) => ({ violin, entity: listed[place] as SpecEntity, question }))
  }

  #settle(asked: readonly Asked[], verdicts: readonly Verdict[]): void {
    const group = (isRunning: boolean): Map<ViolinId, SpecEntity[]> => {
      const group = new Map<ViolinId, SpecEntity[]>()
      for (const [place, { violin, entity }] of asked.entries()) {
        const verdict = verdicts[place] as Verdict
        const own = this.#heldOf(violin.id).get(entity.name)
        // A machine may go on under another claim.
        const isHere = verdict.kind === 'run' && (!verdict.fresh || (own !== undefined && isWanted(own)))
        if (verdict.kind === 'run' && isHere === isRunning)
          group.set(violin.id, [...(group.get(violin.id) ?? []), entity])
      }
      return group
    }
    const { violins } = this.#records.view
    const claims = [true, false].flatMap((running) =>
      Array.from(group(running), ([violin, entities]) => ({
        violin,
        owners: violins.get(violin)?.founding.owners ?? [],
        ownerHost: violins.get(violin)?.ownerHost as HostId,
        entities,
        running
      }))
    )
    const refused = refusals(claims, this.#limits())
    for (const [place, { violin, entity }] of asked.entries()) {
      const held = this.#heldOf(violin.id)
      const verdict = verdicts[place] as Verdict
      const own = held.get(entity.name)
      const reason = refused.get(violin.id)?.get(entity.name)
      if (verdict.kind === 'rest') {
        if (own !== undefined && own.state !== 'failed') held.delete(entity.name)
      } else if (reason !== undefined) {
        const claim = own?.state === 'refused' ? own.claim : verdict.claim
        held.set(entity.name, {
          claim,
          state: 'refused',
          reason,
          superseded: own?.superseded ?? 0,
          shut: own?.shut ?? null
        })
      } else if (verdict.fresh) {
        held.set(entity.name, {
          claim: verdict.claim,
          state: 'pending',
          reason: '',
          superseded: 0,
          shut: null
        })
      }
    }
  }

  #runningOf(violin: ViolinId): ReadonlyMap<string, number> {
    const claims = new Map<string, number>()
    for (const [name, holding] of this.held(violin)) if (isWanted(holding)) claims.set(name, holding.claim)
    return claims
  }

  #isNews(violin: ViolinId): boolean {
    const news = this.#newsOf(violin)
    const told = this.#told.get(violin)
    if (told !== undefined) return told !== news
    // What a former life told may be untrue now.
    const former = this.#records.view.runs.get(violin)?.get(this.#host.identity.id)
    return news !== '[]' || (former?.body.entities.length ?? 0) > 0
  }

  /** What others wait for: who has which claim, and whether it is ready. */
  #newsOf(violin: ViolinId): string {
    const rows = this.#rowsOf(violin).map(({ name, claim, state }) => [
      name,
      claim,
      state === 'pending' || state === 'booting' ? 'starting' : state
    ])
    return JSON.stringify(rows)
  }

  #rowsOf(violin: ViolinId): RunsBody['entities'] {
    const held = this.#heldOf(violin)
    const rows = Array.from(held, ([name, { claim, state, reason }]) => ({
      name,
      claim,
      state,
      reason: printable(reason, bodyLimits.reason)
    }))
    const former = Array.from(this.#former.get(violin) ?? [], ([name, claim]) => ({
      name,
      claim,
      state: 'stopped' as const,
      reason: 'its host began anew'
    }))
    return [...rows, ...former.filter(({ name }) => !held.has(name))]
  }

  #heldOf(violin: ViolinId): Map<string, Holding> {
    const held = this.#held.get(violin) ?? new Map<string, Holding>()
    this.#held.set(violin, held)
    this.#recall(violin, held)
    return held
  }

  /** What failed for good before this daemon's start is not tried again, nor what is never to be. */
  #recall(violin: ViolinId, held: Map<string, Holding>): void {
    const { runs, violins } = this.#records.view
    const former = runs.get(violin)?.get(this.#host.identity.id)
    const known = Math.max(this.#spoken.get(violin) ?? 0, this.#recalled.get(violin) ?? 0)
    if (former === undefined || former.version <= known) return
    this.#recalled.set(violin, former.version)
    for (const { name, claim, state, reason } of former.body.entities) {
      if (held.has(name)) continue
      const spec = violins.get(violin)?.spec?.entities.find((entity) => entity.name === name)
      const left = leftBehind(state, spec?.restart)
      const why = spec?.restart === 'never' ? neverAgain : reason
      if (left === 'failed') held.set(name, { claim, state: left, reason: why, superseded: 0, shut: null })
      else if (left === 'stopped')
        this.#former.set(violin, (this.#former.get(violin) ?? new Map<string, number>()).set(name, claim))
    }
  }
}

const neverAgain = 'it ended, and its restart is never'

function holdingOf(status: EntityStatus, known: Holding | null): Holding {
  const { claim, state, reason, again, superseded } = status
  const isKnown = superseded !== null && known?.superseded === superseded.claim && known.shut !== null
  return {
    claim,
    state: state === 'failed' && again ? 'pending' : state,
    reason,
    superseded: superseded?.claim ?? 0,
    shut: superseded === null ? null : isKnown ? known.shut : { by: superseded.by, at: performance.now() }
  }
}

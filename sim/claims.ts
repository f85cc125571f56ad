/**
 * How a virtual host runs entities: core/claims.ts over what it sees of records, connections, trunks and
 * liveness, fed and obeyed as daemon/claims.ts and daemon/reconciler.ts do. A boot takes a time drawn from the
 * seed, and fails by chance where the scenario says so. Hosts of worlds without entities have none of this.
 */
import { questionsOf, remind, toldOf } from '#core/asking.ts'
import {
  type Question,
  type Sight,
  type Told,
  type Verdict,
  decideAll,
  keeperOf,
  leftBehind,
  maxClaimOf
} from '#core/claims.ts'
import type { Owner } from '#core/election/ports.ts'
import type { HostId, HostKey, Instant, Mac, ViolinId, WallTime } from '#core/ids.ts'
import type { RunState, RunsBody } from '#core/records/bodies.ts'
import { maxLifeMs, type RunsRecord } from '#core/records/record.ts'
import { clockToleranceMs } from '#core/records/set.ts'
import { stands } from '#core/records/standing.ts'
import type { ViolinView } from '#core/records/view.ts'
import type { SpecEntity } from '#core/spec.ts'
import { formatMac } from '#frame/ethernet.ts'
import type { Host } from './host.ts'
import type { EntitiesPlan } from './scenario.ts'
import type { World } from './world.ts'

/** As in daemon/reconciler.ts and daemon/peers.ts. */
const tellEveryMs = 6_000
const tellClaimsMs = 50
const redialMs = 4_000
/** As in slice/entities.ts. */
const firstRetryMs = 1_000
const lastRetryMs = 60_000
const maxRetries = 8

/** What a host has of an entity. Another object is another machine. */
interface Held {
  claim: number
  state: RunState
  superseded: number
  /** By whom, and when; null: by nobody. */
  shut: { readonly by: HostId; readonly at: number } | null
}

interface Asked {
  readonly violin: ViolinView
  readonly entity: SpecEntity
  readonly question: Question
}

export class Claims {
  readonly #world: World
  readonly #host: Host
  readonly #life: number
  readonly #startedAt: number
  readonly #held = new Map<ViolinId, Map<string, Held>>()
  /** What a former life ran and starts only here again, by its claim, until it does. */
  readonly #former = new Map<ViolinId, Map<string, number>>()
  /** Versions of what this life spoke last, and of what a former one spoke, as far as it was heard. */
  readonly #spoken = new Map<ViolinId, number>()
  readonly #recalled = new Map<ViolinId, number>()
  /** What others were told last. */
  readonly #told = new Map<ViolinId, string>()
  /** Versions by which the vLANs were set. */
  readonly #owned = new Map<ViolinId, number>()
  /** Whether a trunk is up, or since when it is not. */
  readonly #trunks = new Map<HostId, { readonly up: boolean; readonly at: number }>()
  readonly #triedAt = new Map<HostId, number>()
  #kicked = false
  #clockWasWrong = false
  #tellAt = Infinity
  #againAt = Infinity

  constructor(world: World, host: Host) {
    this.#world = world
    this.#host = host
    this.#life = host.life
    this.#startedAt = world.clock.now
  }

  /** Says what runs here, before others hear of it: what a former life told is over. */
  start(): void {
    for (const violin of this.#host.records.view.runs.keys()) this.#tell(violin)
    this.kick()
  }

  /** Something happened that may change what is to run here: looks at it once in this moment. */
  kick(): void {
    if (this.#kicked) return
    this.#kicked = true
    this.#world.clock.after(0, () => this.#do(() => this.#decide()))
  }

  /** Every few seconds: what was told may end soon, or be dated by a clock that was wrong. */
  refresh(): void {
    if (this.#clockWasWrong) this.kick()
    this.#tellLater(0)
  }

  trunk(peer: HostId, up: boolean): void {
    this.#do(() => {
      this.#trunks.set(peer, { up, at: this.#world.clock.now })
      this.kick()
    })
  }

  /** The worker shut the ports of an entity: another host has a higher claim. */
  superseded(mac: Mac, claim: number, by: Host): void {
    this.#do(() => {
      for (const [violin, name] of this.#everyHeld()) {
        const held = this.#held.get(violin)?.get(name)
        if (held === undefined || macOfEntity(this.#world, violin, name) !== mac) continue
        if (claim > held.superseded)
          Object.assign(held, { superseded: claim, shut: { by: by.id, at: this.#world.clock.now } })
        this.#host.records.repair.with(by.place)
        this.kick()
      }
    })
  }

  /** Its own words, which it did not speak in this life: it speaks above them. */
  heardOwn(): void {
    this.#tellLater(tellEveryMs)
  }

  /** What this host has of an entity; null: nothing. */
  held(violin: ViolinId, name: string): Readonly<Held> | null {
    return this.#held.get(violin)?.get(name) ?? null
  }

  /** Who runs an entity as this host sees it. */
  keeper(violin: ViolinView, entity: SpecEntity): HostId | null {
    const told = this.#rows(violin.id).get(entity.name) ?? new Map<HostId, Told>()
    return keeperOf({ hosts: this.#listOf(entity, told), generation: entity.generation }, told)
  }

  #do(run: () => void): void {
    const { host, life } = { host: this.#host, life: this.#life }
    if (life !== host.life || !host.running) return
    host.daemon.do('command', () => {
      if (life === host.life) run()
    })
  }

  *#everyHeld(): Generator<readonly [ViolinId, string]> {
    for (const [violin, entities] of this.#held) for (const name of entities.keys()) yield [violin, name]
  }

  // Deciding.

  #decide(): void {
    this.#kicked = false
    const { records, clockAheadMs } = this.#host
    this.#clockWasWrong = Math.abs(clockAheadMs) > clockToleranceMs
    if (records.chain === null || this.#clockWasWrong) return
    const violins = [...records.view.violins.values()]
    this.#forget(violins)
    const sight = this.#sight()
    const asked = violins.flatMap((violin) => this.#ask(violin, sight))
    const verdicts = decideAll(
      asked.map(({ question }) => question),
      sight
    )
    for (const [turn, one] of asked.entries()) this.#obey(one, verdicts[turn] as Verdict)
    for (const { id } of violins)
      if (this.#newsOf(id) !== (this.#told.get(id) ?? '[]')) this.#tellLater(tellClaimsMs)
    const again = verdicts.flatMap((one) => (one.againInMs === null ? [] : one.againInMs))
    this.#againAt = this.#world.clock.now + Math.min(...again) + 1
    if (again.length > 0)
      this.#world.clock.at(this.#againAt, () => this.#againAt <= this.#world.clock.now && this.kick())
  }

  #sight(): Sight {
    const { records, watching, id } = this.#host
    const { members } = records.view
    return {
      self: id,
      lostForMs: (host) => this.#lostForMs(host),
      isGone: (host) => {
        const chain = this.#world.byId(host)?.records.chain ?? null
        return chain !== null && records.set.isRevoked(chain)
      },
      isDraining: (host) => members.get(host)?.body.draining === true,
      isolated: watching?.liveness.isolated === true
    }
  }

  /** As daemon/claims.ts and daemon/peers.ts have it: by trunks, connections, and what was heard. */
  #lostForMs(host: HostId): number | null {
    const { watching, records } = this.#host
    const { now } = this.#world.clock
    const trunk = this.#trunks.get(host)
    const place = this.#world.byId(host)?.place
    if (watching === null || place === undefined || trunk?.up === true) return null
    const lostForMs = watching.liveness.lostForMs(host, now as Instant)
    if (lostForMs === null) return null
    const isConnected = records.connections.connected.has(place)
    if (!isConnected && now - (this.#triedAt.get(host) ?? -Infinity) >= redialMs) {
      this.#triedAt.set(host, now)
      records.connections.dial(place, () => {})
    }
    if (watching.liveness.stateOf(host) !== 'dead') return null
    return Math.min(lostForMs, now - (trunk?.at ?? -Infinity))
  }

  #ask(violin: ViolinView, sight: Sight): Asked[] {
    const plan = this.#world.entitiesOf(violin.id)
    if (plan === null || violin.spec === null) return []
    const rows = this.#rows(violin.id)
    this.#setOwners(violin, plan, rows)
    const held = this.#heldOf(violin.id)
    const listed = violin.spec.entities.flatMap((entity) => {
      const hosts = this.#listOf(entity, rows.get(entity.name) ?? new Map<HostId, Told>())
      const restart = this.#world.hasBug('all-fail-over') ? 'failover' : entity.restart
      if (entity.stopped !== true && hosts.includes(sight.self)) return { ...entity, hosts, restart }
      this.#stop(violin.id, entity.name)
      return []
    })
    const former = this.#former.get(violin.id)
    if (former !== undefined) remind(rows, former, listed, held, sight.self)
    const { repair, connections } = this.#host.records
    const placeOf = (host: HostId): number => this.#world.byId(host)?.place ?? -1
    const seen = {
      now: this.#world.clock.now,
      startedAt: this.#startedAt,
      answeredAt: (host: HostId) => repair.answered.get(placeOf(host)) ?? null,
      isConnected: (host: HostId) => connections.connected.has(placeOf(host))
    }
    const questions = questionsOf(listed, rows, held, violin.holders, sight, seen)
    for (const { name, own } of questions) if (own === null) held.delete(name)
    return questions.map((question, turn) => ({ violin, entity: listed[turn] as SpecEntity, question }))
  }

  /** With planted bugs whoever claims an entity is believed to be listed for it, or comes first. */
  #listOf({ hosts }: SpecEntity, told: ReadonlyMap<HostId, Told>): readonly HostId[] {
    if (this.#world.hasBug('runner-first')) {
      const runs = (host: HostId): number => Number(told.get(host)?.state === 'running')
      return hosts.toSorted((a, b) => runs(b) - runs(a))
    }
    return this.#world.hasBug('claims-unlisted') ? [...new Set([...hosts, ...told.keys()])] : hosts
  }

  /** What hosts say, by entity. */
  #rows(violin: ViolinId): Map<string, Map<HostId, Told>> {
    const runs = this.#host.records.view.runs.get(violin) ?? new Map<HostId, RunsRecord>()
    const own = runs.get(this.#host.id)
    if (!this.#world.hasBug('others-unheard')) return toldOf(runs)
    return toldOf(new Map(own === undefined ? [] : [[this.#host.id, own]]))
  }

  #heldOf(violin: ViolinId): Map<string, Held> {
    const held = this.#held.get(violin) ?? new Map<string, Held>()
    this.#held.set(violin, held)
    this.#recall(violin, held)
    return held
  }

  /** What failed before this life is not tried again, nor what is never to be. */
  #recall(violin: ViolinId, held: Map<string, Held>): void {
    const { runs, violins } = this.#host.records.view
    const former = runs.get(violin)?.get(this.#host.id)
    const known = Math.max(this.#spoken.get(violin) ?? 0, this.#recalled.get(violin) ?? 0)
    if (former === undefined || former.version <= known) return
    this.#recalled.set(violin, former.version)
    for (const { name, claim, state } of former.body.entities) {
      if (held.has(name)) continue
      const restart = violins.get(violin)?.spec?.entities.find((entity) => entity.name === name)?.restart
      const left = leftBehind(state, restart)
      if (left === 'failed') held.set(name, { claim, state: left, superseded: 0, shut: null })
      else if (left === 'stopped')
        this.#former.set(violin, (this.#former.get(violin) ?? new Map<string, number>()).set(name, claim))
    }
  }

  // Running.

  #obey({ violin, entity }: Asked, verdict: Verdict): void {
    const held = this.#heldOf(violin.id)
    const own = held.get(entity.name)
    if (verdict.kind === 'rest') {
      if (own?.state !== 'failed') this.#stop(violin.id, entity.name)
      return
    }
    if (!verdict.fresh) return
    this.#see(violin.id, entity.name, verdict.claim, 'pending')
    if (own === undefined || own.state === 'failed') {
      const made: Held = { claim: verdict.claim, state: 'booting', superseded: 0, shut: null }
      held.set(entity.name, made)
      return this.#boot(violin.id, entity, made)
    }
    // The same machine under another claim.
    own.claim = verdict.claim
    own.superseded = 0
    own.shut = null
    if (own.state === 'running') this.#ran(violin.id, entity.name, own)
  }

  /** What does not fail over is started again with growing patience, as slice/entities.ts does. */
  #boot(violin: ViolinId, entity: SpecEntity, made: Held, deaths = 0): void {
    const { name, restart } = entity
    const plan = this.#world.entitiesOf(violin) as EntitiesPlan
    const turn = deaths === 0 ? '' : ` ${deaths}`
    const what = `${violin} ${name} ${made.claim}${turn}`
    const random = this.#world.random.boot(this.#host.place, this.#life, what)
    const [leastMs, mostMs] = plan.bootMs
    const fails = random.chance(plan.failures)
    this.#world.clock.after(random.between(leastMs, mostMs), () => {
      if (this.#life !== this.#host.life || !this.#host.running) return
      this.#host.main.do('command', () => {
        if (this.#life !== this.#host.life || this.#held.get(violin)?.get(name) !== made) return
        if (fails && restart === 'on-failure' && deaths < maxRetries) {
          const delayMs = Math.min(firstRetryMs * 2 ** deaths, lastRetryMs)
          return this.#world.clock.after(delayMs, () => this.#boot(violin, entity, made, deaths + 1))
        }
        made.state = fails ? 'failed' : 'running'
        if (fails) this.#see(violin, name, made.claim, 'failed')
        else this.#ran(violin, name, made)
        this.#do(() => this.kick())
      })
    })
  }

  /** Its port opens under its claim. */
  #ran(violin: ViolinId, name: string, { claim }: Held): void {
    this.#see(violin, name, claim, 'running')
    this.#port(violin, name, (lan, mac) => this.#host.slice.openPort(lan, mac, claim))
  }

  #stop(violin: ViolinId, name: string): void {
    const held = this.#held.get(violin)
    const own = held?.get(name)
    if (held === undefined || own === undefined) return
    held.delete(name)
    if (own.state === 'failed') return
    this.#see(violin, name, own.claim, 'stopped')
    this.#port(violin, name, (lan, mac) => this.#host.slice.closePort(lan, mac))
  }

  #port(violin: ViolinId, name: string, change: (lan: number, mac: Mac) => void): void {
    const { lan } = this.#world.entitiesOf(violin) as EntitiesPlan
    const mac = macOfEntity(this.#world, violin, name)
    this.#host.worker.do('command', () => {
      if (this.#life === this.#host.life) change(lan, mac)
    })
  }

  /** VIOLINs that are over, or are not this host's business any more; entities that are not there any more. */
  #forget(violins: readonly ViolinView[]): void {
    for (const [violin, name] of [...this.#everyHeld()]) {
      const spec = violins.find(({ id }) => id === violin)?.spec
      if (spec?.entities.some((entity) => entity.name === name) !== true) this.#stop(violin, name)
    }
    for (const violin of this.#held.keys()) {
      if (violins.some(({ id, spec }) => id === violin && spec !== null)) continue
      this.#held.delete(violin)
      this.#former.delete(violin)
    }
  }

  /** Tells the vLAN's election whose MACs may be where. */
  #setOwners(
    { id, version, spec }: ViolinView,
    { lan }: EntitiesPlan,
    rows: ReadonlyMap<string, ReadonlyMap<HostId, Told>>
  ): void {
    const believes = this.#world.hasBug('claims-unlisted')
    if (spec === null || (this.#owned.get(id) === version && !believes)) return
    this.#owned.set(id, version)
    const keys = (entity: SpecEntity): HostKey[] =>
      this.#listOf(entity, rows.get(entity.name) ?? new Map<HostId, Told>()).map(
        (host) => (this.#world.byId(host) as Host).key
      )
    const owners = spec.entities.map((one) => {
      const owner: Owner = { hosts: keys(one), maxClaim: maxClaimOf(one.generation) }
      return [macOfEntity(this.#world, id, one.name), owner] as const
    })
    this.#host.worker.do('command', () => {
      if (this.#life === this.#host.life) this.#host.slice.own(lan, id, new Map(owners))
    })
  }

  #see(violin: ViolinId, name: string, claim: number, state: RunState): void {
    this.#world.see({ kind: 'entity', host: this.#host.place, violin, name, claim, state })
  }

  // Telling.

  #newsOf(violin: ViolinId): string {
    return JSON.stringify(
      this.#rowsToTell(violin).map(({ name, claim, state }) => [
        name,
        claim,
        state === 'pending' || state === 'booting' ? 'starting' : state
      ])
    )
  }

  #rowsToTell(violin: ViolinId): RunsBody['entities'] {
    const held = this.#held.get(violin) ?? new Map<string, Held>()
    const rows = Array.from(held, ([name, { claim, state }]) => ({ name, claim, state, reason: '' }))
    const former = Array.from(this.#former.get(violin) ?? [], ([name, claim]) => ({
      name,
      claim,
      state: 'stopped' as const,
      reason: ''
    }))
    return [...rows, ...former.filter(({ name }) => !held.has(name))]
  }

  #tellLater(inMs: number): void {
    const at = this.#world.clock.now + inMs
    if (this.#tellAt <= at) return
    this.#tellAt = at
    this.#world.clock.at(at, () => {
      if (this.#tellAt !== at) return
      this.#tellAt = Infinity
      this.#do(() => {
        for (const { id } of this.#host.records.view.violins.values()) this.#tell(id)
      })
    })
  }

  /** Publishes what runs here, if the record that stands says something else or ends soon. */
  #tell(violin: ViolinId): void {
    const { records, signer, id } = this.#host
    const { chain, wallNow } = records
    const former = records.set.get('runs', signer.publicKey, violin)
    const held = this.#heldOf(violin)
    const holds = records.view.violins.get(violin)?.holders.has(id) === true
    if (chain === null || !holds || (held.size === 0 && former === null)) return
    this.#told.set(violin, this.#newsOf(violin))
    const entities = this.#rowsToTell(violin)
    const body: RunsBody = { violin, entities, switches: [] }
    if (stands(former, 'runs', body, chain, wallNow)) return
    const version = (former?.version ?? 0) + 1
    this.#spoken.set(violin, version)
    records.speak(signer, {
      kind: 'runs',
      version,
      issuedAt: wallNow,
      expiresAt: Math.min(wallNow + maxLifeMs.runs, chain.endsAt) as WallTime,
      body,
      chain
    })
  }
}

/** The MAC of the one vNIC of an entity. */
export function macOfEntity(world: World, violin: ViolinId, name: string): Mac {
  const index = world.scenario.violins.findIndex((_, place) => world.violin(place).id === violin)
  return formatMac(0x0202, index * 65_536 + Number(name.slice('vhost'.length))) as Mac
}

/** The host that runs the first entity of the world under the highest claim; null: nobody does. */
export function runnerIn(world: World): Host | null {
  const index = world.scenario.violins.findIndex(({ entities }) => entities !== undefined)
  if (index < 0) return null
  const { id } = world.violin(index)
  let best: { readonly host: Host; readonly claim: number } | null = null
  for (const host of world.hosts) {
    const own = host.running ? (host.claims?.held(id, 'vhost0') ?? null) : null
    if (own?.state === 'running' && own.claim > (best?.claim ?? 0)) best = { host, claim: own.claim }
  }
  return best?.host ?? null
}

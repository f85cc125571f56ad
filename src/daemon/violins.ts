/** What people ask about VIOLINs: create and change, look, wait, move a vSwitch, delete. */
import { randomBytes } from 'node:crypto'
import { ascii, hex } from '#core/derive.ts'
import { expectedEntities, withGuests } from '#core/doors.ts'
import { ViolinError, errorData } from '#core/errors.ts'
import type { HostId, WallTime } from '#core/ids.ts'
import { addNic, type NicWish, removeNic } from '#core/nics.ts'
import { type PlacementHost, findHost, objectionTo, place } from '#core/placement.ts'
import { same } from '#core/same.ts'
import { type Change, planChanges } from '#core/plan.ts'
import { lanMembers, namedHosts, switchCandidates } from '#core/reconcile.ts'
import { type ViolinBody, violinIdOf } from '#core/records/bodies.ts'
import { maxLifeMs, maxVersion } from '#core/records/record.ts'
import type { ViolinView } from '#core/records/view.ts'
import { resolveTopology } from '#core/resolve.ts'
import { hostsPerEntity, type Spec, type SpecEntity, type SpecNic, type Topology } from '#core/spec.ts'
import type { EntityStatus } from '#slice/contract.ts'
import type { ListRow, Plan, Progress, Show, ViolinState } from '#api/contract.ts'
import { crypto } from './crypto.ts'
import type { Journal } from './events.ts'
import type { Handoffs } from './handoff.ts'
import { driversOf, type Host } from './host.ts'
import type { Images } from './images.ts'
import type { Loads } from './loads.ts'
import type { Peers } from './peers.ts'
import type { Records } from './records.ts'
import {
  asSeenByGuest,
  entityState,
  jetwayRemedy,
  ownerOf,
  showOf,
  stateOf,
  switchOf,
  type StatusMap
} from './show.ts'
import type { Statuses } from './statuses.ts'

/** A host named by a VIOLIN that does not take its record in this time is told to the person as unreachable. */
const handOverTimeoutMs = 6_000
interface Planned {
  readonly before: ViolinView | null
  readonly spec: Spec
  readonly changes: readonly Change[]
  /** Entities on hosts that are away, and what is told of each. */
  readonly away: ReadonlyMap<string, string>
}

export class Violins {
  readonly #host: Host
  readonly #records: Records
  readonly #peers: Peers
  readonly #handoffs: Handoffs
  readonly #statuses: Statuses
  readonly #loads: Loads
  readonly #journal: Journal
  readonly #images: Images
  /** The last change that was begun; never rejects. */
  #settling: Promise<unknown> = Promise.resolve()

  constructor(parts: {
    readonly host: Host
    readonly records: Records
    readonly peers: Peers
    readonly handoffs: Handoffs
    readonly statuses: Statuses
    readonly loads: Loads
    readonly journal: Journal
    readonly images: Images
  }) {
    this.#host = parts.host
    this.#records = parts.records
    this.#peers = parts.peers
    this.#handoffs = parts.handoffs
    this.#statuses = parts.statuses
    this.#loads = parts.loads
    this.#journal = parts.journal
    this.#images = parts.images
  }

  /** What `apply` would do now. Throws ViolinError for a topology that fits no host. */
  async plan(topology: Topology): Promise<Plan> {
    const planned = await this.#planned(topology)
    return this.#planOf(topology, planned)
  }

  /** Creates or changes a VIOLIN to match the topology; tells what happens until it runs. */
  async *apply(topology: Topology, wait: boolean, timeoutMs: number): AsyncGenerator<Progress, void, void> {
    const startedAt = performance.now()
    const deadline = AbortSignal.timeout(timeoutMs)
    const { planned, violin } = await this.#settle(topology)
    yield { kind: 'plan', plan: this.#planOf(topology, planned) }
    const unchanged = planned.before?.spec != null && same(planned.before.spec, planned.spec)
    const said = violin === planned.before ? 'stands: nothing to change' : 'is signed and stored'
    const text = `version ${violin.version} ${said}${unchanged && violin !== planned.before ? ': what failed is tried again' : ''}`
    yield { kind: 'step', text }
    const hosts = namedHosts(planned.spec)
    yield* this.tell(violin, planned.before)
    const { away } = planned
    for (const [name, why] of away)
      yield { kind: 'warning', text: `${name} ${why}: it hears of this version when that is back` }
    if (wait) yield* this.#untilRunning(withoutAway(violin, away), hosts, deadline, timeoutMs)
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
    yield {
      kind: 'done',
      text: wait
        ? `${topology.name} runs${away.size === 0 ? '' : `, but for ${[...away.keys()].join(', ')}`} (${seconds} s)`
        : `${topology.name} is being made`
    }
  }

  /**
   * Changes a VIOLIN of this host's owner, one change after the other; gives what stands then. Throws ViolinError
   * `not-owner`, `unknown-violin`, and what `edit` throws.
   */
  change(name: string, edit: (spec: Spec) => Spec): Promise<ViolinView> {
    const changed = async (): Promise<ViolinView> => {
      const before = this.#owned(this.find(name))
      const spec = edit(before.spec as Spec)
      return same(before.spec, spec) ? before : this.#publish(before, { spec, ended: null })
    }
    const turn = this.#settling.then(changed, changed)
    this.#settling = turn.catch(() => undefined)
    return turn
  }

  /** Plans and signs, one at a time: two that build upon one version would each drop what the other changed. */
  #settle(topology: Topology): Promise<{ readonly planned: Planned; readonly violin: ViolinView }> {
    const settle = async (): Promise<{ readonly planned: Planned; readonly violin: ViolinView }> => {
      const planned = await this.#planned(topology)
      const { before, spec } = planned
      if (before === null || before.spec === null)
        return { planned, violin: await this.#publish(before, { spec, ended: null }) }
      const again = await this.#triedAgain(before, spec)
      if (same(before.spec, again)) return { planned, violin: before }
      return { planned, violin: await this.#publish(before, { spec: again, ended: null }) }
    }
    const turn = this.#settling.then(settle, settle)
    this.#settling = turn.catch(() => undefined)
    return turn
  }

  /** The spec with what failed to be tried again, from the first of its hosts on. */
  async #triedAgain(violin: ViolinView, spec: Spec): Promise<Spec> {
    const statuses = await this.#statusesOf(violin)
    const entities = spec.entities.map((entity): SpecEntity => {
      const { state } = entityState(violin, entity, statuses)
      const ended = state === 'failed' || state === 'refused'
      return ended ? { ...entity, generation: entity.generation + 1 } : entity
    })
    return { ...spec, entities }
  }

  /** Moves an entity: a version whose list begins with the host, and a generation above the one that runs. */
  async *move(
    name: string,
    what: string,
    to: string,
    timeoutMs: number
  ): AsyncGenerator<Progress, void, void> {
    const startedAt = performance.now()
    const deadline = AbortSignal.timeout(timeoutMs)
    const turn = this.#settling.then(
      () => this.#moved(name, what, to),
      () => this.#moved(name, what, to)
    )
    this.#settling = turn.catch(() => undefined)
    const { violin, target } = await turn
    yield { kind: 'step', text: `version ${violin.version} is signed and stored` }
    const hosts = namedHosts(violin.spec as Spec)
    yield* this.tell(violin)
    const where = this.#peers.nameOf(target)
    for await (const statuses of this.#statuses.follow(hosts, violin.id, deadline)) {
      const runsOn = (host: HostId): boolean =>
        statuses.get(host)?.entities.some((one) => one.name === what && one.state === 'running') === true
      const own = statuses.get(target)?.entities.find((one) => one.name === what)
      if (own?.state === 'failed' && !own.again)
        throw new ViolinError(
          'boot-failed',
          `${what} did not start on ${where}: ${own.reason}`,
          `it stays where it was: violin show ${violin.name}`
        )
      const elsewhere = hosts.some((host) => host !== target && runsOn(host))
      if (statuses.size < hosts.length || !runsOn(target) || elsewhere) continue
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
      yield { kind: 'done', text: `${what} runs on ${where} (${seconds} s), and nowhere else` }
      return
    }
    throw new ViolinError(
      'timeout',
      `${what} does not run on ${where} after ${seconds(timeoutMs)}`,
      `it goes on moving; see \`violin show ${violin.name}\``
    )
  }

  async #moved(
    name: string,
    what: string,
    to: string
  ): Promise<{ readonly violin: ViolinView; readonly target: HostId }> {
    const before = this.#owned(this.find(name))
    const spec = before.spec as Spec
    const entity = spec.entities.find((one) => one.name === what)
    if (entity === undefined)
      throw new ViolinError(
        'unknown-entity',
        `${before.name} has no entity ${what}`,
        `it has ${spec.entities.map((one) => one.name).join(', ')}`
      )
    const target = findHost(to, await this.#placementHosts())
    const objection = entity.pinned
      ? `the file pins it to ${this.#peers.nameOf(entity.hosts[0] as HostId)}`
      : objectionTo(entity, target)
    if (objection !== null)
      throw new ViolinError(
        'no-placement',
        `${what} cannot move to ${target.name}: ${objection}`,
        entity.pinned ? 'change `on:` in the file and apply it' : 'choose another host'
      )
    const others = entity.hosts.filter((host) => host !== target.id)
    const moved: SpecEntity = {
      ...entity,
      hosts: [target.id, ...others].slice(0, hostsPerEntity),
      generation: entity.generation + 1
    }
    const lans = spec.lans.map((lan) => {
      // Where candidates are the hosts with ports, the new one is among them.
      const has =
        entity.nics.some((nic) => nic.lan === lan.name) && entity.hosts.some((one) => lan.hosts.includes(one))
      return has && !lan.hosts.includes(target.id) ? { ...lan, hosts: [...lan.hosts, target.id] } : lan
    })
    const entities = spec.entities.map((one) => (one === entity ? moved : one))
    const violin = await this.#publish(before, { spec: { ...spec, lans, entities }, ended: null })
    return { violin, target: target.id }
  }

  /** Adds a vNIC to an entity (a wish), or removes the one of a name; tells when the machine has taken it on. */
  async *changeNics(
    name: string,
    entity: string,
    change: NicWish | string,
    timeoutMs: number
  ): AsyncGenerator<Progress, void, void> {
    const deadline = AbortSignal.timeout(timeoutMs)
    const settle = (): Promise<{ readonly violin: ViolinView; readonly nic: SpecNic | null }> =>
      this.#nicsChanged(name, entity, change)
    const turn = this.#settling.then(settle, settle)
    this.#settling = turn.catch(() => undefined)
    const { violin, nic } = await turn
    yield { kind: 'step', text: `version ${violin.version} is signed and stored` }
    const hosts = namedHosts(violin.spec as Spec)
    yield* this.tell(violin)
    const without = typeof change === 'string' ? change : ''
    const isDone = (one: EntityStatus): boolean =>
      one.state === 'running' &&
      (nic === null
        ? !one.nics.some((other) => other.name === without)
        : one.nics.some((other) => other.name === nic.name && other.lan === nic.lan && other.up))
    for await (const statuses of this.#statuses.follow(hosts, violin.id, deadline)) {
      const own = [...statuses.values()].flatMap((status) => status?.entities ?? [])
      if (!own.some((one) => one.name === entity && isDone(one))) continue
      const text =
        nic === null
          ? `${entity} has no ${without} any more`
          : `${entity} has ${nic.name} on ${nic.lan}: ${nic.ips.join(', ')}`
      yield { kind: 'done', text }
      return
    }
    throw new ViolinError(
      'timeout',
      `${entity} has not taken its vNICs on after ${seconds(timeoutMs)}`,
      `see \`violin show ${violin.name}\``
    )
  }

  async #nicsChanged(
    name: string,
    entity: string,
    change: NicWish | string
  ): Promise<{ readonly violin: ViolinView; readonly nic: SpecNic | null }> {
    const before = this.#owned(this.find(name))
    const spec = before.spec as Spec
    const added =
      typeof change === 'string'
        ? { spec: removeNic(spec, entity, change), nic: null }
        : addNic(spec, entity, change)
    const violin = await this.#publish(before, { spec: added.spec, ended: null })
    return { violin, nic: added.nic }
  }

  /** The host that runs an entity now, or should. Throws `not-running-here` when it has none. */
  async whereRuns(violin: ViolinView, entity: SpecEntity): Promise<HostId> {
    const self = this.#host.identity.id
    const connected = entity.hosts.filter((host) => this.#peers.isConnected(host))
    // One that may run it is asked at once; of several that are there each says what it has.
    const asked = connected.length > 1 ? connected : []
    const statuses = await this.#statuses.ofAll(asked, violin.id)
    const { host, state } = entityState(violin, entity, statuses)
    const where =
      asked.length > 0 && state !== 'unreachable' ? host : (connected[0] ?? entity.hosts[0] ?? null)
    if (where !== null) return where
    if (entity.hosts.includes(self)) return self
    throw new ViolinError(
      'not-running-here',
      `${entity.name} has no host yet`,
      `see \`violin show ${violin.name}\``
    )
  }

  /** Ends a VIOLIN for good; tells what happens until no reachable host runs any of it. */
  async *delete(name: string, timeoutMs: number): AsyncGenerator<Progress, void, void> {
    const violin = this.#owned(this.find(name))
    const deadline = AbortSignal.timeout(timeoutMs)
    const spec = violin.spec as Spec
    const hosts = namedHosts(spec)
    const end = await this.#publish(violin, { spec: null, ended: { name: violin.name, hosts } })
    yield { kind: 'step', text: 'its end is signed and stored' }
    yield* this.tell(end, violin)
    for await (const statuses of this.#statuses.follow(hosts, violin.id, deadline)) {
      // Who was lost meanwhile is not waited for: the end reaches it when it is back.
      const open = hosts.filter((host) => this.#peers.isConnected(host) && statuses.get(host)?.runs !== null)
      if (open.length > 0) continue
      const away = hosts
        .filter((host) => !this.#peers.isConnected(host) && this.#peers.stateOf(host) !== 'left')
        .map((host) => this.#peers.nameOf(host))
      yield {
        kind: 'done',
        text:
          away.length === 0
            ? `${violin.name} is gone`
            : `${violin.name} is gone but on ${away.join(', ')}, unreachable now`
      }
      return
    }
    throw new ViolinError(
      'timeout',
      `${violin.name} is not gone everywhere after ${seconds(timeoutMs)}`,
      `see \`violin events\` on its hosts, and wait longer with violin wait ${violin.name} --for gone`
    )
  }

  /** VIOLINs that this host's owner key alone can change, and the other hosts on which that key lies. */
  owned(): { readonly name: string; readonly others: readonly HostId[] }[] {
    const self = this.#host.identity.id
    return [...this.#records.view.violins.values()]
      .filter((violin) => violin.spec !== null && this.isMine(violin) && violin.founding.owners.length === 1)
      .map(({ name, ownerHosts }) => ({ name, others: ownerHosts.filter((host) => host !== self) }))
  }

  async list(): Promise<ListRow[]> {
    const rows = await Promise.all(
      [...this.#records.view.violins.values()]
        .filter(({ spec }) => spec !== null)
        .map(async (violin): Promise<ListRow> => {
          const statuses = await this.#statusesOf(violin)
          const spec = violin.spec as Spec
          const entities = expectedEntities(spec)
          const running = entities.filter(
            (entity) => entityState(violin, entity, statuses).state === 'running'
          )
          return {
            name: violin.name,
            id: violin.id,
            owner: ownerOf(violin, (host) => this.#peers.nameOf(host)),
            state: stateOf(violin, statuses),
            entities: entities.length,
            running: running.length,
            mine: this.isMine(violin)
          }
        })
    )
    return rows.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.id < b.id ? -1 : 1))
  }

  async show(name: string): Promise<Show> {
    const violin = this.find(name)
    const statuses = await this.#statusesOf(violin)
    const hasLeft = (host: HostId): boolean => this.#peers.stateOf(host) === 'left'
    const signedTwice = this.#records.signedTwice(violin.id)
    const shown = showOf({ ...violin, signedTwice }, statuses, (host) => this.#peers.nameOf(host), hasLeft)
    return this.#isGuestHere(violin)
      ? asSeenByGuest(shown, this.#peers.nameOf(this.#host.identity.id))
      : shown
  }

  /** Resolves when the VIOLIN is in that state. Throws `timeout`, saying what is missing. */
  async wait(name: string, state: 'running' | 'gone', timeoutMs: number): Promise<{ state: ViolinState }> {
    const deadline = AbortSignal.timeout(timeoutMs)
    const violin = this.find(name, state === 'gone')
    const hosts = hostsOf(violin)
    let missing = 'no host answered'
    for await (const statuses of this.#statuses.follow(hosts, violin.id, deadline)) {
      // The record may have changed since.
      const now = this.#records.view.violins.get(violin.id)
      if (now === undefined) return { state: 'gone' }
      const reached = stateOf(now, statuses)
      if (reached === state) return { state: reached }
      missing = missingOf(now, statuses, (host) => this.#peers.nameOf(host))
    }
    throw new ViolinError(
      'timeout',
      `${violin.name} is not ${state} after ${seconds(timeoutMs)}: ${missing}`,
      `see \`violin show ${violin.name}\``
    )
  }

  /** Moves a vLAN's vSwitch by planned handoff. Throws ViolinError. */
  async migrate(
    name: string,
    lan: string,
    to: string | undefined
  ): Promise<{ active: string; term: number }> {
    const violin = this.#owned(this.find(name))
    const wanted = (violin.spec as Spec).lans.find((one) => one.name === lan)
    if (wanted === undefined) {
      throw new ViolinError(
        'unknown-lan',
        `${violin.name} has no vLAN ${lan}`,
        `it has ${(violin.spec as Spec).lans.map((one) => one.name).join(', ')}`
      )
    }
    const members = [...this.#records.view.members.values()].map(({ host, body }) => ({
      id: host,
      name: body.name
    }))
    const target = to === undefined ? null : findHost(to, members).id
    const candidates = switchCandidates(wanted.hosts, lanMembers(violin.spec as Spec, lan))
    if (target !== null && !candidates.includes(target)) {
      throw new ViolinError(
        'no-placement',
        `${to} is no candidate for the vSwitch of ${lan}`,
        `candidates: ${candidates.map((host) => this.#peers.nameOf(host)).join(', ')}; name others with \`vswitch:\` in the file`
      )
    }
    const { active } = switchOf(lan, await this.#statusesOf(violin))
    if (active === null)
      throw new ViolinError(
        'refused',
        `${lan} has no vSwitch at present`,
        'try again when it has one (`violin show`)'
      )
    const done = await this.#handoffs.at(active, violin.id, lan, target)
    return { active: this.#peers.nameOf(done.active), term: done.term }
  }

  /** A VIOLIN by name, id or name@owner. Throws `unknown-violin`, `ambiguous-name`. */
  find(wanted: string, alsoEnded = false): ViolinView {
    const all = [...this.#records.view.violins.values()].filter(({ spec }) => alsoEnded || spec !== null)
    const [name, owner] = wanted.split('@', 2) as [string, string | undefined]
    const named = all.filter(
      (violin) =>
        violin.id === wanted ||
        (wanted.length >= 8 && violin.id.startsWith(wanted)) ||
        (violin.name === name &&
          (owner === undefined ||
            violin.ownerHosts.some((host) => host === owner || this.#peers.nameOf(host) === owner) ||
            violin.owner === owner))
    )
    const living = named.filter(({ spec }) => spec !== null)
    const candidates = living.length > 0 ? living : named
    const mine = candidates.filter((violin) => this.isMine(violin))
    const match = candidates.length === 1 ? candidates[0] : mine.length === 1 ? mine[0] : undefined
    if (match !== undefined) return match
    if (candidates.length > 1) {
      const ways = candidates
        .map((violin) => `${violin.name}@${this.#peers.nameOf(violin.ownerHost)}`)
        .join(', ')
      throw new ViolinError(
        'ambiguous-name',
        `${candidates.length} VIOLINs are named ${wanted}`,
        `name it with its owner or by id: ${ways}`
      )
    }
    const known = all.map((violin) => violin.name).join(', ')
    throw new ViolinError(
      'unknown-violin',
      `this host knows no VIOLIN ${wanted}`,
      known === '' ? 'make one: violin apply FILE' : `it knows ${known}`
    )
  }

  async #planned(topology: Topology): Promise<Planned> {
    const before = this.#before(topology.name)
    const hosts = await this.#placementHosts()
    const former = before?.spec ?? null
    const whole = withGuests(topology, former)
    const placement = place(whole, hosts, former, (name, host) =>
      hex(crypto.sha256(ascii(`violin rank ${topology.name} ${name} ${host}`)))
    )
    const spec = resolveTopology(whole, placement, former, await this.#images.named(topology))
    const away = new Map<string, string>()
    for (const [name, one] of placement.entities) if (one.away) away.set(name, one.why)
    return { before, spec, changes: planChanges(former, spec, placement), away }
  }

  /** The VIOLIN of this name that an apply changes; null: it makes a new one. Throws `not-owner`. */
  #before(name: string): ViolinView | null {
    const named = [...this.#records.view.violins.values()].filter(
      (violin) => violin.spec !== null && violin.name === name
    )
    const mine = named.find((violin) => this.isMine(violin))
    const other = named[0]
    if (mine === undefined && other !== undefined) return this.#owned(other)
    return mine ?? null
  }

  async #placementHosts(): Promise<PlacementHost[]> {
    const members = [...this.#records.view.members.values()]
    const loads = await this.#loads.ofAll(members.map(({ host }) => host))
    return members.map(({ host, body }) => {
      const load = loads.get(host) ?? null
      const why = body.left
        ? 'has left the mesh'
        : body.draining
          ? 'is being drained'
          : load === null
            ? 'does not answer'
            : ''
      return {
        id: host,
        name: body.name,
        available: why === '',
        unavailableWhy: why,
        left: body.left,
        drivers: driversOf(body),
        freeMemoryMiB: load?.ownerFreeMiB ?? 0,
        load: load?.entities ?? 0
      }
    })
  }

  #planOf(topology: Topology, planned: Planned): Plan {
    const steps = planned.changes.map((change) => ({
      ...change,
      hosts: change.hosts.map((host) => this.#peers.nameOf(host))
    }))
    return { name: topology.name, steps }
  }

  /** Signs and stores a version, or the end. */
  async #publish(
    before: ViolinView | null,
    content: { spec: Spec; ended: null } | { spec: null; ended: NonNullable<ViolinView['ended']> }
  ): Promise<ViolinView> {
    const { identity, ownerChain } = this.#host
    const founding = before?.founding ?? { nonce: randomBytes(16), owners: [identity.owner.publicKey] }
    const id = violinIdOf(founding, crypto)
    const { now } = this.#records
    const next = this.#records.nextVersion('violin', identity.owner.publicKey, id)
    const version = Math.max(before?.version ?? 0, next - 1) + 1
    if (version > maxVersion && content.spec !== null)
      throw new ViolinError(
        'refused',
        `${content.spec.name} stands in version ${maxVersion}, above which there is none`,
        'delete it and apply it again; if you did not count so far, somebody else signs with your owner key'
      )
    await this.#records.publish(
      {
        kind: 'violin',
        // The end beats every version, whatever its own.
        version: Math.min(version, maxVersion),
        issuedAt: now,
        expiresAt: Math.min(now + maxLifeMs.violin, ownerChain.endsAt) as WallTime,
        body: { founding, ...content } as ViolinBody,
        chain: ownerChain
      },
      identity.owner
    )
    const violin = this.#records.view.violins.get(id) as ViolinView
    this.#journal.note(
      content.spec === null ? 'deleted' : before === null ? 'created' : 'changed',
      violin,
      `version ${violin.version}`
    )
    return violin
  }

  /** Gives the records to all who hold a version, and who held the one before; tells who could not be reached. */
  async *tell(violin: ViolinView, before: ViolinView | null = null): AsyncGenerator<Progress, void, void> {
    const hosts = new Set([...violin.holders, ...(before?.holders ?? [])])
    const signal = AbortSignal.timeout(handOverTimeoutMs)
    const failures = await Promise.all(
      [...hosts]
        .filter((host) => host !== this.#host.identity.id && this.#peers.stateOf(host) !== 'left')
        .map(async (host) => {
          try {
            await this.#peers.reach(host)
            await this.#records.exchange(host, [violin.id], signal)
            return null
          } catch (error: unknown) {
            return `${this.#peers.nameOf(host)} was not told: ${errorData(error).message}; it will be when it is back`
          }
        })
    )
    for (const text of failures) if (text !== null) yield { kind: 'warning', text }
  }

  async *#untilRunning(
    violin: ViolinView,
    hosts: readonly HostId[],
    deadline: AbortSignal,
    timeoutMs: number
  ): AsyncGenerator<Progress, void, void> {
    const told = new Set<string>()
    /** Entities that failed once: true once they were started again. */
    const failed = new Map<string, boolean>()
    let missing = 'no host answered'
    for await (const statuses of this.#statuses.follow(hosts, violin.id, deadline)) {
      for (const entity of violin.spec === null ? [] : expectedEntities(violin.spec)) {
        const { state, reason, bootMs, host, again } = entityState(violin, entity, statuses)
        if (state === 'running' && !told.has(entity.name)) {
          told.add(entity.name)
          const where = this.#peers.nameOf(host as HostId)
          yield {
            kind: 'step',
            text: `${entity.name} runs on ${where}${bootMs === null ? '' : ` (${(bootMs / 1000).toFixed(1)} s)`}`
          }
        }
        if (state !== 'failed') {
          if (failed.has(entity.name)) failed.set(entity.name, true)
        } else if (again && failed.get(entity.name) !== true) {
          // Once may be the machine's fault, twice is the file's.
          if (!failed.has(entity.name))
            yield { kind: 'warning', text: `${entity.name} did not start: ${reason}` }
          failed.set(entity.name, false)
        } else
          throw new ViolinError(
            'boot-failed',
            `${entity.name} did not start: ${reason}`,
            `change the file and apply again, or remove it: violin delete ${violin.name}`
          )
        if (state === 'refused')
          throw new ViolinError(
            'refused',
            `${entity.name} was refused by ${this.#peers.nameOf(host as HostId)}: ${reason}`,
            entity.jetway === undefined
              ? 'place it elsewhere with `on:`, or make it smaller'
              : jetwayRemedy(violin, this.#peers.nameOf(host as HostId))
          )
      }
      if (stateOf(violin, statuses) === 'running') return
      missing = missingOf(violin, statuses, (host) => this.#peers.nameOf(host))
      const now = this.#records.view.violins.get(violin.id)
      if (now !== undefined && now.record.hash !== violin.record.hash) {
        throw new ViolinError(
          'refused',
          `${violin.name} was changed again meanwhile (version ${now.version})`,
          `see \`violin show ${violin.name}\``
        )
      }
    }
    throw new ViolinError(
      'timeout',
      `${violin.name} does not run after ${seconds(timeoutMs)}: ${missing}`,
      `it goes on starting; see \`violin show ${violin.name}\``
    )
  }

  #statusesOf(violin: ViolinView): Promise<StatusMap> {
    return this.#statuses.ofAll(hostsOf(violin), violin.id)
  }

  /** By an own signature on it: whoever founds a VIOLIN may name others as its owners, and its name is theirs, too. */
  isMine(violin: ViolinView): boolean {
    const { publicKey } = this.#host.identity.owner
    return this.#records.set.get('violin', publicKey, violin.id) !== null
  }

  /** Whether this host takes part in another owner's VIOLIN by offers alone. */
  #isGuestHere(violin: ViolinView): boolean {
    const { id } = this.#host.identity
    if (violin.spec === null || this.isMine(violin)) return false
    const { lans, entities, offers = [] } = violin.spec
    const takesPart = [...lans, ...entities.filter(({ by }) => by !== id)].some(({ hosts }) =>
      hosts.includes(id)
    )
    return !takesPart && offers.some(({ to }) => to === id)
  }

  #owned(violin: ViolinView): ViolinView {
    if (this.isMine(violin)) return violin
    throw new ViolinError(
      'not-owner',
      `${violin.name} belongs to ${this.#peers.nameOf(violin.ownerHost)}; only its owner changes it`,
      `run this on ${this.#peers.nameOf(violin.ownerHost)}, or choose another name`
    )
  }
}

/** What of a VIOLIN is waited for: neither entities on hosts that are away, nor vLANs that only those have. */
function withoutAway(violin: ViolinView, away: ReadonlyMap<string, string>): ViolinView {
  if (violin.spec === null || away.size === 0) return violin
  const entities = violin.spec.entities.filter(({ name }) => !away.has(name))
  const used = new Set(entities.flatMap(({ nics }) => nics.map(({ lan }) => lan)))
  const lans = violin.spec.lans.filter(({ name }) => used.has(name))
  return { ...violin, spec: { ...violin.spec, entities, lans } }
}

function hostsOf(violin: ViolinView): readonly HostId[] {
  return violin.spec === null ? (violin.ended?.hosts ?? []) : namedHosts(violin.spec)
}

/** What keeps a VIOLIN from running, in a few words. */
function missingOf(violin: ViolinView, statuses: StatusMap, nameOf: (host: HostId) => string): string {
  const open = (violin.spec === null ? [] : expectedEntities(violin.spec)).flatMap((entity) => {
    const { state, reason } = entityState(violin, entity, statuses)
    return state === 'running' ? [] : [`${entity.name} is ${state}${reason === '' ? '' : ` (${reason})`}`]
  })
  const unswitched = (violin.spec?.lans ?? []).flatMap((lan) =>
    lan.hosts.length > 0 && switchOf(lan.name, statuses).active === null ? [`${lan.name} has no vSwitch`] : []
  )
  const still =
    violin.spec === null
      ? [...statuses].flatMap(([host, status]) =>
          status?.runs === null ? [] : [`${nameOf(host)} has not stopped it`]
        )
      : []
  return [...open, ...unswitched, ...still].slice(0, 4).join('; ')
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`
}

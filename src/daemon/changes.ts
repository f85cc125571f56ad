/** What an owner makes of VIOLINs: create, change, end; the versions are signed here, one after the other. */
import { randomBytes } from 'node:crypto'
import { ascii, hex } from '#core/derive.ts'
import { withGuests } from '#core/doors.ts'
import { ViolinError, errorData } from '#core/errors.ts'
import type { HostId, WallTime } from '#core/ids.ts'
import { place } from '#core/placement.ts'
import { type Change, planChanges } from '#core/plan.ts'
import { namedHosts } from '#core/reconcile.ts'
import { type ViolinBody, violinIdOf } from '#core/records/bodies.ts'
import { maxLifeMs, maxVersion } from '#core/records/record.ts'
import { isMadeUpon, signingOf, upon } from '#core/records/upon.ts'
import type { ViolinView } from '#core/records/view.ts'
import { resolveTopology } from '#core/resolve.ts'
import { same } from '#core/same.ts'
import { unableOfMulticast6 } from '#core/routing/multicast-tree.ts'
import type { Spec, SpecEntity, Topology } from '#core/spec.ts'
import type { Plan, Progress } from '#api/contract.ts'
import { crypto } from './crypto.ts'
import type { Journal } from './events.ts'
import type { Host } from './host.ts'
import type { Images } from './images.ts'
import type { Loads } from './loads.ts'
import type { Peers } from './peers.ts'
import type { Records } from './records.ts'
import { changedMeanwhile, type Waiting } from './waiting.ts'
import { entityState } from './show.ts'
import { ownerShutOut } from './shut-out.ts'
import type { Violins } from './violins.ts'

/** A host named by a VIOLIN that does not take its record in this time is told to the person as unreachable. */
const handOverTimeoutMs = 6_000

/** Members that keep the end of a VIOLIN whose owner leaves: any of them tells who was away. */
const endKeepers = 3

interface Planned {
  readonly before: ViolinView | null
  readonly spec: Spec
  readonly changes: readonly Change[]
  /** Entities on hosts that are away, and what is told of each. */
  readonly away: ReadonlyMap<string, string>
}

export interface ChangesParts {
  readonly host: Host
  readonly records: Records
  readonly peers: Peers
  readonly violins: Violins
  readonly waiting: Waiting
  readonly loads: Loads
  readonly journal: Journal
  readonly images: Images
}

export class Changes {
  readonly #host: Host
  readonly #records: Records
  readonly #peers: Peers
  readonly #violins: Violins
  readonly #waiting: Waiting
  readonly #loads: Loads
  readonly #journal: Journal
  readonly #images: Images
  /** The last change that was begun; never rejects. */
  #settling: Promise<unknown> = Promise.resolve()

  constructor(parts: ChangesParts) {
    this.#host = parts.host
    this.#records = parts.records
    this.#peers = parts.peers
    this.#violins = parts.violins
    this.#waiting = parts.waiting
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
    const unable = unableOfMulticast6(planned.spec)
    if (unable.length > 0)
      yield {
        kind: 'warning',
        text: `${unable.join(', ')}: no IPv6 multicast, for which the kernel of virtual machines is not built; say \`driver: netns\``
      }
    yield* this.tell(violin, planned.before)
    const { away } = planned
    for (const [name, why] of away) {
      const host = planned.spec.entities.find((entity) => entity.name === name)?.hosts[0]
      // One that is drained is there, and may be this host itself.
      const later =
        host !== undefined && this.#peers.isConnected(host)
          ? 'what must be started anew for this version waits there for `violin drain --off`'
          : 'it hears of this version when that is back'
      yield { kind: 'warning', text: `${name} ${why}: ${later}` }
    }
    if (wait) yield* this.#waiting.until(violin, away, deadline, timeoutMs)
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
  change(name: string, edit: (spec: Spec, violin: ViolinView) => Spec | Promise<Spec>): Promise<ViolinView> {
    return this.#inTurn(async () => {
      for (;;) {
        const before = this.#violins.findOwned(name)
        const spec = await edit(before.spec as Spec, before)
        if (same(before.spec, spec)) return this.#settled(before)
        if (this.#stands(before)) return this.#publish(before, { spec, ended: null })
      }
    })
  }

  /**
   * Throws ViolinError `refused` where what stands was not made upon this version: it was signed elsewhere with this
   * owner's key; or where the VIOLIN was deleted since.
   */
  mustCount({ id, record }: ViolinView): void {
    const now = this.#records.view.violins.get(id)
    if (now === undefined || now.record.hash === record.hash) return
    if (now.spec === null || !isMadeUpon(now.record, signingOf(record))) throw changedMeanwhile(now)
  }

  /** Whether what was read still stands: another host with this owner's key may have signed since. */
  #stands({ id, record }: ViolinView): boolean {
    return this.#records.view.violins.get(id)?.record.hash === record.hash
  }

  /** What stands is what the operator wants: what was signed here and lost to it is not told any more. */
  #settled(violin: ViolinView): ViolinView {
    this.#records.signings.settle(violin)
    return violin
  }

  /** Plans and signs. */
  #settle(topology: Topology): Promise<{ readonly planned: Planned; readonly violin: ViolinView }> {
    return this.#inTurn(async () => {
      for (;;) {
        const planned = await this.#planned(topology)
        const { before } = planned
        const spec = before === null ? planned.spec : await this.#triedAgain(before, planned.spec)
        if (before !== null && same(before.spec, spec)) return { planned, violin: this.#settled(before) }
        if (before === null ? this.#before(topology.name) === null : this.#stands(before))
          return { planned, violin: await this.#publish(before, { spec, ended: null }) }
      }
    })
  }

  /** One at a time: two that build upon one version would each drop what the other changed. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#settling.then(work)
    this.#settling = turn.catch(() => undefined)
    return turn
  }

  /** The spec with what failed to be tried again, from the first of its hosts on. */
  async #triedAgain(violin: ViolinView, spec: Spec): Promise<Spec> {
    const statuses = await this.#violins.statusesOf(violin)
    const entities = spec.entities.map((entity): SpecEntity => {
      const { state } = entityState(violin, entity, statuses)
      const ended = state === 'failed' || state === 'refused'
      return ended ? { ...entity, generation: entity.generation + 1 } : entity
    })
    return { ...spec, entities }
  }

  /**
   * Ends a VIOLIN for good; tells what happens until no reachable host runs any of it. `isLeaving`: this host is gone
   * afterwards, so members that are there keep the end, too, for those of its hosts that are away.
   */
  async *delete(name: string, timeoutMs: number, isLeaving = false): AsyncGenerator<Progress, void, void> {
    const deadline = AbortSignal.timeout(timeoutMs)
    // In turn: beside a change that is being signed it would be another body for the same version.
    const { violin, keepers, end } = await this.#inTurn(async () => {
      const violin = this.#violins.findOwned(name)
      const hosts = namedHosts(violin.spec as Spec)
      const keepers = isLeaving ? this.#keepersOfEnd(hosts) : []
      const ended = { name: violin.name, hosts: [...new Set([...hosts, ...keepers])] }
      return { violin, keepers, end: await this.#publish(violin, { spec: null, ended }) }
    })
    yield { kind: 'step', text: 'its end is signed and stored' }
    const names = keepers.map((host) => this.#peers.nameOf(host)).join(', ')
    const alone = `nobody is there to tell it: its operator stops it by violin refuse ${violin.name}`
    yield* this.tell(end, violin, isLeaving ? (names === '' ? alone : `${names} will tell it`) : undefined)
    yield* this.#waiting.untilGone(violin, deadline, timeoutMs)
  }

  /** Members that are there, its own hosts first, where one of a VIOLIN's hosts is away; none where none is. */
  #keepersOfEnd(hosts: readonly HostId[]): readonly HostId[] {
    const isAway = (host: HostId): boolean => !this.#peers.isConnected(host) && !this.#peers.isGone(host)
    if (!hosts.some(isAway)) return []
    const others = [...this.#records.view.members.keys()].filter(
      (host) => host !== this.#host.identity.id && this.#peers.isConnected(host)
    )
    const isOwn = (host: HostId): number => Number(hosts.includes(host))
    return others.toSorted((a, b) => isOwn(b) - isOwn(a)).slice(0, endKeepers)
  }

  /** Gives the records to all who hold a version, and who held the one before; tells who could not be reached. */
  async *tell(
    violin: ViolinView,
    before: ViolinView | null = null,
    later = 'it will be when it is back'
  ): AsyncGenerator<Progress, void, void> {
    const hosts = new Set([...violin.holders, ...(before?.holders ?? [])])
    const signal = AbortSignal.timeout(handOverTimeoutMs)
    const failures = await Promise.all(
      [...hosts]
        .filter((host) => host !== this.#host.identity.id && this.#peers.stateOf(host) !== 'left')
        .map(async (host) => {
          if (this.#peers.isShutOut(host))
            return `${this.#peers.nameOf(host)} is not told: it was shut out of the mesh`
          try {
            await this.#peers.reach(host)
            await this.#records.exchange(host, [violin.id], signal)
            return null
          } catch (error: unknown) {
            return `${this.#peers.nameOf(host)} was not told: ${errorData(error).message}; ${later}`
          }
        })
    )
    for (const text of failures) if (text !== null) yield { kind: 'warning', text }
  }

  /** Throws ViolinError `revoked` where nobody takes what this owner signs any more. */
  #mustStand(): void {
    const out = ownerShutOut(this.#host, this.#records)
    if (out !== null) throw out
  }

  async #planned(topology: Topology): Promise<Planned> {
    this.#mustStand()
    const before = this.#before(topology.name)
    const hosts = await this.#loads.placementHosts()
    const former = before?.spec ?? null
    const whole = withGuests(topology, former)
    const placement = place(whole, hosts, former, (name, host) =>
      hex(crypto.sha256(ascii(`violin rank ${topology.name} ${name} ${host}`)))
    )
    const images = await this.#images.named(topology.entities.map(({ image }) => image))
    const spec = resolveTopology(whole, placement, former, images)
    const away = new Map<string, string>()
    for (const [name, one] of placement.entities) if (one.away) away.set(name, one.why)
    return { before, spec, changes: planChanges(former, spec, placement), away }
  }

  /** The VIOLIN of this name that an apply changes; null: it makes a new one. Throws `not-owner`. */
  #before(name: string): ViolinView | null {
    const named = [...this.#records.view.violins.values()].filter(
      (violin) => violin.spec !== null && violin.name === name
    )
    const mine = named.find((violin) => this.#violins.isMine(violin))
    const other = named[0]
    if (mine === undefined && other !== undefined) return this.#violins.owned(other)
    return mine ?? null
  }

  #planOf(topology: Topology, planned: Planned): Plan {
    const steps = planned.changes.map((change) => ({
      ...change,
      hosts: change.hosts.map((host) => this.#peers.nameOf(host))
    }))
    return { name: topology.name, steps }
  }

  /** Signs and stores a version, or the end. Throws ViolinError `refused` where another's counts. */
  async #publish(
    before: ViolinView | null,
    content: { spec: Spec; ended: null } | { spec: null; ended: NonNullable<ViolinView['ended']> }
  ): Promise<ViolinView> {
    this.#mustStand()
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
    const record = await this.#records.publish(
      {
        kind: 'violin',
        // The end beats every version, whatever its own.
        version: Math.min(version, maxVersion),
        issuedAt: now,
        expiresAt: Math.min(now + maxLifeMs.violin, ownerChain.endsAt) as WallTime,
        body: {
          founding,
          ...content,
          ...(before === null ? {} : { upon: upon(before.record) })
        } as ViolinBody,
        chain: ownerChain
      },
      identity.owner
    )
    const violin = this.#records.view.violins.get(id) as ViolinView
    if (violin.record.hash !== record.hash && content.spec !== null) throw changedMeanwhile(violin)
    this.#journal.note(
      content.spec === null ? 'deleted' : before === null ? 'created' : 'changed',
      violin,
      `version ${violin.version}`
    )
    return violin
  }
}

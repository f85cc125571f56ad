/**
 * How a host gives up its work, for a while or for good: others take over its entities and vSwitches, each
 * stops here when it is ready there; who leaves stops what is left, and tells the others.
 */
import { ViolinError, errorData } from '#core/errors.ts'
import type { HostId, ViolinId } from '#core/ids.ts'
import type { Progress } from '#api/contract.ts'
import type { Mesh } from '#mesh/contract.ts'
import type { Handoffs } from './handoff.ts'
import type { Journal } from './events.ts'
import { type Host, publishHost } from './host.ts'
import type { Reconciler } from './reconciler.ts'
import type { Records } from './records.ts'
import type { Slices } from './slices/slices.ts'
import type { Changes } from './changes.ts'
import type { Violins } from './violins.ts'

/** Slices that do not stop within this time keep the host in the mesh. */
const stopTimeoutMs = 30_000
/** What others do not take over in this time stays. */
const moveTimeoutMs = 120_000
/** Members that are told before going; the others hear of it from them. */
const toldMembers = 8
const tellTimeoutMs = 3_000

export class Departure {
  /** What the own record says of it, whoever publishes it. */
  draining = false
  left = false
  readonly #host: Host
  readonly #records: Records
  readonly #reconciler: Reconciler
  readonly #slices: Slices
  readonly #violins: Violins
  readonly #changes: Changes
  readonly #handoffs: Handoffs
  readonly #mesh: Mesh
  readonly #journal: Journal
  readonly #gone: () => Promise<void>
  readonly #end: () => void

  constructor(parts: {
    readonly host: Host
    readonly records: Records
    readonly reconciler: Reconciler
    readonly slices: Slices
    readonly violins: Violins
    readonly changes: Changes
    readonly handoffs: Handoffs
    readonly mesh: Mesh
    readonly journal: Journal
    /** Called when the host has left: ends everything but the API and forgets the identity. */
    readonly gone: () => Promise<void>
    /** Called last: the daemon shall end. */
    readonly end: () => void
  }) {
    this.#host = parts.host
    this.#records = parts.records
    this.#reconciler = parts.reconciler
    this.#slices = parts.slices
    this.#violins = parts.violins
    this.#changes = parts.changes
    this.#handoffs = parts.handoffs
    this.#mesh = parts.mesh
    this.#journal = parts.journal
    this.#gone = parts.gone
    this.#end = parts.end
  }

  /** Has others take over what runs here; resolves when all that can move has. Throws `timeout`. */
  async *drain(timeoutMs: number): AsyncGenerator<Progress, void, void> {
    this.draining = true
    await this.#tell()
    yield { kind: 'step', text: `${this.#host.identity.name} takes nothing new` }
    yield* this.#handOverAll(timeoutMs)
    const left = this.#held()
    const rest =
      left.length === 0 ? 'nothing runs here' : `${left.map(({ name }) => name).join(', ')} stay here`
    yield { kind: 'done', text: `${this.#host.identity.name} is drained: ${rest}` }
  }

  /** Takes part again. */
  async *undrain(): AsyncGenerator<Progress, void, void> {
    this.draining = false
    await this.#tell()
    this.#reconciler.kick()
    yield { kind: 'done', text: `${this.#host.identity.name} takes part again` }
  }

  /** Entities and vSwitches go to the next in their lists; those that cannot are named. */
  async *#handOverAll(timeoutMs: number): AsyncGenerator<Progress, void, void> {
    const stuck = new Set<string>()
    for (const { violin, entity, name } of this.#held()) {
      const objection = this.#staysBecause(violin, entity)
      if (objection === null) continue
      stuck.add(name)
      yield { kind: 'warning', text: `${name} cannot move: ${objection}` }
    }
    const movable = (): string[] =>
      this.#held()
        .map(({ name }) => name)
        .filter((name) => !stuck.has(name))
    const before = movable()
    await this.#until(
      () => movable().length === 0,
      timeoutMs,
      () => `${movable().join(', ')} did not move`
    )
    for (const name of before) yield { kind: 'step', text: `${name} runs elsewhere now` }
    yield* this.#handOverSwitches()
  }

  /** What runs here, or shall. */
  #held(): { readonly violin: ViolinId; readonly entity: string; readonly name: string }[] {
    return [...this.#records.view.violins.values()].flatMap(({ id, name }) =>
      this.#reconciler.held(id).map((entity) => ({ violin: id, entity, name: `${name}/${entity}` }))
    )
  }

  /** Why no other host can take an entity; null: one may. */
  #staysBecause(violin: ViolinId, name: string): string | null {
    const { view } = this.#records
    const entity = view.violins.get(violin)?.spec?.entities.find((one) => one.name === name)
    const others = (entity?.hosts ?? []).filter((host) => host !== this.#host.identity.id)
    if (others.length === 0)
      return entity?.pinned === true ? 'it is pinned here' : 'no other host is listed for it'
    const isThere = (host: HostId): boolean =>
      this.#mesh.members().includes(host) && view.members.get(host)?.body.draining === false
    return others.some(isThere) ? null : 'no other host of it is in reach'
  }

  /** Leaves; `stop` also stops entities that cannot move. Throws `entities-running` otherwise. */
  async *leave(stop: boolean): AsyncGenerator<Progress, void, void> {
    const owned = this.#violins.soleOwned()
    const kept = owned.filter(({ others }) => others.length > 0)
    const lost = owned.filter(({ others }) => others.length === 0).map(({ name }) => name)
    if (lost.length > 0 && !stop) {
      throw new ViolinError(
        'entities-running',
        `this host owns ${lost.join(', ')}, which nobody could change or delete any more`,
        'delete them first, or let `violin leave --yes` do so'
      )
    }
    for (const { name, others } of kept) yield { kind: 'step', text: this.#keptBy(name, others) }
    for (const name of lost) {
      yield { kind: 'warning', text: `${name} is deleted: its owner leaves` }
      yield* this.#changes.delete(name, stopTimeoutMs, true)
    }
    const { draining } = this
    this.draining = true
    let isOver = false
    try {
      await this.#tell()
      yield* this.#moveAway(stop)
      this.#reconciler.leave()
      await this.#stopped()
      isOver = true
    } finally {
      // It failed, or whoever asked for it went away.
      if (!isOver) {
        this.draining = draining
        this.#reconciler.stay()
        await this.#tell()
      }
    }
    yield { kind: 'step', text: 'nothing runs here any more' }
    this.left = true
    await this.#tell()
    const signal = AbortSignal.timeout(tellTimeoutMs)
    const heirs = new Set(kept.flatMap(({ others }) => others))
    const members = this.#mesh.members().toSorted((a, b) => Number(heirs.has(b)) - Number(heirs.has(a)))
    await Promise.allSettled(
      members.slice(0, toldMembers).map((peer) => this.#records.exchange(peer, [], signal))
    )
    this.#journal.note('left', null, 'this host left the mesh')
    await this.#gone()
    yield { kind: 'done', text: `${this.#host.identity.name} has left the mesh` }
    this.#end()
  }

  /** Of a VIOLIN that goes on without this host. */
  #keptBy(name: string, others: readonly HostId[]): string {
    const { members } = this.#records.view
    const names = others.map((host) => {
      const called = members.get(host)?.body.name ?? host
      return this.#mesh.members().includes(host) ? called : `${called} (away now)`
    })
    return `${name} stays: its owner key lies on ${names.join(', ')}, too`
  }

  async *#moveAway(stop: boolean): AsyncGenerator<Progress, void, void> {
    try {
      yield* this.#handOverAll(moveTimeoutMs)
    } catch (error: unknown) {
      if (!stop) throw error
      yield { kind: 'warning', text: `${errorData(error).message}: stopped` }
    }
    const left = this.#held().map(({ name }) => name)
    if (left.length > 0 && !stop)
      throw new ViolinError(
        'entities-running',
        `${left.length} entities run on this host and cannot move (${left.slice(0, 5).join(', ')})`,
        'delete them first, or stop them with `violin leave --yes`'
      )
  }

  async *#handOverSwitches(): AsyncGenerator<Progress, void, void> {
    const self = this.#host.identity.id
    for (const [violin, running] of this.#reconciler.all()) {
      for (const { lan, active, standby } of running.switches.values()) {
        if (active !== self || standby === null) continue
        yield await this.#handOver(violin, lan)
      }
    }
  }

  async #handOver(violin: ViolinId, lan: string): Promise<Progress> {
    const name = this.#records.view.violins.get(violin)?.name ?? violin
    try {
      const { active } = await this.#handoffs.here(violin, lan, null)
      const to = this.#records.view.members.get(active)?.body.name ?? active
      return { kind: 'step', text: `${name}/${lan} is switched by ${to} now` }
    } catch (error: unknown) {
      return {
        kind: 'warning',
        text: `${name}/${lan} was not handed over: ${errorData(error).message}; the others elect anew`
      }
    }
  }

  async #tell(): Promise<void> {
    const { draining, left } = this
    await publishHost(this.#host, this.#records, { addresses: this.#mesh.addresses(), draining, left })
  }

  #stopped(): Promise<void> {
    const none = (): boolean => this.#slices.all().length === 0
    return this.#until(none, stopTimeoutMs, () => 'what runs here did not stop')
  }

  /** Resolves when a condition on what runs here holds; it is looked at whenever that, or a record, changes. */
  async #until(condition: () => boolean, timeoutMs: number, what: () => string): Promise<void> {
    if (condition()) return
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (condition()) settle(resolve)
      }
      const settle = (finish: () => void): void => {
        clearTimeout(timer)
        for (const unwatch of unwatches) unwatch()
        finish()
      }
      const late = (): void =>
        settle(() => reject(new ViolinError('timeout', what(), 'see `violin events`, and try again')))
      const timer = setTimeout(late, timeoutMs)
      const unwatches = [this.#reconciler.watch(look), this.#records.onChange(look)]
    })
  }
}

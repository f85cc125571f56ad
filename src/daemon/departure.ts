/** How a host leaves its mesh: vSwitches are handed over, what runs is stopped, the others are told. */
import { ViolinError, errorData } from '#core/errors.ts'
import type { ViolinId } from '#core/ids.ts'
import type { Progress } from '#api/contract.ts'
import type { Mesh } from '#mesh/contract.ts'
import type { Handoffs } from './handoff.ts'
import type { Journal } from './events.ts'
import { type Host, publishHost } from './host.ts'
import type { Reconciler } from './reconciler.ts'
import type { Records } from './records.ts'
import type { Slices } from './slices/slices.ts'
import type { Violins } from './violins.ts'

/** Slices that do not stop within this time keep the host in the mesh. */
const stopTimeoutMs = 30_000
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
    this.#handoffs = parts.handoffs
    this.#mesh = parts.mesh
    this.#journal = parts.journal
    this.#gone = parts.gone
    this.#end = parts.end
  }

  /** Leaves; `stop` also stops entities that run here. Throws `entities-running` otherwise. */
  async *leave(stop: boolean): AsyncGenerator<Progress, void, void> {
    const entities = [...this.#reconciler.all().values()].flatMap((running) => [...running.entities.keys()])
    if (entities.length > 0 && !stop) {
      throw new ViolinError(
        'entities-running',
        `${entities.length} entities run on this host (${entities.slice(0, 5).join(', ')})`,
        'move or delete them first, or stop them with `violin leave --yes`'
      )
    }
    const owned = this.#violins.owned()
    if (owned.length > 0 && !stop) {
      throw new ViolinError(
        'entities-running',
        `this host owns ${owned.join(', ')}, which nobody could change or delete any more`,
        'delete them first, or let `violin leave --yes` do so'
      )
    }
    for (const name of owned) {
      yield { kind: 'warning', text: `${name} is deleted: its owner leaves` }
      yield* this.#violins.delete(name, stopTimeoutMs)
    }
    this.draining = true
    try {
      await this.#tell()
      yield* this.#handOverSwitches()
      this.#reconciler.leave()
      await this.#stopped()
    } catch (error: unknown) {
      this.draining = false
      this.#reconciler.stay()
      await this.#tell()
      throw error
    }
    yield { kind: 'step', text: 'nothing runs here any more' }
    this.left = true
    await this.#tell()
    const signal = AbortSignal.timeout(tellTimeoutMs)
    await Promise.allSettled(
      this.#mesh
        .members()
        .slice(0, toldMembers)
        .map((peer) => this.#records.exchange(peer, [], signal))
    )
    this.#journal.note('left', null, 'this host left the mesh')
    await this.#gone()
    yield { kind: 'done', text: `${this.#host.identity.name} has left the mesh` }
    this.#end()
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

  async #stopped(): Promise<void> {
    const none = (): boolean => this.#slices.all().length === 0
    if (none()) return
    await new Promise<void>((resolve, reject) => {
      const settle = (finish: () => void): void => {
        clearTimeout(timer)
        unwatch()
        finish()
      }
      const timer = setTimeout(
        () =>
          settle(() =>
            reject(
              new ViolinError('timeout', 'what runs here did not stop', 'see `violin events`, and try again')
            )
          ),
        stopTimeoutMs
      )
      const unwatch = this.#reconciler.watch(() => {
        if (none()) settle(resolve)
      })
    })
  }
}

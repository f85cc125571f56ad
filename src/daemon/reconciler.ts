/**
 * Makes what runs here match the records: the steps are core/reconcile's, this file carries them out, one at
 * a time for each VIOLIN, repeats what failed with back-off, and tells what runs.
 */
import type { Chain } from '#core/admission/chain.ts'
import { type Limits, ownerRefusal, refusals } from '#core/limits.ts'
import { printable } from '#core/printable.ts'
import { errorData } from '#core/errors.ts'
import type { ViolinId } from '#core/ids.ts'
import { type Part, type Step, partOf, reconcile, withoutHosts } from '#core/reconcile.ts'
import type { RunsBody } from '#core/records/bodies.ts'
import { bodyLimits } from '#core/records/bodies.ts'
import { maxLifeMs } from '#core/records/record.ts'
import type { ViolinView } from '#core/records/view.ts'
import { same } from '#core/plan.ts'
import type { EntityStatus, SliceEvent, SliceStatus, SwitchStatus } from '#slice/contract.ts'
import type { Journal } from './events.ts'
import type { Host } from './host.ts'
import { type Records, revokedHosts } from './records.ts'
import type { Slices } from './slices/slices.ts'

/** First and longest pause before a step that failed is tried again. */
const retryFirstMs = 500
const retryMaxMs = 30_000
/** A slice that lives this long after a step has come through: its next failure is a first one. */
const calmMs: number = 5 * 60_000
/** What runs is told to others at most this often: the live state is asked, the record is for who was away. */
const tellEveryMs = 6_000

interface Retry {
  failures: number
  /** The pause until the next try; null: none is waited for. */
  timer: NodeJS.Timeout | null
  calm: NodeJS.Timeout | undefined
}

/** What this host runs of one VIOLIN, as it is now. */
export interface Running {
  /** Version of the record that the slice was configured with; 0: not yet. */
  version: number
  readonly entities: Map<string, EntityStatus>
  readonly switches: Map<string, SwitchStatus>
  /** Why the slice itself does not run; empty when it does. */
  trouble: string
}

export class Reconciler {
  readonly #host: Host
  readonly #records: Records
  readonly #slices: Slices
  readonly #journal: Journal
  readonly #limits: () => Limits
  readonly #running = new Map<ViolinId, Running>()
  readonly #busy = new Set<ViolinId>()
  readonly #retries = new Map<ViolinId, Retry>()
  readonly #told = new Map<
    ViolinId,
    { readonly body: RunsBody; readonly until: number; readonly chain: Chain }
  >()
  readonly #watchers = new Set<(violin: ViolinId) => void>()
  #tellTimer: NodeJS.Timeout | null = null
  #leaving = false
  #closed = false

  constructor(host: Host, records: Records, slices: Slices, journal: Journal, limits: () => Limits) {
    this.#limits = limits
    this.#host = host
    this.#records = records
    this.#slices = slices
    this.#journal = journal
    records.onChange((changed) => {
      // Who was shut out is on no trunk any more: every part is looked at again.
      if (changed.some(({ kind }) => kind === 'revocation')) this.recheck()
      else this.kick()
    })
  }

  /** Compares and starts whatever steps there are. Cheap when nothing changed. */
  kick(): void {
    if (this.#closed) return
    const wanted = this.#wanted()
    // What could not be started counts as well: there may be something of it to clear away.
    const known = new Set([...this.#slices.all().map(({ violin }) => violin), ...this.#running.keys()])
    const running = new Map(
      Array.from(known, (violin) => [violin, { version: this.#running.get(violin)?.version ?? 0 }])
    )
    for (const step of reconcile(this.#host.identity.id, wanted, running)) this.#take(step)
  }

  /** Looks at every part again: what this host lets in, or with whom, has changed. */
  recheck(): void {
    for (const running of this.#running.values()) running.version = 0
    this.kick()
  }

  /** What runs here of a VIOLIN; null: nothing. */
  running(violin: ViolinId): Running | null {
    return this.#running.get(violin) ?? null
  }

  /** Every VIOLIN of which something runs here. */
  all(): ReadonlyMap<ViolinId, Running> {
    return this.#running
  }

  /** Calls back at every change of what runs here, until the returned function is called. */
  watch(changed: (violin: ViolinId) => void): () => void {
    this.#watchers.add(changed)
    return () => this.#watchers.delete(changed)
  }

  /** From now on nothing is wanted here: slices are stopped, none is started. */
  leave(): void {
    this.#leaving = true
    this.kick()
  }

  /** The departure failed: what the records want is wanted again. */
  stay(): void {
    this.#leaving = false
    this.kick()
  }

  close(): void {
    this.#closed = true
    for (const { timer, calm } of this.#retries.values()) {
      if (timer !== null) clearTimeout(timer)
      clearTimeout(calm)
    }
    if (this.#tellTimer !== null) clearTimeout(this.#tellTimer)
  }

  /** A slice that went on while no daemon ran. */
  adopted(violin: ViolinId, status: SliceStatus): void {
    const running = this.#entry(violin)
    // Its wish is given to it again, whatever the version: what was refused or revoked since counts.
    for (const entity of status.entities) running.entities.set(entity.name, entity)
    for (const one of status.switches) running.switches.set(one.lan, one)
    this.#journal.note(
      'adopted',
      this.#nameOf(violin),
      `${status.entities.length} entities went on without a daemon`
    )
    this.#changed(violin)
  }

  /** An event of a slice. */
  heard(violin: ViolinId, event: SliceEvent): void {
    const running = this.#entry(violin)
    const name = this.#nameOf(violin)
    if (event.kind === 'entity') {
      const before = running.entities.get(event.entity.name)
      running.entities.set(event.entity.name, event.entity)
      if (before?.state !== event.entity.state) {
        this.#journal.note(
          `entity-${event.entity.state}`,
          name,
          `${event.entity.name} is ${event.entity.state}${event.entity.reason === '' ? '' : `: ${event.entity.reason}`}`
        )
      }
    } else if (event.kind === 'switch') {
      const before = running.switches.get(event.status.lan)
      running.switches.set(event.status.lan, event.status)
      if (before?.active !== event.status.active) {
        this.#journal.note(
          'vswitch',
          name,
          `${event.status.lan} is switched by ${this.#hostName(event.status.active)} (term ${event.status.term})`
        )
      }
    }
    this.#changed(violin)
  }

  /** A slice ended without being asked to. */
  ended(violin: ViolinId, reason: string): void {
    this.#journal.note('slice-ended', this.#nameOf(violin), reason)
    this.#running.delete(violin)
    this.#changed(violin)
    this.#retry(violin)
  }

  #wanted(): { violin: ViolinId; version: number; spec: ViolinView['spec'] }[] {
    if (this.#leaving) return []
    return [...this.#records.view.violins.values()].map(({ id, version, spec }) => ({
      violin: id,
      version,
      spec
    }))
  }

  #take(step: Step): void {
    const { violin } = step
    const waiting = this.#retries.get(violin)
    if (this.#busy.has(violin) || (waiting !== undefined && waiting.timer !== null)) return
    this.#busy.add(violin)
    void this.#carryOut(step)
      .then(
        () => this.#calm(violin),
        (error: unknown) => {
          const { message } = errorData(error)
          this.#entry(violin).trouble = message
          this.#journal.note('step-failed', this.#nameOf(violin), message)
          this.#changed(violin)
          this.#retry(violin)
        }
      )
      .finally(() => {
        this.#busy.delete(violin)
        // The records may have moved on meanwhile.
        this.kick()
      })
  }

  /** A step succeeded: its failures are forgotten once it has lasted. */
  #calm(violin: ViolinId): void {
    const state = this.#retries.get(violin)
    if (state === undefined) return
    if (state.timer !== null) clearTimeout(state.timer)
    state.timer = null
    clearTimeout(state.calm)
    state.calm = setTimeout(() => this.#retries.delete(violin), calmMs)
  }

  #retry(violin: ViolinId): void {
    if (this.#closed) return
    const state = this.#retries.get(violin) ?? { failures: 0, timer: null, calm: undefined }
    clearTimeout(state.calm)
    if (state.timer !== null) return
    const delayMs = Math.min(retryMaxMs, retryFirstMs * 2 ** state.failures)
    state.failures++
    state.timer = setTimeout(() => {
      state.timer = null
      this.kick()
    }, delayMs)
    this.#retries.set(violin, state)
  }

  async #carryOut(step: Step): Promise<void> {
    const { violin } = step
    if (step.kind === 'stop') {
      await this.#slices.remove(violin)
      this.#running.delete(violin)
      this.#journal.note('stopped', this.#nameOf(violin), step.why)
      this.#changed(violin)
      if (!this.#concerns(violin)) await this.#records.forget(violin)
      return
    }
    const running = this.#entry(violin)
    const out = revokedHosts(step.part.peers, this.#records)
    const { part, refused } = this.#admitted(violin, withoutHosts(step.part, out))
    const slice = await this.#slices.ensure(violin)
    await slice.call('configure', part)
    for (const name of running.entities.keys())
      if (!step.part.entities.some((entity) => entity.name === name)) running.entities.delete(name)
    for (const name of running.switches.keys())
      if (!step.part.lans.some((lan) => lan.name === name)) running.switches.delete(name)
    for (const [name, reason] of refused) {
      running.entities.set(name, {
        name,
        state: 'failed',
        reason: `refused: ${reason}`,
        claim: 0,
        superseded: null,
        again: false,
        bootMs: null,
        nics: []
      })
    }
    const status = await slice.call('status', {})
    for (const entity of status.entities) running.entities.set(entity.name, entity)
    for (const one of status.switches) running.switches.set(one.lan, one)
    running.version = step.part.version
    running.trouble = ''
    this.#changed(violin)
  }

  /** The part without what this host's operator does not let in. */
  #admitted(violin: ViolinId, part: Part): { part: Part; refused: ReadonlyMap<string, string> } {
    const { id } = this.#host.identity
    const claims = [...this.#records.view.violins.values()].flatMap((one) => {
      const own = one.spec === null ? null : partOf(id, one.version, one.spec)
      return own === null
        ? []
        : [{ violin: one.id, owners: one.founding.owners, ownerHost: one.ownerHost, entities: own.entities }]
    })
    const limits = this.#limits()
    const refused = refusals(claims, limits).get(violin) ?? new Map<string, string>()
    const whose = this.#records.view.violins.get(violin)
    const owners = whose?.founding.owners ?? []
    // Neither a port nor a vote nor a trunk for an owner that is refused: what is left only says so.
    const whole = whose !== undefined && ownerRefusal({ owners, ownerHost: whose.ownerHost }, limits) !== null
    const entities = part.entities.filter(({ name }) => !refused.has(name))
    return { part: whole ? { ...part, entities, lans: [], peers: [] } : { ...part, entities }, refused }
  }

  /** Whether this host has reason to keep the VIOLIN's records: it owns it, or they name it still. */
  #concerns(violin: ViolinId): boolean {
    const seen = this.#records.view.violins.get(violin)
    return seen === undefined || seen.holders.has(this.#host.identity.id)
  }

  #entry(violin: ViolinId): Running {
    const known = this.#running.get(violin)
    if (known !== undefined) return known
    const made: Running = { version: 0, entities: new Map(), switches: new Map(), trouble: '' }
    this.#running.set(violin, made)
    return made
  }

  #changed(violin: ViolinId): void {
    for (const watcher of this.#watchers) watcher(violin)
    this.#tellLater()
  }

  #tellLater(): void {
    if (this.#tellTimer !== null || this.#closed || this.#leaving) return
    this.#tellTimer = setTimeout(() => {
      this.#tellTimer = null
      for (const violin of this.#running.keys()) {
        this.#tell(violin).catch((error: unknown) => {
          this.#journal.note('not-told', this.#nameOf(violin), errorData(error).message)
        })
      }
    }, tellEveryMs)
  }

  /** Publishes what runs here, if it is something else than was told last, or that ends soon. */
  async #tell(violin: ViolinId): Promise<void> {
    const running = this.#running.get(violin)
    if (running === undefined || !this.#concerns(violin)) return
    const { identity, chain } = this.#host
    const body: RunsBody = {
      violin,
      entities: [...running.entities.values()].map(({ name, state, reason }) => ({
        name,
        claim: 0,
        state,
        reason: printable(reason, bodyLimits.reason)
      })),
      switches: [...running.switches.values()]
        .filter(({ active }) => active === identity.id)
        .map(({ lan }) => lan)
    }
    const former = this.#told.get(violin)
    const { now } = this.#records
    const stands = former?.chain === chain && same(former.body, body)
    if (stands && former.until > now + maxLifeMs.runs / 2) return
    const expiresAt = Math.min(now + maxLifeMs.runs, chain.endsAt) as typeof now
    const version = this.#records.nextVersion('runs', identity.host.publicKey, violin)
    await this.#records.publish(
      { kind: 'runs', version, issuedAt: now, expiresAt, body, chain },
      identity.host
    )
    this.#told.set(violin, { body, until: expiresAt, chain })
  }

  #nameOf(violin: ViolinId): string {
    return this.#records.view.violins.get(violin)?.name ?? violin.slice(0, 12)
  }

  #hostName(host: SwitchStatus['active']): string {
    return host === null ? 'nobody' : (this.#records.view.members.get(host)?.body.name ?? host)
  }
}

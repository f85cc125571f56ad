/**
 * Makes what runs here match the records: the steps are core/reconcile's, this file carries them out, one at
 * a time for each VIOLIN, repeats what failed with back-off, and tells what runs.
 */
import { macOf } from '#core/derive.ts'
import { errorData } from '#core/errors.ts'
import type { ViolinId } from '#core/ids.ts'
import type { ImageHash } from '#core/image.ts'
import { type Part, type Step, partOf, reconcile, type WantedViolin, withoutHosts } from '#core/reconcile.ts'
import type { ViolinView } from '#core/records/view.ts'
import type { MacOf } from '#core/routing/dnsmasq.ts'
import type { EntityStatus, SliceStatus, SwitchStatus } from '#slice/contract.ts'
import { Backoff } from './backoff.ts'
import type { Claims } from './claims.ts'
import { crypto } from './crypto.ts'
import type { Journal, Subject } from './events.ts'
import type { Images, WantedImage } from './images.ts'
import type { Doors } from './doors/doors.ts'
import type { Host } from './host.ts'
import type { Records } from './records.ts'
import { Runs } from './runs.ts'
import type { SliceTold } from './slices/connection.ts'
import type { Slices } from './slices/slices.ts'

/** What this host runs of one VIOLIN, as it is now. */
export interface Running {
  /** What the slice was told to do last; null: nothing by this daemon. */
  part: Part | null
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
  readonly #claims: Claims
  readonly #images: Pick<Images, 'want'>
  readonly #doors: Doors
  readonly #running = new Map<ViolinId, Running>()
  readonly #busy = new Set<ViolinId>()
  readonly #runs: Runs
  readonly #backoff = new Backoff<ViolinId>(() => this.kick())
  readonly #watchers = new Set<(violin: ViolinId) => void>()
  #againTimer: NodeJS.Timeout | null = null
  #againInMs: number | null = null
  /** Until then slices that went on may still be unknown: what they run would be stopped, or claimed anew. */
  #begun = false
  #leaving = false
  #closed = false

  constructor(
    host: Host,
    records: Records,
    slices: Slices,
    claims: Claims,
    doors: Doors,
    journal: Journal,
    images: Pick<Images, 'want'>
  ) {
    this.#images = images
    this.#host = host
    this.#records = records
    this.#slices = slices
    this.#claims = claims
    this.#doors = doors
    this.#journal = journal
    this.#runs = new Runs({
      host,
      records,
      claims,
      journal,
      running: (violin) => this.running(violin)
    })
    records.onChange(() => this.kick())
    doors.onChange((violin) => this.#changed(violin))
  }

  /** Compares and starts whatever steps there are. Cheap when nothing changed. */
  kick(): void {
    if (this.#closed || !this.#begun) return
    // By a wrong clock what shall run may look over, and what is over may look alive.
    if (this.#records.clockIsWrong && !this.#leaving) return
    const wanted = [...this.#wanted(), ...this.#awaited()]
    // At once, whatever a slice is busy with.
    for (const { violin, part } of wanted) this.#shutDoors(violin, part)
    // What could not be started counts as well: there may be something of it to clear away.
    const known = new Set([...this.#slices.all().map(({ violin }) => violin), ...this.#running.keys()])
    const running = new Map(
      Array.from(known, (violin) => [violin, this.#running.get(violin)?.part ?? null] as const)
        // Nothing is known of it, and nothing was asked of it: it goes on as it is.
        .filter(([violin, part]) => part !== null || !this.#isAwaited(violin))
    )
    for (const step of reconcile(wanted, running)) this.#take(step)
  }

  /** What runs here of a VIOLIN; null: nothing. */
  running(violin: ViolinId): Running | null {
    return this.#running.get(violin) ?? null
  }

  /** Its entities here: those that run, failed, or were refused. */
  entities(violin: ViolinId): EntityStatus[] {
    const known = new Map(this.#running.get(violin)?.entities)
    for (const [name, { state, claim, reason }] of this.#claims.held(violin)) {
      if (state !== 'refused' && (state !== 'failed' || known.has(name))) continue
      known.set(name, {
        name,
        state: 'failed',
        reason: state === 'refused' ? `refused: ${reason}` : reason,
        claim,
        superseded: null,
        again: false,
        bootMs: null,
        nics: []
      })
    }
    return Array.from(known.values(), (one) => {
      if (one.state !== 'running') return one
      const trouble = this.#doors.troubleOf(violin, one.name)
      // It runs, but nobody gets through.
      if (trouble !== '') return { ...one, state: 'failed', reason: trouble, again: true }
      const given = this.#doors.givenBy(violin, one.name)
      return given.length === 0 ? one : { ...one, nics: one.nics.map((nic) => ({ ...nic, given })) }
    })
  }

  /** Entities of a VIOLIN that this host has, to run or running. */
  held(violin: ViolinId): string[] {
    return Array.from(this.#claims.held(violin)).flatMap(([name, { state }]) =>
      state === 'refused' || state === 'failed' ? [] : [name]
    )
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

  /** What was told of this host may end soon, or stand in words that are over. */
  refresh(): void {
    this.#runs.soon()
  }

  /** From now on nothing is wanted here: slices are stopped, none is started. */
  leave(): void {
    this.#leaving = true
    this.#runs.isSilent = true
    this.kick()
  }

  /** The departure failed: what the records want is wanted again. */
  stay(): void {
    this.#leaving = false
    this.#runs.isSilent = false
    this.kick()
  }

  close(): void {
    this.#closed = true
    this.#backoff.close()
    this.#runs.close()
    if (this.#againTimer !== null) clearTimeout(this.#againTimer)
  }

  /** A slice that went on while no daemon ran. */
  adopted(violin: ViolinId, status: SliceStatus): void {
    const running = this.#entry(violin)
    // Its wish is given to it again, whatever the version: what was refused or revoked since counts.
    for (const entity of status.entities) running.entities.set(entity.name, entity)
    for (const one of status.switches) running.switches.set(one.lan, one)
    for (const { peer, up } of status.trunks) this.#claims.trunk(violin, peer, up)
    this.#claims.adopt(violin, status.entities)
    const count = status.entities.length
    // A slice may have vSwitches alone.
    const what = count === 0 ? 'its slice' : count === 1 ? '1 entity' : `${count} entities`
    this.#journal.note('adopted', this.#subject(violin), `${what} went on without a daemon`)
    this.#changed(violin)
  }

  /** All slices that went on are known. Says what runs here, before others hear of it: a former life's word may be over. */
  async begin(): Promise<void> {
    this.#begun = true
    await this.#runs.begin()
  }

  /** What a slice says of itself. */
  heard(violin: ViolinId, told: SliceTold): void {
    const running = this.#entry(violin)
    if (told.kind === 'status') this.#heardStatus(violin, running, told.status)
    else if (told.kind === 'entity') this.#heardEntity(violin, running, told.entity)
    else if (told.kind === 'switch') this.#heardSwitch(violin, running, told.status)
    else if (told.kind === 'trunk') {
      this.#claims.trunk(violin, told.peer, told.up)
      this.kick()
    }
    this.#changed(violin)
  }

  #heardStatus(violin: ViolinId, running: Running, { entities, switches, trunks }: SliceStatus): void {
    const held = this.#claims.held(violin)
    for (const { peer, up } of trunks) this.#claims.trunk(violin, peer, up)
    // One that is on its way out is no longer this host's.
    for (const entity of entities) if (held.has(entity.name)) this.#heardEntity(violin, running, entity)
    for (const status of switches) this.#heardSwitch(violin, running, status)
  }

  #heardSwitch(violin: ViolinId, running: Running, status: SwitchStatus): void {
    const before = running.switches.get(status.lan)
    running.switches.set(status.lan, status)
    if (before?.active === status.active) return
    this.#journal.note(
      'vswitch',
      this.#subject(violin),
      `${status.lan} is switched by ${this.#hostName(status.active)} (term ${status.term})`
    )
  }

  #heardEntity(violin: ViolinId, running: Running, entity: EntityStatus): void {
    const { name, state, reason, superseded } = entity
    const before = running.entities.get(name)
    running.entities.set(name, entity)
    this.#claims.heard(violin, entity)
    // What is on its way out fails of nothing that concerns anybody.
    const isLeaving = state === 'failed' && !this.#claims.held(violin).has(name)
    if (before?.state !== state && !isLeaving) {
      const why = reason === '' ? '' : `: ${reason}`
      this.#journal.note(`entity-${state}`, this.#subject(violin), `${name} is ${state}${why}`)
    }
    const shutFor = superseded !== null && superseded.claim !== before?.superseded?.claim ? superseded : null
    if (shutFor !== null) {
      this.#journal.note(
        'entity-superseded',
        this.#subject(violin),
        `the ports of ${name} are shut: ${this.#hostName(shutFor.by)} has claim ${shutFor.claim}`
      )
      // It may have given that claim up meanwhile.
      void this.#records.repairWith(shutFor.by).then(() => this.kick())
    }
    if (before?.state !== state || shutFor !== null) this.kick()
  }

  /** A slice ended without being asked to. */
  ended(violin: ViolinId, reason: string): void {
    this.#journal.note('slice-ended', this.#subject(violin), reason)
    this.#running.delete(violin)
    this.#claims.ended(violin)
    this.#shutDoors(violin, null)
    this.#changed(violin)
    this.#backoff.failed(violin)
  }

  #shutDoors(violin: ViolinId, part: Part | null): void {
    this.#doors.keep(violin, new Set(part?.entities.map(({ name }) => name)))
  }

  #wanted(): WantedViolin[] {
    if (this.#leaving) return []
    const { claims, changed, againInMs } = this.#claims.decide()
    if (changed.length > 0) this.#runs.atOnce()
    this.#decideLater(againInMs)
    const wanted = [...this.#records.view.violins.values()].map((violin) => ({
      violin,
      part: this.#partOf(violin, claims.get(violin.id) ?? new Map<string, number>())
    }))
    const missing = this.#images.want(this.#wantedImages(wanted))
    return wanted.map(({ violin, part }) => ({
      violin: violin.id,
      part: part === null ? null : this.#withImages(violin.id, part, missing),
      ended: violin.spec === null
    }))
  }

  #isAwaited(violin: ViolinId): boolean {
    return !this.#leaving && !this.#records.view.violins.has(violin) && this.#records.awaitedMs(violin) > 0
  }

  /** What goes on without a record for now, apart from who was shut out. */
  #awaited(): WantedViolin[] {
    const awaited = [...this.#running].filter(([violin]) => this.#isAwaited(violin))
    const leftMs = awaited.map(([violin]) => this.#records.awaitedMs(violin)).filter(Number.isFinite)
    if (leftMs.length > 0) this.#decideLater(Math.min(...leftMs, this.#againInMs ?? Infinity))
    return awaited.flatMap(([violin, { part }]) => {
      if (part === null) return []
      const hosts = part.lans.flatMap(({ members }) => members)
      return [{ violin, part: withoutHosts(part, this.#records.seats.revoked(hosts)), ended: false }]
    })
  }

  /** The images that entities begin with here, but for those that run. */
  #wantedImages(
    wanted: readonly { readonly violin: ViolinView; readonly part: Part | null }[]
  ): Map<ImageHash, WantedImage> {
    const images = new Map<ImageHash, WantedImage>()
    for (const { violin, part } of wanted)
      for (const { name, image } of part?.entities ?? [])
        if (image.hash !== null && !this.#isUp(violin.id, name))
          images.set(image.hash, {
            name: image.name,
            hosts: [violin.ownerHost, ...violin.holders].filter((host) => host !== this.#host.identity.id)
          })
    return images
  }

  /** The part without the entities whose image is on its way here; of these it is told what they wait for. */
  #withImages(violin: ViolinId, part: Part, missing: ReadonlyMap<ImageHash, string>): Part {
    const reasonOf = ({ name, image }: Part['entities'][number]): string | undefined =>
      image.hash === null || this.#isUp(violin, name) ? undefined : missing.get(image.hash)
    for (const entity of part.entities) {
      const reason = reasonOf(entity)
      if (reason !== undefined) this.#waits(violin, entity, reason)
    }
    return { ...part, entities: part.entities.filter((entity) => reasonOf(entity) === undefined) }
  }

  #isUp(violin: ViolinId, entity: string): boolean {
    const state = this.#running.get(violin)?.entities.get(entity)?.state
    return state === 'running' || state === 'booting'
  }

  #waits(violin: ViolinId, { name, claim }: Part['entities'][number], reason: string): void {
    const { entities } = this.#entry(violin)
    const before = entities.get(name)
    if (before?.state === 'pending' && before.reason === reason) return
    const status: EntityStatus = {
      name,
      state: 'pending',
      reason,
      claim,
      superseded: null,
      again: false,
      bootMs: null,
      nics: []
    }
    entities.set(name, status)
    this.#claims.heard(violin, status)
    if (before?.state !== 'pending')
      this.#journal.note('entity-pending', this.#subject(violin), `${name} is pending: ${reason}`)
    this.#changed(violin)
  }

  #partOf(violin: ViolinView, claims: ReadonlyMap<string, number>): Part | null {
    const { record, spec } = violin
    const macs: MacOf = (entity, nic) => macOf(crypto, violin.id, entity, nic)
    const { version, hash } = record
    const self = this.#host.identity.id
    const part = spec === null ? null : partOf(self, { version, hash }, spec, claims, macs)
    if (part === null) return null
    // Neither a port nor a vote nor a trunk for an owner that is refused.
    if (this.#claims.refusesOwnerOf(violin)) return { ...part, entities: [], lans: [], peers: [] }
    const hosts = part.lans.flatMap(({ members }) => members)
    return withoutHosts(part, this.#records.seats.revoked(hosts))
  }

  #decideLater(inMs: number | null): void {
    this.#againInMs = inMs
    if (this.#againTimer !== null) clearTimeout(this.#againTimer)
    this.#againTimer = inMs === null ? null : setTimeout(() => this.kick(), Math.ceil(inMs) + 1)
  }

  #take(step: Step): void {
    const { violin } = step
    if (this.#busy.has(violin) || this.#backoff.isWaiting(violin)) return
    this.#busy.add(violin)
    void this.#carryOut(step)
      .then(
        () => this.#backoff.succeeded(violin),
        (error: unknown) => {
          const { message } = errorData(error)
          this.#entry(violin).trouble = message
          this.#journal.note('step-failed', this.#subject(violin), message)
          this.#changed(violin)
          this.#backoff.failed(violin)
        }
      )
      .finally(() => {
        this.#busy.delete(violin)
        // The records may have moved on meanwhile.
        this.kick()
      })
  }

  async #carryOut(step: Step): Promise<void> {
    const { violin } = step
    if (step.kind === 'stop') {
      this.#shutDoors(violin, null)
      await this.#slices.remove(violin)
      await this.#doors.settled(violin)
      this.#running.delete(violin)
      this.#journal.note('stopped', this.#subject(violin), step.why)
      this.#changed(violin)
      if (!this.#records.concerns(violin, this.#host.identity.id)) await this.#records.forget(violin)
      return
    }
    const running = this.#entry(violin)
    const { part } = step
    if (part.entities.length + part.lans.length === 0) {
      // For an owner that is refused not even a slice stays: it could ask for one with every VIOLIN that it makes.
      await this.#slices.remove(violin)
      running.entities.clear()
      running.switches.clear()
      Object.assign(running, { part, trouble: '' })
      this.#changed(violin)
      return
    }
    const slice = await this.#slices.ensure(violin)
    await slice.call('configure', part)
    // Who is told that this version runs may count on what it shuts being shut.
    await this.#doors.settled(violin)
    running.part = part
    const held = this.#claims.held(violin)
    for (const name of running.entities.keys())
      if (!part.entities.some((entity) => entity.name === name) && !held.has(name))
        running.entities.delete(name)
    for (const name of running.switches.keys())
      if (!part.lans.some((lan) => lan.name === name)) running.switches.delete(name)
    // Its answer is heard in its place among the slice's events.
    await slice.call('status', {})
    running.trouble = ''
    this.#changed(violin)
  }

  #entry(violin: ViolinId): Running {
    const known = this.#running.get(violin)
    if (known !== undefined) return known
    const made: Running = { part: null, entities: new Map(), switches: new Map(), trouble: '' }
    this.#running.set(violin, made)
    return made
  }

  #changed(violin: ViolinId): void {
    for (const watcher of this.#watchers) watcher(violin)
    this.#runs.soon()
  }

  #subject(violin: ViolinId): Subject {
    return { id: violin, name: this.#records.view.violins.get(violin)?.name ?? violin.slice(0, 12) }
  }

  #hostName(host: SwitchStatus['active']): string {
    return host === null ? 'nobody' : (this.#records.view.members.get(host)?.body.name ?? host)
  }
}

/**
 * The entities that run here: the wish against what runs, one step at a time for each. One that died after it
 * ran is started again with growing patience, as its `restart` says. One that never came up is, too, where it
 * has no other host to go to; else it waits for the next wish.
 */
import type { Duplex } from 'node:stream'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { errorData, ViolinError } from '#core/errors.ts'
import type { Mac, ViolinId } from '#core/ids.ts'
import type { Link } from '#core/link.ts'
import { same } from '#core/same.ts'
import type { SessionRequest } from '#core/session.ts'
import type { DriverName } from '#core/spec.ts'
import {
  againMark,
  type EntityState,
  type EntityStatus,
  type SliceEntity,
  type SliceWish
} from './contract.ts'
import type { PortSource } from './forwarder/contract.ts'
import { isLiveChange, nicChanges, sameMachine } from './machines/change.ts'
import type { Machine, StartMachine } from './machines/contract.ts'

/** Machines that boot at once: booting is all CPU, and more only makes each slower. */
const maxBoots = 4
/** Before a machine that died is started again: doubles from the first to the last. */
const firstRetryMs = 1_000
const lastRetryMs = 60_000
/** Deaths in a row after which it stays down until the next wish; {@link calmMs} of running forgets them. */
const maxRetries = 8
const calmMs = 600_000

export interface EntitiesOptions {
  readonly violin: ViolinId
  readonly folder: string
  readonly images: string
  readonly machines: Partial<Record<DriverName, StartMachine>>
  readonly macOf: (entity: string, nic: string) => Mac
  readonly addPort: (lan: string, mac: Mac, source: PortSource, link: Link | null) => number
  /** Changes what happens to frames at a port. */
  readonly linkPort: (port: number, link: Link | null) => void
  /** Opens a port under a claim. */
  readonly claimPort: (port: number, claim: number) => void
  readonly removePort: (port: number) => void
  readonly tap: (entity: string, nic: string, mac: Mac, namespaceFd: number | null) => Promise<number>
  /** Open wishes for TAPs of this entity end with an error. */
  readonly cancelTaps: (entity: string) => void
  readonly changed: (status: EntityStatus) => void
  readonly log: (message: string, fields: Record<string, unknown>) => void
}

/** One life of an entity's machine. */
interface Run {
  spec: SliceEntity
  readonly machine: Machine
  readonly startedAt: number
  readonly ports: Map<string, number>
  /** Ports whose vNICs are being taken out: their end is no fault. */
  readonly leaving: Set<number>
  /** Its network is set: its ports are open. */
  up: boolean
  runningSince: number | null
}

interface Entry {
  readonly name: string
  want: SliceEntity | null
  /** Version of the wish for which it failed for good; a newer one tries again. */
  failedFor: number | null
  run: Run | null
  /** The run is over by its own doing. */
  died: boolean
  settling: boolean
  /** A higher claim than the one that it runs under. */
  superseded: EntityStatus['superseded']
  state: EntityState
  reason: string
  bootMs: number | null
  deaths: number
  retry: NodeJS.Timeout | null
}

export class Entities {
  readonly #options: EntitiesOptions
  readonly #entries = new Map<string, Entry>()
  readonly #portUp = new Map<number, boolean>()
  #names: SliceWish['names'] = []
  #version = 0
  /** A daemon is there. Without one doors are shut: nobody could shut them any more. */
  #attended = true
  #idle: (() => void) | null = null

  constructor(options: EntitiesOptions) {
    this.#options = options
  }

  /** Makes what runs match; answers at once. */
  configure(wish: Pick<SliceWish, 'entities' | 'names' | 'version'>): void {
    const renamed = !same(this.#names, wish.names)
    this.#names = wish.names
    this.#version = wish.version
    const wanted = new Map(wish.entities.map((entity) => [entity.name, entity]))
    for (const entry of this.#entries.values()) if (!wanted.has(entry.name)) entry.want = null
    for (const [name, spec] of wanted) {
      const entry = this.#entries.get(name) ?? this.#add(name)
      const changed = entry.want === null || !sameMachine(entry.want, spec)
      entry.want = spec
      if (changed || entry.failedFor !== wish.version) this.#forgive(entry, changed)
      if (spec.claim > (entry.superseded?.claim ?? 0)) entry.superseded = null
      if (entry.run !== null) this.#setLinks(spec, entry.run)
      if (entry.run?.up === true) this.#openPorts(entry, entry.run)
    }
    for (const entry of this.#entries.values()) {
      if (renamed && entry.run !== null) this.#rename(entry, entry.run)
      void this.#settle(entry)
    }
  }

  /** No daemon is connected any more, or one is again. */
  attend(by: boolean): void {
    this.#attended = by
    for (const entry of this.#entries.values()) void this.#settle(entry)
  }

  statuses(): EntityStatus[] {
    return Array.from(this.#entries.values(), (entry) => this.#status(entry))
  }

  /** Opens a session; the stream ends with `failed` when it cannot be had. Throws ViolinError. */
  session(request: SessionRequest): (stream: Duplex) => void {
    const entry = this.#entries.get(request.entity)
    if (entry === undefined)
      throw new ViolinError(
        'not-running-here',
        `${request.entity} does not run on this host`,
        'look where it runs: violin show'
      )
    const run = entry.run
    if (run === null || entry.state !== 'running')
      throw new ViolinError(
        'not-running-here',
        `${request.entity} is ${entry.state}${entry.reason === '' ? '' : `: ${entry.reason}`}`,
        'wait for it: violin wait'
      )
    return (stream) => run.machine.session(request, stream)
  }

  /** A port's machine came or went. */
  port(port: number, up: boolean, reason: string): void {
    const entry = this.#entryOf(port)
    if (entry === undefined || entry.run === null || entry.run.leaving.has(port)) return
    this.#portUp.set(port, up)
    // What went is a vNIC; a machine that lives on without it would be of no use.
    if (!up && entry.state === 'running') this.#failed(entry, entry.run, `a vNIC went: ${reason}`)
    else this.#options.changed(this.#status(entry))
  }

  /** A port's machine must be started anew, through no fault of its own. */
  portLost(port: number, reason: string): void {
    const entry = this.#entryOf(port)
    if (entry === undefined || entry.run === null || entry.died) return
    this.#retryLater(entry)
    this.#failed(entry, entry.run, reason)
  }

  /** Another host has a port's machine under a higher claim; the port is shut. */
  superseded(port: number, above: NonNullable<EntityStatus['superseded']>): void {
    const entry = this.#entryOf(port)
    if (entry === undefined || above.claim < (entry.superseded?.claim ?? 0)) return
    entry.superseded = above
    this.#options.changed(this.#status(entry))
  }

  #setLinks({ nics }: SliceEntity, run: Run): void {
    for (const { name, link } of nics) {
      const port = run.ports.get(name)
      if (port !== undefined) this.#options.linkPort(port, link ?? null)
    }
  }

  #openPorts(entry: Entry, run: Run): void {
    const claim = entry.want?.claim ?? run.spec.claim
    if (entry.superseded !== null) return
    for (const port of run.ports.values()) this.#options.claimPort(port, claim)
  }

  #entryOf(port: number): Entry | undefined {
    for (const entry of this.#entries.values())
      for (const own of entry.run?.ports.values() ?? []) if (own === port) return entry
    return undefined
  }

  /** Stops all; resolves when none is left. */
  async stop(): Promise<void> {
    this.configure({ entities: [], names: this.#names, version: this.#version })
    if (this.#entries.size === 0) return
    await new Promise<void>((resolve) => (this.#idle = resolve))
  }

  #add(name: string): Entry {
    const entry: Entry = {
      name,
      want: null,
      failedFor: null,
      run: null,
      died: false,
      settling: false,
      superseded: null,
      state: 'pending',
      reason: '',
      bootMs: null,
      deaths: 0,
      retry: null
    }
    this.#entries.set(name, entry)
    return entry
  }

  #forgive(entry: Entry, changed: boolean): void {
    entry.failedFor = null
    if (changed) entry.deaths = 0
    if (entry.retry !== null) clearTimeout(entry.retry)
    entry.retry = null
  }

  /** Brings one entity to its wish, step by step; one such loop at a time. */
  async #settle(entry: Entry): Promise<void> {
    if (entry.settling) return
    entry.settling = true
    try {
      while (await this.#step(entry)) continue
    } catch (error: unknown) {
      this.#options.log('entity', { entity: entry.name, error: errorData(error).message })
      entry.failedFor = this.#version
      this.#become(entry, 'failed', errorData(error).message)
    } finally {
      entry.settling = false
    }
    if (entry.run === null && entry.want === null) this.#remove(entry)
  }

  /** One step; false when there is nothing to do now. */
  async #step(entry: Entry): Promise<boolean> {
    const { run } = entry
    const isDoor = (entry.want ?? run?.spec)?.driver === 'tap'
    const want = isDoor && !this.#attended ? null : entry.want
    const runs = run !== null && !entry.died && run.runningSince !== null
    if (runs && want !== null && isLiveChange(run.spec, want)) {
      await this.#adjust(entry, run, want)
      return true
    }
    if (run !== null && (entry.died || want === null || !sameMachine(run.spec, want))) {
      await this.#end(entry, run)
      return true
    }
    if (run !== null || want === null || entry.retry !== null || entry.failedFor !== null) return false
    if (this.#booting() >= maxBoots) {
      this.#become(entry, 'pending', 'waits for others to boot')
      return false
    }
    await this.#begin(entry, want)
    return true
  }

  async #begin(entry: Entry, spec: SliceEntity): Promise<void> {
    const { options, folder } = { options: this.#options, folder: join(this.#options.folder, entry.name) }
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(entry.name))
      throw new ViolinError('refused', `"${entry.name}" is no name of an entity`, 'rename it')
    const start = options.machines[spec.driver]
    if (start === undefined)
      throw new ViolinError('refused', `this program has no driver ${spec.driver}`, 'use another driver')
    this.#become(entry, 'booting', '')
    entry.died = false
    await rm(folder, { recursive: true, force: true })
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const ports = new Map<string, number>()
    const macs = this.#macsOf(spec)
    let run: Run | null = null
    const ofNic = (nic: string): { lan: string; mac: Mac } => {
      const lan = (run?.spec ?? spec).nics.find(({ name }) => name === nic)?.lan
      if (lan === undefined) throw new Error(`${entry.name} has no vNIC ${nic}`)
      return { lan, mac: options.macOf(entry.name, nic) }
    }
    // A driver may tell its state before it returned.
    let early: [EntityState, string] | null = null
    let up = false
    const machine = start({
      violin: options.violin,
      entity: spec,
      macs,
      names: this.#names,
      folder,
      images: options.images,
      attach: (nic, source) => {
        const { lan, mac } = ofNic(nic)
        // The link may have changed while it booted.
        const link = entry.want?.nics.find(({ name }) => name === nic)?.link ?? null
        ports.set(nic, options.addPort(lan, mac, source, link))
      },
      detach: (nic) => this.#detach(ports, nic),
      tap: (namespaceFd, nic) => options.tap(entry.name, nic, ofNic(nic).mac, namespaceFd),
      events: {
        up: () => {
          up = true
          if (run === null) return
          run.up = true
          this.#openPorts(entry, run)
        },
        state: (state, reason) => {
          if (run === null) early = [state, reason]
          else this.#told(entry, run, state, reason)
        }
      }
    })
    run = {
      spec,
      machine,
      ports,
      leaving: new Set(),
      startedAt: performance.now(),
      up,
      runningSince: null
    }
    entry.run = run
    if (up) this.#openPorts(entry, run)
    const first = early as [EntityState, string] | null
    if (first !== null) this.#told(entry, run, ...first)
  }

  /** Changes vNICs and routes of a machine that runs; one that cannot is started anew. */
  async #adjust(entry: Entry, run: Run, want: SliceEntity): Promise<void> {
    for (const { name } of nicChanges(run.spec, want).gone) {
      const port = run.ports.get(name)
      if (port !== undefined) run.leaving.add(port)
    }
    run.spec = want
    try {
      await run.machine.change(want, this.#macsOf(want))
      // It may have died, or be wanted no more, meanwhile.
      if (entry.run === run && run.up) this.#openPorts(entry, run)
      this.#options.changed(this.#status(entry))
    } catch (error: unknown) {
      this.#options.log('change', { entity: entry.name, error: errorData(error).message })
      if (entry.run === run) await this.#end(entry, run)
    }
  }

  #macsOf({ name, nics }: SliceEntity): Map<string, Mac> {
    return new Map(nics.map((nic) => [nic.name, this.#options.macOf(name, nic.name)]))
  }

  #detach(ports: Map<string, number>, nic: string): void {
    const port = ports.get(nic)
    if (port === undefined) return
    ports.delete(nic)
    this.#portUp.delete(port)
    this.#options.removePort(port)
  }

  async #end(entry: Entry, run: Run): Promise<void> {
    if (!entry.died) this.#become(entry, 'stopped', 'stopping')
    this.#options.cancelTaps(entry.name)
    await run.machine.stop()
    for (const port of run.ports.values()) {
      this.#options.removePort(port)
      this.#portUp.delete(port)
    }
    entry.run = null
    await rm(join(this.#options.folder, entry.name), { recursive: true, force: true })
    if (entry.state === 'stopped') this.#become(entry, 'stopped', '')
    this.#settleOthers(entry)
  }

  #told(entry: Entry, run: Run, state: EntityState, reason: string): void {
    if (entry.run !== run || entry.died) return
    switch (state) {
      case 'failed':
        return this.#failed(entry, run, reason)
      case 'running':
        run.runningSince = performance.now()
        entry.bootMs = Math.round(run.runningSince - run.startedAt)
        this.#become(entry, 'running', '')
        // The names may have changed while it booted.
        this.#rename(entry, run)
        return this.#settleOthers(entry)
      case 'pending':
      case 'booting':
      case 'stopped':
        if (entry.state !== 'stopped') this.#become(entry, state, reason)
    }
  }

  #failed(entry: Entry, run: Run, reason: string): void {
    entry.died = true
    const ranMs = run.runningSince === null ? null : performance.now() - run.runningSince
    if (ranMs !== null && ranMs > calmMs) entry.deaths = 0
    entry.deaths++
    const restart = entry.want?.restart ?? 'never'
    const neverCameUp = ranMs === null && entry.deaths === 1 && restart === 'failover'
    if (entry.retry === null) {
      if (neverCameUp || restart === 'never' || entry.deaths > maxRetries) entry.failedFor = this.#version
      else this.#retryLater(entry)
    }
    const again = entry.retry === null ? '' : againMark
    this.#become(entry, 'failed', `${reason}${again}`)
    void this.#settle(entry)
  }

  #retryLater(entry: Entry): void {
    const delayMs = Math.min(firstRetryMs * 2 ** Math.max(0, entry.deaths - 1), lastRetryMs)
    entry.retry = setTimeout(() => {
      entry.retry = null
      void this.#settle(entry)
    }, delayMs)
  }

  #rename(entry: Entry, run: Run): void {
    run.machine.rename(this.#names).catch((error: unknown) => {
      this.#options.log('names', { entity: entry.name, error: errorData(error).message })
    })
  }

  #booting(): number {
    let count = 0
    for (const { state } of this.#entries.values()) if (state === 'booting') count++
    return count
  }

  /** A place to boot may be free. */
  #settleOthers(done: Entry): void {
    for (const entry of this.#entries.values())
      if (entry !== done && entry.state === 'pending') void this.#settle(entry)
  }

  #remove(entry: Entry): void {
    if (entry.retry !== null) clearTimeout(entry.retry)
    this.#entries.delete(entry.name)
    if (this.#entries.size === 0) this.#idle?.()
  }

  #become(entry: Entry, state: EntityState, reason: string): void {
    if (entry.state === state && entry.reason === reason) return
    entry.state = state
    entry.reason = reason
    if (state === 'booting') entry.bootMs = null
    this.#options.changed(this.#status(entry))
  }

  #status(entry: Entry): EntityStatus {
    const spec = entry.run?.spec ?? entry.want
    const nics = (spec?.nics ?? []).map(({ name, lan }) => {
      const port = entry.run?.ports.get(name)
      const up = port !== undefined && this.#portUp.get(port) === true
      return { name, lan, mac: this.#options.macOf(entry.name, name), up }
    })
    const { name, state, reason, superseded, bootMs } = entry
    const claim = entry.want?.claim ?? entry.run?.spec.claim ?? 0
    return { name, state, reason, claim, superseded, again: entry.retry !== null, bootMs, nics }
  }
}

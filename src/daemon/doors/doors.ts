/**
 * The doors of this host: which may be open, which are, and what becomes of them. A slice asks for the TAP of a
 * door; whether there is one is decided here, by the record, by this host's operator, and, for this host itself on a
 * vLAN, by who holds it there. What is no longer wanted is shut at once, whatever the slice does.
 */
import { ascii, hex } from '#core/derive.ts'
import { isAttached, openJetways } from '#core/doors.ts'
import { errorData, ViolinError } from '#core/errors.ts'
import type { HostId, ViolinId } from '#core/ids.ts'
import { jetwayLeave, type Limits } from '#core/limits.ts'
import { same } from '#core/same.ts'
import type { ViolinView } from '#core/records/view.ts'
import type { SpecEntity } from '#core/spec.ts'
import type { SliceEvent } from '#slice/contract.ts'
import * as z from 'zod'
import { crypto } from '../crypto.ts'
import type { Journal } from '../events.ts'
import type { Records } from '../records.ts'
import { openAttached } from './attached.ts'
import { openBridge } from './bridge.ts'
import type { Door, DoorPlan } from './door.ts'
import { openNat } from './nat.ts'
import { ipJson } from './tools.ts'

type Wanted = Extract<SliceEvent, { kind: 'tap-wanted' }>

export interface DoorsParts {
  readonly self: HostId
  readonly records: Records
  readonly limits: () => Limits
  readonly journal: Journal
  /** The host's own folder. */
  readonly folder: string
}

interface OpenDoor extends Door {
  /** What it was let reach. */
  readonly reach: readonly string[]
}

const linkNames = z.array(z.object({ ifname: z.string() }))

export class Doors {
  readonly #parts: DoorsParts
  readonly #open = new Map<string, OpenDoor>()
  /** Why nothing passes, of those that are open. */
  readonly #troubles = new Map<string, string>()
  /** Addresses that this host was given by those that are open. */
  readonly #given = new Map<string, readonly string[]>()
  #told: (violin: ViolinId) => void = () => undefined
  /** The last thing that was begun for a door: one after the other. Never rejects. */
  readonly #turns = new Map<string, Promise<unknown>>()
  /** Attached entities that somebody on this host holds. */
  readonly #held = new Set<string>()

  constructor(parts: DoorsParts) {
    this.#parts = parts
  }

  /** This host is to be on a vLAN as that entity, until {@link letGo}. */
  hold(violin: ViolinId, entity: string): void {
    this.#held.add(keyOf(violin, entity))
  }

  letGo(violin: ViolinId, entity: string): void {
    this.#held.delete(keyOf(violin, entity))
  }

  /** Whether an entity is this host's to run, where it is a door: only what is open. Any other is. */
  mayRun(violin: ViolinView, entity: SpecEntity): boolean {
    if (entity.driver !== 'tap') return true
    if (isAttached(entity)) return this.#held.has(keyOf(violin.id, entity.name))
    return violin.spec !== null && openJetways(violin.spec).has(entity.name)
  }

  /** The interface of an entity's open door; null: it is shut. */
  deviceOf(violin: ViolinId, entity: string): string | null {
    return this.#open.get(keyOf(violin, entity))?.device ?? null
  }

  /** Why nothing passes by an entity's open door; empty: it does. */
  troubleOf(violin: ViolinId, entity: string): string {
    return this.#troubles.get(keyOf(violin, entity)) ?? ''
  }

  /** Addresses that this host was given by an entity's open door, with their prefix lengths. */
  givenBy(violin: ViolinId, entity: string): readonly string[] {
    return this.#given.get(keyOf(violin, entity)) ?? []
  }

  /** Calls back when {@link troubleOf} or {@link givenBy} changed. */
  onChange(changed: (violin: ViolinId) => void): void {
    this.#told = changed
  }

  /** The addresses of this host by an entity's open door, once it has them; null: it is shut, or no door of that kind. */
  addressesOf(violin: ViolinId, entity: string): Promise<readonly string[]> | null {
    return this.#open.get(keyOf(violin, entity))?.addresses ?? null
  }

  /** Opens the door that a slice asks for, anew; its TAP's descriptor is the caller's. Null: it is no door. */
  tap(violin: ViolinId, wanted: Wanted): Promise<number> | null {
    const entity = this.#parts.records.view.violins
      .get(violin)
      ?.spec?.entities.find(({ name }) => name === wanted.entity)
    if (entity?.driver !== 'tap') return null
    return this.#inTurn(keyOf(violin, entity.name), async () => {
      await this.#shut(violin, entity.name)
      return this.#opened(violin, wanted)
    })
  }

  /** Shuts all doors of a VIOLIN but these; of these, too, what its operator lets reach something else by now. */
  keep(violin: ViolinId, entities: ReadonlySet<string>): void {
    for (const key of this.#turns.keys()) {
      const [of, name = ''] = key.split(' ')
      const door = this.#open.get(key)
      const stays = entities.has(name) && (door === undefined || same(door.reach, this.#reachOf(violin)))
      if (of === violin && !stays) void this.#inTurn(key, () => this.#shut(violin, name))
    }
  }

  /** Resolves when what was begun for a VIOLIN is done. */
  async settled(violin: ViolinId): Promise<void> {
    await Promise.all([...this.#turns].flatMap(([key, turn]) => (key.startsWith(`${violin} `) ? [turn] : [])))
  }

  /** Shuts all. */
  async close(): Promise<void> {
    for (const key of this.#turns.keys()) this.keep(key.split(' ')[0] as ViolinId, new Set())
    await Promise.all(this.#turns.values())
  }

  async #opened(violin: ViolinId, wanted: Wanted): Promise<number> {
    const { entity, lan } = this.#entitled(violin, wanted.entity)
    const key = keyOf(violin, entity.name)
    const digest = crypto.sha256(ascii(`violin door ${this.#parts.self} ${key}`))
    const plan: DoorPlan = {
      entity,
      lan,
      folder: this.#parts.folder,
      device: isAttached(entity) ? await freeName() : `vj${hex(digest.subarray(0, 5))}`,
      mac: wanted.mac,
      mtu: wanted.mtu,
      reach: this.#reachOf(violin),
      troubled: (why) => this.#troubled(violin, entity.name, why),
      given: (addresses) => {
        this.#given.set(key, addresses)
        this.#told(violin)
      }
    }
    const door = await openDoor(plan, new DataView(digest.buffer, digest.byteOffset).getUint32(8))
    this.#open.set(key, Object.assign(door, { reach: plan.reach }))
    void door.broken.then((why) => this.#broke(violin, entity.name, door, why))
    this.#note(violin, 'door-open', `${entity.name} is open: ${door.text}`)
    return door.tap
  }

  /** The entity, if it may be open now. Throws ViolinError `refused`. */
  #entitled(violin: ViolinId, name: string): Pick<DoorPlan, 'entity' | 'lan'> {
    const view = this.#parts.records.view.violins.get(violin)
    const entity = view?.spec?.entities.find((one) => one.name === name)
    const here = entity !== undefined && view !== undefined && entity.hosts[0] === this.#parts.self
    const lan = view?.spec?.lans.find((one) => one.name === entity?.nics[0]?.lan)
    const isLet = here && this.mayRun(view, entity) && (isAttached(entity) || this.#leaveOf(view) !== null)
    if (isLet && lan !== undefined) return { entity, lan }
    throw new ViolinError('refused', `${name} is shut on this host`, 'see `violin show`')
  }

  #leaveOf({ founding, ownerHost }: ViolinView): ReturnType<typeof jetwayLeave> {
    return jetwayLeave({ owners: founding.owners, ownerHost }, this.#parts.limits())
  }

  #reachOf(violin: ViolinId): readonly string[] {
    const view = this.#parts.records.view.violins.get(violin)
    return (view === undefined ? null : this.#leaveOf(view))?.reach ?? []
  }

  async #shut(violin: ViolinId, name: string): Promise<void> {
    const key = keyOf(violin, name)
    const door = this.#open.get(key)
    if (door === undefined) return
    this.#open.delete(key)
    this.#troubles.delete(key)
    await door.close()
    // It may have been given one until then.
    this.#given.delete(key)
    this.#note(violin, 'door-shut', `${name} is shut`)
  }

  #troubled(violin: ViolinId, name: string, why: string): void {
    const key = keyOf(violin, name)
    if (why === this.troubleOf(violin, name)) return
    if (why === '') this.#troubles.delete(key)
    else this.#troubles.set(key, why)
    const text = why === '' ? `${name} is open again` : `nothing passes by ${name}: ${why}`
    this.#note(violin, why === '' ? 'door-open' : 'door-broke', text)
    this.#told(violin)
  }

  /** What is behind it is started again by the slice, whose TAP goes with it. */
  #broke(violin: ViolinId, name: string, door: Door, why: string): void {
    if (this.#open.get(keyOf(violin, name)) !== door) return
    this.#note(violin, 'door-broke', `${name} broke: ${why}`)
    void this.#inTurn(keyOf(violin, name), () => this.#shut(violin, name))
  }

  #inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(key) ?? Promise.resolve()).then(work)
    const settled: Promise<void> = turn.then(
      () => this.#endTurn(key, settled),
      (error: unknown) => {
        this.#parts.journal.note('door-failed', null, `${key.split(' ')[1]}: ${errorData(error).message}`)
        this.#endTurn(key, settled)
      }
    )
    this.#turns.set(key, settled)
    return turn
  }

  #endTurn(key: string, turn: Promise<void>): void {
    if (this.#turns.get(key) === turn && !this.#open.has(key)) this.#turns.delete(key)
  }

  #note(violin: ViolinId, kind: string, text: string): void {
    const name = this.#parts.records.view.violins.get(violin)?.name ?? violin.slice(0, 12)
    this.#parts.journal.note(kind, { id: violin, name }, text)
  }
}

function keyOf(violin: ViolinId, entity: string): string {
  return `${violin} ${entity}`
}

function openDoor(plan: DoorPlan, draw: number): Promise<Door> {
  if (plan.entity.jetway === undefined) return openAttached(plan)
  return plan.entity.jetway.mode === 'nat' ? openNat(plan, draw) : openBridge(plan)
}

/** `violin0`, or the next that this host has not. */
async function freeName(): Promise<string> {
  const taken = new Set(linkNames.parse(await ipJson('link')).map(({ ifname }) => ifname))
  let n = 0
  while (taken.has(`violin${n}`)) n++
  return `violin${n}`
}

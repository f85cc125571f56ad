/**
 * This host on vLANs of VIOLINs: for as long as somebody here holds it. The record says so to the others, who would
 * take its frames from no one else; that it is a device of this host is decided here alone.
 */
import { isAttached, withHost, withoutHost } from '#core/doors.ts'
import { errorData, ViolinError } from '#core/errors.ts'
import type { HostId, ViolinId } from '#core/ids.ts'
import { isName } from '#core/records/name.ts'
import type { ViolinView } from '#core/records/view.ts'
import { attachedEntity } from '#core/resolve.ts'
import type { Spec, SpecEntity } from '#core/spec.ts'
import type { AttachRow } from '#api/contract.ts'
import { againMark } from '#slice/contract.ts'
import { freeRoutes } from './doors/attached.ts'
import type { Doors } from './doors/doors.ts'
import type { Journal } from './events.ts'
import type { Host } from './host.ts'
import type { Reconciler } from './reconciler.ts'
import type { Records } from './records.ts'
import { entityState } from './show.ts'
import type { Statuses } from './statuses.ts'
import type { Violins } from './violins.ts'

/** A TAP that is not there by then will not come. */
const openMs = 30_000

export interface AttachmentsParts {
  readonly host: Host
  readonly records: Records
  readonly doors: Doors
  readonly violins: Violins
  readonly statuses: Statuses
  readonly reconciler: Reconciler
  readonly journal: Journal
}

export interface AttachRequest {
  readonly violin: string
  readonly lan: string
  /** Absent: the next free one. */
  readonly ip?: string
}

interface Held {
  readonly violin: ViolinId
  readonly lan: string
  readonly entity: string
  readonly over: AbortController
  readonly ended: Promise<void>
}

export class Attachments {
  readonly #parts: AttachmentsParts
  readonly #held = new Set<Held>()

  constructor(parts: AttachmentsParts) {
    this.#parts = parts
  }

  /**
   * Puts this host on a vLAN, tells so, and keeps it there until the reader returns or {@link detach} is called. Not a
   * generator: one that waits could not be ended from outside.
   */
  attach(request: AttachRequest): AsyncIterableIterator<AttachRow> {
    const over = new AbortController()
    const rows = this.#rows(request, over)
    return {
      [Symbol.asyncIterator]() {
        return this
      },
      next: () => rows.next(),
      return() {
        over.abort()
        return rows.return()
      }
    }
  }

  /** Takes this host off the vLANs that are meant; resolves with them when nothing of it is left here. Throws ViolinError. */
  async detach(name?: string, lan?: string): Promise<readonly string[]> {
    const { violins, records } = this.#parts
    const of = name === undefined ? null : violins.find(name).id
    const isMeant = (one: { readonly violin: ViolinId; readonly lan: string }): boolean =>
      (of === null || one.violin === of) && (lan === undefined || one.lan === lan)
    const held = [...this.#held].filter(isMeant)
    for (const { over } of held) over.abort()
    await Promise.all(held.map(({ ended }) => ended))
    const left = this.#left().filter(({ violin, entity }) =>
      isMeant({ violin: violin.id, lan: entity.nics[0]?.lan ?? '' })
    )
    for (const { violin, entity } of left) await this.#drop(violin.id, entity.name)
    const gone = [
      ...held.map((one) => `${records.view.violins.get(one.violin)?.name}/${one.lan}`),
      ...left.map(({ violin, entity }) => `${violin.name}/${entity.nics[0]?.lan}`)
    ]
    if (gone.length > 0) return gone
    throw new ViolinError(
      'not-running-here',
      `this host is not attached to ${[name ?? 'any VIOLIN', ...(lan === undefined ? [] : [lan])].join('/')}`,
      'attach it: violin attach NAME/LAN'
    )
  }

  /** Takes off what a former life of this daemon left in records. */
  async sweep(): Promise<void> {
    for (const { violin, entity } of this.#left())
      await this.#drop(violin.id, entity.name).catch((error: unknown) =>
        this.#parts.journal.note('not-detached', violin, errorData(error).message)
      )
  }

  async *#rows(
    { violin: name, lan, ip }: AttachRequest,
    over: AbortController
  ): AsyncGenerator<AttachRow, void, void> {
    const { host, doors, violins, statuses } = this.#parts
    if (!host.drivers.includes('tap'))
      throw new ViolinError(
        'needs-root',
        'this host makes no devices: its daemon does not run as root',
        'run the daemon as root, or attach a vHost: violin apply'
      )
    const { id, spec } = violins.find(name)
    if ([...this.#held].some((one) => one.violin === id && one.lan === lan))
      throw new ViolinError(
        'refused',
        `this host is on ${name}/${lan} already`,
        `take it off first: violin detach ${name}/${lan}`
      )
    const entity = freeName(spec as Spec, host.identity.name)
    const ended = Promise.withResolvers<void>()
    const held: Held = { violin: id, lan, entity, over, ended: ended.promise }
    this.#held.add(held)
    doors.hold(id, entity)
    try {
      const violin = await violins.change(
        id,
        await this.#joined(id, { name: entity, lan, ...(ip === undefined ? {} : { ip }) })
      )
      yield { kind: 'step', text: `version ${violin.version} is signed and stored` }
      yield* violins.tell(violin)
      const signal = AbortSignal.any([over.signal, AbortSignal.timeout(openMs)])
      const own = violin.spec?.entities.find((one) => one.name === entity) as SpecEntity
      yield await this.#attached(violin, own, statuses.follow([host.identity.id], id, signal))
      await aborted(over.signal)
    } finally {
      doors.letGo(id, entity)
      this.#held.delete(held)
      try {
        await this.#drop(id, entity)
      } finally {
        ended.resolve()
      }
    }
  }

  /** The change that puts this host on a vLAN. Throws ViolinError where its addresses are others' here. */
  async #joined(
    id: ViolinId,
    wanted: { readonly name: string; readonly lan: string; readonly ip?: string }
  ): Promise<(spec: Spec) => Spec> {
    const { violins, host } = this.#parts
    const joined = (spec: Spec): SpecEntity => {
      if (!spec.lans.some(({ name }) => name === wanted.lan))
        throw new ViolinError(
          'unknown-lan',
          `${spec.name} has no vLAN ${wanted.lan}`,
          `it has ${spec.lans.map(({ name }) => name).join(', ')}`
        )
      return attachedEntity(spec, { ...wanted, host: host.identity.id })
    }
    await freeRoutes(joined(violins.find(id).spec as Spec))
    return (spec) => withHost(spec, joined(spec))
  }

  async #attached(
    violin: ViolinView,
    entity: SpecEntity,
    said: ReturnType<Statuses['follow']>
  ): Promise<AttachRow> {
    const where = `${violin.name}/${entity.nics[0]?.lan}`
    for await (const statuses of said) {
      const { state, reason } = entityState(violin, entity, statuses)
      if (state === 'failed' || state === 'refused')
        throw new ViolinError(
          'boot-failed',
          `this host was not attached to ${where}: ${reason.replace(againMark, '')}`,
          'see `violin events`'
        )
      const device = this.#parts.doors.deviceOf(violin.id, entity.name)
      if (state !== 'running' || device === null) continue
      const ips = entity.nics.flatMap((nic) => nic.ips)
      return {
        kind: 'attached',
        violin: violin.name,
        lan: entity.nics[0]?.lan ?? '',
        entity: entity.name,
        device,
        ips
      }
    }
    throw new ViolinError(
      'timeout',
      `this host is not on ${where} after ${openMs / 1_000} s`,
      'see `violin events`'
    )
  }

  /** Of this host in records of its owner, and held by nobody. */
  #left(): { readonly violin: ViolinView; readonly entity: SpecEntity }[] {
    const { records, host, violins } = this.#parts
    return [...records.view.violins.values()]
      .filter((violin) => violins.isMine(violin))
      .flatMap((violin) =>
        (violin.spec?.entities ?? [])
          .filter((entity) => isAttached(entity) && entity.hosts[0] === host.identity.id)
          .filter(
            ({ name }) => ![...this.#held].some((one) => one.violin === violin.id && one.entity === name)
          )
          .map((entity) => ({ violin, entity }))
      )
  }

  /** Takes an attached entity out of the record, and waits until nothing of it is left here. */
  async #drop(id: ViolinId, entity: string): Promise<void> {
    const { violins, records, reconciler, doors } = this.#parts
    reconciler.kick()
    const before = records.view.violins.get(id)
    if (before?.spec?.entities.some(({ name }) => name === entity) === true) {
      const after = await violins.change(id, (spec) => withoutHost(spec, entity))
      for await (const row of violins.tell(after, before))
        if (row.kind === 'warning') this.#warn(before, row.text)
      await this.#settled(id, after.version)
    }
    await doors.settled(id)
  }

  #warn(violin: ViolinView, text: string): void {
    this.#parts.journal.note('not-told', violin, text)
  }

  /** Resolves when this host goes by a version, or by none. */
  async #settled(id: ViolinId, version: number): Promise<void> {
    const { statuses, host } = this.#parts
    const self: HostId = host.identity.id
    for await (const said of statuses.follow([self], id, AbortSignal.timeout(openMs))) {
      const status = said.get(self)
      if (status != null && (status.runs === null || status.runs >= version)) return
    }
  }
}

/** The host's name, as a name inside: with a number where it is taken. */
function freeName(spec: Spec, host: string): string {
  const taken = new Set([...spec.entities, ...spec.lans].map(({ name }) => name))
  const plain = host
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]/g, '-')
    .replace(/^-+/, '')
    .slice(0, 32)
  const base = isName(plain) ? plain : 'host'
  let name = base
  for (let n = 2; taken.has(name); n++) name = `${base}-${n}`
  return name
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

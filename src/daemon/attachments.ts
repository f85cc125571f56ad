/**
 * This host on vLANs of VIOLINs: for as long as somebody here holds it. The record says so to the others, who would
 * take its frames from no one else; that it is a device of this host is decided here alone.
 */
import { isAttached } from '#core/doors.ts'
import { errorData, ViolinError } from '#core/errors.ts'
import type { HostId, ViolinId } from '#core/ids.ts'
import { isName } from '#core/records/name.ts'
import type { ViolinView } from '#core/records/view.ts'
import { attachedEntity } from '#core/resolve.ts'
import type { Spec, SpecEntity, SpecLan } from '#core/spec.ts'
import type { AttachRow } from '#api/contract.ts'
import { endable } from '#api/endable.ts'
import { againMark } from '#slice/contract.ts'
import { freeRoutes } from './doors/attached.ts'
import type { Doors } from './doors/doors.ts'
import type { Journal } from './events.ts'
import type { Host } from './host.ts'
import type { Guest, Offers } from './offers.ts'
import type { Reconciler } from './reconciler.ts'
import type { Records } from './records.ts'
import { entityState } from './show.ts'
import type { HostStatus, Statuses } from './statuses.ts'
import type { Violins } from './violins.ts'

/** A TAP that is not there by then will not come. */
const openMs = 30_000
/** A virtual machine that does not run by then. */
const vhostMs = 120_000

export interface AttachmentsParts {
  readonly host: Host
  readonly records: Records
  readonly doors: Doors
  readonly violins: Violins
  readonly offers: Offers
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
   * Puts this host on a vLAN, tells so, and keeps it there until the reader returns or {@link detach} is called.
   */
  attach(request: AttachRequest): AsyncIterableIterator<AttachRow> {
    return endable((over) => this.#rows(request, over))
  }

  /** Takes this host off the vLANs that are meant; resolves with them when nothing of it is left here. Throws ViolinError. */
  async detach(name?: string, lan?: string): Promise<readonly string[]> {
    const { violins, records } = this.#parts
    const of = name === undefined ? null : violins.find(name).id
    const isMeant = (one: { readonly violin: ViolinId; readonly lan: string }): boolean =>
      (of === null || one.violin === of) && (lan === undefined || one.lan === lan)
    const held = [...this.#held].filter(isMeant)
    const vhost = of === null || lan === undefined ? null : this.#entityOf(of, lan)
    if (vhost !== null && vhost.entity.by === this.#parts.host.identity.id && !isAttached(vhost.entity)) {
      await this.#drop(vhost.violin.id, vhost.entity.name)
      return [`${vhost.violin.name}/${vhost.entity.name}`]
    }
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

  async *#rows(request: AttachRequest, over: AbortController): AsyncGenerator<AttachRow, void, void> {
    const { host, doors, violins, offers } = this.#parts
    const { violin: name, lan } = request
    if (!host.drivers.includes('tap'))
      throw new ViolinError(
        'needs-root',
        'this host makes no devices: its daemon does not run as root',
        'run the daemon as root, or attach a vHost: violin apply'
      )
    const violin = violins.find(name)
    const { id, spec } = violin
    offers.check(violin, lan)
    if ([...this.#held].some((one) => one.violin === id && one.lan === lan))
      throw new ViolinError(
        'refused',
        `this host is on ${name}/${lan} already`,
        `take it off first: violin detach ${name}/${lan}`
      )
    const entity = freeName(spec as Spec, host.identity.name)
    const wanted = attachedEntity(spec as Spec, { ...request, name: entity, host: host.identity.id })
    await freeRoutes(wanted, lanOf(spec as Spec, lan))
    const ended = Promise.withResolvers<void>()
    const held: Held = { violin: id, lan, entity, over, ended: ended.promise }
    this.#held.add(held)
    doors.hold(id, entity)
    let isIn = false
    const gone = new AbortController()
    let unlisten = (): void => undefined
    try {
      const guest = { ...guestOf(request), name: entity, driver: 'tap' as const }
      const version = await offers.put(violins.find(id), guest)
      isIn = true
      unlisten = this.#onGone(id, entity, version, () => gone.abort())
      yield { kind: 'step', text: `version ${version} is signed and stored` }
      const ends = AbortSignal.any([over.signal, gone.signal])
      const attached = await this.#attached(id, entity, ends)
      if (attached !== null) {
        yield attached
        await aborted(ends)
      }
      if (!over.signal.aborted)
        throw new ViolinError('refused', 'its owner took this host off', 'ask its owner for an offer')
    } finally {
      unlisten()
      doors.letGo(id, entity)
      this.#held.delete(held)
      try {
        if (isIn) await this.#drop(id, entity)
      } finally {
        ended.resolve()
      }
    }
  }

  /** Puts a vHost of this host's owner on a vLAN that another owner offers; tells when it runs. */
  async *addHost(
    request: AttachRequest & { readonly vhost: string; readonly driver: 'uml' | 'netns' }
  ): AsyncGenerator<AttachRow, void, void> {
    const { violins, statuses, host } = this.#parts
    const { violin: name, lan, vhost, driver } = request
    const violin = violins.find(name)
    if (violins.isMine(violin))
      throw new ViolinError(
        'refused',
        `${violin.name} is your own`,
        `write ${vhost} into its file and apply it`
      )
    if (!host.drivers.includes(driver))
      throw new ViolinError('no-placement', `this host has no ${driver} driver`, 'choose another: --driver')
    const version = await this.#parts.offers.put(violin, { ...guestOf(request), name: vhost, driver })
    yield { kind: 'step', text: `version ${version} is signed and stored` }
    const signal = AbortSignal.timeout(vhostMs)
    for await (const said of statuses.follow([host.identity.id], violin.id, signal)) {
      const now = this.#entityOf(violin.id, vhost)
      if (now === null) continue
      const { state, reason } = entityState(now.violin, now.entity, said)
      if (state === 'running' && isSwitched(said.get(host.identity.id), lan))
        return yield { kind: 'done', text: `${vhost} runs on ${violin.name}/${lan}` }
      if (state === 'failed' || state === 'refused')
        throw new ViolinError(
          'boot-failed',
          `${vhost} did not start: ${reason}`,
          `take it off: violin detach ${name}/${vhost}`
        )
    }
    throw new ViolinError(
      'timeout',
      `${vhost} does not run after ${vhostMs / 1_000} s`,
      `see \`violin show ${name}\``
    )
  }

  /** Resolves when this host is on; null: that ended before. Throws ViolinError. */
  async #attached(id: ViolinId, name: string, ends: AbortSignal): Promise<AttachRow | null> {
    const { statuses, host, doors } = this.#parts
    const signal = AbortSignal.any([ends, AbortSignal.timeout(openMs)])
    for await (const said of statuses.follow([host.identity.id], id, signal)) {
      const now = this.#entityOf(id, name)
      // Of another owner's VIOLIN it is on its way.
      if (now === null) continue
      const { state, reason } = entityState(now.violin, now.entity, said)
      if (state === 'failed' || state === 'refused')
        throw new ViolinError(
          'boot-failed',
          `this host was not attached: ${reason.replace(againMark, '')}`,
          'see `violin events`'
        )
      const device = doors.deviceOf(id, name)
      const [nic] = now.entity.nics
      const isOn = state === 'running' && isSwitched(said.get(host.identity.id), nic?.lan ?? '')
      const addresses = doors.addressesOf(id, name)
      if (!isOn || device === null || addresses === null) continue
      const ips = await Promise.race([addresses, aborted(signal)])
      if (ips === null) break
      return {
        kind: 'attached',
        violin: now.violin.name,
        lan: nic?.lan ?? '',
        entity: name,
        device,
        ips
      }
    }
    if (ends.aborted) return null
    throw new ViolinError(
      'timeout',
      `this host is not attached after ${openMs / 1_000} s`,
      'see `violin events`; does anybody there give addresses, if it asks for one?'
    )
  }

  /** Calls back when the record, which had an entity in that version, has it no more. Gives what ends that. */
  #onGone(id: ViolinId, name: string, version: number, gone: () => void): () => void {
    const { records } = this.#parts
    let wasIn = false
    const look = (): void => {
      const violin = records.view.violins.get(id)
      if (this.#entityOf(id, name) !== null) wasIn = true
      // Of another owner's VIOLIN that version is on its way.
      else if (wasIn || violin === undefined || violin.version > version) gone()
    }
    const unlisten = records.onChange(look)
    look()
    return unlisten
  }

  #entityOf(id: ViolinId, name: string): { readonly violin: ViolinView; readonly entity: SpecEntity } | null {
    const violin = this.#parts.records.view.violins.get(id)
    const entity = violin?.spec?.entities.find((one) => one.name === name)
    return violin === undefined || entity === undefined ? null : { violin, entity }
  }

  /** This host in records, held by nobody. */
  #left(): { readonly violin: ViolinView; readonly entity: SpecEntity }[] {
    const { records, host, violins } = this.#parts
    return [...records.view.violins.values()].flatMap((violin) =>
      (violin.spec?.entities ?? [])
        .filter((entity) => isAttached(entity) && entity.hosts[0] === host.identity.id)
        .filter(({ by }) => by === host.identity.id || violins.isMine(violin))
        .filter(({ name }) => ![...this.#held].some((one) => one.violin === violin.id && one.entity === name))
        .map((entity) => ({ violin, entity }))
    )
  }

  /** Takes a guest out of the record, and waits until nothing of it is left here. */
  async #drop(id: ViolinId, name: string): Promise<void> {
    const { reconciler, doors, offers } = this.#parts
    reconciler.kick()
    const before = this.#entityOf(id, name)
    if (before !== null) await this.#settled(id, await offers.take(before.violin, name))
    await doors.settled(id)
  }

  /** Resolves when this host goes by a version, or by none. */
  async #settled(id: ViolinId, version: number): Promise<void> {
    const { statuses, host } = this.#parts
    const self: HostId = host.identity.id
    for await (const said of statuses.follow([self], id, AbortSignal.timeout(openMs))) {
      const status = said.get(self)
      const isOver = this.#parts.records.view.violins.get(id) === undefined
      if (isOver || (status != null && (status.runs === null || status.runs >= version))) return
    }
  }
}

function lanOf(spec: Spec, lan: string): SpecLan {
  return spec.lans.find(({ name }) => name === lan) as SpecLan
}

function aborted(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(null)
    signal.addEventListener('abort', () => resolve(null), { once: true })
  })
}

/** Whether a host has found the vSwitch of a vLAN: before, its ports reach nobody elsewhere. */
function isSwitched(status: HostStatus | null | undefined, lan: string): boolean {
  return status?.switches.some((one) => one.lan === lan && one.active !== null) === true
}

function guestOf({ lan, ip }: AttachRequest): Pick<Guest, 'lan' | 'ip'> {
  return { lan, ...(ip === undefined ? {} : { ip }) }
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

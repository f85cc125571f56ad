/** Changes of one entity by its owner: versions of the record, waited for until its host acts on them. */
import { keeperIn } from '#core/claims.ts'
import { entityOf, nicOf, withLink, withPower } from '#core/edits.ts'
import { ViolinError } from '#core/errors.ts'
import { formatLink } from '#core/link.ts'
import { addNic, type NicWish, removeNic } from '#core/nics.ts'
import { namedHosts } from '#core/reconcile.ts'
import type { ViolinView } from '#core/records/view.ts'
import type { Spec, SpecEntity, SpecNic } from '#core/spec.ts'
import type { EntityStatus } from '#slice/contract.ts'
import type { Progress, Service } from '#api/contract.ts'
import type { Changes } from './changes.ts'
import type { Journal } from './events.ts'
import { seconds } from './waiting.ts'
import { entityState, type StatusMap } from './show.ts'
import type { HostStatus, Statuses } from './statuses.ts'

export interface EntityChangesParts {
  readonly changes: Changes
  readonly statuses: Statuses
  readonly journal: Journal
}

export class EntityChanges {
  readonly #parts: EntityChangesParts

  constructor(parts: EntityChangesParts) {
    this.#parts = parts
  }

  /** Changes what happens to frames of a vNIC. Throws ViolinError. */
  async link(request: Parameters<Service['link']>[0]): ReturnType<Service['link']> {
    const { changes, statuses } = this.#parts
    const deadline = AbortSignal.timeout(request.timeoutMs)
    const violin = await changes.change(request.violin, (spec) => withLink(spec, request))
    const entity = entityOf(violin.spec as Spec, request.entity)
    void this.#tell(violin)
    for await (const said of statuses.follow(entity.hosts, violin.id, deadline)) {
      changes.mustCount(violin)
      if (!actsOn(violin.version, entity, said)) continue
      return { version: violin.version, link: formatLink(nicOf(entity, request.nic).link ?? {}) }
    }
    throw new ViolinError(
      'timeout',
      `no host of ${entity.name} acts on version ${violin.version} after ${seconds(request.timeoutMs)}`,
      `it will when it is reached: violin show ${violin.name}`
    )
  }

  /** Stops an entity or starts it again. Throws ViolinError. */
  async power(request: Parameters<Service['power']>[0]): ReturnType<Service['power']> {
    const { changes, statuses } = this.#parts
    const { on, timeoutMs } = request
    const deadline = AbortSignal.timeout(timeoutMs)
    const violin = await changes.change(request.violin, (spec, { runs }) => {
      const ranOn = keeperIn(runs, entityOf(spec, request.entity))
      return withPower(spec, request.entity, on, ranOn)
    })
    const { version } = violin
    const entity = entityOf(violin.spec as Spec, request.entity)
    void this.#tell(violin)
    for await (const said of statuses.follow(entity.hosts, violin.id, deadline)) {
      changes.mustCount(violin)
      const { state, reason, again } = entityState(violin, entity, said)
      if (on && state === 'running') return { version }
      if (on && ((state === 'failed' && !again) || state === 'refused'))
        throw new ViolinError(
          'boot-failed',
          `${entity.name} did not start: ${reason}`,
          `see \`violin show ${violin.name}\``
        )
      if (!on && said.size === entity.hosts.length && isStopped(version, entity, said)) return { version }
    }
    throw new ViolinError(
      'timeout',
      `${entity.name} is not ${on ? 'running' : 'stopped'} after ${seconds(timeoutMs)}`,
      `it will be when its hosts are reached: violin show ${violin.name}`
    )
  }

  /** Adds a vNIC to an entity (a wish), or removes the one of a name; tells when the machine has taken it on. */
  async *nics(
    name: string,
    entity: string,
    change: NicWish | string,
    timeoutMs: number
  ): AsyncGenerator<Progress, void, void> {
    const { changes, statuses } = this.#parts
    const deadline = AbortSignal.timeout(timeoutMs)
    const removed = typeof change === 'string' ? change : null
    let added = null as SpecNic | null
    const violin = await changes.change(name, (spec) => {
      if (typeof change === 'string') return removeNic(spec, entity, change)
      const { spec: changed, nic } = addNic(spec, entity, change)
      added = nic
      return changed
    })
    yield { kind: 'step', text: `version ${violin.version} is signed and stored` }
    yield* changes.tell(violin)
    for await (const said of statuses.follow(namedHosts(violin.spec as Spec), violin.id, deadline)) {
      changes.mustCount(violin)
      const own = [...said.values()].flatMap((status) => status?.entities ?? [])
      if (!own.some((one) => one.name === entity && hasTaken(one, removed, added))) continue
      const text =
        added === null
          ? `${entity} has no ${removed} any more`
          : `${entity} has ${added.name} on ${added.lan}: ${added.ips.join(', ')}`
      yield { kind: 'done', text }
      return
    }
    throw new ViolinError(
      'timeout',
      `${entity} has not taken its vNICs on after ${seconds(timeoutMs)}`,
      `see \`violin show ${violin.name}\``
    )
  }

  /** Gives a version to all its hosts, nobody waiting; who was not reached gets it when it is back. */
  async #tell(violin: ViolinView): Promise<void> {
    for await (const told of this.#parts.changes.tell(violin))
      if (told.kind === 'warning') this.#parts.journal.note('not-told', violin, told.text)
  }
}

/** Who runs the entity has that version or a later one, or all its hosts have and none runs it. */
function actsOn(version: number, { name, hosts }: SpecEntity, statuses: StatusMap): boolean {
  const has = (status: HostStatus | null | undefined): boolean =>
    status != null && status.holds >= version && (status.runs ?? version) >= version
  const running = [...statuses.values()].filter((status) => status?.entities.some((one) => one.name === name))
  return running.length > 0 ? running.some(has) : hosts.every((host) => has(statuses.get(host)))
}

/** All hosts of the entity that can be asked have that version, and none runs it. */
function isStopped(version: number, { name, hosts }: SpecEntity, statuses: StatusMap): boolean {
  return hosts.every((host) => {
    const status = statuses.get(host) ?? null
    if (status === null) return true
    const own = status.entities.find((one) => one.name === name)
    return status.holds >= version && (own === undefined || own.state === 'stopped' || own.state === 'failed')
  })
}

/** The machine runs with the vNIC that was added, or without the one of that name. */
function hasTaken(status: EntityStatus, removed: string | null, added: SpecNic | null): boolean {
  if (status.state !== 'running') return false
  return added === null
    ? !status.nics.some(({ name }) => name === removed)
    : status.nics.some(({ name, lan, up }) => name === added.name && lan === added.lan && up)
}

/** Changes of one entity by its owner: versions of the record, waited for until its host acts on them. */
import { entityOf, nicOf, withLink } from '#core/edits.ts'
import { ViolinError } from '#core/errors.ts'
import { formatLink } from '#core/link.ts'
import type { ViolinView } from '#core/records/view.ts'
import type { Spec, SpecEntity } from '#core/spec.ts'
import type { Service } from '#api/contract.ts'
import type { Journal } from './events.ts'
import type { StatusMap } from './show.ts'
import type { HostStatus, Statuses } from './statuses.ts'
import type { Violins } from './violins.ts'

export interface EntityChangesParts {
  readonly violins: Violins
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
    const { violins, statuses } = this.#parts
    const deadline = AbortSignal.timeout(request.timeoutMs)
    const violin = await violins.change(request.violin, (spec) => withLink(spec, request))
    const entity = entityOf(violin.spec as Spec, request.entity)
    void this.#tell(violin)
    for await (const said of statuses.follow(entity.hosts, violin.id, deadline)) {
      if (!actsOn(violin.version, entity, said)) continue
      return { version: violin.version, link: formatLink(nicOf(entity, request.nic).link ?? {}) }
    }
    throw new ViolinError(
      'timeout',
      `no host of ${entity.name} acts on version ${violin.version} after ${seconds(request.timeoutMs)}`,
      `it will when it is reached: violin show ${violin.name}`
    )
  }

  /** Gives a version to all its hosts, nobody waiting; who was not reached gets it when it is back. */
  async #tell(violin: ViolinView): Promise<void> {
    for await (const told of this.#parts.violins.tell(violin))
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

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`
}

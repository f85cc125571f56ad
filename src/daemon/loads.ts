/** What changes by the second on a host: asked when it is needed, never spread. */
import * as z from 'zod'
import { keeperIn } from '#core/claims.ts'
import { type Limits, freeMemoryMiB } from '#core/limits.ts'
import type { HostId, ViolinId } from '#core/ids.ts'
import type { PlacementHost } from '#core/placement.ts'
import type { SpecEntity } from '#core/spec.ts'
import type { Mesh } from '#mesh/contract.ts'
import { driversOf, loadNow, type Host } from './host.ts'
import type { Records } from './records.ts'
import { answer, ask } from './wire.ts'

const answerTimeoutMs = 1_500

const question = z.strictObject({})
/** What one host has to do, and to give. */
export interface Load {
  /** Entities that run or shall run there. */
  readonly entities: number
  /** Runnable processes for each processor. */
  readonly load: number
  /** Memory that the asking owner's machines may still take. */
  readonly ownerFreeMiB: number
}

const load: z.ZodType<Load> = z.strictObject({
  entities: z.number(),
  load: z.number(),
  ownerFreeMiB: z.number()
})

export class Loads {
  readonly #host: Host
  readonly #records: Records
  readonly #mesh: Mesh
  readonly #limits: () => Limits

  constructor(host: Host, records: Records, mesh: Mesh, limits: () => Limits) {
    this.#limits = limits
    this.#host = host
    this.#records = records
    this.#mesh = mesh
    answer(mesh, 'load', question, (_question, from) => Promise.resolve(this.#own(from)))
  }

  /** The load of hosts, asked at once; null for those that do not answer. */
  async ofAll(hosts: readonly HostId[]): Promise<ReadonlyMap<HostId, Load | null>> {
    const self = this.#host.identity.id
    const one = (host: HostId): Promise<Load | null> =>
      host === self
        ? Promise.resolve(this.#own(self))
        : ask(this.#mesh, host, 'load', {}, load, AbortSignal.timeout(answerTimeoutMs)).catch(() => null)
    return new Map(await Promise.all(hosts.map(async (host) => [host, await one(host)] as const)))
  }

  /** All members as placement sees them: who can take what. */
  async placementHosts(): Promise<PlacementHost[]> {
    const members = [...this.#records.view.members.values()]
    const loads = await this.ofAll(members.map(({ host }) => host))
    return members.map(({ host, body }) => {
      const load = loads.get(host) ?? null
      const why = body.left
        ? 'has left the mesh'
        : body.draining
          ? 'is being drained'
          : load === null
            ? 'does not answer'
            : ''
      return {
        id: host,
        name: body.name,
        available: why === '',
        unavailableWhy: why,
        left: body.left,
        drivers: driversOf(body),
        freeMemoryMiB: load?.ownerFreeMiB ?? 0,
        load: load?.entities ?? 0
      }
    })
  }

  #own(asking: HostId): Load {
    const claims = [...this.#records.view.violins.values()].flatMap(({ id, spec, founding, ownerHost }) => {
      const entities = spec?.entities.filter((entity) => this.#keeps(id, entity)) ?? []
      return entities.length === 0 ? [] : [{ violin: id, owners: founding.owners, ownerHost, entities }]
    })
    return {
      entities: claims.reduce((sum, claim) => sum + claim.entities.length, 0),
      load: loadNow(),
      // Its owner keys are not known before it signs: of them the reconciler decides.
      ownerFreeMiB: freeMemoryMiB(claims, { owners: [], ownerHost: asking }, this.#limits())
    }
  }

  /** Whether an entity is this host's, as far as records tell. */
  #keeps(violin: ViolinId, entity: SpecEntity): boolean {
    return keeperIn(this.#records.view.runs.get(violin) ?? new Map(), entity) === this.#host.identity.id
  }
}

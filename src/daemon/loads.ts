/** What changes by the second on a host: asked when it is needed, never spread. */
import * as z from 'zod'
import { type Limits, freeMemoryMiB } from '#core/limits.ts'
import type { HostId } from '#core/ids.ts'
import { partOf } from '#core/reconcile.ts'
import type { Mesh } from '#mesh/contract.ts'
import { loadNow, type Host } from './host.ts'
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

  #own(asking: HostId): Load {
    const self = this.#host.identity.id
    const claims = [...this.#records.view.violins.values()].flatMap(
      ({ id, version, spec, founding, ownerHost }) => {
        const part = spec === null ? null : partOf(self, version, spec)
        return part === null
          ? []
          : [{ violin: id, owners: founding.owners, ownerHost, entities: part.entities }]
      }
    )
    return {
      entities: claims.reduce((sum, claim) => sum + claim.entities.length, 0),
      load: loadNow(),
      // Its owner keys are not known before it signs: of them the reconciler decides.
      ownerFreeMiB: freeMemoryMiB(claims, { owners: [], ownerHost: asking }, this.#limits())
    }
  }
}

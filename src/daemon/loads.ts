/** What changes by the second on a host: asked when it is needed, never spread. */
import * as z from 'zod'
import { memoryOf, ownerMemoryMiB } from '#core/limits.ts'
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

  constructor(host: Host, records: Records, mesh: Mesh) {
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
    let entities = 0
    let usedMiB = 0
    for (const violin of this.#records.view.violins.values()) {
      const part = violin.spec === null ? null : partOf(this.#host.identity.id, violin.version, violin.spec)
      entities += part?.entities.length ?? 0
      if (violin.ownerHost === asking) for (const entity of part?.entities ?? []) usedMiB += memoryOf(entity)
    }
    return {
      entities,
      load: loadNow(),
      ownerFreeMiB: Math.max(0, ownerMemoryMiB(this.#host.memoryMiB) - usedMiB)
    }
  }
}

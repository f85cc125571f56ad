/** What hosts run of a VIOLIN right now, asked of them; a question may wait until the answer changes. */
import * as z from 'zod'
import { hex } from '#core/derive.ts'
import type { HostId, ViolinId } from '#core/ids.ts'
import type { Mesh } from '#mesh/contract.ts'
import { crypto } from './crypto.ts'
import type { EntityStatus, SwitchStatus } from '#slice/contract.ts'
import type { Reconciler } from './reconciler.ts'
import type { Records } from './records.ts'
import { entityStatus, switchStatus, text } from './slices/schema.ts'
import { answer, ask, encodeJson } from './wire.ts'

/** A question is held at most this long. */
const maxHoldMs = 10_000
/** How long an immediate answer may take. */
const answerTimeoutMs = 2_000
/** A host that did not answer is asked again after this. */
const askAgainMs = 500

/** What one host runs of a VIOLIN. */
export interface HostStatus {
  /** Version of the record that the host holds; 0: none. */
  readonly holds: number
  /** Version that its slice was configured with; 0: not yet, null: no slice runs. */
  readonly runs: number | null
  readonly trouble: string
  readonly entities: readonly EntityStatus[]
  readonly switches: readonly SwitchStatus[]
  /** Fingerprint of all that; to ask for something newer. */
  readonly digest: string
}

const status: z.ZodType<HostStatus> = z.object({
  holds: z.number(),
  runs: z.number().nullable(),
  trouble: text,
  entities: z.array(entityStatus).max(1_024),
  switches: z.array(switchStatus).max(1_024),
  digest: text
})

const question = z.strictObject({
  violin: z.string().regex(/^[0-9a-f]{64}$/),
  /** Answer when the digest is another, or at the end of the hold. */
  known: text.nullable(),
  holdMs: z.number().min(0).max(maxHoldMs)
})

export class Statuses {
  readonly #self: HostId
  readonly #records: Records
  readonly #reconciler: Reconciler
  readonly #mesh: Mesh

  constructor(self: HostId, records: Records, reconciler: Reconciler, mesh: Mesh) {
    this.#self = self
    this.#records = records
    this.#reconciler = reconciler
    this.#mesh = mesh
    answer(mesh, 'status', question, async (asked, from, signal) => {
      const violin = asked.violin as ViolinId
      const seen = records.view.violins.get(violin)
      if (seen !== undefined && !seen.holders.has(from)) return none
      return this.#local(violin, asked.known, asked.holdMs, signal)
    })
  }

  /** What one host runs; null when it cannot be asked. */
  async of(host: HostId, violin: ViolinId): Promise<HostStatus | null> {
    return this.#ask(host, violin, null, 0, AbortSignal.timeout(answerTimeoutMs)).catch(() => null)
  }

  /** What several hosts run, asked at once. */
  async ofAll(hosts: Iterable<HostId>, violin: ViolinId): Promise<Map<HostId, HostStatus | null>> {
    const rows = await Promise.all(
      [...hosts].map(async (host) => [host, await this.of(host, violin)] as const)
    )
    return new Map(rows)
  }

  /**
   * Follows what hosts run: all that is known at once, then again at every change, also of its record, until the signal
   * aborts.
   */
  async *follow(
    hosts: readonly HostId[],
    violin: ViolinId,
    signal: AbortSignal
  ): AsyncGenerator<ReadonlyMap<HostId, HostStatus | null>, void, void> {
    const over = new AbortController()
    const either = AbortSignal.any([signal, over.signal])
    const statuses = new Map<HostId, HostStatus | null>()
    let news = Promise.withResolvers<void>()
    const one = async (host: HostId): Promise<void> => {
      while (!either.aborted) {
        const known = statuses.get(host)?.digest ?? null
        const next = await this.#ask(host, violin, known, known === null ? 0 : maxHoldMs, either).catch(
          () => null
        )
        statuses.set(host, next)
        news.resolve()
        // Who answers a held question at once with what is known would be asked without end.
        if (next === null || next.digest === known) await pause(askAgainMs, either)
      }
    }
    const loops = hosts.map(one)
    either.addEventListener('abort', () => news.resolve(), { once: true })
    // What is waited for may not be wanted any more, whether its hosts answer or not.
    const unlisten = this.#records.onChange((changed) => {
      if (changed.some(({ kind, key }) => kind === 'violin' && key === violin)) news.resolve()
    })
    try {
      while (!either.aborted) {
        await news.promise
        news = Promise.withResolvers<void>()
        if (!either.aborted) yield new Map(statuses)
      }
    } finally {
      unlisten()
      over.abort()
      await Promise.all(loops)
    }
  }

  #ask(
    host: HostId,
    violin: ViolinId,
    known: string | null,
    holdMs: number,
    signal: AbortSignal
  ): Promise<HostStatus> {
    if (host === this.#self) return this.#local(violin, known, holdMs, signal)
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(holdMs + answerTimeoutMs)])
    return ask(this.#mesh, host, 'status', { violin, known, holdMs }, status, bounded)
  }

  async #local(
    violin: ViolinId,
    known: string | null,
    holdMs: number,
    signal: AbortSignal
  ): Promise<HostStatus> {
    const now = this.#now(violin)
    if (now.digest !== known || holdMs === 0) return now
    const changed = new AbortController()
    const unwatch = this.#reconciler.watch((which) => {
      if (which === violin && this.#now(violin).digest !== known) changed.abort()
    })
    const unlisten = this.#records.onChange(() => {
      if (this.#now(violin).digest !== known) changed.abort()
    })
    try {
      await pause(holdMs, AbortSignal.any([signal, changed.signal]))
    } finally {
      unwatch()
      unlisten()
    }
    return this.#now(violin)
  }

  #now(violin: ViolinId): HostStatus {
    const running = this.#reconciler.running(violin)
    const content = {
      holds: this.#records.view.violins.get(violin)?.version ?? 0,
      runs: running === null ? null : (running.part?.version ?? 0),
      trouble: this.#records.clockIsWrong ? clockIsWrong : (running?.trouble ?? ''),
      entities: this.#reconciler.entities(violin),
      switches: [...(running?.switches.values() ?? [])]
    }
    return { ...content, digest: hex(crypto.sha256(encodeJson(content)).subarray(0, 8)) }
  }
}

const clockIsWrong =
  "its host's clock is wrong: nothing is started there until it is set (timedatectl set-ntp true)"

const none: HostStatus = { holds: 0, runs: null, trouble: '', entities: [], switches: [], digest: '' }

/** Resolves after a time, or at once when the signal aborts. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end, { once: true })
  })
}

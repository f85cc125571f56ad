/** Planned handoffs of vSwitches: asked of the slice here, or of the host whose slice is active, in the owner's name. */
import * as z from 'zod'
import { ViolinError } from '#core/errors.ts'
import type { HostId, ViolinId } from '#core/ids.ts'
import type { Mesh } from '#mesh/contract.ts'
import type { Identity } from './identity.ts'
import { RequestGuard, sealRequest, sealedRequest } from './owner-request.ts'
import type { Peers } from './peers.ts'
import type { Records } from './records.ts'
import type { Slices } from './slices/slices.ts'
import { answer, ask } from './wire.ts'

/** A planned handoff ends within this time or is reported as failed. */
const handoffTimeoutMs = 15_000

const wish = z.strictObject({ lan: z.string().max(256), to: z.string().max(128).nullable() })
const done = z.strictObject({ active: z.string(), term: z.number() })

/** Who switches a vLAN after a handoff. */
export interface HandedOff {
  readonly active: HostId
  readonly term: number
}

export class Handoffs {
  readonly #identity: Identity
  readonly #slices: Slices
  readonly #peers: Peers
  readonly #mesh: Mesh

  constructor(parts: {
    readonly identity: Identity
    readonly records: Records
    readonly slices: Slices
    readonly peers: Peers
    readonly mesh: Mesh
  }) {
    this.#identity = parts.identity
    this.#slices = parts.slices
    this.#peers = parts.peers
    this.#mesh = parts.mesh
    const guard = new RequestGuard(parts.identity.id, parts.records)
    answer(parts.mesh, 'handoff', sealedRequest, async (sealed) => {
      const { violin, request } = guard.open('handoff', sealed, wish)
      return this.here(violin, request.lan, request.to as HostId | null)
    })
  }

  /** Hands over a vSwitch that is active on this host; `to` null: to the next candidate. Throws ViolinError. */
  async here(violin: ViolinId, lan: string, to: HostId | null): Promise<HandedOff> {
    const slice = this.#slices.get(violin)
    if (slice !== null) return slice.call('handoff', { lan, to })
    throw new ViolinError('not-running-here', 'nothing of that VIOLIN runs on this host', 'see `violin show`')
  }

  /** The same where another host is active: this host's owner key signs. Throws ViolinError. */
  async at(active: HostId, violin: ViolinId, lan: string, to: HostId | null): Promise<HandedOff> {
    const { id, mesh, owner } = this.#identity
    if (active === id) return this.here(violin, lan, to)
    await this.#peers.reach(active)
    const sealed = sealRequest('handoff', active, violin, { lan, to }, mesh, owner)
    const answered = await ask(
      this.#mesh,
      active,
      'handoff',
      sealed,
      done,
      AbortSignal.timeout(handoffTimeoutMs)
    )
    return { active: answered.active as HostId, term: answered.term }
  }
}

/** How a daemon repairs: it common records with a neighbour drawn at random, and with whom it connects. */
import type { HostId, ViolinId } from '#core/ids.ts'
import { holderToAsk, ownerHosts, showsHolder, wantsRecord } from '#core/records/holders.ts'
import type { Scope } from '#core/records/record.ts'
import {
  type Access,
  type Synced,
  answerSync,
  applySync,
  maxSyncRounds,
  syncRequest
} from '#core/records/sync.ts'
import type { Host } from './host.ts'
import type { World } from './world.ts'

/** As in daemon/records.ts. */
const repairEveryMs = 3_000
const repairTimeoutMs = 20_000
const passedOn = 16

export class Repair {
  readonly #world: World
  readonly #host: Host
  /** Since when it common with whom. */
  readonly #repairing = new Map<number, number>()
  /** Who answered since the start until nothing was left to ask, and when the last such exchange began. */
  readonly answered: Map<number, number> = new Map()

  constructor(world: World, host: Host) {
    this.#world = world
    this.#host = host
  }

  start(): void {
    this.#repairing.clear()
    this.answered.clear()
    const { life } = this.#host
    const { clock } = this.#world
    const turn = (): void => {
      if (life !== this.#host.life || !this.#host.running) return
      this.#host.daemon.do('command', () => this.#turn())
      clock.after(repairEveryMs, turn)
    }
    clock.after(this.#world.phaseOf(this.#host.place) * repairEveryMs, turn)
  }

  #turn(): void {
    const { records } = this.#host
    if (records.chain === null) return
    records.checkClock()
    this.#host.claims?.refresh()
    const peers = [...records.connections.connected]
    const place = peers.length === 0 ? null : this.#world.random.mesh.pick(peers)
    if (place !== null && records.connections.reaches(place)) this.with(place)
    for (const violin of records.set.violins()) this.#askHolder(violin)
  }

  #askHolder(violin: ViolinId): void {
    const { records, id } = this.#host
    const owners = ownerHosts(records.set, violin)
    const draw = this.#world.random.mesh.next()
    const host = holderToAsk(records.holdersOf(violin), owners, id, draw)
    const place = host === null ? undefined : this.#world.byId(host)?.place
    if (place !== undefined) records.connections.dial(place, () => this.with(place))
  }

  /** Common with a peer; `also` are VIOLINs that it held before and shall hear the news of. */
  with(place: number, also: readonly ViolinId[] = []): void {
    const { records } = this.#host
    if (records.chain === null || this.#world.hasBug('repair-off')) return
    const { clock } = this.#world
    const startedAt = clock.now
    const since = this.#repairing.get(place) ?? -Infinity
    if (since + repairTimeoutMs > startedAt && also.length === 0) return
    this.#repairing.set(place, startedAt)
    const peer = this.#world.host(place)
    const shares = (scope: Scope): boolean =>
      scope === 'mesh' || also.includes(scope) || records.holdersOf(scope).has(peer.id)
    const access: Access = {
      allows: shares,
      wants: (record) => wantsRecord(records.set, this.#host.id, record),
      shows: (record) => showsHolder(record, peer.id)
    }
    let rounds = 0
    const ask = (request: Uint8Array | null): void => {
      const over = clock.now - startedAt > repairTimeoutMs
      if (request === null) this.#wasAnswered(place, startedAt)
      if (request === null || over || ++rounds > maxSyncRounds) return void this.#repairing.delete(place)
      this.#host.sent.syncBytes += request.length
      records.connections.call(peer, 'exchange', (reply) => {
        const answer = peer.records.repair.#answer(request, this.#host.id)
        if (answer !== null) reply(() => ask(this.#apply(answer, access)))
      })
    }
    ask(this.#request(records.set.violins().filter(shares)))
  }

  #wasAnswered(place: number, startedAt: number): void {
    const isFirst = !this.answered.has(place)
    this.answered.set(place, startedAt)
    if (isFirst) this.#host.claims?.kick()
  }

  /** The same bytes for all that hold the same are computed once. */
  #request(violins: readonly ViolinId[]): Uint8Array {
    const { set, wallNow } = this.#host.records
    if (violins.length > 0) return syncRequest(set, ['mesh', ...violins], wallNow)
    return this.#world.common.request(set, wallNow, () => syncRequest(set, ['mesh'], wallNow))
  }

  #answer(request: Uint8Array, from: HostId): Uint8Array | null {
    const { records } = this.#host
    if (records.chain === null) return null
    const known = this.#world.common.answer(records.set, request, records.wallNow)
    if (known !== null) {
      this.#host.sent.syncBytes += known.length
      return known
    }
    const access: Access = {
      // Of a VIOLIN that is unknown here nothing can be told; what comes in must name this host.
      allows: (scope) =>
        scope === 'mesh' || !records.set.violins().includes(scope) || records.holdersOf(scope).has(from),
      wants: (record) => wantsRecord(records.set, this.#host.id, record),
      shows: (record) => showsHolder(record, from)
    }
    const synced = answerSync(records.set, request, records.wallNow, access)
    this.#exchanged(synced)
    this.#host.sent.syncBytes += synced.answer.length
    if (synced.accepted.length === 0)
      this.#world.common.answered(records.set, request, records.wallNow, synced.answer)
    return synced.answer
  }

  #apply(answer: Uint8Array, access: Access): Uint8Array | null {
    const { records } = this.#host
    const applied = applySync(records.set, answer, records.wallNow, access)
    this.#exchanged(applied)
    return applied.next
  }

  #exchanged(synced: Synced): void {
    if (synced.accepted.length === 0) return
    const { records } = this.#host
    records.noted(synced.accepted, synced.removed)
    if (synced.accepted.length > passedOn) return
    for (const record of synced.accepted) records.gossip.spread(record.bytes, null)
  }
}

/**
 * Keeps a VIOLIN's holders together: connections to those of them that hold the topic together, and now and
 * then an exchange with one drawn at random. So records reach all holders also in a mesh that is too large for
 * everyone to be connected to everyone, and who was away when it was dropped hears of it.
 */
import type { HostId, ViolinId } from '#core/ids.ts'
import { errorData } from '#core/errors.ts'
import { holderNeighbours, holderToAsk, ownerHosts } from '#core/records/holders.ts'
import type { Peers } from './peers.ts'
import type { Records } from './records.ts'

/** One holder of each VIOLIN is asked this often. */
const askEveryMs = 5_000
/** VIOLINs looked after in one turn, so that a turn is short; the others come next. */
const violinsPerTurn = 16

export class Holders {
  readonly #self: HostId
  readonly #records: Records
  readonly #peers: Peers
  readonly #log: (message: string, fields: Record<string, unknown>) => void
  readonly #timer: NodeJS.Timeout
  readonly #unlisten: () => void
  #turn = 0

  constructor(options: {
    readonly self: HostId
    readonly records: Records
    readonly peers: Peers
    readonly log: (message: string, fields: Record<string, unknown>) => void
  }) {
    this.#self = options.self
    this.#records = options.records
    this.#peers = options.peers
    this.#log = options.log
    this.#timer = setInterval(() => this.#askSome(), askEveryMs)
    this.#unlisten = options.records.onChange((changed) => {
      const violins = changed.filter(({ kind }) => kind === 'violin').map(({ key }) => key as ViolinId)
      for (const violin of new Set(violins)) this.#meet(violin)
    })
  }

  close(): void {
    clearInterval(this.#timer)
    this.#unlisten()
  }

  /** Connects to the holders that carry this host's part of the topic. */
  #meet(violin: ViolinId): void {
    const holders = this.#records.view.violins.get(violin)?.holders ?? new Set<HostId>()
    for (const host of holderNeighbours(holders, this.#self)) this.#reach(host, () => undefined)
  }

  #askSome(): void {
    const violins = this.#records.set.violins()
    for (let i = 0; i < Math.min(violinsPerTurn, violins.length); i++) {
      const violin = violins[this.#turn++ % violins.length] as ViolinId
      const holders = this.#records.view.violins.get(violin)?.holders
      if (holders === undefined) continue
      const owners = ownerHosts(this.#records.set, violin)
      const host = holderToAsk(holders, owners, this.#self, Math.random())
      if (host !== null) this.#reach(host, () => this.#records.repairWith(host))
    }
  }

  /** Who left, and who is none of ours any more, is not dialled. */
  #reach(host: HostId, then: () => unknown): void {
    if (this.#peers.stateOf(host) === 'left') return
    this.#peers
      .reach(host)
      .then(then, (error: unknown) =>
        this.#log('holder not reached', { host, reason: errorData(error).message })
      )
  }
}

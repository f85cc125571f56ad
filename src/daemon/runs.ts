/** What runs here, told to others by signed records: for who was away, and for who asks whom to run what. */
import { errorData } from '#core/errors.ts'
import type { ViolinId } from '#core/ids.ts'
import type { RunsBody } from '#core/records/bodies.ts'
import { maxLifeMs } from '#core/records/record.ts'
import { stands } from '#core/records/standing.ts'
import type { Claims } from './claims.ts'
import type { Journal } from './events.ts'
import { type Host, placeOf } from './host.ts'
import type { Running } from './reconciler.ts'
import type { Records } from './records.ts'

/** What runs is told to others at most this often: the live state is asked, the record is for who was away. */
const soonMs = 6_000
/** Who holds what is told after so long: what changes at once goes in one record. */
const atOnceMs = 50

export interface RunsParts {
  readonly host: Host
  readonly records: Records
  readonly claims: Claims
  readonly journal: Journal
  /** What runs here of a VIOLIN. */
  readonly running: (violin: ViolinId) => Running | null
}

export class Runs {
  readonly #parts: RunsParts
  #timer: { readonly timer: NodeJS.Timeout; readonly at: number } | null = null
  #closed = false
  /** Set while the host is leaving: nothing that runs concerns anybody any more. */
  isSilent = false

  constructor(parts: RunsParts) {
    this.#parts = parts
    const { publicKey } = parts.host.identity.host
    parts.records.onChange((changed) => {
      // Heard in words that are not this life's: it was restored from a backup, and speaks above them.
      if (changed.some(({ kind, author }) => kind === 'runs' && author === publicKey)) this.soon()
    })
  }

  /** What runs has changed, or what was told of it may end. */
  soon(): void {
    this.#later(soonMs)
  }

  /** Who runs what has changed. */
  atOnce(): void {
    this.#later(atOnceMs)
  }

  /** Publishes what runs here of all VIOLINs, before others hear of it: a former life's word may be over. */
  async begin(): Promise<void> {
    for (const violin of this.#parts.records.view.runs.keys()) await this.#tell(violin)
  }

  close(): void {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer.timer)
  }

  #later(inMs: number): void {
    if (this.#closed || this.isSilent) return
    const at = performance.now() + inMs
    if (this.#timer !== null && this.#timer.at <= at) return
    if (this.#timer !== null) clearTimeout(this.#timer.timer)
    const timer = setTimeout(() => {
      this.#timer = null
      const { records, journal } = this.#parts
      for (const { id, name } of records.view.violins.values()) {
        this.#tell(id).catch((error: unknown) => {
          journal.note('not-told', { id, name }, errorData(error).message)
        })
      }
    }, inMs)
    this.#timer = { timer, at }
  }

  /** Publishes what runs here, if the record that stands says something else or ends soon. */
  async #tell(violin: ViolinId): Promise<void> {
    const { host, records, claims } = this.#parts
    // Nobody takes the word of a host that was shut out.
    if (placeOf(host, records) === 'revoked') return
    const { identity, chain } = host
    const own = records.view.runs.get(violin)?.get(identity.id)
    const running = this.#parts.running(violin)
    const nothing = running === null && own === undefined && claims.held(violin).size === 0
    if (nothing || !records.concerns(violin, identity.id)) return
    const body: RunsBody = {
      violin,
      entities: claims.tell(violin),
      switches: [...(running?.switches.values() ?? [])]
        .filter(({ active }) => active === identity.id)
        .map(({ lan }) => lan)
    }
    const { now } = records
    if (stands(own ?? null, 'runs', body, chain, now)) return
    const expiresAt = Math.min(now + maxLifeMs.runs, chain.endsAt) as typeof now
    const version = records.nextVersion('runs', identity.host.publicKey, violin)
    claims.speaks(violin, version)
    await records.publish({ kind: 'runs', version, issuedAt: now, expiresAt, body, chain }, identity.host)
  }
}

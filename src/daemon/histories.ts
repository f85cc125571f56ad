/**
 * What happened to a VIOLIN on all of its hosts, in one order: each host is asked for its part when somebody
 * wants to read it. Rows of one host keep their order; those of several are merged by stamp, then host. A stamp
 * stands after those of all that its host knew (core/event-clock): what was signed before what it made others do.
 */
import * as z from 'zod'
import { isGuestHost } from '#core/doors.ts'
import type { HostId, ViolinId } from '#core/ids.ts'
import { printable } from '#core/printable.ts'
import type { ViolinView } from '#core/records/view.ts'
import type { EventRow } from '#api/contract.ts'
import type { Mesh } from '#mesh/contract.ts'
import type { Journal } from './events.ts'
import type { Records } from './records.ts'
import { answer, ask } from './wire.ts'

/** Rows that one host tells, the latest; with their texts they fit an answer. */
const maxRows = 400
/** Characters of a text on its way. */
const maxText = 400
const answerTimeoutMs = 2_000

/** What one host tells of a VIOLIN. */
export type History = readonly { readonly at: string; readonly kind: string; readonly text: string }[]

const question = z.strictObject({ violin: z.string().regex(/^[0-9a-f]{64}$/) })
const rows: z.ZodType<History> = z
  .array(z.strictObject({ at: z.iso.datetime(), kind: z.string().max(64), text: z.string().max(maxText) }))
  .max(maxRows)

export class Histories {
  readonly #self: HostId
  readonly #records: Records
  readonly #journal: Journal
  readonly #mesh: Mesh
  readonly #nameOf: (host: HostId) => string

  constructor(parts: {
    readonly self: HostId
    readonly records: Records
    readonly journal: Journal
    readonly mesh: Mesh
    readonly nameOf: (host: HostId) => string
  }) {
    this.#self = parts.self
    this.#records = parts.records
    this.#journal = parts.journal
    this.#mesh = parts.mesh
    this.#nameOf = parts.nameOf
    parts.records.onChange((changed) => {
      for (const record of changed) parts.journal.heard(record.issuedAt)
    })
    answer(parts.mesh, 'events', question, (asked, from) => {
      const seen = this.#records.view.violins.get(asked.violin as ViolinId)
      return Promise.resolve(seen !== undefined && isTold(seen, from) ? this.#own(seen) : [])
    })
  }

  /** All that its hosts tell of a VIOLIN now, and at the end which of them did not answer. */
  async *read(violin: ViolinView): AsyncGenerator<EventRow, void, void> {
    const hosts = isTold(violin, this.#self) ? [...violin.holders] : [this.#self]
    const told = await Promise.all(hosts.map(async (host) => [host, await this.#of(host, violin)] as const))
    yield* merged(
      told.flatMap(([host, history]) => (history === null ? [] : [{ host: this.#nameOf(host), history }])),
      violin.name
    )
    for (const [host, history] of told) {
      if (history !== null) continue
      const name = this.#nameOf(host)
      const text = `${name} does not answer: what happened there is not shown`
      yield { at: new Date().toISOString(), kind: 'not-reached', violin: violin.name, text, host: name }
    }
  }

  #of(host: HostId, violin: ViolinView): Promise<History | null> {
    if (host === this.#self) return Promise.resolve(this.#own(violin))
    const signal = AbortSignal.timeout(answerTimeoutMs)
    return ask(this.#mesh, host, 'events', { violin: violin.id }, rows, signal).catch(() => null)
  }

  #own(violin: ViolinView): History {
    const latest = this.#journal.of(violin.id).slice(-maxRows)
    return latest.map(({ at, kind, text }) => ({ at, kind, text: text.slice(0, maxText) }))
  }
}

/** Whether others tell a host: not a guest, and of what is over, where nobody knows who was one, its owner alone. */
function isTold({ spec, ownerHosts, holders }: ViolinView, host: HostId): boolean {
  return ownerHosts.includes(host) || (spec !== null && holders.has(host) && !isGuestHost(spec, host))
}

/** One order for all readers: by time, then by host; each host's rows stay in the order in which it told them. */
export function merged(
  told: readonly { readonly host: string; readonly history: History }[],
  violin: string
): readonly EventRow[] {
  const all = told.flatMap(({ host, history }) => {
    let at = ''
    return history.map((row) => {
      // A host whose clock went back is not torn apart.
      at = row.at > at ? row.at : at
      return { at, kind: row.kind, violin, text: printable(row.text, maxText), host }
    })
  })
  // Sorting is stable: rows of one host and one time stay as they are.
  return all.toSorted((a, b) =>
    a.at < b.at ? -1 : a.at > b.at ? 1 : a.host < b.host ? -1 : a.host > b.host ? 1 : 0
  )
}

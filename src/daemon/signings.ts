/**
 * What this host signed last of each VIOLIN, kept beside the records: whoever uses an owner key on two machines, or comes
 * back from a backup, is told when another version stands that was not made upon it.
 */
import * as z from 'zod'
import type { HostId, ViolinId, WallTime } from '#core/ids.ts'
import type { ViolinRecord } from '#core/records/record.ts'
import { type Lost, contentOf, lostTo, type Signing, signingOf } from '#core/records/upon.ts'
import type { ViolinView } from '#core/records/view.ts'
import { crypto } from './crypto.ts'
import type { RecordChange } from './record-store.ts'

/** As it is stored. */
const stored = z.strictObject({
  version: z.int(),
  at: z.int().transform((at) => at as WallTime),
  hash: z.string(),
  /** What it says ({@link contentOf}). */
  content: z.string(),
  /** Its loss was told. */
  told: z.boolean()
})
type Kept = z.infer<typeof stored>

export interface SigningsParts {
  readonly self: HostId
  /** What was kept, by VIOLIN. */
  readonly entries: readonly { readonly key: string; readonly value: Uint8Array }[]
  readonly write: (changes: readonly RecordChange[]) => void
  readonly tell: (violin: ViolinView, lost: Lost) => void
}

export class Signings {
  readonly #parts: SigningsParts
  readonly #kept: Map<ViolinId, Kept>

  constructor(parts: SigningsParts) {
    this.#parts = parts
    this.#kept = new Map(
      parts.entries.flatMap(({ key, value }) => {
        const kept = opened(value)
        return kept === null ? [] : [[key as ViolinId, kept]]
      })
    )
  }

  /** VIOLINs of which a version that was signed here is kept. */
  violins(): readonly ViolinId[] {
    return [...this.#kept.keys()]
  }

  /** What is to be written together with a version that is signed here. */
  changeFor(record: ViolinRecord): RecordChange {
    return changeOf(record.key as ViolinId, keptOf(record))
  }

  /** A version was signed here, and {@link changeFor} it written. */
  signed(record: ViolinRecord): void {
    const kept = keptOf(record)
    if (kept === null) this.#kept.delete(record.key as ViolinId)
    else this.#kept.set(record.key as ViolinId, kept)
  }

  /** Compares what stands with what was signed here, and tells once what is lost. */
  look(violin: ViolinView): void {
    const lost = this.#lostTo(violin)
    if (lost === null) return
    const kept = this.#kept.get(violin.id) as Kept
    // Of what ended nothing is missed, nor where both signed the same.
    if (violin.ended !== null || kept.content === contentOf(violin.record.body, crypto))
      return this.forget(violin.id)
    if (kept.told) return
    const told = { ...kept, told: true }
    this.#kept.set(violin.id, told)
    this.#parts.write([changeOf(violin.id, told)])
    this.#parts.tell(violin, lost)
  }

  /** What was signed here and does not count, until it is signed anew or {@link settle}d; null: nothing. */
  lost(violin: ViolinView): Lost | null {
    return this.#kept.get(violin.id)?.told === true ? this.#lostTo(violin) : null
  }

  /** What stands is what the operator wants: nothing is missed any more. */
  settle(violin: ViolinView): void {
    if (this.#lostTo(violin) !== null) this.forget(violin.id)
  }

  forget(violin: ViolinId): void {
    if (this.#kept.delete(violin)) this.#parts.write([changeOf(violin, null)])
  }

  #lostTo(violin: ViolinView): Lost | null {
    const kept = this.#kept.get(violin.id)
    return kept === undefined ? null : lostTo(violin.record, { ...kept, host: this.#parts.self })
  }
}

/** What was kept; null: it is not as it was written, and a loss of it goes untold. */
function opened(value: Uint8Array): Kept | null {
  try {
    return stored.parse(JSON.parse(new TextDecoder().decode(value)))
  } catch {
    return null
  }
}

/** An end beats all: it is never lost. */
function keptOf(record: ViolinRecord): Kept | null {
  if (record.body.ended !== null) return null
  const { version, at, hash }: Signing = signingOf(record)
  return { version, at, hash, content: contentOf(record.body, crypto), told: false }
}

function changeOf(violin: ViolinId, kept: Kept | null): RecordChange {
  const value = kept === null ? null : new TextEncoder().encode(JSON.stringify(kept))
  return { section: 'signed', key: violin, value }
}

/** For people: what is lost, whose version stands, and what to do. `by`: the name of the host that signed that one. */
export function sayLost({ version, at, standing }: Lost, by: string): string {
  const [own, other] = [at, standing.at].map((time) => new Date(time).toISOString())
  return `version ${version}, signed here at ${own}, does not count: version ${standing.version}, signed by ${by} at ${other}, stands and was made without it; apply the file again, or repeat the change`
}

/**
 * What is computed once for all hosts that know the same of the mesh: the view, and the first messages of
 * exchanges. Such hosts ask the same, and answer the same to the same question about the mesh alone. Nothing
 * older than a minute is believed, for records leave the digests as time passes.
 */
import type { WallTime } from '#core/ids.ts'
import type { RecordSet } from '#core/records/set.ts'
import type { Tree } from '#core/records/tree.ts'
import type { View } from '#core/records/view.ts'

const freshMs = 60_000
/** Answers remembered of those that know the same: to all that others ask while news spreads. */
const maxAnswers = 64

/** By the trees that such hosts share. */
interface Remembered {
  readonly at: WallTime
  readonly revocations: Tree | null
  request: Uint8Array | null
  view: View | null
  readonly answers: Map<Uint8Array, Uint8Array>
}

export class Common {
  readonly #remembered = new WeakMap<Tree, Remembered>()
  /** Requests about the mesh alone: what is asked about VIOLINs depends on who asks. */
  readonly #common = new WeakSet<Uint8Array>()

  /** The first request about the mesh of a host that knows this. */
  request(set: RecordSet, now: WallTime, make: () => Uint8Array): Uint8Array {
    const remembered = this.#of(set, now)
    if (remembered === null) return make()
    remembered.request ??= make()
    this.#common.add(remembered.request)
    return remembered.request
  }

  /** What a host that knows this answered to a request that changed nothing; null: that is not remembered. */
  answer(set: RecordSet, request: Uint8Array, now: WallTime): Uint8Array | null {
    return this.#common.has(request) ? (this.#of(set, now)?.answers.get(request) ?? null) : null
  }

  answered(set: RecordSet, request: Uint8Array, now: WallTime, answer: Uint8Array): void {
    const remembered = this.#common.has(request) ? this.#of(set, now) : null
    if (remembered !== null && remembered.answers.size < maxAnswers) remembered.answers.set(request, answer)
  }

  /** What a host sees that knows this and holds no VIOLIN. */
  view(set: RecordSet, now: WallTime, make: () => View): View {
    const remembered = this.#of(set, now)
    if (remembered === null) return make()
    return (remembered.view ??= make())
  }

  #of(set: RecordSet, now: WallTime): Remembered | null {
    const hosts = set.tree('hosts')
    const revocations = set.tree('revocations')
    if (hosts === null) return null
    const former = this.#remembered.get(hosts)
    if (former?.revocations === revocations && Math.abs(now - former.at) < freshMs) return former
    const made = { at: now, revocations, request: null, view: null, answers: new Map() }
    this.#remembered.set(hosts, made)
    return made
  }
}

/**
 * The slices of this host: started in jails that outlive this daemon, found again after its restart, asked,
 * and removed without a trace.
 *
 *     FOLDER/NAME/            this daemon's alone
 *       jail.json             process, start time and user id of the jail
 *       slice.log
 *       daemon/fd.sock        where the slice sends namespaces
 *       run/                  the slice's own: control.sock, fd.sock, entities/
 */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ViolinError } from '#core/errors.ts'
import type { HostId, ViolinId } from '#core/ids.ts'
import type { SliceTold } from './connection.ts'
import { ownProgram, type SliceProgram } from './jail.ts'
import { Slice } from './slice.ts'
import { readJail, type SliceOptions } from './start.ts'

export interface SlicesOptions {
  /** Where slices live, `DIR/slices`; made when it is not there. */
  readonly folder: string
  readonly self: HostId
  /** UDP ports for trunks: each slice takes the first free one. */
  readonly ports: { readonly first: number; readonly last: number }
  /** Guest images, shown to slices read-only. */
  readonly images: string
  /** Counter of this daemon's starts: slices obey the highest that they heard. */
  readonly generation: number
  /** What is put before a slice's command, to hold it to its share of the processors; default: nothing. */
  readonly share?: () => readonly string[]
  /** The TAP of a door of this host; null: what a slice asks for is no door. Default: there are no doors. */
  readonly door?: (
    violin: ViolinId,
    wanted: Extract<SliceTold, { kind: 'tap-wanted' }>
  ) => Promise<number> | null
  readonly onEvent: (event: SlicesEvent) => void
  readonly log: (message: string, fields: Record<string, unknown>) => void
  /** Another program than the one beside this. */
  readonly program?: SliceProgram
}

export type SlicesEvent =
  | { readonly kind: 'slice'; readonly violin: ViolinId; readonly event: SliceTold }
  /** It is gone without having been asked to: to be started again, with patience. */
  | { readonly kind: 'died'; readonly violin: ViolinId; readonly reason: string }

export class Slices {
  readonly #options: SlicesOptions
  readonly #slices = new Map<ViolinId, Slice>()
  /** The last thing that was begun for a VIOLIN: one after the other. */
  readonly #turns = new Map<ViolinId, Promise<unknown>>()

  constructor(options: SlicesOptions) {
    this.#options = options
  }

  /** Finds the slices that a former daemon started; what it left of dead ones is removed. Gives the living. */
  async adopt(): Promise<readonly Slice[]> {
    const names = await readdir(this.#options.folder).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    })
    const found = await Promise.all(names.map((name) => this.#adopt(name)))
    return found.filter((slice) => slice !== null)
  }

  get(violin: ViolinId): Slice | null {
    return this.#slices.get(violin) ?? null
  }

  all(): readonly Slice[] {
    return [...this.#slices.values()]
  }

  /** The slice of a VIOLIN, started if there is none. Throws ViolinError `boot-failed`. */
  ensure(violin: ViolinId): Promise<Slice> {
    return this.#inTurn(violin, async () => {
      const known = this.#slices.get(violin)
      if (known !== undefined) return known
      const slice = await Slice.start(this.#sliceOptions(violin), this.#users())
      this.#add(slice)
      return slice
    })
  }

  /** Stops a VIOLIN's slice with all that runs in it, by force after a bound, and removes its folder. */
  remove(violin: ViolinId): Promise<void> {
    return this.#inTurn(violin, async () => {
      const slice = this.#slices.get(violin)
      if (slice === undefined) await Slice.removeDead(this.#sliceOptions(violin))
      else await slice.remove()
      this.#slices.delete(violin)
    })
  }

  /** Lets go of all slices, which go on. */
  close(): void {
    for (const slice of this.#slices.values()) slice.close()
    this.#slices.clear()
  }

  async #adopt(name: string): Promise<Slice | null> {
    const { folder, log } = this.#options
    try {
      const record = await readJail(join(folder, name))
      if (record === null) {
        // Half a start: without its folder such a slice ends by itself.
        if (/^[0-9a-f]{16}$/.test(name)) await rm(join(folder, name), { recursive: true, force: true })
        return null
      }
      const violin = record.violin as ViolinId
      const slice = await this.#inTurn(violin, () => Slice.adopt(this.#sliceOptions(violin)))
      if (slice !== null) this.#add(slice)
      return slice
    } catch (error: unknown) {
      // One that refuses must not keep the daemon from the others.
      log('slice not adopted', { name, error: error instanceof Error ? error.message : String(error) })
      return null
    }
  }

  #add(slice: Slice): void {
    this.#slices.set(slice.violin, slice)
    slice.listen({
      event: (event) => this.#options.onEvent({ kind: 'slice', violin: slice.violin, event }),
      died: (reason) => {
        if (this.#slices.get(slice.violin) !== slice) return
        this.#slices.delete(slice.violin)
        this.#options.onEvent({ kind: 'died', violin: slice.violin, reason })
      }
    })
  }

  #users(): ReadonlySet<number> {
    return new Set(this.all().flatMap(({ user }) => (user === null ? [] : [user])))
  }

  #sliceOptions(violin: ViolinId): SliceOptions {
    const { folder, self, ports, images, generation, program, log, share, door } = this.#options
    if (!/^[0-9a-f]{64}$/.test(violin))
      throw new ViolinError('unknown-violin', `${violin} is no id`, 'look it up: violin list')
    return {
      violin,
      folder,
      self,
      ports,
      images,
      generation,
      program: program ?? ownProgram(),
      log,
      share: share?.() ?? [],
      door: (wanted) => door?.(violin, wanted) ?? null
    }
  }

  #inTurn<T>(violin: ViolinId, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(violin) ?? Promise.resolve()
    // What failed before is its caller's business, not the next one's.
    const turn = before.then(work, work)
    const settled: Promise<void> = turn.then(
      () => this.#endTurn(violin, settled),
      () => this.#endTurn(violin, settled)
    )
    this.#turns.set(violin, settled)
    return turn
  }
  #endTurn(violin: ViolinId, turn: Promise<unknown>): void {
    if (this.#turns.get(violin) === turn) this.#turns.delete(violin)
  }
}

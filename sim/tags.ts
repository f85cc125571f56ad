/**
 * Tags of the trunk to one peer, as the slice's worker gives them, with what a checker must know: which giving
 * of a tag (a grant) a frame was meant for.
 */
import type { Tag } from '#core/election/types.ts'

const tagsPerSide = 32_767

/** One giving of one tag: a tag that is given again is another grant. */
export interface Grant {
  readonly giver: number
  readonly tag: number
  readonly lan: number
  /** When the giver took it back; Infinity: it holds. */
  endedAt: number
}

export class TagSpace {
  /** Tags given to the peer that hold. */
  readonly given: Map<number, Grant> = new Map()
  /** Arriving tags that are taken, with the vLAN and the grant that is believed to stand behind. */
  readonly accepted: Map<number, { readonly lan: number; readonly grant: Grant | null }> = new Map()
  /** What the peer was heard to give: bound when the election takes it. */
  readonly heard: Map<number, Grant> = new Map()
  /** Newest stamp sent for each vLAN: for a planted bug. */
  readonly stamps: Map<number, number> = new Map()
  readonly #first: number
  #next: number

  constructor(isLower: boolean, next: number) {
    this.#first = isLower ? 2 : 1
    this.#next = next % tagsPerSide
  }

  isOwn(tag: number): boolean {
    return (tag & 1) === (this.#first & 1)
  }

  allocate(giver: number, lan: number): Tag {
    for (;;) {
      const tag = this.#first + 2 * this.#next
      this.#next = (this.#next + 1) % tagsPerSide
      if (this.given.has(tag)) continue
      this.given.set(tag, { giver, tag, lan, endedAt: Infinity })
      return tag as Tag
    }
  }

  release(tag: number, now: number): void {
    const grant = this.given.get(tag)
    if (grant !== undefined) grant.endedAt = now
    this.given.delete(tag)
  }

  accept(tag: number, lan: number): void {
    const grant = (this.isOwn(tag) ? this.given.get(tag) : this.heard.get(tag)) ?? null
    this.accepted.set(tag, { lan, grant })
  }

  retire(tag: number, lan: number): void {
    if (this.accepted.get(tag)?.lan === lan) this.accepted.delete(tag)
  }

  /** The grant that a frame sent under the tag now is meant for. */
  meant(tag: number): Grant | null {
    return (this.isOwn(tag) ? this.given.get(tag) : this.accepted.get(tag)?.grant) ?? null
  }
}

/**
 * Tags of the trunk to one peer. Both sides give tags; even ones are the lower key's to give, odd ones the
 * other's, so the two never give the same.
 */
import type { HostKey, LanKey } from '#core/ids.ts'
import type { Tag } from '#core/election/types.ts'

/** Tags that one side can have given at a time. */
const tagsPerSide = 32_767

export class TagSpace {
  readonly #first: number
  readonly #given = new Set<number>()
  #next: number
  /** What an arriving tag stands for. */
  readonly #accepted = new Map<number, LanKey>()

  /** `random`: a host that began anew does not begin with the tags of its former life. */
  constructor(self: HostKey, peer: HostKey, random: () => number) {
    this.#first = self < peer ? 2 : 1
    this.#next = Math.floor(random() * tagsPerSide)
  }

  /** Whether a tag is this side's to give: frames under it come up from an edge. */
  isOwn(tag: number): boolean {
    return (tag & 1) === (this.#first & 1)
  }

  /** Gives a tag that is not in use, the longest unused first. Throws when all are. */
  allocate(): Tag {
    if (this.#given.size === tagsPerSide) throw new Error('all tags of a trunk are in use')
    for (;;) {
      const tag = this.#first + 2 * this.#next
      this.#next = (this.#next + 1) % tagsPerSide
      if (this.#given.has(tag)) continue
      this.#given.add(tag)
      return tag as Tag
    }
  }

  release(tag: Tag): void {
    this.#given.delete(tag)
  }

  accept(tag: Tag, lan: LanKey): void {
    this.#accepted.set(tag, lan)
  }

  /** The tag stands for this vLAN no more; what it may stand for by now is left alone. */
  retire(tag: Tag, lan: LanKey): void {
    if (this.#accepted.get(tag) === lan) this.#accepted.delete(tag)
  }

  /** A vLAN is gone: its tags stand for nothing. */
  forget(lan: LanKey): void {
    for (const [tag, other] of this.#accepted) if (other === lan) this.#accepted.delete(tag)
  }

  /** The vLAN of an arriving frame; undefined: none, drop it. */
  lan(tag: number): LanKey | undefined {
    return this.#accepted.get(tag)
  }
}

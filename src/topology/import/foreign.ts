/**
 * A lab in another program's words, read but not yet in ours: what the readers of each format give, and
 * what {@link writeTopology} (write.ts) makes a topology file of.
 */
import type { Link } from '#core/link.ts'
import type { EntityFile, EntityKind } from '#core/spec.ts'

/** Where something stands in what is imported. */
export interface Place {
  readonly file: string
  /** From 1 on; 0: the file as a whole. */
  readonly line: number
}

/** Something that was not carried over, or only in part. */
export interface Note extends Place {
  readonly text: string
}

/** Notes told at most: a person reads the first few, and a hostile lab could have one a byte. */
const maxNotes = 1_000

export class Notes {
  readonly #notes: Note[] = []
  readonly #told = new Set<string>()
  #more = 0

  /** What several nodes have from one place is told once. */
  add({ file, line }: Place, text: string): void {
    const key = `${file}:${line}:${text}`
    if (this.#told.has(key)) return
    if (this.#notes.length < maxNotes) this.#told.add(key)
    if (this.#notes.length < maxNotes) this.#notes.push({ file, line, text })
    else this.#more++
  }

  get all(): readonly Note[] {
    const last: Note = { file: '', line: 0, text: `and ${this.#more} more, not told one by one` }
    return this.#more === 0 ? this.#notes : [...this.#notes, last]
  }
}

/** One line of a shell script that a node runs when it starts. */
export interface ForeignCommand {
  readonly text: string
  readonly place: Place
}

export interface ForeignNic {
  /** As the lab calls it, `eth0`. */
  readonly name: string
  /** Name of the network (collision domain, link, edge) it is plugged into. */
  readonly network: string
  /** What happens to frames there; absent: nothing. */
  readonly link?: Link
  readonly place: Place
}

export interface ForeignFile extends EntityFile {
  readonly place: Place
}

export interface ForeignNode {
  readonly name: string
  readonly place: Place
  /** Null: a router where it is on several networks. */
  readonly kind: EntityKind | null
  readonly nics: readonly ForeignNic[]
  readonly commands: readonly ForeignCommand[]
  readonly env: Readonly<Record<string, string>>
  readonly memoryMiB: number | null
  readonly files: readonly ForeignFile[]
}

export interface ForeignLab {
  readonly name: string
  /** Of what kind it was, for the head of the file: `the Kathará lab shop`. */
  readonly title: string
  readonly nodes: readonly ForeignNode[]
}

/** A folder as it was found, bounded and without what leads out of it. */
export interface Folder {
  /** Paths of all files below it, relative, sorted. */
  readonly files: readonly string[]
  /** What was left out of {@link files}, and why. */
  readonly skipped: readonly { readonly path: string; readonly why: string }[]
  /** Throws Error where it cannot be read. */
  readonly read: (path: string) => { readonly data: Uint8Array; readonly mode: number }
}

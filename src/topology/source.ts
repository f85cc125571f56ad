/** The YAML text of a topology with the place of everything in it, so that each refusal can name one. */
import {
  type Document,
  isMap,
  isNode,
  isScalar,
  LineCounter,
  parseDocument,
  type Node,
  visit,
  type YAMLError
} from 'yaml'
import { ViolinError } from '#core/errors.ts'

/** Longest topology file, bytes: a thousand entities are some 100 KiB. */
const maxFileBytes: number = 1024 * 1024
/** Aliases that a file may use; each could otherwise double what the last one held. */
const maxAliases = 100

export type Path = readonly (string | number)[]

export class Source {
  readonly #file: string
  readonly #document: Document
  readonly #lines: LineCounter

  /** Parses YAML. Throws ViolinError `topology-invalid` with the place of the first mistake. */
  constructor(text: string, file: string) {
    this.#file = file
    this.#lines = new LineCounter()
    if (text.length > maxFileBytes) {
      throw new ViolinError(
        'topology-invalid',
        `${file} is larger than ${maxFileBytes} bytes`,
        'make it smaller'
      )
    }
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, uniqueKeys: true })
    // A warning is a tag or a directive that YAML would pass over; here nothing is ignored.
    const mistake = this.#document.errors[0] ?? this.#document.warnings[0]
    if (mistake !== undefined) throw this.#refuseAt(mistake.pos[0], sayMistake(mistake), 'mend the YAML')
    this.#checkKeys()
  }

  /** Every key is a plain word, so that none is lost or taken for another on the way to plain data. */
  #checkKeys(): void {
    visit(this.#document, {
      Pair: (_, { key, value }) => {
        if (isScalar(key) && key.value !== null && key.value !== '__proto__') return
        throw this.#refuseAt(startOf(key, startOf(value)), 'a key that is no word', 'use a name as the key')
      }
    })
  }

  /** The content as plain data. */
  value(): unknown {
    try {
      return this.#document.toJS({ maxAliasCount: maxAliases })
    } catch (error: unknown) {
      throw new ViolinError(
        'topology-invalid',
        `${this.#file}: ${(error as Error).message}`,
        'write it without so many aliases'
      )
    }
  }

  /** The line on which a key stands, or the deepest part of the path that is in the file. */
  lineOf(path: Path): number {
    return Math.max(1, this.#lines.linePos(this.#offset(path, 'key')).line)
  }

  /** A refusal that names the place of a value, or of its key. */
  refuse(path: Path, what: string, remedy: string, at: 'key' | 'value' = 'value'): ViolinError {
    return this.#refuseAt(this.#offset(path, at), what, remedy)
  }

  #refuseAt(offset: number, what: string, remedy: string): ViolinError {
    const { line, col } = this.#lines.linePos(offset)
    return new ViolinError(
      'topology-invalid',
      `${this.#file}:${Math.max(1, line)}:${Math.max(1, col)}: ${what}`,
      remedy
    )
  }

  /** Of the deepest part of the path that is in the file. */
  #offset(path: Path, at: 'key' | 'value'): number {
    let offset = startOf(this.#document.contents)
    let node: unknown = this.#document.contents
    for (const [depth, step] of path.entries()) {
      const last = depth === path.length - 1
      if (isMap(node)) {
        const pair = node.items.find(
          ({ key }) => (isScalar(key) ? String(key.value) : String(key)) === String(step)
        )
        if (pair === undefined) return offset
        offset = startOf(
          last && at === 'key' ? pair.key : (pair.value ?? pair.key),
          startOf(pair.key, offset)
        )
        node = pair.value
      } else {
        const item = (node as { items?: unknown[] } | null)?.items?.[Number(step)]
        if (item === undefined) return offset
        offset = startOf(item, offset)
        node = item
      }
    }
    return offset
  }
}

function startOf(node: unknown, otherwise = 0): number {
  return isNode(node) ? ((node as Node).range?.[0] ?? otherwise) : otherwise
}

function sayMistake(mistake: YAMLError): string {
  if (mistake.code === 'MULTIPLE_DOCS') return 'a second document begins here'
  if (mistake.message.startsWith('Maximum call stack')) return 'nested too deeply'
  return mistake.message.split('\n')[0] as string
}

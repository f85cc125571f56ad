/** Configuration of FRR as each protocol adds to it: lines for interfaces, and blocks of its own. */

export interface Section {
  /** Lines by the name of an interface. */
  readonly interfaces: ReadonlyMap<string, readonly string[]>
  readonly blocks: readonly string[]
}

/** The profile of BFD that all protocols use. */
export const bfdProfile = 'violin'

/** A block that ends as vtysh wants it. */
export function block(head: string, lines: readonly string[], end = 'exit'): string {
  return `${[head, ...lines.map((line) => ` ${line}`), end].join('\n')}\n`
}

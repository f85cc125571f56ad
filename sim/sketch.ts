/**
 * What a diagram of a run is drawn from: what was sent and became of it, what hosts became, what befell them.
 */
import type { Message } from '#core/election/message.ts'

/** What became of a message. `refused`: the kernel of a process that is dead answered. */
export type Fate = 'arrived' | 'lost' | 'cut' | 'refused'

export type Line =
  | {
      readonly kind: 'message'
      readonly atMs: number
      readonly from: number
      readonly to: number
      readonly what: string
      readonly fate: Fate
      /** Time on the way; 0 where it did not arrive. */
      readonly tookMs: number
    }
  | { readonly kind: 'note'; readonly atMs: number; readonly host: number; readonly text: string }
  /** Something that concerns more than one host. */
  | { readonly kind: 'all'; readonly atMs: number; readonly text: string }

/**
 * A message of an election in a few letters, for a column of a diagram: `with 7` is an edge that follows the
 * active of term 7, `lost 7` one that hears it no more. The same words while nothing changes.
 */
export function labelOf(message: Message): string {
  switch (message.kind) {
    case 'beat':
      return `${message.state === 'active' ? 'beat' : message.state} ${message.counter}`
    case 'status': {
      if (message.follows === null) return 'alone'
      return `${message.lost ? 'lost' : 'with'} ${message.follows.counter}`
    }
    case 'probe':
    case 'ports':
    case 'handoff':
    case 'shut':
      return message.kind
  }
}

/** What stands before all that concerns one vLAN. */
export function lanPrefix(lan: number): string {
  return `vLAN ${lan}: `
}

/** As one line of text, where no columns are drawn. */
export function describeLine(line: Line): string {
  const time = `${(line.atMs / 1_000).toFixed(4).padStart(10)} s  `
  switch (line.kind) {
    case 'message':
      return `${time}${line.from} -> ${line.to}: ${line.what}${line.fate === 'arrived' ? '' : `, ${line.fate}`}`
    case 'note':
      return `${time}host ${line.host}: ${line.text}`
    case 'all':
      return `${time}${line.text}`
  }
}

/**
 * Everything that can befall a world: a closed list. Each ends by itself, so that leaving one out of a
 * scenario leaves the others as they were.
 */

/** A host by its place, or by its part in the first vLAN at that moment. */
export type HostRef = number | 'active' | 'standby'

export type Part = 'worker' | 'main' | 'daemon' | 'all'

export type Fault =
  /** All processes die; the kernel answers for them. They start again after `forMs`. */
  | { readonly kind: 'kill'; readonly host: HostRef; readonly forMs: number }
  /** No power: silence. */
  | { readonly kind: 'power'; readonly host: HostRef; readonly forMs: number }
  /** A thread, or all of them (a frozen host), does not run for a while. */
  | { readonly kind: 'stall'; readonly host: HostRef; readonly part: Part; readonly forMs: number }
  /** What these hosts send does not come to those. `both`: nor the other way. */
  | {
      readonly kind: 'cut'
      readonly from: readonly HostRef[]
      /** Null: to all others. */
      readonly to: readonly HostRef[] | null
      readonly both: boolean
      readonly forMs: number
    }
  /** These hosts against the rest. */
  | { readonly kind: 'partition'; readonly hosts: readonly number[]; readonly forMs: number }
  /** The owner moves the first vLAN's switch; null: to whom the active chooses. */
  | { readonly kind: 'handoff'; readonly to: number | null }
  /** Gossip delivers nothing. */
  | { readonly kind: 'no-gossip'; readonly forMs: number }
  /** A host says something new of itself. */
  | { readonly kind: 'publish'; readonly host: number }
  /** A newcomer redeems an invite at a member. */
  | { readonly kind: 'join'; readonly host: number; readonly invite: number; readonly via: number }
  /** The founder puts a host out for ever. */
  | { readonly kind: 'revoke'; readonly host: number }
  /** A member spreads the record of a host that nobody let in. */
  | { readonly kind: 'lie'; readonly host: number }

/** What befalls the world, and when. */
export interface Step {
  readonly atMs: number
  readonly fault: Fault
}

/** One line. */
export function describeFault(fault: Fault): string {
  switch (fault.kind) {
    case 'kill':
    case 'power':
      return `${fault.kind} ${fault.host} for ${fault.forMs} ms`
    case 'stall':
      return `stall ${fault.part} of ${fault.host} for ${fault.forMs} ms`
    case 'cut':
      return `cut ${fault.from.join(',')} ${fault.both ? '<->' : '->'} ${fault.to?.join(',') ?? 'all'} for ${fault.forMs} ms`
    case 'partition':
      return `partition ${fault.hosts.join(',')} | rest for ${fault.forMs} ms`
    case 'handoff':
      return `handoff to ${fault.to ?? 'any'}`
    case 'no-gossip':
      return `gossip delivers nothing for ${fault.forMs} ms`
    case 'publish':
    case 'revoke':
    case 'lie':
      return `${fault.kind} ${fault.host}`
    case 'join':
      return `join ${fault.host} by invite ${fault.invite} at ${fault.via}`
  }
}

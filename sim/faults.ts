/**
 * Everything that can befall a world: a closed list. Each ends by itself, so that leaving one out of a
 * scenario leaves the others as they were.
 */

/** A host by its place, by its part in the first vLAN at that moment, or as the one that runs the first entity. */
export type HostRef = number | 'active' | 'standby' | 'runner'

export type Part = 'worker' | 'main' | 'daemon' | 'all'

/** What a liar says. */
export const lies = {
  'forged-member': 'the root let a host in that nobody knows',
  'foreign-claim': 'it runs entities for which it is not listed',
  'foreign-ports': "other hosts' ports are its own",
  replay: 'records of others that were replaced long ago are news',
  future: 'its own record is of tomorrow',
  minting: 'a hundred hosts were let in just now, says an admin that made them up'
} as const
export type Lie = keyof typeof lies

export type Fault =
  /** All processes die; the kernel answers for them. They start again after `forMs`. */
  | { readonly kind: 'kill'; readonly host: HostRef; readonly forMs: number }
  /** No power: silence. */
  | { readonly kind: 'power'; readonly host: HostRef; readonly forMs: number }
  /** The machine sleeps: nothing runs, nothing hears, only its wall clock goes on. */
  | { readonly kind: 'suspend'; readonly host: HostRef; readonly forMs: number }
  /** A thread, or all of them (a frozen host), does not run for a while. */
  | { readonly kind: 'stall'; readonly host: HostRef; readonly part: Part; readonly forMs: number }
  /** Hosts die or lose power at a rate, in the whole world one every `everyMs`, and come back after about `awayMs`. */
  | { readonly kind: 'churn'; readonly everyMs: number; readonly awayMs: number; readonly forMs: number }
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
  /** These hosts can only be reached by whom they dial: two of them not at all. */
  | { readonly kind: 'nat'; readonly hosts: readonly number[]; readonly forMs: number }
  /** A wall clock is wrong. */
  | { readonly kind: 'skew'; readonly host: number; readonly byMs: number; readonly forMs: number }
  /** What a host writes does not reach its disk. */
  | { readonly kind: 'disk-full'; readonly host: number; readonly forMs: number }
  /** A host dies and comes back with its key and membership, and no record. */
  | { readonly kind: 'disk-lost'; readonly host: number; readonly forMs: number }
  /** A host is backed up now and restored from that after `forMs`: old records, old versions. */
  | { readonly kind: 'backup'; readonly host: number; readonly forMs: number }
  /** The owner moves the first vLAN's switch; null: to whom the active chooses. */
  | { readonly kind: 'handoff'; readonly to: number | null }
  /** Gossip delivers nothing. */
  | { readonly kind: 'no-gossip'; readonly forMs: number }
  /** A host says something new of itself. */
  | { readonly kind: 'publish'; readonly host: number }
  /** The owner publishes a version of a VIOLIN with a machine on each of these hosts; none: its end. */
  | {
      readonly kind: 'change'
      readonly violin: number
      readonly hosts: readonly number[]
      /** The host with a copy of the owner's key on which that is done; absent: the owner's. */
      readonly by?: number
    }
  /** The owner moves an entity to a host, if that one answers and takes it. */
  | { readonly kind: 'migrate'; readonly violin: number; readonly entity: number; readonly to: number }
  /** The owner stops an entity, and starts it again after `forMs`. */
  | { readonly kind: 'stop'; readonly violin: number; readonly entity: number; readonly forMs: number }
  /** A host hands over what it runs and takes nothing new, for so long. */
  | { readonly kind: 'drain'; readonly host: HostRef; readonly forMs: number }
  /** A newcomer redeems an invite at a member. */
  | { readonly kind: 'join'; readonly host: number; readonly invite: number; readonly via: number }
  /** The founder shuts a host out for ever. */
  | { readonly kind: 'revoke'; readonly host: number }
  /** The founder shuts the key of a VIOLIN's owner out for ever (`violin refuse --everywhere`). */
  | { readonly kind: 'refuse'; readonly violin: number }
  /** A member says what is not so. */
  | { readonly kind: 'lie'; readonly host: number; readonly lie: Lie }

/** What befalls the world, and when. */
export interface Step {
  readonly atMs: number
  readonly fault: Fault
}

/** When a step is over, and whoever was away for it is back. */
export function endOf({ atMs, fault }: Step): number {
  const forMs = 'forMs' in fault ? fault.forMs : 0
  return atMs + forMs + ('awayMs' in fault ? 2 * fault.awayMs : 0)
}

/** One line. */
export function describeFault(fault: Fault): string {
  const forMs = 'forMs' in fault ? ` for ${Math.round(fault.forMs)} ms` : ''
  switch (fault.kind) {
    case 'kill':
    case 'power':
    case 'suspend':
    case 'drain':
    case 'disk-full':
    case 'disk-lost':
      return `${fault.kind} ${fault.host}${forMs}`
    case 'stall':
      return `stall ${fault.part} of ${fault.host}${forMs}`
    case 'churn':
      return `churn, one host every ${fault.everyMs} ms away ${fault.awayMs} ms,${forMs}`
    case 'cut':
      return `cut ${fault.from.join(',')} ${fault.both ? '<->' : '->'} ${fault.to?.join(',') ?? 'all'}${forMs}`
    case 'partition':
      return `partition ${fault.hosts.join(',')} | rest${forMs}`
    case 'nat':
      return `${fault.hosts.join(',')} behind NATs${forMs}`
    case 'skew':
      return `clock of ${fault.host} off by ${fault.byMs} ms${forMs}`
    case 'backup':
      return `backup of ${fault.host}, restored after ${fault.forMs} ms`
    case 'handoff':
      return `handoff to ${fault.to ?? 'any'}`
    case 'no-gossip':
      return `gossip delivers nothing${forMs}`
    case 'publish':
    case 'revoke':
      return `${fault.kind} ${fault.host}`
    case 'refuse':
      return `refuse the owner of VIOLIN ${fault.violin}`
    case 'change':
      return `VIOLIN ${fault.violin} on ${fault.hosts.join(',') || 'nobody'}`
    case 'migrate':
      return `migrate vhost${fault.entity} of VIOLIN ${fault.violin} to ${fault.to}`
    case 'stop':
      return `stop vhost${fault.entity} of VIOLIN ${fault.violin}${forMs}`
    case 'lie':
      return `host ${fault.host} says: ${lies[fault.lie]}`
    case 'join':
      return `join ${fault.host} by invite ${fault.invite} at ${fault.via}`
  }
}

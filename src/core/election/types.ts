/**
 * The election of one vLAN's vSwitch as data: what it hears, what it wants done. Hosts are HostKeys.
 * The machine is `Election` in election.ts; the slice's worker feeds it, so does the simulator.
 */
import type { Brand, HostKey, Instant, Mac } from '#core/ids.ts'
import type { Owners, Port, Superseded } from './ports.ts'

/** A frame's 16-bit label on one trunk: stands for (vLAN, term), given by the active. 1..65535. */
export type Tag = Brand<number, 'Tag'>

/** Compared as a whole, counter first: no two hosts hold one term. */
export interface Term {
  readonly counter: number
  readonly host: HostKey
}

/** The way of a vLAN's frames over one trunk. */
export interface Uplink {
  readonly peer: HostKey
  readonly tag: Tag
}

/**
 * Where this host's frames of the vLAN go; replaces the former role at once. What comes under a tag that a
 * peer gave is for this host's ports alone; what comes under a tag that this host gave is switched to its
 * ports and downlinks. So a frame is switched once, and there is no loop however many hold themselves for
 * the active.
 */
export type Role =
  /** An edge (the standby too): own frames go up this trunk under this tag, or nowhere between actives. */
  | { readonly kind: 'edge'; readonly uplink: Uplink | null }
  /** The vSwitch: own frames too go to these trunks. */
  | { readonly kind: 'active'; readonly downlinks: ReadonlyMap<HostKey, Tag> }
  /** During a handover, both sides of it: still (or already) switches for others, own frames go up. */
  | { readonly kind: 'passing'; readonly downlinks: ReadonlyMap<HostKey, Tag>; readonly uplink: Uplink }

/** What everybody may know of a vLAN's switch. */
export interface SwitchView {
  readonly active: HostKey | null
  readonly standby: HostKey | null
  readonly term: number
  readonly role: 'active' | 'standby' | 'edge'
}

export type Input<M> =
  /** Time passed; also given when `deadline` is reached. */
  | { readonly kind: 'tick' }
  /** A new wish: candidates in order, and all hosts with a port on the vLAN (members). */
  | {
      readonly kind: 'configure'
      readonly candidates: readonly HostKey[]
      readonly members: readonly HostKey[]
      /** Who may announce which MAC; absent: every member any. */
      readonly owners?: Owners
    }
  /** This host's own ports on the vLAN, whole. */
  | { readonly kind: 'ports'; readonly ports: readonly Port[] }
  | { readonly kind: 'heard'; readonly from: HostKey; readonly message: M }
  /** Any datagram of this peer opened (data counts as a sign of life). */
  | { readonly kind: 'alive'; readonly from: HostKey }
  /** The peer's kernel answered that nobody listens on its trunk port (IP_RECVERR). */
  | { readonly kind: 'refused'; readonly from: HostKey }
  /** A trunk has a path now (`rttMs` measured or null), or none any more. A new session: `fresh`. */
  | {
      readonly kind: 'trunk'
      readonly peer: HostKey
      readonly up: boolean
      readonly rttMs: number | null
      readonly fresh: boolean
    }
  /** The owner's or operator's wish to move the switch; ignored by all but the active. */
  | { readonly kind: 'handoff'; readonly to: HostKey | null }
  /** The last: this host takes no part any more. What it gave ends, and its edges are told. */
  | { readonly kind: 'leave' }

export type Effect<M> =
  | { readonly kind: 'send'; readonly to: HostKey; readonly message: M }
  /** From now on frames from this trunk with this tag belong to this vLAN. */
  | { readonly kind: 'accept'; readonly from: HostKey; readonly tag: Tag }
  /** They do not any more. */
  | { readonly kind: 'retire'; readonly from: HostKey; readonly tag: Tag }
  | { readonly kind: 'role'; readonly role: Role }
  /** The MACs behind a trunk, whole: preloads the FDB of the active and of the standby. */
  | { readonly kind: 'fdb'; readonly peer: HostKey; readonly macs: readonly Mac[] }
  /** An own port must be shut at once: another host has the entity under a higher claim. */
  | ({ readonly kind: 'superseded' } & Superseded)
  | { readonly kind: 'view'; readonly view: SwitchView }

/** When the machine wants its next `tick`, and why (for the diagram of a failed run). */
export interface Deadline {
  readonly at: Instant
  readonly why: string
}

/** Gives tags that are free on the trunk to `peer`; the worker owns the numbers of a trunk. */
export interface Tags {
  allocate(peer: HostKey): Tag
  release(peer: HostKey, tag: Tag): void
}

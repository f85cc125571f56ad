/**
 * What the daemon and a slice say to each other over `control.sock` in the slice's folder: one JSON object
 * per line each way. The daemon asks, the slice answers and tells events. A connection whose first request
 * is `session` carries session frames (core/session.ts) after the answer's newline instead.
 *
 * Slices outlive daemons: everything here is idempotent, and `configure` always carries the whole wish.
 */
import type { ErrorData } from '#core/errors.ts'
import type { HostId, ViolinId } from '#core/ids.ts'
import type { CaptureRequest, SessionRequest } from '#core/session.ts'
import type { SpecEntity, SpecLan } from '#core/spec.ts'

/** Version of this contract; a slice also speaks the one before. */
export const contractVersion = 1

/** Files in a slice's folder. */
export const sliceFiles = {
  control: 'control.sock',
  /**
   * AF_UNIX datagram socket on which file descriptors are handed over (SCM_RIGHTS), named by their datagram's
   * text. The daemon has one of the same name for each slice, in the folder {@link SliceStart.daemon}.
   */
  descriptors: 'fd.sock',
  log: 'slice.log',
  /** Entities' runtime folders: consoles, mconsole, sockets of vNICs. */
  entities: 'entities'
} as const

/** Given once, as JSON in the environment variable VIOLIN_SLICE, to the slice's program. */
export interface SliceStart {
  readonly violin: ViolinId
  readonly self: HostId
  /** The slice's own folder, as it sees it. */
  readonly folder: string
  /** UDP ports for its trunks: the first free one of the range. */
  readonly ports: { readonly first: number; readonly last: number }
  /** Where the daemon's socket for descriptors lies, as the slice sees it; absent: there is none, so no TAPs. */
  readonly daemon?: string
  /** Guest images, read-only: `tiny` has `initrd.img`, others have `HASH/root`; as the slice sees it. */
  readonly images: string
}

/** An entity to run, under a claim of this host: while another host has a higher one, its ports are shut. */
export interface SliceEntity extends SpecEntity {
  readonly claim: number
  /** A shell script that starts its services, when the network is set and the files are laid; absent: none. */
  readonly start?: string
  /** Those of its files that are made of the topology: what runs is told when they change. */
  readonly retold?: readonly string[]
}

/** The whole wish for this host's part of one VIOLIN. */
export interface SliceWish {
  readonly name: string
  /** Version of the VIOLIN's record that this came from. */
  readonly version: number
  /** Every vLAN of which this host is a candidate or has a port. */
  readonly lans: readonly (SpecLan & {
    /** Hosts with a port on it or a candidacy; absent: the candidates, the peers and this host. */
    readonly members?: readonly HostId[]
    /**
     * Every vNIC on it, and the hosts that may run its entity, in order: nobody else announces its MAC. Absent:
     * every member may announce any.
     */
    readonly ports?: readonly {
      readonly entity: string
      readonly nic: string
      readonly hosts: readonly HostId[]
      /** No claim above counts: its generation is not there. Absent: every claim counts. */
      readonly maxClaim?: number
    }[]
  })[]
  /** The entities to run here, and no others. */
  readonly entities: readonly SliceEntity[]
  /** Names to addresses inside the VIOLIN, for /etc/hosts. */
  readonly names: readonly { readonly name: string; readonly ip: string }[]
  /** Hosts with which trunks are wanted. */
  readonly peers: readonly HostId[]
}

/** One side's half of a trunk's key agreement; the daemons carry and vouch for it. */
export interface TrunkHalf {
  /** Fresh X25519 public key, 64 hex digits. */
  readonly publicKey: string
  /** The receiver index that the other side shall write into datagrams, 1..2³²-1. */
  readonly index: number
  /** UDP addresses at which this slice's socket may be reached, best first. */
  readonly candidates: readonly { readonly ip: string; readonly port: number }[]
}

export type EntityState = 'pending' | 'booting' | 'running' | 'stopped' | 'failed'

/** How the reason of a failure ends after which it is started again here. */
export const againMark = ' (it is started again soon)'

export interface EntityStatus {
  readonly name: string
  readonly state: EntityState
  /** Why it failed or waits, one line; the console's last lines when it did not boot. */
  readonly reason: string
  /** The claim under which it runs here. */
  readonly claim: number
  /** A higher claim, of another host: the ports here are shut. */
  readonly superseded: { readonly claim: number; readonly by: HostId } | null
  /** It failed, and is started again here after a pause. */
  readonly again: boolean
  readonly bootMs: number | null
  readonly nics: readonly {
    readonly name: string
    readonly lan: string
    readonly mac: string
    readonly up: boolean
    /** Addresses that it was given there, beside those in its record; absent: none. */
    readonly given?: readonly string[]
  }[]
}

export interface SwitchStatus {
  readonly lan: string
  readonly active: HostId | null
  readonly standby: HostId | null
  readonly term: number
}

export interface TrunkStatus {
  readonly peer: HostId
  readonly up: boolean
  readonly rttMs: number | null
  /** The peer's address in use, `ip:port`; null where there is none. */
  readonly address: string | null
  /** The host that passes on what is sent; absent: the way is direct, or there is none. */
  readonly relay?: HostId
  readonly rxFrames: number
  readonly txFrames: number
  readonly rxBytes: number
  readonly txBytes: number
  /** Datagrams that did not open (forged, replayed, of a session that is over). */
  readonly rejected: number
}

export interface SliceStatus {
  readonly contract: number
  /** As the slice sees it, in its own process namespace. */
  readonly pid: number
  readonly version: number
  readonly port: number
  /** Resident memory of the slice's process without its machines, bytes. */
  readonly memoryBytes: number
  readonly entities: readonly EntityStatus[]
  readonly switches: readonly SwitchStatus[]
  readonly trunks: readonly TrunkStatus[]
}

/** Requests: method → [params, result]. */
export interface SliceMethods {
  /** First on every connection. A slice obeys the highest generation it heard and refuses lower ones. */
  hello: [{ readonly contract: number; readonly generation: number; readonly violin: ViolinId }, SliceStatus]
  /** Makes the slice match the wish: starts, stops, changes; answers at once, progress comes as events. */
  configure: [SliceWish, Record<string, never>]
  status: [Record<string, never>, SliceStatus]
  /** Makes a fresh half for a new session with `peer`; it stays pending until `trunkJoin` (30 s). */
  trunkOffer: [{ readonly peer: HostId }, TrunkHalf]
  /**
   * Completes the session whose own half has `ownIndex` with the peer's half; replaces an older session.
   * `authUntilMs` is how long from now the session may live without being renewed by the daemons.
   */
  trunkJoin: [
    {
      readonly peer: HostId
      readonly ownIndex: number
      readonly half: TrunkHalf
      readonly authUntilMs: number
    },
    Record<string, never>
  ]
  /** The daemons still vouch for the session with `peer`: it may live on for this long from now. */
  trunkRenew: [{ readonly peer: HostId; readonly authForMs: number }, Record<string, never>]
  /** The active of `lan` hands over to `to` (or to the next candidate); done when the new term stands. */
  handoff: [
    { readonly lan: string; readonly to: HostId | null },
    { readonly active: HostId; readonly term: number }
  ]
  /**
   * Answers the event `tap-wanted`: the TAP's descriptor waits on `fd.sock` in a datagram whose text is
   * `tap VIOLIN ENTITY NIC`.
   */
  tapReady: [{ readonly entity: string; readonly nic: string }, Record<string, never>]
  /** Answers `tap-wanted` when there will be no TAP: the entity fails for this reason. */
  tapRefused: [
    { readonly entity: string; readonly nic: string; readonly error: ErrorData },
    Record<string, never>
  ]
  /** Stops all entities in good order, then the slice. */
  stop: [Record<string, never>, Record<string, never>]
  session: [SessionRequest | CaptureRequest, Record<string, never>]
}

/** What a slice tells without being asked, to every connection that said hello. */
export type SliceEvent =
  | { readonly kind: 'entity'; readonly entity: EntityStatus }
  | { readonly kind: 'switch'; readonly status: SwitchStatus }
  | { readonly kind: 'trunk'; readonly peer: HostId; readonly up: boolean }
  /** No session with a peer that is wanted, or the one there is ended: agree a new one. */
  | { readonly kind: 'trunk-wanted'; readonly peer: HostId }
  /**
   * An entity needs its TAP (only a root daemon can make one). Of a netns entity the network namespace was sent
   * by the slice to the daemon's `fd.sock` of this slice with the text `netns VIOLIN ENTITY`. It is told again
   * to a daemon that says hello while the TAP is still wanted.
   */
  | {
      readonly kind: 'tap-wanted'
      readonly entity: string
      readonly nic: string
      readonly mac: string
      readonly mtu: number
    }

export type SliceRequestLine = {
  [M in keyof SliceMethods]: { readonly id: number; readonly method: M; readonly params: SliceMethods[M][0] }
}[keyof SliceMethods]
export type SliceReplyLine =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: ErrorData }
  | { readonly event: SliceEvent }

/** Longest line either side takes, bytes. Byte arrays stand in a line as `{"$base64": "…"}` (lines.ts). */
export const maxLineBytes: number = 32 * 1024 * 1024

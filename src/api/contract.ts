/**
 * What the command line (and any other local client) may ask of a host's daemon. The daemon implements
 * {@link Service}; client.ts gives the same interface over `api.sock`, so a caller cannot tell them apart.
 * Names and shapes of {@link Show} and {@link HostRow} are those of `--json` (a contract with users).
 */
import type { Duplex } from 'node:stream'
import type { LinkField } from '#core/link.ts'
import type { Captured, CaptureRequest, SessionRequest } from '#core/session.ts'
import type { DriverName, Jetway, Restart, Topology } from '#core/spec.ts'

export interface About {
  readonly id: string
  readonly name: string
  readonly mesh: string
  readonly version: string
  readonly pid: number
  readonly listen: readonly string[]
}

export interface HostRow {
  readonly id: string
  readonly name: string
  /**
   * Of this host itself also: shut out of the mesh, or its slot of the invite kept by another; then those of others are
   * unknown.
   */
  readonly state: 'alive' | 'suspect' | 'dead' | 'left' | 'revoked' | 'displaced' | 'unknown'
  readonly self: boolean
  readonly rttMs: number | null
  readonly load: number | null
  readonly memoryMiB: number | null
  readonly entities: number | null
  readonly version: string | null
  /** It takes nothing new and hands over what it has (`violin drain`). */
  readonly draining: boolean
  /** How far its clock is ahead of its neighbours'; whole minutes, where it told so. */
  readonly clockAheadMs: number
  /** ISO 8601. */
  readonly membershipEndsAt: string | null
}

export interface Revoked {
  readonly id: string
  readonly name: string
  /** False: it never showed a membership here, and is cut as soon as it shows one that this host gave. */
  readonly isKnown: boolean
  /** Members that are shut out with it: it countersigned their joins, or, with all below it, let them in. */
  readonly others: readonly { readonly id: string; readonly name: string }[]
}

export interface InviteRequest {
  readonly expiresMs: number
  readonly uses: number
  readonly role: 'member' | 'admin'
  /** Only this peer id may redeem it. */
  readonly for?: string
  /** Of a closed network: only the fingerprint of its key, which the joiner has otherwise. */
  readonly withoutNetworkKey?: boolean
}

export interface PlanStep {
  readonly kind: 'add' | 'change' | 'restart' | 'remove' | 'keep'
  readonly what: 'violin' | 'lan' | 'entity'
  readonly name: string
  /** Where it is put (host names, in order). */
  readonly hosts: readonly string[]
  /** Why it is placed or changed so. */
  readonly why: string
}

export interface Plan {
  readonly name: string
  readonly steps: readonly PlanStep[]
}

/** A step of something that takes time, told as it happens; the last one has kind `done`. */
export type Progress =
  | { readonly kind: 'plan'; readonly plan: Plan }
  | { readonly kind: 'step'; readonly text: string }
  | { readonly kind: 'warning'; readonly text: string }
  | { readonly kind: 'done'; readonly text: string }

/** What `attach` tells; the stream lasts as long as the host is attached. */
export type AttachRow =
  | Progress
  | {
      readonly kind: 'attached'
      readonly violin: string
      readonly lan: string
      /** What this host is called inside. */
      readonly entity: string
      /** Its interface on this host. */
      readonly device: string
      readonly ips: readonly string[]
    }

export interface ListRow {
  readonly name: string
  readonly id: string
  readonly owner: string
  readonly state: ViolinState
  readonly entities: number
  readonly running: number
  /** This host's owner key may change it. */
  readonly mine: boolean
}

export type ViolinState = 'starting' | 'running' | 'degraded' | 'stopping' | 'gone'

export interface ShowLan {
  readonly name: string
  /** Networks of IPv4 and of IPv6. */
  readonly subnet: string | null
  readonly ipv6: string | null
  readonly vswitch: {
    readonly active: string | null
    readonly standby: string | null
    readonly term: number | null
  }
  readonly ports: readonly {
    readonly entity: string
    readonly nic: string
    readonly mac: string
    readonly host: string | null
  }[]
}

export interface ShowEntity {
  readonly name: string
  readonly kind: 'host' | 'router'
  /** `tap`: a real host that is attached. */
  readonly driver: DriverName
  /** What it begins with. */
  readonly image: string
  readonly host: string | null
  readonly hostId: string | null
  /** Who may run it, in order. */
  readonly hosts: readonly string[]
  readonly restart: Restart
  /** Another owner's, by an offer: that owner's host. */
  readonly by: string | null
  readonly state: 'pending' | 'booting' | 'running' | 'stopped' | 'failed' | 'refused' | 'unreachable'
  readonly reason: string
  readonly bootMs: number | null
  readonly nics: readonly {
    readonly name: string
    readonly lan: string
    readonly mac: string
    readonly ips: readonly string[]
    /** Its port has a machine behind it, and its cable is in. */
    readonly up: boolean
    /** What happens to its frames, in the words of the topology file; empty: nothing. */
    readonly link: Readonly<Record<string, string>>
  }[]
}

export interface ShowJetway {
  readonly name: string
  readonly lan: string
  readonly mode: Jetway['mode']
  readonly bridge: string | null
  readonly host: string
  readonly hostId: string
  /** Its address on the vLAN; a bridge has none. */
  readonly ip: string | null
  /** Its owner wants it open. */
  readonly enabled: boolean
  readonly state: 'shut' | 'opening' | 'open' | 'refused' | 'failed' | 'unreachable'
  readonly reason: string
}

export interface Show {
  readonly name: string
  readonly id: string
  readonly owner: string
  /** Hosts that hold its records; all that a member beside them is told of it. */
  readonly hosts: readonly string[]
  /** The key that signed it. */
  readonly ownerKey: string
  readonly state: ViolinState
  readonly version: number
  /** End of the record, which its owner's daemon renews: ISO 8601. */
  readonly expiresAt: string
  /** A version that was signed on this host and that this one was made without, and what to do; null: there is none. */
  readonly lost: string | null
  readonly lans: readonly ShowLan[]
  readonly entities: readonly ShowEntity[]
  readonly jetways: readonly ShowJetway[]
  /** vLANs on which other hosts' owners may put entities of their own. */
  readonly offers: readonly { readonly lan: string; readonly to: string }[]
  /** Co-hosts that did not answer; what only they know is null. */
  readonly stale: readonly string[]
}

/** What an entity's services are given: files made from the topology, or its own in their place. */
export interface EntityConfig {
  readonly entity: string
  readonly files: readonly { readonly path: string; readonly text: string }[]
  /** The script that starts them; empty: it has none. */
  readonly start: string
}

export interface EventRow {
  /** ISO 8601. */
  readonly at: string
  readonly kind: string
  readonly violin: string | null
  readonly text: string
  /** The host on which it happened; left out for the host that is asked. */
  readonly host?: string
}

/** A guest image of a host, or one that is on its way to it. */
export interface ImageRow {
  readonly hash: string
  /** What it is called here. */
  readonly names: readonly string[]
  /** Contents of its files; null: it is not here yet. */
  readonly bytes: number | null
  readonly files: number | null
  /** VIOLINs that this host has to do with, and whose entities begin with it. */
  readonly usedBy: readonly string[]
  /** Why it is not here yet; empty when it is. */
  readonly reason: string
}

/** Hosts that run something: one that does so no more is left out. */
export interface WhereaboutsRow {
  readonly hosts: readonly { readonly id: string; readonly name: string }[]
}

/** Everything a daemon can be asked. Methods throw ViolinError; streams may throw on their way. */
export interface Service {
  about(request: Record<string, never>): Promise<About>
  hosts(request: Record<string, never>): Promise<readonly HostRow[]>
  invite(request: InviteRequest): Promise<{ readonly token: string; readonly expiresAt: string }>
  cancelInvite(request: { readonly token: string }): Promise<Record<string, never>>
  /**
   * Shuts a host out everywhere, for good: a member by its name or id, any other by its id.
   */
  revoke(request: {
    readonly host: string
    /** Also all that came in through it. */
    readonly andBelow?: boolean
    /** Tells whom it would shut out, and does nothing. */
    readonly dryRun?: boolean
  }): Promise<Revoked>
  /** Runs nothing of an owner on this host, or takes that back; `everywhere`: shuts its key out of the mesh. */
  refuse(request: {
    readonly owner: string
    readonly undo?: boolean
    readonly everywhere?: boolean
  }): Promise<{ readonly owner: string; readonly text: string }>
  plan(request: { readonly topology: Topology }): Promise<Plan>
  apply(request: {
    readonly topology: Topology
    readonly wait: boolean
    readonly timeoutMs: number
  }): AsyncIterable<Progress>
  list(request: Record<string, never>): Promise<readonly ListRow[]>
  /** `here`: with all its parts, which only its hosts know; of any other VIOLIN it is refused with where it is. */
  show(request: { readonly name: string; readonly here?: boolean }): Promise<Show>
  /** What each entity's services are configured with. */
  config(request: { readonly name: string }): Promise<readonly EntityConfig[]>
  wait(request: {
    readonly name: string
    readonly for: 'running' | 'gone'
    readonly timeoutMs: number
  }): Promise<{ readonly state: ViolinState }>
  delete(request: { readonly name: string; readonly timeoutMs: number }): AsyncIterable<Progress>
  /** Moves a vLAN's vSwitch. */
  migrate(request: {
    readonly violin: string
    readonly lan: string
    readonly to?: string
  }): Promise<{ readonly active: string; readonly term: number }>
  /** Moves an entity to a host: it starts there anew, and stops where it was when it is up. */
  move(request: {
    readonly violin: string
    readonly entity: string
    readonly to: string
    readonly timeoutMs: number
  }): AsyncIterable<Progress>
  /** Opens or shuts a jetway. */
  jetway(request: {
    readonly violin: string
    readonly jetway: string
    readonly open: boolean
    readonly timeoutMs: number
  }): AsyncIterable<Progress>
  /** The operator lets an owner have jetways on this host, or none any more. */
  letJetways(request: {
    readonly owner: string
    readonly undo?: boolean
    /** Bridges of this host that they may join. */
    readonly bridges?: readonly string[]
    /** What of this host's own may be reached through them: networks, `host`. */
    readonly reach?: readonly string[]
  }): Promise<{ readonly owner: string; readonly text: string }>
  /** Puts this host on a vLAN until the reader goes, or `detach`. */
  attach(request: {
    readonly violin: string
    readonly lan: string
    /** Absent: the next free one. */
    readonly ip?: string
    /** Not this host, but a vHost of that name on it, which stays until `detach`: of another owner's offer. */
    readonly vhost?: string
    readonly driver?: 'uml' | 'netns'
  }): AsyncIterable<AttachRow>
  /** Offers a vLAN to the owner of another host, or takes that back with all that came by it. */
  offer(request: {
    readonly violin: string
    readonly lan: string
    readonly to: string
    readonly withdraw?: boolean
  }): AsyncIterable<Progress>
  /** Takes this host off vLANs, all of them where none is named. */
  detach(request: {
    readonly violin?: string
    readonly lan?: string
  }): Promise<{ readonly from: readonly string[] }>
  /** Stops an entity, which keeps its place and addresses, or starts it again; answers when it is so. */
  power(request: {
    readonly violin: string
    readonly entity: string
    readonly on: boolean
    readonly timeoutMs: number
  }): Promise<{ readonly version: number }>
  /**
   * Changes what happens to frames of a vNIC, and answers when it does: `reset` first takes back all that was
   * said, `set` says more, `down` pulls the cable or puts it in.
   */
  link(request: {
    readonly violin: string
    readonly entity: string
    readonly nic: string
    readonly reset?: boolean
    readonly set?: Readonly<Partial<Record<LinkField, number>>>
    readonly down?: boolean
    readonly timeoutMs: number
  }): Promise<{ readonly version: number; readonly link: Readonly<Record<string, string>> }>
  /**
   * What happened on this host; with `violin`, what happened to that VIOLIN on all its hosts, in one order, and
   * which of them did not answer (kind `not-reached`).
   */
  events(request: { readonly follow: boolean; readonly violin?: string }): AsyncIterable<EventRow>
  /** Plugs one more vNIC into an entity, while it runs: a change of the record, as by an `apply`. */
  addNic(request: {
    readonly violin: string
    readonly entity: string
    readonly lan: string
    /** A bare address; the next free one when left out. */
    readonly ip?: string
    readonly timeoutMs: number
  }): AsyncIterable<Progress>
  removeNic(request: {
    readonly violin: string
    readonly entity: string
    readonly nic: string
    readonly timeoutMs: number
  }): AsyncIterable<Progress>
  images(request: Record<string, never>): Promise<readonly ImageRow[]>
  /** Fetches an image from members that have it, by its name there or by its hash. */
  pullImage(request: { readonly image: string; readonly from?: string }): AsyncIterable<Progress>
  /** Removes an image that nothing begins with, by name, hash, or the hash's first digits. */
  removeImage(request: { readonly image: string }): Promise<{ readonly hash: string }>
  /** Has the next hosts take over what runs here, and takes nothing new; `off`: takes part again. */
  drain(request: { readonly off: boolean; readonly timeoutMs: number }): AsyncIterable<Progress>
  /** Goes from the mesh when all that can move has moved; `stop`: what cannot is stopped. */
  leave(request: { readonly stop: boolean }): AsyncIterable<Progress>
  /** The hosts on which that runs, told again whenever they may have changed, as long as the VIOLIN stands. */
  whereabouts(request: { readonly violin: string; readonly what: Captured }): AsyncIterable<WhereaboutsRow>
  /** Opens a session; the stream carries session frames after the `open` frame was consumed by the daemon. */
  session(request: SessionRequest | CaptureRequest): Promise<Duplex>
}

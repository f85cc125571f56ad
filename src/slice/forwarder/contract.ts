/**
 * What a slice's main thread and its forwarding worker say to each other. The main thread posts a
 * {@link Command} and then writes the worker's eventfd (a thread blocked in epoll does not hear postMessage);
 * the worker posts {@link Report}s. Nothing that forwards or elects waits for the main thread.
 */
import type { Owner, Superseded } from '#core/election/ports.ts'
import type { HostKey, LanKey, Mac } from '#core/ids.ts'
import type { LinkSettings } from '#frame/link.ts'

/** Worker's data at its start. Descriptors are open in the process and stay owned by the main thread. */
export interface ForwarderStart {
  readonly self: HostKey
  /** Bound, non-blocking UDP socket for trunks; -1: a fabric without trunks (the lab's underlay). */
  readonly udpFd: number
  /** eventfd that wakes the worker after a posted command. */
  readonly wakeFd: number
  /** Seed for randomised delays of the election. */
  readonly seed: number
}

/** How a port meets the machine behind it. */
export type PortSource =
  /** An open TAP descriptor (IFF_TAP | IFF_NO_PI, non-blocking). The worker closes it with the port. */
  | { readonly kind: 'tap'; readonly fd: number }
  /** A listening AF_UNIX stream socket: one vhost-user front end (UML's virtio_uml) connects. */
  | { readonly kind: 'vhost-user'; readonly listenFd: number }

/** Characteristics of a port's link, each way; what is left out does not happen. */
export type PortLink = Partial<LinkSettings>

/** One session's secrets and addresses, derived by the main thread from both halves. */
export interface TrunkSession {
  readonly peer: HostKey
  /** Index the peer writes; we demultiplex by it. */
  readonly localIndex: number
  readonly remoteIndex: number
  readonly sendKey: Uint8Array
  readonly sendIv: Uint8Array
  readonly receiveKey: Uint8Array
  readonly receiveIv: Uint8Array
  /** Chain key that rekeying mixes fresh secrets into. */
  readonly chainKey: Uint8Array
  /** This side starts rekeys (the lower host id). */
  readonly initiator: boolean
  readonly candidates: readonly { readonly ip: string; readonly port: number }[]
  /** The session ends this long from now unless renewed. */
  readonly authForMs: number
}

export type Command =
  | {
      readonly kind: 'lan'
      readonly lan: LanKey
      readonly candidates: readonly HostKey[]
      readonly members: readonly HostKey[]
      /** MACs with who may have them; absent: every member any. */
      readonly owners?: readonly (readonly [Mac, Owner])[]
    }
  | { readonly kind: 'lan-remove'; readonly lan: LanKey }
  | {
      readonly kind: 'port'
      readonly port: number
      readonly lan: LanKey
      readonly mac: Mac
      readonly source: PortSource
      readonly link: PortLink | null
      /** Number of the claim under which its machine runs; null: shut until `port-claim`; absent: 0. */
      readonly claim?: number | null
    }
  /** Opens a port that is shut, or goes on with it under a higher claim. */
  | { readonly kind: 'port-claim'; readonly port: number; readonly claim: number }
  /** Changes a port's link; null: a plain one. */
  | { readonly kind: 'port-link'; readonly port: number; readonly link: PortLink | null }
  | { readonly kind: 'port-remove'; readonly port: number }
  /** Copies frames of a vNIC, both ways, or all that come onto a vLAN here, into a ring (frame/capture-ring.ts). */
  | {
      readonly kind: 'capture'
      readonly id: number
      readonly lan: LanKey
      readonly mac: Mac | null
      readonly memory: SharedArrayBuffer
    }
  | { readonly kind: 'capture-end'; readonly id: number }
  | { readonly kind: 'trunk'; readonly session: TrunkSession }
  | { readonly kind: 'trunk-renew'; readonly peer: HostKey; readonly authForMs: number }
  | { readonly kind: 'trunk-remove'; readonly peer: HostKey }
  | { readonly kind: 'handoff'; readonly lan: LanKey; readonly to: HostKey | null }
  | { readonly kind: 'status'; readonly id: number }
  | { readonly kind: 'stop' }

export interface LanReport {
  readonly lan: LanKey
  readonly active: HostKey | null
  readonly standby: HostKey | null
  readonly term: number
  readonly role: 'active' | 'standby' | 'edge'
}

export interface TrunkReport {
  readonly peer: HostKey
  readonly up: boolean
  readonly rttMs: number | null
  /** `ip:port`; null without a path, and where a third host passes on what is sent. */
  readonly address: string | null
  /** That host. */
  readonly relay: HostKey | null
  readonly rxFrames: number
  readonly txFrames: number
  readonly rxBytes: number
  readonly txBytes: number
  readonly rejected: number
}

export type Report =
  | { readonly kind: 'ready' }
  | { readonly kind: 'lan'; readonly report: LanReport }
  | { readonly kind: 'trunk'; readonly peer: HostKey; readonly up: boolean }
  /** The session ended (authority ran out, close received, counter spent) or never answered: agree a new one. */
  | { readonly kind: 'trunk-wanted'; readonly peer: HostKey }
  /** The machine behind a port came or went (vhost-user front end connected, socket closed). */
  | { readonly kind: 'port'; readonly port: number; readonly up: boolean; readonly reason: string }
  /** A port was shut: another host has its machine under a higher claim. */
  | ({ readonly kind: 'superseded'; readonly port: number } & Superseded)
  /** A capture's ring holds frames; told once until its reader looks. */
  | { readonly kind: 'captured'; readonly id: number }
  /** No more comes of a capture. */
  | { readonly kind: 'capture-ended'; readonly id: number }
  | {
      readonly kind: 'status'
      readonly id: number
      readonly lans: readonly LanReport[]
      readonly trunks: readonly TrunkReport[]
    }
  | { readonly kind: 'failed'; readonly message: string }

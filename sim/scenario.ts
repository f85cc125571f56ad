/**
 * A scenario is data: what the world is, and what befalls it. With a seed it is a run, bit for bit.
 */
import { switchCandidates } from '#core/reconcile.ts'
import type { Restart } from '#core/spec.ts'
import type { Step } from './faults.ts'
import type { NetworkPlan } from './network.ts'

/** One vLAN: hosts with a port, those that may switch it in order. */
export interface LanPlan {
  readonly hosts: readonly number[]
  readonly candidates: readonly number[]
}

/** One VIOLIN as records have it: the host whose owner key signs, and the hosts with a machine in it. */
export interface ViolinPlan {
  readonly owner: number
  /** Hosts on which that key lies, too; absent: none. */
  readonly copies?: readonly number[]
  /** Of the version that stands when the world begins; none: it is founded by the first change. */
  readonly hosts: readonly number[]
  /** What runs in it, under claims; absent: it is records alone. */
  readonly entities?: EntitiesPlan
}

/** Entities of a VIOLIN: each may run on three of its hosts, the first of them one further for each. */
export interface EntitiesPlan {
  /** The vLAN of the world that carries them, of which the VIOLIN's hosts are some. */
  readonly lan: number
  readonly count: number
  /** Shortest and longest boot. */
  readonly bootMs: readonly [number, number]
  /** Chance that a boot fails. */
  readonly failures: number
  /** What each is to do when its machine or host dies, in turn; absent: fail over. */
  readonly restarts?: readonly Restart[]
}

/** Frames of the guests: every host to all, or each to the next in a ring; null: none. */
export interface Traffic {
  readonly kind: 'broadcast' | 'ring'
  readonly everyMs: number
}

/** Stalls that come by chance, to any thread. */
export interface Stalls {
  /** Mean time between two stalls of one host. */
  readonly everyMs: number
  /** Longest. */
  readonly ms: number
  /** Shortest; absent: ten. */
  readonly leastMs?: number
  /** Of the calm after a stall of a worker so much is played, and the rest left out until the next; absent: all. */
  readonly calmMs?: number
}

export interface Scenario {
  readonly name: string
  /** What it is to show. */
  readonly why: string
  /** Members from the start; the first founds the mesh. */
  readonly hosts: number
  /** Hosts that may join; their places follow. */
  readonly newcomers: number
  /** Slots of each invite that the founder makes. */
  readonly invites: readonly number[]
  readonly network: NetworkPlan
  readonly lans: readonly LanPlan[]
  readonly violins: readonly ViolinPlan[]
  readonly traffic: Traffic | null
  readonly stalls: Stalls | null
  /** Neighbours of a host in the mesh; all where that is not below the hosts. */
  readonly degree: number
  /** Daemons with records take part. Without, only elections run. */
  readonly records: boolean
  /** Hosts watch one another; all know all. */
  readonly liveness: boolean
  readonly steps: readonly Step[]
  /** Time without faults at the end, in which all must come right. */
  readonly restMs: number
}

/** A scenario with one vLAN of all hosts on a local network, where nothing is said otherwise. */
export function scenario(name: string, why: string, hosts: number, change: Partial<Scenario> = {}): Scenario {
  const all = Array.from({ length: hosts }, (_, place) => place)
  return {
    name,
    why,
    hosts,
    newcomers: 0,
    invites: [],
    network: { delayMs: [[0.3]], jitterMs: 0.2, loss: 0 },
    lans: [{ hosts: all, candidates: switchCandidates(all, all) }],
    violins: [],
    traffic: { kind: 'broadcast', everyMs: 100 },
    stalls: null,
    degree: 8,
    records: true,
    liveness: false,
    steps: [],
    restMs: 30_000,
    ...change
  }
}

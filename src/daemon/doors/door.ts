/** What every door to this host's network is: a TAP, whose other end is here, and how it is shut. */
import type { SpecEntity, SpecLan } from '#core/spec.ts'

/** What a door is to be. */
export interface DoorPlan {
  readonly entity: SpecEntity
  /** The vLAN that it opens. */
  readonly lan: SpecLan
  /** A name for devices and tables of it, at most 15 characters, that no other door of this machine has. */
  readonly device: string
  readonly mac: string
  readonly mtu: number
  /** What of this host may be reached through it, as its operator says. */
  readonly reach: readonly string[]
  /** The host's own folder. */
  readonly folder: string
  /** Nothing passes for now, and why, though it is open; empty: all is well again. */
  readonly troubled: (why: string) => void
  /** Of this host itself on a vLAN: the addresses that it was given there, with their prefix lengths. */
  readonly given: (addresses: readonly string[]) => void
}

/** An open one. */
export interface Door {
  /** The TAP's descriptor, the slice's to hold: the door closes none. */
  readonly tap: number
  /** Its interface on this host. */
  readonly device: string
  /** In words, for people: where it leads. */
  readonly text: string
  /** Of this host itself on a vLAN: its addresses there, once it has them. */
  readonly addresses?: Promise<readonly string[]>
  /** Resolves with the reason when it broke; never when it is closed. */
  readonly broken: Promise<string>
  /** Shuts it: the TAP is gone, whoever holds its descriptor; resolves when nothing of it is left. */
  close(): Promise<void>
}

/** Frames that wait in the kernel for the forwarder; few, so that queues stay where they are managed. */
export const txQueueLength = 500

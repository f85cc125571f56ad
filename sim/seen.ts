/**
 * What a world lets its checkers and its diagram see, as it happens.
 */
import type { Effect, SwitchView } from '#core/election/types.ts'
import type { Message } from '#core/election/message.ts'
import type { LifeState } from '#core/liveness/liveness.ts'
import type { ViolinId } from '#core/ids.ts'
import type { RunState } from '#core/records/bodies.ts'
import type { SignedRecord } from '#core/records/record.ts'
import type { Fault } from './faults.ts'
import type { Grant } from './tags.ts'

/** A frame of the guests, from one port of one vLAN. */
export interface Frame {
  readonly id: number
  readonly lan: number
  readonly source: number
  /** Null: to all. */
  readonly target: number | null
  readonly sentAt: number
  readonly bytes: Uint8Array
  /** Hosts at whose port it came out, as often as it did. */
  readonly reached: number[]
}

export type Seen =
  | { readonly kind: 'fault'; readonly fault: Fault; readonly began: boolean }
  /** An election wants something done. */
  | { readonly kind: 'effect'; readonly host: number; readonly lan: number; readonly effect: Effect<Message> }
  | {
      readonly kind: 'view'
      readonly host: number
      readonly lan: number
      readonly before: SwitchView
      readonly view: SwitchView
    }
  /** A worker took a frame from a trunk. `meant`: the grant under which it was sent. */
  | {
      readonly kind: 'frame'
      readonly host: number
      readonly from: number
      readonly lan: number
      readonly tag: number
      readonly up: boolean
      readonly meant: Grant | null
      readonly taken: Grant | null
      readonly frame: Frame
      /** Hosts that had it before, the source first. */
      readonly path: readonly number[]
    }
  /** A machine sends a frame. */
  | { readonly kind: 'sent'; readonly frame: Frame }
  /** A frame came out at a port. */
  | { readonly kind: 'delivered'; readonly host: number; readonly lan: number; readonly frame: Frame }
  | { readonly kind: 'trunk'; readonly host: number; readonly peer: number; readonly up: boolean }
  | { readonly kind: 'record'; readonly host: number; readonly record: SignedRecord }
  /** What a host holds of another changed. */
  | { readonly kind: 'life'; readonly host: number; readonly about: number; readonly state: LifeState }
  /** A host claims an entity (`pending`), or its machine there came so far. */
  | {
      readonly kind: 'entity'
      readonly host: number
      readonly violin: ViolinId
      readonly name: string
      readonly claim: number
      readonly state: RunState
    }
  /** The owner of a VIOLIN signed that an entity runs on a host from now on. */
  | {
      readonly kind: 'moved'
      readonly violin: ViolinId
      readonly name: string
      readonly to: number
      readonly generation: number
    }
  | { readonly kind: 'joined'; readonly host: number; readonly at: number; readonly slot: number }
  | { readonly kind: 'displaced'; readonly host: number }

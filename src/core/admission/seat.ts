/**
 * Whether a host that joined by a slot still has it. Two hosts that took one slot on the two sides of a
 * partition learn of it when it heals; the one that loses takes the next by itself, as long as the invite lasts.
 */
import type { PublicKey, WallTime } from '../ids.ts'
import { slotOf, type Chain } from './chain.ts'
import type { TokenLink } from './link.ts'

/** What a host should do about its slot. */
export type SeatStep =
  | 'keep'
  /** Ask any member for a slot of the same invite. */
  | 'ask'
  /** The slot is gone, and the invite gives no other: a person must ask for a new invite. */
  | 'out'

/** Whether the secret of an invite is of use after joining: it has other slots, which this host may take. */
export function isWorthKeeping(invite: TokenLink): boolean {
  return invite.slots > 1 && invite.for === null
}

/**
 * `kept`: the invite by which this host came, while its secret is kept; `displaced`: another keeps the slot in
 * this host's own view; `shunned`: nobody takes it for a member, as when only the others know of that; `revoked`:
 * it was shut out, and no slot helps.
 */
export function seatStep(
  kept: TokenLink | null,
  {
    displaced,
    shunned,
    revoked
  }: { readonly displaced: boolean; readonly shunned: boolean; readonly revoked: boolean },
  now: WallTime
): SeatStep {
  if (revoked) return 'keep'
  const usable = kept !== null && kept.redeemBy > now
  if (usable && (displaced || shunned)) return 'ask'
  return displaced ? 'out' : 'keep'
}

/** Whether a chain stands in the slot that it claims, given who keeps each slot that several claim (by `TOKEN SLOT`). */
export function keepsSlot(chain: Chain, winners: ReadonlyMap<string, PublicKey>): boolean {
  return slotKeeper(chain, winners) === null
}

/** The other host that keeps the slot which a chain claims; null: the chain stands. */
export function slotKeeper(chain: Chain, winners: ReadonlyMap<string, PublicKey>): PublicKey | null {
  const claim = slotOf(chain)
  if (claim === null) return null
  const hostKey = chain.kind === 'owner' ? chain.path.at(-2)?.subject : chain.subject
  const winner = winners.get(`${claim.token} ${claim.slot}`)
  return winner === undefined || winner === hostKey ? null : winner
}

/** Whether two chains claim one slot. */
export function claimSameSlot(a: Chain, b: Chain): boolean {
  const [one, other] = [slotOf(a), slotOf(b)]
  return one !== null && one.token === other?.token && one.slot === other.slot
}

/** All invariants that every run watches. */
import { bounded } from './bounded.ts'
import { claimsListed } from './claims-listed.ts'
import { converged } from './converged.ts'
import { endedTags } from './ended-tags.ts'
import { endedTerms } from './ended-terms.ts'
import { entitiesUp } from './entities-up.ts'
import { flowing } from './flowing.ts'
import { invites } from './invites.ts'
import type { Invariant } from './invariant.ts'
import { moved } from './moved.ts'
import { noCrossing } from './no-crossing.ts'
import { noFalseDeath } from './no-false-death.ts'
import { noFalseTakeover } from './no-false-takeover.ts'
import { noLoop } from './no-loop.ts'
import { noStranger } from './no-stranger.ts'
import { oneSwitch } from './one-switch.ts'
import { settled } from './settled.ts'
import { shutOut } from './shut-out.ts'
import { stays } from './stays.ts'
import { supersededPorts } from './superseded-ports.ts'

export const invariants: readonly Invariant[] = [
  oneSwitch,
  endedTags,
  endedTerms,
  noLoop,
  noCrossing,
  noFalseTakeover,
  noFalseDeath,
  flowing,
  converged,
  settled,
  invites,
  noStranger,
  shutOut,
  claimsListed,
  supersededPorts,
  entitiesUp,
  stays,
  moved,
  bounded
]

/** All scenarios by name. */
import type { Random } from '../random.ts'
import type { Scenario } from '../scenario.ts'
import { elections } from './elections.ts'
import { entities } from './entities.ts'
import { faults } from './faults.ts'
import { lives } from './lives.ts'
import { members } from './members.ts'

/** A family of scenarios: one for each number of hosts, and what chance chooses in it. */
export interface Family {
  readonly name: string
  readonly why: string
  /** Hosts when nothing is said. */
  readonly hosts: number
  /** Below so many it would show nothing; absent: two. */
  readonly least?: number
  make(hosts: number, random: Random): Scenario
}

export const families: readonly Family[] = [...elections, ...members, ...lives, ...faults, ...entities]

import type { Invariant } from './invariant.ts'

/** In every host's view an invite of N slots has at most N members. */
export const invites: Invariant = {
  name: 'invites',
  why: 'an invite is a promise of how many it lets in, whatever was cut while it was redeemed',
  watch(world) {
    const looked = new Map<number, number>()
    return {
      look() {
        if (world.tokens.length === 0) return
        for (const host of world.members) {
          const { revision } = host.records
          if (looked.get(host.place) === revision) continue
          looked.set(host.place, revision)
          for (const { invite } of world.tokens) {
            const members = host.records.membersBy(invite.subject)
            if (members.length <= invite.slots) continue
            world.violate(
              'invites',
              `host ${host.place} sees ${members.length} members by ${invite.slots} slots`
            )
          }
        }
      }
    }
  }
}

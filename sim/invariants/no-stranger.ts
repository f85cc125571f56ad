import type { Invariant } from './invariant.ts'
import { cutIn } from './shut-out.ts'

/** No host keeps a record of somebody whom no member let in. */
export const noStranger: Invariant = {
  name: 'no-stranger',
  why: 'who may speak is decided by bytes; a relay that believes one forgery spreads it to all',
  watch: (world) => ({
    see(seen) {
      if (seen.kind !== 'record' || seen.record.chain === null) return
      const { chain } = seen.record
      const hosts = chain.path.filter((link) => link.kind !== 'token' && link.kind !== 'owner')
      const stranger = hosts.find((link) => !world.admitted.has(link.subject))
      if (stranger === undefined) return
      world.violate('no-stranger', `host ${seen.host} keeps a ${seen.record.kind} record of a stranger`)
    },
    end() {
      const isCut = cutIn(world)
      const { members } = world
      for (const host of members.some(({ records }) => isCut(records.chain)) ? members : []) {
        if (isCut(host.records.chain)) continue
        // Of one that is out by its second seat alone, words of the first are those of one that lost its slot.
        const kept = host.records.set.entries('mesh').find((one) => one.kind === 'host' && isCut(one.chain))
        if (kept !== undefined)
          world.violate('no-stranger', `host ${host.place} keeps a revoked host's record`)
      }
    }
  })
}

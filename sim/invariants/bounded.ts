import { maxWaiting } from '../thread.ts'
import type { Invariant } from './invariant.ts'

/** Tags of one vLAN that one side may have given or taken at a time: two reigns that overlap, and one more. */
const tagsPerLan = 3

/** What a host keeps for a peer does not grow. */
export const bounded: Invariant = {
  name: 'bounded',
  why: 'what grows with every restart or takeover of a peer fills the memory of a host that runs for months',
  watch: (world) => ({
    look() {
      const most = tagsPerLan * world.scenario.lans.length
      for (const host of world.looked()) {
        if (!host.running) continue
        for (const peer of world.peersOf(host)) {
          const { given, accepted } = host.slice.tagsOf(peer)
          if (given.size > most)
            world.violate('bounded', `host ${host.place} gave ${given.size} tags to ${peer.place}`)
          if (accepted.size > 2 * most) {
            world.violate('bounded', `host ${host.place} takes ${accepted.size} tags of ${peer.place}`)
          }
        }
        if (host.daemon.waiting >= maxWaiting)
          world.violate('bounded', `the daemon of ${host.place} is flooded`)
        const rows = world.scenario.violins.filter(({ entities }) => entities !== undefined).length
        if (host.records.set.size > (2 + rows) * world.hosts.length + world.minted + 8) {
          world.violate('bounded', `host ${host.place} keeps ${host.records.set.size} records`)
        }
      }
    }
  })
}

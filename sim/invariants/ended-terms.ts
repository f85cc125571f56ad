import { formerMs } from '#core/election/settings.ts'
import type { Invariant } from './invariant.ts'

/** How late a frame may be that was on its way when its term ended, beside the time that edges grant. */
const lateMs = 1_000

/** No edge accepts a frame under a term that is over for it: of a switch that it left. */
export const endedTerms: Invariant = {
  name: 'ended-terms',
  why: 'a former switch that does not know that it is one goes on sending: its edges are what stops it',
  watch(world) {
    /** When a host turned to the switch that it follows, by `host lan`. */
    const turnedAt = new Map<string, number>()
    return {
      see(seen) {
        if (seen.kind === 'view' && seen.view.active !== seen.before.active)
          turnedAt.set(`${seen.host} ${seen.lan}`, world.clock.now)
        // What comes up comes under the host's own tags, which end with its term: ended-tags.
        if (seen.kind !== 'frame' || seen.up) return
        const { worker, slice } = world.host(seen.host)
        const view = slice.lans.get(seen.lan)?.view
        if (view === undefined || view.active === null || view.active === world.host(seen.from).key) return
        const since = Math.max(turnedAt.get(`${seen.host} ${seen.lan}`) ?? 0, worker.resumedAt)
        const forMs = world.clock.now - since
        if (forMs <= formerMs + lateMs) return
        world.violate(
          'ended-terms',
          `host ${seen.host} took a frame of ${seen.from}, which it left for term ${view.term} ${Math.round(forMs)} ms ago`
        )
      }
    }
  }
}

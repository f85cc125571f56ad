import { formerMs } from '#core/election/settings.ts'
import type { HostKey } from '#core/ids.ts'
import type { Invariant } from './invariant.ts'

/** How late a frame may be that was on its way when its term ended, beside the time that edges grant. */
const lateMs = 1_000

/** No edge accepts a frame under a term that is over for it: of a switch that it left. */
export const endedTerms: Invariant = {
  name: 'ended-terms',
  why: 'a former switch that does not know that it is one goes on sending: its edges are what stops it',
  watch(world) {
    /**
     * When a host left a switch for another, by `host lan switch`; and when it took a tag, by `host giver tag`. One that is
     * lost is left when another is followed: it may come back, and send its edges over.
     */
    const leftAt = new Map<string, number>()
    /** The switch that a host uses, or used last, by `host lan`. */
    const used = new Map<string, HostKey>()
    const tookAt = new Map<string, number>()
    return {
      see(seen) {
        if (seen.kind === 'view' && seen.view.active !== null) {
          const former = used.get(`${seen.host} ${seen.lan}`) ?? seen.view.active
          used.set(`${seen.host} ${seen.lan}`, seen.view.active)
          if (former !== seen.view.active)
            leftAt.set(`${seen.host} ${seen.lan} ${world.byKey(former).place}`, world.clock.now)
        }
        if (seen.kind === 'effect' && seen.effect.kind === 'accept')
          tookAt.set(
            `${seen.host} ${world.byKey(seen.effect.from).place} ${seen.effect.tag}`,
            world.clock.now
          )
        // What comes up comes under the host's own tags, which end with its term: ended-tags.
        if (seen.kind !== 'frame' || seen.up) return
        const { worker, slice } = world.host(seen.host)
        const view = slice.lans.get(seen.lan)?.view
        if (view === undefined || view.active === null || view.active === world.host(seen.from).key) return
        const left = leftAt.get(`${seen.host} ${seen.lan} ${seen.from}`)
        // A tag that was taken since is an offer: that switch is to take over again.
        if (left === undefined || (tookAt.get(`${seen.host} ${seen.from} ${seen.tag}`) ?? 0) > left) return
        const since = Math.max(left, worker.resumedAt)
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

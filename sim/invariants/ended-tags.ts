import { formerMs } from '#core/election/settings.ts'
import type { Invariant } from './invariant.ts'

/** How late a frame may be that was on its way when its tag ended, beside the time that edges grant. */
const lateMs = 1_000

/** No frame is accepted under a tag that is over for the host that gave it; for who takes it: ended-terms. */
export const endedTags: Invariant = {
  name: 'ended-tags',
  why: 'tags are the fence: what a former switch sends, or what is still sent to it, must go nowhere',
  watch: (world) => ({
    see(seen) {
      // Who did not run reads first what was sent to it in time.
      const readAt = (host: number): number => world.host(host).worker.resumedAt
      if (seen.kind !== 'frame') return
      const { taken, meant, up, host, from, tag } = seen
      const now = world.clock.now
      if (taken === null)
        world.violate('ended-tags', `host ${host} took tag ${tag} of ${from}, which nobody gave`)
      else if (meant !== null && meant !== taken) {
        world.violate('ended-tags', `host ${host} took a frame of ${from} under tag ${tag} for another's`)
      } else if (now > (up ? taken.endedAt : Math.max(taken.endedAt, readAt(host)) + formerMs + lateMs)) {
        const agoMs = Math.round(now - taken.endedAt)
        world.violate(
          'ended-tags',
          `host ${host} took a frame of ${from} under tag ${tag}, over for ${agoMs} ms`
        )
      }
    }
  })
}

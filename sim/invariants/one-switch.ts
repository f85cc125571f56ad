import { formerMs, handoverMs } from '#core/election/settings.ts'
import type { Invariant } from './invariant.ts'

/** Two switches serve one edge at most while one hands over to the other. */
const bothMs: number = formerMs + handoverMs + 500

/** At most one vSwitch delivers per vLAN and edge. */
export const oneSwitch: Invariant = {
  name: 'one-switch',
  why: 'an edge that takes frames of two switches gets them twice, or from a switch that was replaced',
  watch(world) {
    /** Since when a host takes frames of more than one switch, by `host lan`. */
    const since = new Map<string, number>()
    return {
      look() {
        for (const host of world.looked()) {
          for (const lan of host.running && !host.worker.stalled ? host.slice.lans.values() : []) {
            const givers = [...world.peersOf(host)].filter((peer) => {
              const tags = host.slice.tagsOf(peer)
              return [...tags.accepted].some(([tag, taken]) => taken.lan === lan.index && !tags.isOwn(tag))
            })
            const name = `${host.place} ${lan.index}`
            if (givers.length < 2) since.delete(name)
            else if (!since.has(name)) since.set(name, world.clock.now)
            if (world.clock.now - Math.max(since.get(name) ?? Infinity, host.worker.resumedAt) > bothMs) {
              const who = givers.map((giver) => giver.place).join(', ')
              world.violate('one-switch', `host ${host.place} takes frames of vLAN ${lan.index} from ${who}`)
            }
          }
        }
      }
    }
  }
}

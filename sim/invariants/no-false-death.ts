import { watchersPerSide } from '#core/liveness/settings.ts'
import type { Host } from '../host.ts'
import { weatherStallMs } from '../befall.ts'
import type { World } from '../world.ts'
import type { Invariant } from './invariant.ts'

/** So long after the last fault began or ended all that it did is over: the longest clock, and isolation. */
const soundMs = 20_000

/** Nobody holds a host dead that runs, that it could reach, and that most of its watchers can hear. */
export const noFalseDeath: Invariant = {
  name: 'no-false-death',
  why: 'a host held dead loses its entities to others: loss and short stalls must not cause it',
  watch(world) {
    return {
      see(seen) {
        if (seen.kind !== 'life' || seen.state !== 'dead') return
        const [host, about] = [world.host(seen.host), world.host(seen.about)]
        if (world.clock.now - world.changedAt < soundMs || !isSound(world, about)) return
        if (!world.network.connects(host.place, about.place)) return
        world.violate('no-false-death', `host ${host.place} holds ${about.place} dead, which lives`)
      }
    }
  }
}

function isSound(world: World, about: Host): boolean {
  if (!about.running || about.daemon.stalledMs > weatherStallMs) return false
  const watchers = world.ring
    .nearest(about.id, watchersPerSide, () => false)
    .map((id) => world.byId(id) as Host)
    .filter((watcher) => watcher.running)
  const hear = watchers.filter((watcher) => world.network.connects(watcher.place, about.place))
  return 2 * hear.length > watchers.length
}

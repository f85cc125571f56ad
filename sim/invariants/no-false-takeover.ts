import type { Host } from '../host.ts'
import { weatherStallMs } from '../befall.ts'
import type { Invariant } from './invariant.ts'

/** Ways that were there for so long count. */
const soundMs = 3_000

/** Nobody takes over from an active that most of those hear that could be asked. */
export const noFalseTakeover: Invariant = {
  name: 'no-false-takeover',
  why: 'each takeover moves all frames of a vLAN: a lost datagram or one broken link must not cause it',
  watch(world) {
    /** Who switches each vLAN, since when, and how long each worker was stalled last. */
    const reigns = new Map<string, number>()
    const sound = (a: Host, b: Host): boolean => {
      const quiet = [a, b].every((host) => host.running && !host.worker.stalled)
      return quiet && world.trunk(a, b)?.soundFor(soundMs) === true
    }
    return {
      see(seen) {
        if (seen.kind !== 'effect' || seen.effect.kind !== 'role') return
        const name = `${seen.lan} ${seen.host}`
        const host = world.host(seen.host)
        const { role } = seen.effect
        const former = host.slice.lans.get(seen.lan)?.role
        if (role.kind !== 'active') return void reigns.delete(name)
        if (reigns.has(name)) return
        reigns.set(name, world.clock.now)
        if (former?.kind !== 'edge') return
        const left = former.uplink === null ? null : world.byKey(former.uplink.peer)
        const since = left === null ? undefined : reigns.get(`${seen.lan} ${left.place}`)
        const plan = world.scenario.lans[seen.lan]
        if (left === null || since === undefined || plan === undefined || !left.running) return
        // What was decided here rests on what was sent a way ago, in answer to what was sent two ways ago.
        const graceMs = weatherStallMs + 2 * world.network.rttMs(host.place, left.place)
        if (world.clock.now - world.changedAt < graceMs) return
        if (world.clock.now - since < soundMs || world.clock.now - left.worker.resumedAt < soundMs) return
        if (left.worker.stalled || left.slice.lans.get(seen.lan)?.role.kind !== 'active') return
        const asked = plan.hosts
          .map((place) => world.host(place))
          .filter((other) => other !== host && other !== left && sound(host, other))
        const hear = asked.filter((other) => sound(other, left))
        if (asked.length < 2 || 2 * hear.length <= asked.length) return
        world.violate(
          'no-false-takeover',
          `host ${seen.host} took vLAN ${seen.lan} from ${left.place}, which ${hear.length} of ${asked.length} hear`
        )
      }
    }
  }
}

import type { Host } from '../host.ts'
import type { Invariant } from './invariant.ts'

/** Time after the last fault until every vLAN has a switch again, and the longest gap from then on. */
const calmMs = 5_000
const gapMs = 1_500
/** Larger vLANs are not looked at pair by pair. */
const maxHosts = 64

/** Hosts that reach one another have a switch that works. */
export const flowing: Invariant = {
  name: 'flowing',
  why: 'whatever befell it, a vLAN works again by itself for all that can reach one another',
  watch(world) {
    const arrived = new Map<string, number>()
    const { traffic } = world.scenario
    if (traffic?.kind !== 'broadcast') return {}
    return {
      see(seen) {
        if (seen.kind !== 'delivered') return
        arrived.set(`${seen.lan} ${seen.frame.source} ${seen.host}`, world.clock.now)
      },
      look() {
        const now = world.clock.now
        if (now < calmMs || now - world.changedAt < calmMs + gapMs) return
        for (const [index, plan] of world.scenario.lans.entries()) {
          if (plan.hosts.length > maxHosts) continue
          for (const group of soundGroups(plan.hosts.map((place) => world.host(place)))) {
            const awake = group.filter((host) => !host.worker.stalled)
            if (!awake.some((host) => plan.candidates.includes(host.place))) continue
            for (const a of awake) for (const b of awake) if (a !== b) check(index, a, b)
          }
        }
      }
    }

    function check(lan: number, a: Host, b: Host): void {
      const quiet = [a, b].every((host) => world.clock.now - host.worker.resumedAt > gapMs)
      const gap = world.clock.now - (arrived.get(`${lan} ${a.place} ${b.place}`) ?? 0)
      if (quiet && gap > gapMs + calmMs * (arrived.size === 0 ? 1 : 0)) {
        world.violate(
          'flowing',
          `for ${Math.round(gap)} ms nothing of ${a.place} came to ${b.place} on vLAN ${lan}`
        )
      }
    }

    /** A session needs both daemons awake; by themselves or by others. */
    function linked(a: Host, b: Host): boolean {
      return world.trunk(a, b)?.isLinked ?? world.network.connects(a.place, b.place)
    }

    /** Groups of hosts that all reach one another; a host that reaches only some of a group is left out. One that stalls hears and is heard. */
    function soundGroups(hosts: readonly Host[]): Host[][] {
      const groups: Host[][] = []
      for (const host of hosts.filter((one) => one.running)) {
        const group = groups.find((one) => one.every((other) => linked(host, other)))
        if (group === undefined) groups.push([host])
        else group.push(host)
      }
      // Where groups touch, who is the switch of one may not be heard by all of it.
      return groups.filter((group) =>
        groups.every(
          (other) => other === group || other.every((host) => group.every((one) => !linked(host, one)))
        )
      )
    }
  }
}

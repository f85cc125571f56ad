import type { HostId, ViolinId } from '#core/ids.ts'
import { namesHost } from '#core/records/holders.ts'
import type { ViolinRecord } from '#core/records/record.ts'
import type { Invariant } from './invariant.ts'

/** Nothing of a VIOLIN comes to where it has no business: no frame to another vLAN, no record to a stranger. */
export const noCrossing: Invariant = {
  name: 'no-crossing',
  why: 'VIOLINs share hosts and trunks, and must be as apart as if each had machines of its own',
  watch(world) {
    /** Every version of each VIOLIN, and who is known to be named in one or to have a copy of its owner's key. */
    const versions = new Map<ViolinId, Set<ViolinRecord>>()
    const named = new Map<ViolinId, Set<HostId>>(
      world.scenario.violins.map(({ copies = [] }, index) => [
        world.violin(index).id,
        new Set(copies.map((place) => world.host(place).id))
      ])
    )
    const lans = new Map<number, ReadonlySet<number>>(
      world.scenario.lans.map(({ hosts }, index) => [index, new Set(hosts)])
    )
    return {
      see(seen) {
        if (seen.kind === 'delivered') {
          if (seen.frame.lan !== seen.lan)
            world.violate('no-crossing', `a frame of vLAN ${seen.frame.lan} came out on ${seen.lan}`)
          else if (lans.get(seen.lan)?.has(seen.host) !== true)
            world.violate('no-crossing', `a frame of vLAN ${seen.lan} came out on host ${seen.host}`)
        }
        if (seen.kind !== 'record' || seen.record.kind !== 'violin') return
        const violin = seen.record.key as ViolinId
        const { id, place } = world.host(seen.host)
        const hosts = named.get(violin) ?? new Set()
        named.set(violin, hosts)
        // All holders share the object of a version.
        const said = versions.get(violin) ?? new Set()
        versions.set(violin, said.add(seen.record))
        for (const version of said) if (!hosts.has(id) && namesHost(version, id)) hosts.add(id)
        if (!hosts.has(id))
          world.violate('no-crossing', `host ${place} was told of a VIOLIN that is none of its business`)
      }
    }
  }
}

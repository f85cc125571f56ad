import type { Chain } from '#core/admission/chain.ts'
import type { RecordSet } from '#core/records/set.ts'
import type { Host } from '../host.ts'
import type { World } from '../world.ts'
import type { Invariant } from './invariant.ts'

/** After a host heard that another was shut out, all ways to it are closed there. */
const closedMs = 2_000

/** Who was shut out is out: no way to it at whoever knows, and at the end nothing of it anywhere. */
export const shutOut: Invariant = {
  name: 'shut-out',
  why: 'a stolen or hostile key is put out to be rid of it: a way that stays open, or a machine that runs on, is none',
  watch(world) {
    /** Hosts that were to be shut out, and since when each other held them for that, by `host other`. */
    const named = new Set<Host>()
    const since = new Map<string, number>()
    return {
      see(seen) {
        if (seen.kind === 'fault' && seen.fault.kind === 'revoke') named.add(world.host(seen.fault.host))
      },
      look() {
        for (const out of named) for (const host of world.looked()) check(host, out)
      },
      end() {
        const isCut = cutIn(world)
        for (const index of world.scenario.violins.keys()) {
          const { id, owner } = world.violin(index)
          if (!isCut(owner.records.owner.chain)) continue
          const keeper = world.hosts.find((host) => !isCut(host.records.chain) && host.records.set.holds(id))
          if (keeper !== undefined)
            world.violate('shut-out', `host ${keeper.place} keeps VIOLIN ${index}, whose owner was shut out`)
        }
      }
    }

    function check(host: Host, out: Host): void {
      const name = `${host.place} ${out.place}`
      if (host === out || !host.running || !host.records.shuts(out)) return void since.delete(name)
      const from = since.get(name) ?? world.clock.now
      since.set(name, from)
      const threads = [host.worker, host.main, host.daemon]
      const ranAt = host.stalled ? Infinity : Math.max(...threads.map(({ resumedAt }) => resumedAt))
      if (world.clock.now - Math.max(from, ranAt) <= closedMs) return
      const way = wayTo(world, host, out)
      if (way !== null)
        world.violate('shut-out', `host ${host.place} has ${way} ${out.place}, which was shut out`)
    }
  }
}

/** What still leads from a host to another; null: nothing. */
function wayTo(world: World, host: Host, out: Host): string | null {
  if (host.records.connections.connected.has(out.place)) return 'a connection to'
  if (world.trunk(host, out)?.isUp(host) === true) return 'a trunk to'
  const tags = host.slice.tagsOf(out)
  if (tags.given.size > 0 || tags.accepted.size > 0) return 'tags of'
  for (const { role } of host.slice.lans.values()) {
    if (role.kind !== 'edge' && role.downlinks.has(out.key)) return 'a downlink to'
    if (role.kind !== 'active' && role.uplink?.peer === out.key) return 'an uplink to'
  }
  return null
}

/** Whether any host holds that a chain was cut. */
export function cutIn(world: World): (chain: Chain | null) => boolean {
  const sets = new Map<unknown, RecordSet>()
  for (const { records } of world.hosts) {
    const tree = records.set.tree('revocations')
    if (tree !== null) sets.set(tree, records.set)
  }
  return (chain) => [...sets.values()].some((set) => set.isRevoked(chain))
}

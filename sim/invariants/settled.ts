import { namesHost } from '#core/records/holders.ts'
import type { ViolinRecord } from '#core/records/record.ts'
import { beats } from '#core/records/set.ts'
import type { World } from '../world.ts'
import type { Invariant } from './invariant.ts'
import { cutIn } from './shut-out.ts'

/** After the time of rest the hosts of each VIOLIN hold its standing version, and nobody else an older one. */
export const settled: Invariant = {
  name: 'settled',
  why: 'a host that acts on a version that is over runs what should run elsewhere, or nowhere',
  watch: (world) => ({
    end() {
      if (!world.scenario.records) return
      for (const index of world.scenario.violins.keys()) check(world, index)
    }
  })
}

function check(world: World, index: number): void {
  const { id, owner } = world.violin(index)
  const copies = world.scenario.violins[index]?.copies ?? []
  const isCut = cutIn(world)
  const hosts = world.members.filter((host) => host.running && !isCut(host.records.chain))
  if (isCut(owner.records.owner.chain)) return
  const versions = hosts.map(({ records: { set } }) =>
    set.holds(id)
      ? set.entries(id).find((record): record is ViolinRecord => record.kind === 'violin')
      : undefined
  )
  const stands = versions.reduce(
    (a, b) => (a === undefined || (b !== undefined && beats(b, a)) ? b : a),
    undefined
  )
  if (stands === undefined) return
  for (const [turn, host] of hosts.entries()) {
    const held = versions[turn]
    const isHolder = namesHost(stands, host.id) || copies.includes(host.place)
    if (held?.hash === stands.hash || (held === undefined && !isHolder)) continue
    const what = held === undefined ? 'nothing' : `version ${held.version}`
    world.violate(
      'settled',
      `host ${host.place} holds ${what} of VIOLIN ${index}, where ${stands.version} stands`
    )
    return
  }
}

/** Figures of liveness: how soon a death is seen, who was held dead and lived, what watching costs. */
import type { Figure } from './measure.ts'
import type { World } from './world.ts'

/** A death that fewer hosts saw within this time is none of the figures, but a failure: Infinity. */
const seenWithinMs = 10_000

export interface Deaths {
  readonly figures: (ms: number) => Figure[]
}

/** Watches a world in which hosts watch one another. */
export function watchDeaths(world: World): Deaths {
  const deaths: { readonly host: number; readonly at: number; readonly seen: number[] }[] = []
  let suspicions = 0
  let falseDeaths = 0
  world.watch((seen) => {
    if (seen.kind === 'fault' && seen.began) {
      const { fault } = seen
      const ref = fault.kind === 'cut' ? fault.from[0] : 'host' in fault ? fault.host : undefined
      if (typeof ref === 'number') deaths.push({ host: ref, at: world.clock.now, seen: [] })
    }
    if (seen.kind !== 'life') return
    if (seen.state === 'suspect') suspicions++
    if (seen.state !== 'dead') return
    const death = deaths.findLast(
      ({ host, at }) => host === seen.about && world.clock.now - at < seenWithinMs
    )
    death?.seen.push(world.clock.now - death.at)
    // Who is cut off holds others dead, and is one of the dead itself.
    if (death === undefined && !deaths.some(({ host }) => host === seen.host)) falseDeaths++
  })
  return {
    figures(ms) {
      const others = world.scenario.hosts - 1
      const share = (of: number): Figure['values'] =>
        deaths.map(({ seen }) => seen.toSorted((a, b) => a - b)[Math.ceil(of * others) - 1] ?? Infinity)
      const all: Figure[] =
        deaths.length === 0
          ? []
          : [
              { name: 'a death is seen by 99 % of hosts after', unit: 'ms', values: share(0.99) },
              { name: 'a death is seen by half of the hosts after', unit: 'ms', values: share(0.5) }
            ]
      const hours = (world.scenario.hosts * ms) / 3_600_000
      const bytes = world.hosts.reduce((sum, host) => sum + host.sent.livenessBytes, 0)
      return [
        ...all,
        { name: 'host-hours', unit: 'h', values: [hours] },
        { name: 'false deaths', unit: '', values: [falseDeaths] },
        { name: 'suspicions per host-hour', unit: '1/h', values: [suspicions / hours] },
        { name: 'liveness’ bytes per host', unit: 'B/s', values: [bytes / world.hosts.length / (ms / 1_000)] }
      ]
    }
  }
}

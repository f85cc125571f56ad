/** Figures of entities: how long after its host was befallen each runs elsewhere. */
import type { Figure } from './measure.ts'
import type { World } from './world.ts'

/** Watches a world in which entities run. */
export function watchMoves(world: World): { readonly figures: () => Figure[] } {
  const runners = new Map<string, number>()
  const waits = new Map<string, { readonly from: number; readonly at: number }>()
  const moved: number[] = []
  world.watch((seen) => {
    if (seen.kind === 'fault' && seen.began) {
      const { fault } = seen
      const ref = fault.kind === 'cut' ? fault.from[0] : 'host' in fault ? fault.host : undefined
      const from = ref === undefined ? undefined : world.resolve(ref)?.place
      for (const [entity, place] of runners)
        if (place === from) waits.set(entity, { from, at: world.clock.now })
    }
    if (seen.kind !== 'entity' || seen.state !== 'running') return
    const entity = `${seen.violin} ${seen.name}`
    const wait = waits.get(entity)
    runners.set(entity, seen.host)
    if (wait === undefined) return
    waits.delete(entity)
    if (wait.from !== seen.host) moved.push(world.clock.now - wait.at)
  })
  return {
    figures() {
      const sorted = moved.toSorted((a, b) => a - b)
      return [
        { name: 'an entity runs elsewhere after', unit: 'ms', values: moved },
        { name: 'its p99', unit: 'ms', values: [sorted[Math.ceil(0.99 * sorted.length) - 1] ?? 0] },
        { name: 'entities that did not move', unit: '', values: [waits.size] }
      ]
    }
  }
}

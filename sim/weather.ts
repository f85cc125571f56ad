/** What is no fault: short stalls of any thread, now and then. Loss is the network's. */
import { allParts, stall } from './befall.ts'
import type { World } from './world.ts'

/** Lets the scenario's stalls come by chance to every host. */
export function startWeather(world: World): void {
  const { stalls } = world.scenario
  if (stalls === null) return
  const random = world.random.weather
  const pauseMs = (): number => random.exponential(stalls.everyMs)
  for (const host of world.hosts) {
    const turn = (): void => {
      const part = random.pick(['worker', 'main', 'daemon', 'all'] as const)
      const forMs = 10 + random.next() * (stalls.ms - 10)
      const parts = part === 'all' ? allParts : [part]
      // Two that overlap would be one that is longer than the weather allows.
      const free = host.running && parts.every((one) => !host[one].stalled)
      if (free) stall(world, host, parts, forMs)
      world.clock.after(pauseMs(), turn)
    }
    world.clock.after(pauseMs(), turn)
  }
}

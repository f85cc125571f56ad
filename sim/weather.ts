/** What is no fault: short stalls of any thread, now and then. Loss is the network's. */
import { allParts, stall } from './befall.ts'
import type { World } from './world.ts'

/** Lets the scenario's stalls come by chance to every host. */
export function startWeather(world: World): void {
  const { stalls } = world.scenario
  if (stalls === null) return
  const { ms: mostMs, leastMs = 10 } = stalls
  const random = world.random.weather
  const pauseMs = (): number => random.exponential(stalls.everyMs)
  for (const host of world.hosts) {
    const turn = (): void => {
      const part = random.pick(['worker', 'main', 'daemon', 'all'] as const)
      const forMs = leastMs + random.next() * (mostMs - leastMs)
      const parts = part === 'all' ? allParts : [part]
      // Two that overlap would be one that is longer than the weather allows.
      const free = host.running && parts.every((one) => !host[one].stalled)
      if (free) {
        stall(world, host, parts, forMs)
        if (parts.includes('worker')) world.weatheredStalls++
      }
      world.clock.after(pauseMs(), turn)
    }
    world.clock.after(pauseMs(), turn)
  }
}

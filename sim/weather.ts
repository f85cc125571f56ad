/** What is no fault: short stalls of any thread, now and then. Loss is the network's. */
import { slowBeatMs } from '#core/election/settings.ts'
import { allParts, stall } from './befall.ts'
import { Clock } from './clock.ts'
import type { World } from './world.ts'

/** Slow beats, and fast ones with them: calm is left out in whole rounds, so that stalls fall on any moment between beats. */
const rhythmMs = slowBeatMs

/** Lets the scenario's stalls come by chance to every host. */
export function startWeather(world: World): void {
  const { stalls } = world.scenario
  if (stalls === null || world.hosts.length === 0) return
  const { everyMs, ms: mostMs, leastMs = 10, calmMs = Infinity } = stalls
  const random = world.random.weather
  /** Time of the weather: that of the world, and what is left out. */
  const sky = new Clock()
  let playedUntil = calmMs
  /** The world does not pass through what the weather's time passes now. */
  let isLeftOut = false
  const pauseMs = (): number => random.exponential(everyMs)
  for (const host of world.hosts) {
    const turn = (): void => {
      const part = random.pick(['worker', 'main', 'daemon', 'all'] as const)
      const forMs = leastMs + random.next() * (mostMs - leastMs)
      const parts = part === 'all' ? allParts : [part]
      // Two that overlap would be one that is longer than the weather allows.
      const free = host.running && parts.every((one) => !host[one].stalled)
      if (free && parts.includes('worker')) {
        stall(world, host, parts, forMs)
        world.weatheredStalls++
        playedUntil = world.clock.now + calmMs
      } else if (free && !isLeftOut) stall(world, host, parts, forMs)
      sky.after(pauseMs(), turn)
    }
    sky.after(pauseMs(), turn)
  }
  const next = (): void => {
    const skyAt = sky.nextAt
    const drawnAt = Math.max(world.clock.now, skyAt - world.leftOutMs)
    const restMs = drawnAt - Math.max(world.clock.now, playedUntil)
    const at = restMs > 0 && restMs < Infinity ? drawnAt - rhythmMs * Math.floor(restMs / rhythmMs) : drawnAt
    world.clock.at(at, () => {
      isLeftOut = at < drawnAt
      world.leftOutMs += drawnAt - at
      sky.run(skyAt)
      next()
    })
  }
  next()
}

/** Frames of the machines at the ports of the vLANs. */
import type { Frame } from './seen.ts'
import { frameBytes } from './slice.ts'
import type { World } from './world.ts'

/** Lets every port of every vLAN send, each beginning at a moment of its own. */
export function startTraffic(world: World): void {
  const { traffic, lans } = world.scenario
  if (traffic === null) return
  let frames = 0
  for (const [index, { hosts }] of lans.entries()) {
    for (const [turn, place] of hosts.entries()) {
      const next = hosts[(turn + 1) % hosts.length] as number
      const target = traffic.kind === 'ring' ? next : null
      const bytes = frameBytes(place, target)
      const host = world.host(place)
      const send = (): void => {
        world.clock.after(traffic.everyMs, send)
        if (!host.running) return
        const frame: Frame = {
          id: frames++,
          lan: index,
          source: place,
          target,
          sentAt: world.clock.now,
          bytes,
          reached: []
        }
        world.see({ kind: 'sent', frame })
        host.worker.do('port', () => host.slice.fromPort(frame))
      }
      world.clock.after(world.random.traffic.next() * traffic.everyMs, send)
    }
  }
}

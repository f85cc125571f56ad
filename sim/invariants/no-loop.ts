import type { Invariant } from './invariant.ts'

/** No frame goes round, none comes twice. */
export const noLoop: Invariant = {
  name: 'no-loop',
  why: 'a frame that is passed on twice is passed on for ever: a storm stops the vLAN',
  watch: (world) => ({
    see(seen) {
      if (seen.kind === 'frame') {
        const { path, host } = seen
        if (path.includes(host)) world.violate('no-loop', `a frame went ${[...path, host].join(' > ')}`)
        else if (path.length > 2) {
          world.violate('no-loop', `a frame was switched more than once: ${[...path, host].join(' > ')}`)
        }
      }
      if (seen.kind !== 'delivered') return
      const { frame, host } = seen
      if (frame.reached.indexOf(host) !== frame.reached.length - 1) {
        world.violate('no-loop', `frame ${frame.id} of ${frame.source} came twice to ${host}`)
      }
    }
  })
}

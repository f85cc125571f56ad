import { generationOf } from '#core/claims.ts'
import type { Seen } from '../seen.ts'
import type { World } from '../world.ts'
import { mayRun, runnersOf, standing, upMs } from './entities-up.ts'
import type { Invariant } from './invariant.ts'
import { cutIn } from './shut-out.ts'

type Moved = Extract<Seen, { kind: 'moved' }>

/** After its owner moved it to a host that is there, in a world that is calm, an entity runs there and nowhere else. */
export const moved: Invariant = {
  name: 'moved',
  why: 'who moves an entity says where: that another takes it on the way is no move',
  watch(world) {
    /** The last move of each entity, and when. */
    const moves = new Map<string, { readonly move: Moved; readonly at: number }>()
    /** When something ended that befell a world, whatever it was. */
    let disturbedAt = 0
    return {
      see(seen) {
        if (seen.kind === 'fault' && !ofOwners.has(seen.fault.kind)) disturbedAt = world.clock.now
        if (seen.kind === 'moved')
          moves.set(`${seen.violin} ${seen.name}`, { move: seen, at: world.clock.now })
      },
      end() {
        for (const { move, at } of moves.values()) {
          const isCalm = Math.max(world.changedAt, disturbedAt) <= at
          if (isCalm && world.endsAt - at >= upMs) check(world, move)
        }
      }
    }
  }
}

/** What an owner does to its VIOLINs befalls no host. */
const ofOwners: ReadonlySet<string> = new Set(['migrate', 'change', 'publish'])

function check(world: World, { violin, name, to, generation }: Moved): void {
  const index = world.scenario.violins.findIndex((_, place) => world.violin(place).id === violin)
  const entity = standing(world, index)?.entities.find((one) => one.name === name)
  const target = world.host(to)
  if (entity?.generation !== generation || entity.stopped === true || entity.hosts[0] !== target.id) return
  const isCut = cutIn(world)
  if (!mayRun(target, violin, entity, isCut)) return
  const places = runnersOf(world, violin, name, isCut).map(({ place }) => place)
  const held = target.claims?.held(violin, name)
  // What is to stay there is tried again and again, later and later.
  if (held?.state === 'booting' && entity.restart === 'on-failure') return
  if (places.length === 1 && places[0] === to && generationOf(held?.claim ?? 0) === generation) return
  const where = places.length === 0 ? 'nowhere' : `on ${places.join(' and ')}`
  world.violate('moved', `${name} was moved to ${to} and runs ${where}`)
}

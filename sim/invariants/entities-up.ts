import { generationOf } from '#core/claims.ts'
import type { ViolinId } from '#core/ids.ts'
import type { ViolinRecord } from '#core/records/record.ts'
import { beats } from '#core/records/set.ts'
import type { SpecEntity } from '#core/spec.ts'
import { macOfEntity } from '../claims.ts'
import type { Host } from '../host.ts'
import type { World } from '../world.ts'
import type { Invariant } from './invariant.ts'
import { cutIn } from './shut-out.ts'

/** What is lost is taken over, boots, fails and boots elsewhere, two at a time, within this time of rest. */
const upMs = 35_000
/** After the last fault began or ended hosts have come to know who runs what. */
const soundMs = 20_000

/** After faults and rest each entity runs on one living listed host, and nobody took it from there. */
export const entitiesUp: Invariant = {
  name: 'entities-up',
  why: 'a machine whose host died comes back by itself, once, and stays where it came up',
  watch(world) {
    if (world.scenario.violins.every(({ entities }) => entities === undefined)) return {}
    return {
      see(seen) {
        if (seen.kind !== 'entity' || seen.state !== 'pending') return
        if (world.clock.now - world.changedAt < soundMs) return
        const { violin, name, claim } = seen
        const host = world.host(seen.host)
        const entity = host.records.view.violins.get(violin)?.spec?.entities.find((one) => one.name === name)
        const other = runnersOf(world, violin, name).find((one) => {
          if (host.records.shuts(one)) return false
          const held = one.claims?.held(violin, name)
          const same = generationOf(held?.claim ?? 0) === generationOf(claim) && held?.superseded === 0
          return one !== host && same && entity?.hosts.includes(one.id) === true && reaches(world, host, one)
        })
        if (other === undefined) return
        world.violate('entities-up', `host ${host.place} takes ${name} from ${other.place}, where it runs`)
      },
      end() {
        if (world.endsAt - world.restsFrom < upMs) return
        for (const [index, { entities }] of world.scenario.violins.entries()) {
          const spec = entities === undefined ? null : standing(world, index)
          for (const entity of spec?.entities ?? []) checkEnd(world, world.violin(index).id, entity)
        }
      }
    }
  }
}

function checkEnd(world: World, violin: ViolinId, entity: SpecEntity): void {
  const { name, hosts, generation } = entity
  const isCut = cutIn(world)
  // One that was shut out keeps what it runs to itself.
  const runners = runnersOf(world, violin, name).filter(({ records }) => !isCut(records.chain))
  const strayed = runners.find(({ id }) => !hosts.includes(id))
  const may = hosts
    .map((id) => world.byId(id))
    .filter((host) => {
      if (host?.running !== true || isCut(host.records.chain)) return false
      const held = host.claims?.held(violin, name)
      return !(held?.state === 'failed' && generationOf(held.claim) === generation)
    })
  const where = runners.map(({ place }) => place).join(' and ') || 'nowhere'
  if (strayed !== undefined)
    world.violate('entities-up', `${name} runs on ${strayed.place}, which is not listed`)
  else if (runners.some((host) => !isOpen(world, host, violin, name)))
    world.violate('entities-up', `${name} runs on ${where}, and its port there is shut`)
  else if (runners.length > 1 || (runners.length === 0 && may.length > 0))
    world.violate(
      'entities-up',
      `${name} runs ${runners.length === 0 ? '' : 'on '}${where} after all is over`
    )
}

function isOpen(world: World, host: Host, violin: ViolinId, name: string): boolean {
  const lan = host.slice.lans.get(world.entitiesOf(violin)?.lan ?? -1)
  return lan?.ports.get(macOfEntity(world, violin, name))?.claim === host.claims?.held(violin, name)?.claim
}

function runnersOf(world: World, violin: ViolinId, name: string): Host[] {
  return world.hosts.filter((host) => host.running && host.claims?.held(violin, name)?.state === 'running')
}

function reaches(world: World, a: Host, b: Host): boolean {
  const awake = [a, b].every((host) => !host.stalled && world.clock.now - host.daemon.resumedAt > soundMs)
  return awake && world.network.connects(a.place, b.place)
}

/** The version that stands, as all members know it. */
function standing(world: World, index: number): ViolinRecord['body']['spec'] {
  const { id } = world.violin(index)
  const isCut = cutIn(world)
  const members = world.members.filter(({ records }) => !isCut(records.chain))
  const versions = members.flatMap((host) =>
    host.records.set.entries(id).filter((record): record is ViolinRecord => record.kind === 'violin')
  )
  const [first, ...others] = versions
  if (first === undefined) return null
  return others.reduce((best, one) => (beats(one, best) ? one : best), first).body.spec
}

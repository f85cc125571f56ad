import type { Chain } from '#core/admission/chain.ts'
import { generationOf } from '#core/claims.ts'
import type { HostId, ViolinId } from '#core/ids.ts'
import type { ViolinRecord } from '#core/records/record.ts'
import { beats } from '#core/records/set.ts'
import type { SpecEntity } from '#core/spec.ts'
import { macOfEntity } from '../claims.ts'
import type { Host } from '../host.ts'
import type { World } from '../world.ts'
import type { Invariant } from './invariant.ts'
import { cutIn } from './shut-out.ts'

/** What is lost is taken over, boots, fails and boots elsewhere, two at a time, within this time of rest. */
export const upMs = 35_000
/** After the last fault began or ended hosts have come to know who runs what. */
const soundMs = 20_000

/** After faults and rest each entity runs on one living listed host, and nobody took it from there. */
export const entitiesUp: Invariant = {
  name: 'entities-up',
  why: 'a machine whose host died comes back by itself, once, and stays where it came up',
  watch(world) {
    if (world.scenario.violins.every(({ entities }) => entities === undefined)) return {}
    let listedAt = -Infinity
    return {
      see(seen) {
        if (seen.kind === 'fault' && seen.fault.kind === 'change') listedAt = world.clock.now
        if (seen.kind !== 'entity' || seen.state !== 'pending') return
        if (world.clock.now - world.changedAt < soundMs) return
        const { violin, name, claim } = seen
        const host = world.host(seen.host)
        const entity = host.records.view.violins.get(violin)?.spec?.entities.find((one) => one.name === name)
        const other = runnersOf(world, violin, name).find((one) => {
          if (host.records.shuts(one)) return false
          if (host.records.view.members.get(one.id)?.body.draining === true) return false
          const held = one.claims?.held(violin, name)
          // Owners list new hosts behind those that they had (core/placement.ts), simulated ones anywhere.
          const isNew =
            world.clock.now - listedAt < soundMs && comesBefore(entity?.hosts ?? [], host.id, one.id)
          if (isNew) return false
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
  const { name, hosts } = entity
  const isCut = cutIn(world)
  const runners = runnersOf(world, violin, name, isCut)
  const strayed = runners.find(({ id }) => !hosts.includes(id))
  const may = hosts.filter((id) => mayRun(world.byId(id), violin, entity, isCut))
  // What does not fail over may be over, or wait for its host.
  const must = entity.restart === 'failover' && entity.stopped !== true && may.length > 0
  const where = runners.map(({ place }) => place).join(' and ') || 'nowhere'
  if (strayed !== undefined)
    world.violate('entities-up', `${name} runs on ${strayed.place}, which is not listed`)
  else if (runners.some((host) => !isOpen(world, host, violin, name)))
    world.violate('entities-up', `${name} runs on ${where}, and its port there is shut`)
  else if (entity.stopped === true && runners.length > 0)
    world.violate('entities-up', `${name} runs on ${where}, and its owner stopped it`)
  else if (runners.length > 1 || (runners.length === 0 && must))
    world.violate(
      'entities-up',
      `${name} runs ${runners.length === 0 ? '' : 'on '}${where} after all is over`
    )
}

/** Whether a host is there, takes entities, and did not fail to start this one. */
export function mayRun(
  host: Host | undefined,
  violin: ViolinId,
  { name, generation }: SpecEntity,
  isCut: (chain: Chain | null) => boolean
): boolean {
  if (host?.running !== true || host.records.draining || isCut(host.records.chain)) return false
  const held = host.claims?.held(violin, name)
  return !(held?.state === 'failed' && generationOf(held.claim) === generation)
}

function isOpen(world: World, host: Host, violin: ViolinId, name: string): boolean {
  const lan = host.slice.lans.get(world.entitiesOf(violin)?.lan ?? -1)
  return lan?.ports.get(macOfEntity(world, violin, name))?.claim === host.claims?.held(violin, name)?.claim
}

/** The hosts on which an entity runs. One that was shut out keeps what it runs to itself. */
export function runnersOf(
  world: World,
  violin: ViolinId,
  name: string,
  isCut: (chain: Chain | null) => boolean = () => false
): Host[] {
  return world.hosts.filter(
    (host) =>
      host.running && host.claims?.held(violin, name)?.state === 'running' && !isCut(host.records.chain)
  )
}

function reaches(world: World, a: Host, b: Host): boolean {
  const awake = [a, b].every((host) => !host.stalled && world.clock.now - host.daemon.resumedAt > soundMs)
  return awake && world.network.connects(a.place, b.place)
}

/** The version that stands, as all members know it. */
export function standing(world: World, index: number): ViolinRecord['body']['spec'] {
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

function comesBefore(hosts: readonly HostId[], one: HostId, other: HostId): boolean {
  return hosts.indexOf(one) < hosts.indexOf(other)
}

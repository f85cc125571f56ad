import { generationOf, maxClaimOf } from '#core/claims.ts'
import type { HostId, ViolinId } from '#core/ids.ts'
import type { RunState } from '#core/records/bodies.ts'
import type { SpecEntity } from '#core/spec.ts'
import type { Host } from '../host.ts'
import type { World } from '../world.ts'
import { mayRun, runnersOf, standing, upMs } from './entities-up.ts'
import type { Invariant } from './invariant.ts'
import { cutIn } from './shut-out.ts'

/** Who claimed an entity. */
interface Claimed {
  readonly host: HostId
  readonly claim: number
}

/** What does not fail over runs nowhere but where it ran last in its generation, unless that host gives it up. */
export const stays: Invariant = {
  name: 'stays',
  why: 'what is told to stay on its host, or to run once, is not started elsewhere because that host is away',
  watch(world) {
    if (world.scenario.violins.every(({ entities }) => entities?.restarts === undefined)) return {}
    /** The highest claim of each entity since it stood in another list or was stopped, by `violin name`. */
    const homes = new Map<string, Claimed & { readonly hosts: readonly HostId[] }>()
    /** Who heard of that claim. */
    const heard = new Map<string, Set<HostId>>()
    /** Hosts that lost what they knew, or said something else in the place of it. */
    const forgetful = new Set<number>()
    return {
      see(seen) {
        if (seen.kind === 'fault' && ['disk-lost', 'disk-full', 'backup', 'lie'].includes(seen.fault.kind))
          forgetful.add((seen.fault as { readonly host: number }).host)
        if (seen.kind === 'record' && seen.record.kind === 'violin') {
          for (const entity of seen.record.body.spec?.entities ?? []) {
            const name = `${seen.record.key} ${entity.name}`
            // Of two equal claims the list says which is above.
            const isOther = homes.get(name)?.hosts.join() !== entity.hosts.join()
            if (entity.stopped === true || isOther) homes.delete(name)
          }
        } else if (seen.kind === 'record' && seen.record.kind === 'runs') {
          for (const { name: entity, claim } of seen.record.body.entities) {
            const name = `${seen.record.key} ${entity}`
            const home = homes.get(name)
            const by = world.host(seen.host).id
            if (home?.claim === claim && world.byId(home.host)?.signer.publicKey === seen.record.author)
              heard.get(name)?.add(by)
          }
        } else if (seen.kind === 'entity' && seen.state === 'pending') began(seen)
      },
      end() {
        if (world.endsAt - world.restsFrom < upMs) return
        for (const [index, { entities }] of world.scenario.violins.entries()) {
          const spec = entities === undefined ? null : standing(world, index)
          for (const entity of spec?.entities ?? []) checkEnd(index, entity)
        }
      }
    }

    function began(seen: { host: number; violin: ViolinId; name: string; claim: number }): void {
      const { violin, name, claim } = seen
      const host = world.host(seen.host)
      const entity = host.records.view.violins.get(violin)?.spec?.entities.find((one) => one.name === name)
      // Who knows that it was shut out keeps to itself what it runs.
      if (entity === undefined || entity.restart === 'failover' || host.records.isOut) return
      const key = `${violin} ${name}`
      const held = host.claims?.held(violin, name) ?? null
      // A machine that is there already may come under another claim.
      if (held === null || held.state === 'failed') {
        const objection =
          objectionTo(world, host, violin, entity, claim) ?? objectionByTruth(key, host, entity)
        if (objection !== null)
          return world.violate('stays', `host ${host.place} starts ${name}, ${objection}`)
      }
      const home = homes.get(key)
      if (home !== undefined && !isAbove({ host: host.id, claim }, home, entity.hosts)) return
      homes.set(key, { host: host.id, claim, hosts: entity.hosts })
      // Itself it knows after its end what it told: a twentieth of a second later.
      heard.set(key, new Set())
    }

    /** Whoever knew once where it ran does not forget it. */
    function objectionByTruth(key: string, host: Host, entity: SpecEntity): string | null {
      const home = homes.get(key)
      if (home === undefined || generationOf(home.claim) !== entity.generation) return null
      const at = world.byId(home.host) as Host
      if (forgetful.has(host.place) || heard.get(key)?.has(host.id) !== true) return null
      if (at === host)
        return entity.restart === 'never' && !forgetful.has(at.place) ? 'which ran here and is over' : null
      if (!entity.hosts.includes(at.id) || isGivenUp(host, at) || forgetful.has(at.place)) return null
      return `of which it heard that it ran on ${at.place} last`
    }

    function checkEnd(index: number, entity: SpecEntity): void {
      const { id } = world.violin(index)
      const { name, restart, generation, hosts } = entity
      const isCut = cutIn(world)
      const runs = runnersOf(world, id, name, isCut).length > 0
      if (restart === 'failover' || entity.stopped === true || runs) return
      const home = homes.get(`${id} ${name}`)
      const ran = home !== undefined && generationOf(home.claim) === generation
      if (restart === 'never' && ran) return
      const isTried = hosts.some((host) => {
        const held = world.byId(host)?.claims?.held(id, name)
        return (
          held?.state === 'booting' || (held?.state === 'failed' && generationOf(held.claim) === generation)
        )
      })
      const may = hosts.filter((host) => mayRun(world.byId(host), id, entity, isCut))
      // Who was listed after a lie may have claimed the last number, as its daemon then holds: the owner starts it anew.
      const isUsedUp = hosts.some((host) => lastTold(world, id, name, host) === maxClaimOf(generation))
      if (isTried || isUsedUp || may.length === 0) return
      world.violate(
        'stays',
        `${name} runs nowhere after all is over${ran ? `, it ran on ${world.byId(home.host)?.place}` : ''}`
      )
    }
  }
}

/** Why a host that knows what it knows may not start an entity; null: it may. */
function objectionTo(
  world: World,
  host: Host,
  violin: ViolinId,
  { name, hosts, generation, restart }: SpecEntity,
  claim: number
): string | null {
  if (generationOf(claim) !== generation) return `under a claim of another generation`
  let last: (Claimed & { readonly state: RunState }) | null = null
  for (const [by, { body }] of host.records.view.runs.get(violin) ?? []) {
    const row = body.entities.find((one) => one.name === name)
    if (row === undefined || !hosts.includes(by) || generationOf(row.claim) !== generation) continue
    if (last === null || isAbove({ host: by, claim: row.claim }, last, hosts))
      last = { host: by, claim: row.claim, state: row.state }
  }
  const home = world.byId(last?.host ?? (hosts[0] as HostId)) as Host
  if (last?.state === 'failed') return `which failed or is over on ${home.place}`
  if (last !== null && home === host && restart === 'never') return 'which ran here and is over, as it knows'
  if (home === host || isGivenUp(host, home)) return null
  return last === null
    ? `of which ${home.place} is the first`
    : `which ran on ${home.place} last, as it knows`
}

/** The claim that a host tells of an entity, as it has it itself; 0: none. */
function lastTold(world: World, violin: ViolinId, name: string, host: HostId): number {
  const told = world.byId(host)?.records.view.runs.get(violin)?.get(host)
  return told?.body.entities.find((row) => row.name === name)?.claim ?? 0
}

/** Whether a host holds that another drains, or is out. */
function isGivenUp({ records }: Host, other: Host): boolean {
  return records.shuts(other) || records.view.members.get(other.id)?.body.draining === true
}

function isAbove(a: Claimed, b: Claimed, hosts: readonly HostId[]): boolean {
  return a.claim === b.claim ? hosts.indexOf(a.host) < hosts.indexOf(b.host) : a.claim > b.claim
}

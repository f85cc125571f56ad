import type { HostKey, Mac, ViolinId } from '#core/ids.ts'
import { macOfEntity } from '../claims.ts'
import type { Invariant } from './invariant.ts'

/** Every claim that stands is by a host that the record lists for the entity. */
export const claimsListed: Invariant = {
  name: 'claims-listed',
  why: 'a claim costs nothing to make up: whoever is believed without being listed gets the frames of any machine',
  watch(world) {
    if (world.scenario.violins.every(({ entities }) => entities === undefined)) return {}
    /** Hosts that any version ever listed, by MAC: what is on its way may be of a former one. */
    const listed = new Map<Mac, Set<HostKey>>()
    const listedIn = (violin: ViolinId, name: string): Set<HostKey> => {
      const mac = macOfEntity(world, violin, name)
      const hosts = listed.get(mac) ?? new Set()
      listed.set(mac, hosts)
      return hosts
    }
    return {
      see(seen) {
        if (seen.kind === 'record' && seen.record.kind === 'violin') {
          const { key, body } = seen.record
          for (const { name, hosts } of body.spec?.entities ?? [])
            for (const id of hosts) listedIn(key as ViolinId, name).add(world.byId(id)?.key as HostKey)
        } else if (seen.kind === 'entity' && seen.state === 'pending') {
          const { key, place } = world.host(seen.host)
          if (!listedIn(seen.violin, seen.name).has(key))
            world.violate('claims-listed', `host ${place} claims ${seen.name}, for which nobody listed it`)
        } else if (seen.kind === 'effect' && seen.effect.kind === 'fdb') {
          const { peer, macs } = seen.effect
          for (const mac of macs)
            if (listed.get(mac)?.has(peer) === false)
              world.violate(
                'claims-listed',
                `host ${seen.host} sends frames for ${mac} to ${world.byKey(peer).place}`
              )
        }
      },
      look() {
        for (const host of world.looked()) {
          const violins = host.running && host.claims !== null ? host.records.view.violins.values() : []
          for (const violin of violins) {
            if (world.entitiesOf(violin.id) === null) continue
            for (const entity of violin.spec?.entities ?? []) {
              const keeper = host.claims?.keeper(violin, entity) ?? null
              if (keeper === null || entity.hosts.includes(keeper)) continue
              world.violate(
                'claims-listed',
                `host ${host.place} holds that ${entity.name} is with ${world.byId(keeper)?.place}, which is not listed`
              )
            }
          }
        }
      }
    }
  }
}

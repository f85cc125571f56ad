/** What people see of a VIOLIN: its record and what its hosts say of themselves, put together. Pure. */
import { macOf } from '#core/derive.ts'
import type { HostId } from '#core/ids.ts'
import type { ViolinView } from '#core/records/view.ts'
import type { Spec, SpecEntity } from '#core/spec.ts'
import type { Show, ShowEntity, ShowLan, ViolinState } from '#api/contract.ts'
import { crypto } from './crypto.ts'
import type { HostStatus } from './statuses.ts'

export type StatusMap = ReadonlyMap<HostId, HostStatus | null>

/** Puts together what `violin show` tells. `nameOf` names hosts for people; who left is not waited for. */
export function showOf(
  violin: ViolinView,
  statuses: StatusMap,
  nameOf: (host: HostId) => string,
  hasLeft: (host: HostId) => boolean
): Show {
  const { spec } = violin
  const entities =
    spec?.entities.map((entity) => {
      const shown = showEntity(violin, entity, statuses, nameOf)
      const [host] = entity.hosts
      if (host === undefined || !hasLeft(host)) return shown
      return {
        ...shown,
        state: 'stopped' as const,
        reason: 'its host left the mesh: apply again to place it'
      }
    }) ?? []
  const lans = spec?.lans.map((lan) => showLan(violin, spec, lan.name, lan.subnet, statuses, nameOf)) ?? []
  return {
    name: violin.name,
    id: violin.id,
    owner: nameOf(violin.ownerHost),
    ownerKey: violin.owner,
    state: stateOf(violin, statuses),
    version: violin.version,
    expiresAt: new Date(violin.record.endsAt).toISOString(),
    lans,
    entities,
    jetways: [],
    stale: [...statuses]
      .filter(([host, status]) => status === null && !hasLeft(host))
      .map(([host]) => nameOf(host))
  }
}

/** The state of a whole VIOLIN. */
export function stateOf(violin: ViolinView, statuses: StatusMap): ViolinState {
  if (violin.spec === null)
    return [...statuses.values()].some((status) => status?.runs !== null && status !== null)
      ? 'stopping'
      : 'gone'
  const states = violin.spec.entities.map((entity) => entityState(violin, entity, statuses).state)
  const switched = violin.spec.lans.every(
    (lan) => lan.hosts.length === 0 || switchOf(lan.name, statuses).active !== null
  )
  if (states.every((state) => state === 'running') && switched) return 'running'
  return states.some(
    (state) => state === 'failed' || state === 'refused' || state === 'unreachable' || state === 'stopped'
  )
    ? 'degraded'
    : 'starting'
}

/** One entity's state, as the host that should run it says. */
export function entityState(
  violin: ViolinView,
  entity: SpecEntity,
  statuses: StatusMap
): Pick<ShowEntity, 'state' | 'reason' | 'bootMs'> & { readonly up: ReadonlyMap<string, boolean> } {
  const [host] = entity.hosts
  const none = { bootMs: null, up: new Map<string, boolean>() }
  if (host === undefined) return { state: 'pending', reason: 'no host was chosen', ...none }
  const status = statuses.get(host) ?? null
  if (status === null) return { state: 'unreachable', reason: 'its host does not answer', ...none }
  const own = status.entities.find(({ name }) => name === entity.name)
  if (status.holds < violin.version || status.runs !== violin.version || own === undefined) {
    return {
      state: 'pending',
      reason: status.trouble === '' ? 'its host is about to start it' : status.trouble,
      ...none
    }
  }
  const up = new Map(own.nics.map((nic) => [nic.name, nic.up]))
  if (own.state === 'failed' && own.reason.startsWith('refused: ')) {
    return { state: 'refused', reason: own.reason.slice('refused: '.length), bootMs: null, up }
  }
  return { state: own.state, reason: own.reason, bootMs: own.bootMs, up }
}

/** The vSwitch of a vLAN: of all that hosts say, the highest term. */
export function switchOf(
  lan: string,
  statuses: StatusMap
): { readonly active: HostId | null; readonly standby: HostId | null; readonly term: number | null } {
  let best: { active: HostId | null; standby: HostId | null; term: number } | null = null
  for (const status of statuses.values()) {
    const seen = status?.switches.find((one) => one.lan === lan)
    // Of two that know one term, the one that knows the standby knows more.
    if (seen === undefined || seen.active === null) continue
    if (best === null || seen.term > best.term || (seen.term === best.term && best.standby === null)) {
      best = { active: seen.active, standby: seen.standby, term: seen.term }
    }
  }
  return best ?? { active: null, standby: null, term: null }
}

function showEntity(
  violin: ViolinView,
  entity: SpecEntity,
  statuses: StatusMap,
  nameOf: (host: HostId) => string
): ShowEntity {
  const { state, reason, bootMs, up } = entityState(violin, entity, statuses)
  const host = entity.hosts[0] ?? null
  return {
    name: entity.name,
    kind: entity.kind,
    driver: entity.driver,
    host: host === null ? null : nameOf(host),
    hostId: host,
    state,
    reason,
    bootMs,
    nics: entity.nics.map((nic) => ({
      name: nic.name,
      lan: nic.lan,
      mac: macOf(crypto, violin.id, entity.name, nic.name),
      ips: nic.ips,
      up: up.get(nic.name) ?? false
    }))
  }
}

function showLan(
  violin: ViolinView,
  spec: Spec,
  name: string,
  subnet: string,
  statuses: StatusMap,
  nameOf: (host: HostId) => string
): ShowLan {
  const named = (host: HostId | null): string | null => (host === null ? null : nameOf(host))
  const { active, standby, term } = switchOf(name, statuses)
  return {
    name,
    subnet,
    vswitch: { active: named(active), standby: named(standby), term },
    ports: spec.entities.flatMap((entity) =>
      entity.nics
        .filter((nic) => nic.lan === name)
        .map((nic) => ({
          entity: entity.name,
          nic: nic.name,
          mac: macOf(crypto, violin.id, entity.name, nic.name),
          host: named(entity.hosts[0] ?? null)
        }))
    )
  }
}

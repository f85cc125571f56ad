/** What people see of a VIOLIN: its record and what its hosts say of themselves, put together. Pure. */
import { claimantIn } from '#core/claims.ts'
import { macOf } from '#core/derive.ts'
import { expectedEntities, isAttached, openJetways } from '#core/doors.ts'
import type { HostId } from '#core/ids.ts'
import { formatLink } from '#core/link.ts'
import type { Lost } from '#core/records/upon.ts'
import type { ViolinView } from '#core/records/view.ts'
import type { MacOf } from '#core/routing/dnsmasq.ts'
import { servicePaths } from '#core/routing/paths.ts'
import { servicesOf } from '#core/routing/services.ts'
import type { Jetway, Spec, SpecEntity, SpecLan } from '#core/spec.ts'
import type { EntityConfig, Show, ShowEntity, ShowJetway, ShowLan, ViolinState } from '#api/contract.ts'
import { crypto } from './crypto.ts'
import type { EntityStatus } from '#slice/contract.ts'
import { sayLost } from './signings.ts'
import type { HostStatus } from './statuses.ts'

/** What hosts say, null where they were asked and do not answer; who is not in it was not heard yet. */
export type StatusMap = ReadonlyMap<HostId, HostStatus | null>

/** Why a host is none any more. */
export type Gone = 'left' | 'shut out'

/**
 * Puts together what `violin show` tells. `nameOf` names hosts for people; who is gone is not waited for. `lost`: what was
 * signed here and does not count.
 */
export function showOf(
  violin: ViolinView,
  statuses: StatusMap,
  nameOf: (host: HostId) => string,
  goneOf: (host: HostId) => Gone | null,
  lost: Lost | null = null
): Show {
  const { spec } = violin
  const entities = (spec?.entities ?? [])
    .filter(({ jetway }) => jetway === undefined)
    .map((entity) => {
      const shown = showEntity(violin, entity, statuses, nameOf)
      const gone = entity.hosts.map(goneOf)
      if (gone.includes(null) || gone.length === 0) return shown
      // What was shut out may go on running it, alone.
      return gone.includes('shut out')
        ? { ...shown, reason: 'its hosts were shut out of the mesh: apply again to place it' }
        : { ...shown, state: 'stopped' as const, reason: 'its hosts left the mesh: apply again to place it' }
    })
  const lans = spec?.lans.map((lan) => showLan(violin, spec, lan, statuses, nameOf)) ?? []
  return {
    name: violin.name,
    id: violin.id,
    owner: ownerOf(violin, nameOf),
    ownerKey: violin.owner,
    hosts: [...violin.holders].map(nameOf),
    state: stateOf(violin, statuses),
    version: violin.version,
    expiresAt: new Date(violin.record.endsAt).toISOString(),
    lost: lost === null ? null : sayLost(lost, nameOf(lost.standing.host)),
    lans,
    entities,
    jetways: (spec?.entities ?? []).flatMap((entity) => showJetway(violin, entity, statuses, nameOf)),
    offers: (spec?.offers ?? []).map(({ lan, to }) => ({ lan, to: nameOf(to) })),
    stale: [...statuses]
      .filter(([host, status]) => status === null && goneOf(host) === null)
      .map(([host]) => nameOf(host))
  }
}

/** What the services of each entity are given, as its record asks for it. */
export function configOf(violin: ViolinView): EntityConfig[] {
  const { spec } = violin
  if (spec === null) return []
  const macs: MacOf = (entity, nic) => macOf(crypto, violin.id, entity, nic)
  return spec.entities.map((entity) => {
    const { files, start } = servicesOf(spec, entity, macs)
    const own = entity.files.filter(({ path }) => servicePaths.includes(path))
    const texts = [...files, ...own].map(({ path, data }) => ({ path, text: new TextDecoder().decode(data) }))
    return { entity: entity.name, files: texts, start }
  })
}

/** What concerns a host that is there by offers: the vLANs offered, and what it put there. */
export function asSeenByGuest(shown: Show, guest: string): Show {
  const offers = shown.offers.filter(({ to }) => to === guest)
  const entities = shown.entities.filter(({ by }) => by === guest)
  return {
    ...shown,
    lans: shown.lans
      .filter(({ name }) => offers.some(({ lan }) => lan === name))
      .map((lan) => ({
        ...lan,
        ports: lan.ports.filter(({ entity }) => entities.some(({ name }) => name === entity))
      })),
    entities,
    jetways: [],
    offers
  }
}

/** Whose a VIOLIN is, for people: all hosts on which its owner's key lies, the same wherever it is asked. */
export function ownerOf({ ownerHosts }: ViolinView, nameOf: (host: HostId) => string): string {
  return ownerHosts
    .map(nameOf)
    .toSorted((a, b) => (a < b ? -1 : 1))
    .join(', ')
}

/** The state of a whole VIOLIN. */
export function stateOf(violin: ViolinView, statuses: StatusMap): ViolinState {
  if (violin.spec === null)
    return [...statuses.values()].some((status) => status?.runs !== null && status !== null)
      ? 'stopping'
      : 'gone'
  const states = expectedEntities(violin.spec).map((entity) => entityState(violin, entity, statuses).state)
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

/** What is known of an entity: of the hosts that may run it, the one that does, or should. */
export interface EntityState extends Pick<ShowEntity, 'state' | 'reason' | 'bootMs'> {
  readonly host: HostId | null
  /** What its host says of its vNICs, by name. */
  readonly nics: ReadonlyMap<string, EntityStatus['nics'][number]>
  /** It failed, and its host is about to start it again. */
  readonly again: boolean
}

/** One entity's state, as its hosts say: the highest claim of those that answer counts. */
export function entityState(violin: ViolinView, entity: SpecEntity, statuses: StatusMap): EntityState {
  const { hosts } = entity
  const none = { bootMs: null, nics: new Map<string, never>(), again: false }
  const said = hosts.flatMap((host) => {
    const status = statuses.get(host) ?? null
    const own = status?.entities.find(({ name }) => name === entity.name)
    const isCurrent = status !== null && status.holds >= violin.version && status.runs === violin.version
    return own === undefined || !isCurrent ? [] : [{ host, own }]
  })
  if (entity.stopped === true) {
    const running = said.find(({ own }) => own.state === 'running' || own.state === 'booting')
    const state = running === undefined ? ('stopped' as const) : running.own.state
    return { host: running?.host ?? hosts[0] ?? null, state, reason: 'stopped by its owner', ...none }
  }
  const living = said.filter(({ own }) => own.state !== 'failed' || own.again)
  const [best] = living.toSorted(
    (a, b) =>
      Number(b.own.state === 'running') - Number(a.own.state === 'running') || b.own.claim - a.own.claim
  )
  // Machines go on where the daemon alone ended: nobody is about to start them, and who has one that stopped had it before.
  const claimant = claimantIn(violin.runs, entity)
  const isSilent = claimant !== null && statuses.get(claimant) == null
  if (best !== undefined && !(isSilent && best.own.state === 'stopped')) {
    const { state, reason, bootMs, again } = best.own
    const nics = new Map(best.own.nics.map((nic) => [nic.name, nic]))
    return { host: best.host, state, reason, bootMs, nics, again: state === 'failed' && again }
  }
  const unheard = (host: HostId): EntityState =>
    statuses.has(host)
      ? { host, state: 'unreachable', reason: 'its host does not answer', ...none }
      : { host, state: 'pending', reason: 'its host was not heard yet', ...none }
  if (isSilent) return unheard(claimant)
  const first = hosts.find((host) => statuses.get(host) != null) ?? hosts[0] ?? null
  if (first === null) return { host: null, state: 'pending', reason: 'no host was chosen', ...none }
  if (statuses.get(first) == null) return unheard(first)
  const [failure] = said
  const mayTry = hosts.some(
    (host) =>
      statuses.get(host) != null && !said.some((one) => one.host === host) && entity.restart === 'failover'
  )
  if (failure !== undefined && !mayTry) {
    const { reason } = failure.own
    const state = reason.startsWith(refusedMark) ? ('refused' as const) : ('failed' as const)
    const why = state === 'refused' ? reason.slice(refusedMark.length) : reason
    return { host: failure.host, state, reason: why, ...none }
  }
  if (isAttached(entity))
    return { host: first, state: 'stopped', reason: 'nobody holds it there: violin detach', ...none }
  // Where it runs only where it ran, that is one of those that do not answer.
  const silent = hosts.find((host) => statuses.get(host) == null)
  if (silent !== undefined && entity.restart !== 'failover') return unheard(silent)
  const trouble = statuses.get(first)?.trouble ?? ''
  const reason =
    failure !== undefined
      ? `the next host is asked: ${failure.own.reason}`
      : first !== hosts[0]
        ? 'its host does not answer, the next is about to start it'
        : 'its host is about to start it'
  return { host: first, state: 'pending', reason: trouble === '' ? reason : trouble, ...none }
}

/** How the reason of a status begins whose host refused the entity. */
const refusedMark = 'refused: '

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
  const { state, reason, bootMs, nics, host } = entityState(violin, entity, statuses)
  return {
    name: entity.name,
    kind: entity.kind === 'router' ? 'router' : 'host',
    driver: entity.driver,
    image: entity.image.name,
    host: host === null ? null : nameOf(host),
    hostId: host,
    hosts: entity.hosts.map(nameOf),
    restart: entity.restart,
    by: entity.by === undefined ? null : nameOf(entity.by),
    state,
    reason,
    bootMs,
    nics: entity.nics.map((nic) => ({
      name: nic.name,
      lan: nic.lan,
      mac: macOf(crypto, violin.id, entity.name, nic.name),
      ips: [...(nics.get(nic.name)?.given ?? []), ...nic.ips],
      up: nics.get(nic.name)?.up === true && nic.link?.down !== true,
      link: formatLink(nic.link ?? {})
    }))
  }
}

/** Who opens what its host refuses, and how. */
export function jetwayRemedy(
  { owner }: Pick<ViolinView, 'owner'>,
  { bridge }: Pick<Jetway, 'bridge'>,
  host: string
): string {
  const flag = bridge === '' ? '' : ` --bridge ${bridge}`
  return `its operator lets you, on ${host}: violin jetway allow ${owner}${flag} (docs/jetway.md)`
}

function showJetway(
  violin: ViolinView,
  entity: SpecEntity,
  statuses: StatusMap,
  nameOf: (host: HostId) => string
): ShowJetway[] {
  const { name, jetway, nics, hosts } = entity
  const [nic] = nics
  if (jetway === undefined || nic === undefined) return []
  const { mode, bridge, enabled } = jetway
  const isWanted = violin.spec !== null && openJetways(violin.spec).has(name)
  const { state, reason, host } = entityState(violin, entity, statuses)
  const shut = enabled ? 'another bridge of this vLAN is open' : ''
  return [
    {
      name,
      lan: nic.lan,
      mode,
      bridge: mode === 'bridge' ? bridge : null,
      host: nameOf(host ?? (hosts[0] as HostId)),
      hostId: host ?? (hosts[0] as HostId),
      ip: nic.ips[0] ?? null,
      enabled,
      state: isWanted ? openState(state) : 'shut',
      reason: isWanted ? reason : shut
    }
  ]
}

function openState(state: ShowEntity['state']): ShowJetway['state'] {
  if (state === 'running') return 'open'
  return state === 'pending' || state === 'booting' || state === 'stopped' ? 'opening' : state
}

function showLan(
  violin: ViolinView,
  spec: Spec,
  { name, subnet, ipv6 }: SpecLan,
  statuses: StatusMap,
  nameOf: (host: HostId) => string
): ShowLan {
  const named = (host: HostId | null): string | null => (host === null ? null : nameOf(host))
  const { active, standby, term } = switchOf(name, statuses)
  return {
    name,
    subnet: subnet ?? null,
    ipv6: ipv6 ?? null,
    vswitch: { active: named(active), standby: named(standby), term },
    ports: spec.entities.flatMap((entity) =>
      entity.nics
        .filter((nic) => nic.lan === name)
        .map((nic) => ({
          entity: entity.name,
          nic: nic.name,
          mac: macOf(crypto, violin.id, entity.name, nic.name),
          host: named(entityState(violin, entity, statuses).host)
        }))
    )
  }
}

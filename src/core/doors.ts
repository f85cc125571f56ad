/**
 * Where a VIOLIN meets real hosts: jetways, which its owner opens and shuts, and hosts that attached themselves to
 * a vLAN. Both are entities without a machine, so claims, ports and elections know nothing of them.
 */
import { bare, isIpv6 } from './addresses.ts'
import { ViolinError } from './errors.ts'
import type { HostId } from './ids.ts'
import {
  byDhcp,
  type Offer,
  type Spec,
  type SpecEntity,
  type SpecLan,
  type Topology,
  type TopologyEntity
} from './spec.ts'

/** A real host on a vLAN: there while a command on that host holds it, wherever the record stands. */
export function isAttached(entity: Pick<SpecEntity, 'kind' | 'driver'>): boolean {
  return entity.driver === 'tap' && entity.kind === 'host'
}

/** Whether a real host asks on its vLAN for its IPv4 address: there are such, and the record has none for it. */
export function asksForAddress(
  entity: Pick<SpecEntity, 'kind' | 'driver' | 'nics'>,
  lans: readonly Pick<SpecLan, 'name' | 'subnet'>[]
): boolean {
  const [nic] = entity.nics
  if (!isAttached(entity) || nic === undefined || nic.ips.some((one) => !isIpv6(one))) return false
  return lans.find(({ name }) => name === nic.lan)?.subnet !== undefined
}

/** Names of the jetways to be open. Of enabled bridges to one vLAN only the first is: two would make a loop. */
export function openJetways(spec: Pick<Spec, 'entities'>): ReadonlySet<string> {
  const open = new Set<string>()
  const bridged = new Set<string>()
  for (const { name, jetway, nics } of spec.entities) {
    if (jetway?.enabled !== true) continue
    const lan = nics[0]?.lan ?? ''
    if (jetway.mode === 'bridge' && bridged.has(lan)) continue
    if (jetway.mode === 'bridge') bridged.add(lan)
    open.add(name)
  }
  return open
}

/** The entities without which a VIOLIN does not wholly run: attached hosts come and go, shut jetways stay shut. */
export function expectedEntities(spec: Pick<Spec, 'entities'>): readonly SpecEntity[] {
  const open = openJetways(spec)
  return spec.entities.filter(
    ({ name, driver, stopped }) => stopped !== true && (driver !== 'tap' || open.has(name))
  )
}

/** A host that is attached, or what another owner put here by an offer: no file names it. */
export function isGuest(entity: Pick<SpecEntity, 'kind' | 'driver' | 'by'>): boolean {
  return isAttached(entity) || entity.by !== undefined
}

/** Whether a host that is not its owner's takes part by offers alone: what it put there is all that it sees. */
export function isGuestHost({ lans, entities, offers = [] }: Spec, host: HostId): boolean {
  const runs = [...lans, ...entities.filter(({ by }) => by !== host)]
  return offers.some(({ to }) => to === host) && !runs.some(({ hosts }) => hosts.includes(host))
}

/**
 * A topology with the guests that are here now; not those whose vLAN it drops. Throws ViolinError `name-taken` where
 * it gives the name of one to something of its own.
 */
export function withGuests(topology: Topology, former: Spec | null): Topology {
  const lans = new Set(topology.lans.map(({ name }) => name))
  const guests = (former?.entities ?? [])
    .filter((entity) => isGuest(entity) && entity.nics.every(({ lan }) => lans.has(lan)))
    .map((entity) => topologyOf(entity, former?.lans ?? []))
  const named = new Set([...lans, ...topology.entities.map(({ name }) => name)])
  const twice = guests.find(({ name }) => named.has(name))
  if (twice !== undefined)
    throw new ViolinError(
      'name-taken',
      `${twice.name} is the name of a guest on ${twice.nics[0]?.lan}, which no file names`,
      'rename what the file calls so, or let the guest go: `violin detach` on its host, `violin offer --withdraw` here'
    )
  return guests.length === 0 ? topology : { ...topology, entities: [...topology.entities, ...guests] }
}

/** A spec in which a vLAN is offered to another owner's host. */
export function withOffer(spec: Spec, { lan, to }: Offer): Spec {
  const offers = spec.offers ?? []
  const stands = offers.some((one) => one.lan === lan && one.to === to)
  return stands ? spec : { ...spec, offers: [...offers, { lan, to }] }
}

/** A spec in which that is taken back, with all that came by it. */
export function withoutOffer(spec: Spec, { lan, to }: Offer): Spec {
  const { offers = [], ...rest } = spec
  const others = offers.filter((one) => one.lan !== lan || one.to !== to)
  const came = spec.entities.filter(({ by, nics }) => by === to && nics.some((nic) => nic.lan === lan))
  const without = came.reduce<Spec>((before, { name }) => withoutEntity(before, name), rest)
  return others.length === 0 ? without : { ...without, offers: others }
}

/** A settled entity as a file would have it: on its host, with its addresses. */
export function topologyOf(entity: SpecEntity, lans: readonly SpecLan[]): TopologyEntity {
  const { name, kind, driver, image, memoryMiB, hosts, restart, nics, env, files, run, jetway, by } = entity
  return {
    name,
    kind,
    driver,
    image: image.name,
    memoryMiB,
    ...(hosts[0] === undefined ? {} : { on: hosts[0] }),
    restart,
    nics: nics.map(({ name: nic, lan, ips }) => {
      const ip = asksForAddress(entity, lans) ? byDhcp : ips.find((one) => !isIpv6(one))
      const ipv6 = ips.find(isIpv6)
      const own = {
        ...(ip === undefined ? {} : { ip: bare(ip) }),
        ...(ipv6 === undefined ? {} : { ipv6: bare(ipv6) })
      }
      return { name: nic, lan, ...own }
    }),
    env,
    files,
    run,
    ...(jetway === undefined ? {} : { jetway }),
    ...(by === undefined ? {} : { by })
  }
}

/** A spec with one more guest. On a vLAN that has no others, guests switch for one another. */
export function withEntity(spec: Spec, entity: SpecEntity): Spec {
  const [host] = entity.hosts
  const lans = spec.lans.map((lan) => {
    const joins = entity.nics.some((nic) => nic.lan === lan.name) && isOfGuests(spec, lan)
    return joins && host !== undefined && !lan.hosts.includes(host)
      ? { ...lan, hosts: [...lan.hosts, host] }
      : lan
  })
  return { ...spec, lans, entities: [...spec.entities, entity] }
}

/** A spec without a guest. */
export function withoutEntity(spec: Spec, name: string): Spec {
  const entities = spec.entities.filter((entity) => entity.name !== name)
  const rest = { ...spec, entities }
  const lans = spec.lans.map((lan) => {
    if (!isOfGuests(spec, lan)) return lan
    const staying = new Set(portHosts(rest, lan))
    return { ...lan, hosts: lan.hosts.filter((host) => staying.has(host)) }
  })
  return { ...rest, lans }
}

/** Whether only guests have ports on a vLAN, and only they switch it. */
function isOfGuests(spec: Spec, lan: SpecLan): boolean {
  const onLan = spec.entities.filter(({ nics }) => nics.some((nic) => nic.lan === lan.name))
  const hosts = new Set(portHosts(spec, lan))
  return onLan.every(isGuest) && lan.hosts.every((host) => hosts.has(host))
}

function portHosts(spec: Spec, lan: SpecLan): HostId[] {
  return spec.entities
    .filter(({ nics }) => nics.some((nic) => nic.lan === lan.name))
    .flatMap(({ hosts }) => hosts)
}

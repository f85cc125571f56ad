/**
 * From what a person wrote to what the record carries: addresses for vNICs that named none, default routes
 * of vHosts, and the routers' way to every vLAN. Pure; where each entity runs was decided in placement.ts.
 */
import { ViolinError } from './errors.ts'
import type { HostId } from './ids.ts'
import { formatIpv4, isHostAddress, parseIpv4, parseSubnet, type Subnet } from './ipv4.ts'
import type {
  Spec,
  SpecEntity,
  SpecLan,
  SpecNic,
  SpecRoute,
  Topology,
  TopologyEntity,
  TopologyLan
} from './spec.ts'

/** Ordered hosts of every entity and vLAN, by name. */
export interface Placement {
  readonly entities: ReadonlyMap<
    string,
    { readonly hosts: readonly HostId[]; readonly pinned: boolean; readonly why: string }
  >
  readonly lans: ReadonlyMap<string, { readonly hosts: readonly HostId[]; readonly why: string }>
}

interface Addressed {
  readonly entity: TopologyEntity
  readonly nics: readonly SpecNic[]
}

/**
 * Settles a topology. An address that an entity's vNIC had in `previous` stays with it, so that adding one
 * machine renumbers none. Names are unique (topology/ saw to it). Throws ViolinError `topology-invalid` when a
 * subnet is full or none, an address is outside of it or given twice, a vNIC is on no vLAN.
 */
export function resolveTopology(topology: Topology, placement: Placement, previous: Spec | null): Spec {
  const addressed = assignAddresses(topology, previous)
  const lans = topology.lans.map((lan): SpecLan => ({
    name: lan.name,
    subnet: lan.subnet,
    hosts: placement.lans.get(lan.name)?.hosts ?? []
  }))
  const entities = addressed.map(({ entity, nics }): SpecEntity => {
    const place = placement.entities.get(entity.name)
    return {
      name: entity.name,
      kind: entity.kind,
      driver: entity.driver,
      memoryMiB: entity.memoryMiB,
      nics,
      routes:
        entity.kind === 'router'
          ? routerRoutes(entity.name, topology, addressed)
          : hostRoutes(nics, topology, addressed),
      env: entity.env,
      files: entity.files,
      run: entity.run ?? '',
      hosts: place?.hosts ?? [],
      pinned: place?.pinned ?? false,
      restart: entity.restart ?? (place?.pinned === true ? 'on-failure' : 'failover'),
      generation: previous?.entities.find(({ name }) => name === entity.name)?.generation ?? 0
    }
  })
  return { name: topology.name, lans, entities }
}

function assignAddresses(topology: Topology, previous: Spec | null): Addressed[] {
  const subnets = new Map<string, Subnet>()
  const taken = new Map<string, Set<number>>()
  for (const lan of topology.lans) {
    const subnet = parseSubnet(lan.subnet)
    if (subnet === null)
      throw new ViolinError(
        'topology-invalid',
        `${lan.subnet} of ${lan.name} is no subnet`,
        'write it as 192.168.1.0/24'
      )
    subnets.set(lan.name, subnet)
    taken.set(lan.name, new Set())
  }
  const chosen = new Map<string, number>()
  const claim = (key: string, lan: string, address: number): boolean => {
    const subnet = subnets.get(lan)
    const used = taken.get(lan)
    if (subnet === undefined || used === undefined || used.has(address) || !isHostAddress(subnet, address))
      return false
    used.add(address)
    chosen.set(key, address)
    return true
  }
  const all = topology.entities.flatMap((entity) =>
    entity.nics.map((nic) => ({ key: `${entity.name}:${nic.name}`, nic }))
  )
  for (const { key, nic } of all) {
    if (!subnets.has(nic.lan))
      throw new ViolinError(
        'topology-invalid',
        `${key} is on ${nic.lan}, which is no vLAN`,
        'declare it under lans'
      )
    if (nic.ip === undefined) continue
    const address = parseIpv4(nic.ip)
    if (address === null || !claim(key, nic.lan, address))
      throw new ViolinError(
        'topology-invalid',
        `${nic.ip} of ${key} is outside ${nic.lan} or taken twice`,
        'give it a free address of the subnet'
      )
  }
  for (const { key, nic } of all) {
    const before = chosen.has(key) ? undefined : previousAddress(previous, key, nic.lan)
    if (before !== undefined) claim(key, nic.lan, before)
  }
  for (const { key, nic } of all) {
    if (!chosen.has(key))
      claimNextFree(key, nic.lan, subnets.get(nic.lan) as Subnet, taken.get(nic.lan) as Set<number>, claim)
  }
  return topology.entities.map((entity) => ({
    entity,
    nics: entity.nics.map((nic) => ({
      name: nic.name,
      lan: nic.lan,
      ips: [
        `${formatIpv4(chosen.get(`${entity.name}:${nic.name}`) as number)}/${subnets.get(nic.lan)?.prefix}`
      ]
    }))
  }))
}

function previousAddress(previous: Spec | null, key: string, lan: string): number | undefined {
  for (const entity of previous?.entities ?? [])
    for (const nic of entity.nics)
      if (`${entity.name}:${nic.name}` === key && nic.lan === lan)
        return parseIpv4(bareAddress(nic)) ?? undefined
  return undefined
}

function claimNextFree(
  key: string,
  lan: string,
  subnet: Subnet,
  used: ReadonlySet<number>,
  claim: (key: string, lan: string, address: number) => boolean
): void {
  // One more than the addresses in use bounds the search, however large the subnet is.
  for (let address = subnet.base + 1; address <= subnet.base + used.size + 1; address++)
    if (claim(key, lan, address)) return
  throw new ViolinError(
    'topology-invalid',
    `no free address for ${key} in ${lan}`,
    'give the vLAN a larger subnet'
  )
}

/** The address of a vNIC without its prefix length. */
export function bareAddress(nic: SpecNic): string {
  return (nic.ips[0] ?? '').split('/')[0] as string
}

/** A vHost's way out: the router of the first of its vLANs that has one. */
function hostRoutes(
  nics: readonly SpecNic[],
  topology: Topology,
  addressed: readonly Addressed[]
): SpecRoute[] {
  for (const nic of nics) {
    const via = gatewayOf(nic.lan, topology, addressed)
    if (via !== undefined) return [{ to: 'default', via }]
  }
  return []
}

function gatewayOf(lan: string, topology: Topology, addressed: readonly Addressed[]): string | undefined {
  const wanted = topology.lans.find((candidate) => candidate.name === lan)?.gateway
  const router = addressed.find(
    ({ entity, nics }) =>
      entity.kind === 'router' &&
      (wanted === undefined || entity.name === wanted) &&
      nics.some((nic) => nic.lan === lan)
  )
  const nic = router?.nics.find((candidate) => candidate.lan === lan)
  return nic === undefined ? undefined : bareAddress(nic)
}

/** Shortest way (in routers) from one router to every vLAN it is not on; ties go to the file's order. */
function routerRoutes(self: string, topology: Topology, addressed: readonly Addressed[]): SpecRoute[] {
  const routers = addressed.filter(({ entity }) => entity.kind === 'router')
  const own = routers.find(({ entity }) => entity.name === self)
  const nextHop = new Map<string, string | null>()
  for (const nic of own?.nics ?? []) nextHop.set(nic.lan, null)
  const queue = [...nextHop.keys()]
  for (let lan = queue.shift(); lan !== undefined; lan = queue.shift()) {
    const via = nextHop.get(lan) as string | null
    for (const router of routers) {
      const here = router.nics.find((nic) => nic.lan === lan)
      if (here === undefined || router.entity.name === self) continue
      for (const nic of router.nics) {
        if (nextHop.has(nic.lan)) continue
        nextHop.set(nic.lan, via ?? bareAddress(here))
        queue.push(nic.lan)
      }
    }
  }
  const subnetOf = new Map<string, string>(topology.lans.map((lan: TopologyLan) => [lan.name, lan.subnet]))
  return topology.lans.flatMap((lan) => {
    const via = nextHop.get(lan.name)
    return typeof via === 'string' ? [{ to: subnetOf.get(lan.name) as string, via }] : []
  })
}

/** Names to addresses inside a VIOLIN (each entity by its first vNIC), for /etc/hosts. */
export function namesOf(spec: Spec): { name: string; ip: string }[] {
  return spec.entities.flatMap((entity) => {
    const nic = entity.nics[0]
    return nic === undefined ? [] : [{ name: entity.name, ip: bareAddress(nic) }]
  })
}

/**
 * From what a person wrote to what the record carries: addresses for vNICs that named none, default routes
 * of vHosts, and the routers' way to every vLAN. Pure; where each entity runs was decided in placement.ts.
 */
import { assignAddresses, bare, isIpv6 } from './addresses.ts'
import { isGuest, topologyOf } from './doors.ts'
import { ViolinError } from './errors.ts'
import type { HostId } from './ids.ts'
import { type ImageHash, type ImageRef, tinyImage } from './image.ts'
import {
  byDhcp,
  type DriverName,
  type LanService,
  lanServices,
  type Spec,
  type SpecEntity,
  type SpecLan,
  type SpecNic,
  type SpecRoute,
  type Topology,
  type TopologyEntity,
  type TopologyLan
} from './spec.ts'

/** Ordered hosts of every entity and vLAN, by name. */
export interface Placement {
  readonly entities: ReadonlyMap<
    string,
    {
      readonly hosts: readonly HostId[]
      readonly pinned: boolean
      readonly away: boolean
      readonly why: string
    }
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
 * subnet is full or none, an address is outside of it or given twice, a vNIC is on no vLAN; `image-missing`
 * for an image that `images` does not have.
 */
export function resolveTopology(
  wanted: Topology,
  placement: Placement,
  previous: Spec | null,
  images: ReadonlyMap<string, ImageHash> = new Map()
): Spec {
  const topology = { ...wanted, entities: wanted.entities.map((entity) => withDoor(entity, previous)) }
  const addressed = addressedEntities(topology, previous)
  const lans = topology.lans.map((lan): SpecLan => ({
    name: lan.name,
    ...(lan.subnet === undefined ? {} : { subnet: lan.subnet }),
    ...(lan.ipv6 === undefined ? {} : { ipv6: lan.ipv6 }),
    ...(lan.services === undefined ? {} : { services: settleServices(lan, addressed) }),
    hosts: placement.lans.get(lan.name)?.hosts ?? []
  }))
  const entities = addressed.map(({ entity, nics }): SpecEntity => {
    const place = placement.entities.get(entity.name)
    return {
      name: entity.name,
      kind: entity.kind,
      driver: entity.driver,
      image: imageOf(entity, previous, images),
      memoryMiB: entity.memoryMiB,
      nics,
      routes: [false, true].flatMap((ipv6) => routesOf(entity, nics, topology, addressed, ipv6)),
      env: entity.env,
      files: entity.files,
      run: entity.run ?? '',
      hosts: place?.hosts ?? [],
      pinned: place?.pinned ?? false,
      restart: entity.restart ?? (place?.pinned === true ? 'on-failure' : 'failover'),
      generation: previous?.entities.find(({ name }) => name === entity.name)?.generation ?? 0,
      ...(entity.routing === undefined ? {} : { routing: entity.routing }),
      ...(entity.multicast === undefined ? {} : { multicast: entity.multicast }),
      ...(entity.nat === undefined ? {} : { nat: entity.nat }),
      ...(entity.rules === undefined ? {} : { rules: entity.rules }),
      ...(entity.click === undefined ? {} : { click: entity.click }),
      ...(entity.anycast === undefined ? {} : { anycast: entity.anycast }),
      ...(entity.jetway === undefined
        ? {}
        : { jetway: { ...entity.jetway, enabled: entity.jetway.enabled === true } }),
      ...(entity.by === undefined ? {} : { by: entity.by })
    }
  })
  const rendezvous =
    topology.rendezvous ?? topology.entities.find(({ multicast }) => multicast !== undefined)?.name
  const offers = previous?.offers?.filter(({ lan }) => lans.some(({ name }) => name === lan)) ?? []
  return {
    name: topology.name,
    lans,
    entities,
    ...(rendezvous === undefined ? {} : { rendezvous }),
    ...(offers.length === 0 ? {} : { offers })
  }
}

function imageOf(
  entity: TopologyEntity,
  previous: Spec | null,
  images: ReadonlyMap<string, ImageHash>
): ImageRef {
  const { name, image } = entity
  // A guest's is its own host's, whatever this one calls by that name.
  const former = isGuest(entity) ? previous?.entities.find((one) => one.name === name) : undefined
  if (former !== undefined) return former.image
  if (image === tinyImage.name) return tinyImage
  const hash = images.get(image)
  if (hash !== undefined) return { name: image, hash }
  throw new ViolinError(
    'image-missing',
    `${name} begins with the image ${image}, which this host does not have`,
    image === 'router' ? 'make it: violin image build router' : 'fetch it: violin image pull NAME'
  )
}

/**
 * The vLAN with an IPv6 that a machine does not have: that of Debian's UML kernel is a module, which `tiny` is too
 * small for. Such a machine ends as it boots, so nobody may be given one, by whatever way.
 */
export function lanWithoutIpv6(
  { driver, image, nics }: Pick<TopologyEntity, 'driver' | 'image' | 'nics'>,
  lans: readonly Pick<TopologyLan, 'name' | 'ipv6'>[]
): string | undefined {
  if (driver !== 'uml' || image !== tinyImage.name) return undefined
  return lans.find(({ name, ipv6 }) => ipv6 !== undefined && nics.some(({ lan }) => lan === name))?.name
}

function addressedEntities(topology: Topology, previous: Spec | null): Addressed[] {
  for (const entity of topology.entities) {
    const lan = lanWithoutIpv6(entity, topology.lans)
    if (lan !== undefined)
      throw new ViolinError(
        'topology-invalid',
        `${entity.name} is a virtual machine of ${tinyImage.name}, which has no IPv6, and ${lan} has it`,
        'say `image: router` or `driver: netns` in the file, and apply that'
      )
  }
  const addresses = assignAddresses(topology, previous)
  return topology.entities.map((entity) => ({
    entity,
    nics: entity.nics.map(({ name, lan, link }) => ({
      name,
      lan,
      ips: addresses.get(`${entity.name}:${name}`) ?? [],
      ...(link === undefined ? {} : { link })
    }))
  }))
}

/** Where the file does not say, a jetway stays as it is; a new one is shut. */
function withDoor(entity: TopologyEntity, previous: Spec | null): TopologyEntity {
  if (entity.jetway === undefined) return entity
  const before = previous?.entities.find(({ name }) => name === entity.name)?.jetway
  return {
    ...entity,
    jetway: { ...entity.jetway, enabled: entity.jetway.enabled ?? before?.enabled ?? false }
  }
}

/** What a virtual machine of Debian's kernel is at ease with, MiB. */
const guestMemoryMiB = 64
/** With an image whose programs are many more. */
const guestImageMemoryMiB = 96

/** What is to be on a vLAN of a spec: a real host, or a vHost there. */
export interface Attaching {
  readonly name: string
  readonly host: HostId
  /** `tap`: the host itself. */
  readonly driver?: DriverName
  /** Of another owner, by an offer. */
  readonly by?: HostId
  readonly lan: string
  /** An address of the vLAN, with its prefix length or without, or {@link byDhcp}; absent: the next free one. */
  readonly ip?: string
  /** What is called `router` where it is to run, or else where this is signed; absent: neither has it. */
  readonly routerImage?: ImageHash | undefined
}

/**
 * The entity that it is: its addresses, and its ways to the other vLANs, of a real host no default one. Throws ViolinError
 * `topology-invalid` as {@link resolveTopology}, `refused` where nobody is there to give it an address, `image-missing`
 * where it cannot be without an image that is not there.
 */
export function attachedEntity(spec: Spec, attaching: Attaching): SpecEntity {
  const { name, host, driver = 'tap', by, lan, ip } = attaching
  if (ip === byDhcp) checkDhcp(spec, lan, driver)
  const image = attachedImage(spec, attaching)
  const memoryMiB = image === tinyImage ? guestMemoryMiB : guestImageMemoryMiB
  const entity: TopologyEntity = {
    name,
    kind: 'host',
    driver,
    image: image.name,
    memoryMiB,
    on: host,
    restart: 'on-failure',
    nics: [{ name: 'eth0', lan, ...(ip === undefined ? {} : { ip: withoutPrefix(spec, lan, ip) }) }],
    env: {},
    files: []
  }
  const topology: Topology = {
    name: spec.name,
    lans: spec.lans.map(({ name: one, subnet, ipv6 }) => ({
      name: one,
      ...(subnet === undefined ? {} : { subnet }),
      ...(ipv6 === undefined ? {} : { ipv6 }),
      vswitch: []
    })),
    entities: [...spec.entities.map((one) => topologyOf(one, spec.lans)), entity]
  }
  const addressed = addressedEntities(topology, spec)
  const nics = addressed.at(-1)?.nics ?? []
  return {
    name,
    kind: 'host',
    driver,
    image,
    memoryMiB,
    nics,
    routes: [false, true].flatMap((ipv6) => routesOf(entity, nics, topology, addressed, ipv6)),
    env: {},
    files: [],
    run: '',
    hosts: [host],
    pinned: true,
    restart: 'on-failure',
    generation: 0,
    ...(by === undefined ? {} : { by })
  }
}

/** As in a file that names none: the smallest that knows what its vLAN has. */
function attachedImage(spec: Spec, { name, driver = 'tap', lan, routerImage }: Attaching): ImageRef {
  const machine = { driver, image: tinyImage.name, nics: [{ name: 'eth0', lan }] }
  if (lanWithoutIpv6(machine, spec.lans) === undefined) return tinyImage
  if (routerImage !== undefined) return { name: 'router', hash: routerImage }
  throw new ViolinError(
    'image-missing',
    `${lan} has IPv6, for which the virtual machine ${name} needs the image router, which is not here`,
    'attach it with `--driver netns`, or make the image: violin image build router'
  )
}

function withoutPrefix(spec: Spec, lan: string, ip: string): string {
  if (ip === byDhcp) return ip
  const [address = '', prefix] = ip.split('/')
  const subnet = spec.lans.find(({ name }) => name === lan)?.subnet ?? ''
  if (prefix === undefined || subnet.endsWith(`/${prefix}`)) return address
  throw new ViolinError(
    'topology-invalid',
    `/${prefix} is not the prefix length of ${lan}, ${subnet}`,
    `write ${address}, or ${address}/${subnet.split('/')[1]}`
  )
}

/** By whom a real host would be given its address: who serves the vLAN, or somebody outside of it. */
function checkDhcp(spec: Spec, lan: string, driver: DriverName): void {
  const isBridged = spec.entities.some(
    ({ jetway, nics }) => jetway?.mode === 'bridge' && nics.some((nic) => nic.lan === lan)
  )
  const { services, subnet } = spec.lans.find(({ name }) => name === lan) ?? {}
  if (driver !== 'tap')
    throw new ViolinError('refused', 'a vHost is given its address by its owner', 'leave `--ip dhcp` out')
  if (subnet !== undefined && (services?.dhcp !== undefined || isBridged)) return
  throw new ViolinError(
    'refused',
    `nobody on ${lan} gives addresses`,
    'leave `--ip dhcp` out, or add `dhcp: true` to the vLAN and apply its file'
  )
}

/** Services that no entity was named for are the router's. */
function settleServices(
  lan: TopologyLan,
  addressed: readonly Addressed[]
): Readonly<Partial<Record<LanService, string>>> {
  const router = gatewayOf(lan, addressed)?.entity.name
  return Object.fromEntries(
    lanServices.flatMap((service) => {
      const by = lan.services?.[service]
      const settled = by === '' ? router : by
      return settled === undefined ? [] : [[service, settled]]
    })
  )
}

/** The address of a vNIC in a family without its prefix length; undefined: it has none. */
export function addressOf(nic: SpecNic, ipv6: boolean): string | undefined {
  const address = nic.ips.find((one) => isIpv6(one) === ipv6)
  return address === undefined ? undefined : bare(address)
}

function routesOf(
  entity: TopologyEntity,
  nics: readonly SpecNic[],
  topology: Topology,
  addressed: readonly Addressed[],
  ipv6: boolean
): SpecRoute[] {
  // A real host's way out is its own, and what a jetway's is it does not learn from inside.
  if (entity.driver === 'tap') return lanRoutes(entity.name, topology, addressed, ipv6).routes
  if (entity.kind === 'host') return hostRoutes(nics, topology, addressed, ipv6)
  return routerRoutes(entity, topology, addressed, ipv6)
}

/**
 * What a router is told: the ways to every vLAN, and to the real network by the first open jetway to it. One that speaks
 * a protocol is told of an open jetway beside it alone; it tells the others, who tell it all else.
 */
function routerRoutes(
  { name, routing = 'static' }: TopologyEntity,
  topology: Topology,
  addressed: readonly Addressed[],
  ipv6: boolean
): SpecRoute[] {
  if (routing === 'none') return []
  const { routes, nextHop } = lanRoutes(name, topology, addressed, ipv6)
  const told = routing === 'static' ? routes : []
  // Translation is of IPv4.
  if (ipv6) return told
  for (const { entity, nics } of addressed) {
    const [nic] = nics
    if (nic === undefined || !isWayOut(entity)) continue
    const hop = nextHop.get(nic.lan)
    const via = hop === null ? addressOf(nic, ipv6) : routing === 'static' ? hop : undefined
    if (via !== undefined) return [...told, { to: 'default', via }]
  }
  return told
}

/** A door that translates and is meant to be open: a shut one would swallow all that is sent to it. */
function isWayOut({ jetway }: TopologyEntity): boolean {
  return jetway?.mode === 'nat' && jetway.enabled === true
}

/** A vHost's way out: the router, or else the open jetway, of the first of its vLANs that has one. */
function hostRoutes(
  nics: readonly SpecNic[],
  topology: Topology,
  addressed: readonly Addressed[],
  ipv6: boolean
): SpecRoute[] {
  for (const nic of nics) {
    const lan = topology.lans.find(({ name }) => name === nic.lan) as TopologyLan
    const gateway = gatewayOf(lan, addressed) ?? (ipv6 ? undefined : jetwayOf(lan, addressed))
    const own = gateway?.nics.find((one) => one.lan === nic.lan)
    const via = own === undefined ? undefined : addressOf(own, ipv6)
    if (via !== undefined) return [{ to: 'default', via }]
  }
  return []
}

/** The router that is the way out of a vLAN. */
function gatewayOf(lan: TopologyLan, addressed: readonly Addressed[]): Addressed | undefined {
  return addressed.find(
    ({ entity, nics }) =>
      entity.kind === 'router' &&
      (lan.gateway === undefined || entity.name === lan.gateway) &&
      nics.some((nic) => nic.lan === lan.name)
  )
}

/** The open jetway that is the way out of a vLAN without a router. */
function jetwayOf(lan: TopologyLan, addressed: readonly Addressed[]): Addressed | undefined {
  return addressed.find(({ entity, nics }) => isWayOut(entity) && nics.some((nic) => nic.lan === lan.name))
}

/**
 * Shortest way (in routers) from one place to every vLAN it is not on, and the next hop to each, null where it is on
 * it; ties go to the file's order.
 */
function lanRoutes(
  self: string,
  topology: Topology,
  addressed: readonly Addressed[],
  ipv6: boolean
): { readonly routes: SpecRoute[]; readonly nextHop: ReadonlyMap<string, string | null> } {
  const routers = addressed.flatMap(({ entity, nics }) => {
    const own = nics.filter((nic) => addressOf(nic, ipv6) !== undefined)
    return entity.kind === 'router' ? [{ name: entity.name, nics: own }] : []
  })
  const own = addressed.find(({ entity }) => entity.name === self)
  const nextHop = new Map<string, string | null>()
  const asks = own?.entity.nics.some(({ ip }) => ip === byDhcp) === true && !ipv6
  for (const nic of own?.nics ?? [])
    if (asks || addressOf(nic, ipv6) !== undefined) nextHop.set(nic.lan, null)
  const queue = [...nextHop.keys()]
  for (let lan = queue.shift(); lan !== undefined; lan = queue.shift()) {
    const via = nextHop.get(lan) as string | null
    for (const router of routers) {
      const here = router.nics.find((nic) => nic.lan === lan)
      if (here === undefined || router.name === self) continue
      for (const nic of router.nics) {
        if (nextHop.has(nic.lan)) continue
        nextHop.set(nic.lan, via ?? (addressOf(here, ipv6) as string))
        queue.push(nic.lan)
      }
    }
  }
  const routes = topology.lans.flatMap((lan) => {
    const via = nextHop.get(lan.name)
    const to = ipv6 ? lan.ipv6 : lan.subnet
    return typeof via === 'string' && to !== undefined ? [{ to, via }] : []
  })
  return { routes, nextHop }
}

/** Names to addresses inside a VIOLIN (each entity by its first vNIC), for /etc/hosts. */
export function namesOf(spec: Spec): { name: string; ip: string }[] {
  return spec.entities.flatMap(({ name, nics }) =>
    (nics[0]?.ips ?? []).map((address) => ({ name, ip: bare(address) }))
  )
}

/**
 * A vNIC more or less, or a jetway open or shut, on a VIOLIN that stands: the record says what its owner's file would say with
 * that change, addresses and placement kept, routes of all found anew. Pure.
 */
import { asksForAddress } from './doors.ts'
import { ViolinError } from './errors.ts'
import type { ImageHash } from './image.ts'
import { addressOf, type Placement, resolveTopology } from './resolve.ts'
import {
  byDhcp,
  maxNicsPerEntity,
  type Spec,
  type SpecEntity,
  type SpecLan,
  type SpecNic,
  type Topology,
  type TopologyEntity,
  type TopologyLan,
  type TopologyNic
} from './spec.ts'

/** What a vNIC is asked to be; absent: the next free of both. */
export interface NicWish {
  readonly lan: string
  /** A bare address, of either family. */
  readonly ip?: string
}

/** The spec with a vNIC more. Throws ViolinError `unknown-entity`, `unknown-lan`, `topology-invalid`, `refused`. */
export function addNic(spec: Spec, entity: string, wish: NicWish): { spec: Spec; nic: SpecNic } {
  const known = machineOf(spec, entity)
  if (!spec.lans.some(({ name }) => name === wish.lan))
    throw new ViolinError(
      'unknown-lan',
      `${spec.name} has no vLAN ${wish.lan}`,
      `it has ${spec.lans.map(({ name }) => name).join(', ')}`
    )
  if (known.nics.length >= maxNicsPerEntity)
    throw new ViolinError('refused', `${entity} has ${known.nics.length} vNICs, the most`, 'remove one')
  const name = freeName(known)
  const { lan, ip } = wish
  const family = ip === undefined ? {} : ip.includes(':') ? { ipv6: ip } : { ip }
  const changed = changeNics(spec, known, (nics) => [...nics, { name, lan, ...family }])
  const nic = entityOf(changed, entity).nics.find((one) => one.name === name) as SpecNic
  return { spec: changed, nic }
}

/** The spec without a vNIC. Throws ViolinError `unknown-entity`, `refused`. */
export function removeNic(spec: Spec, entity: string, nic: string): Spec {
  const known = machineOf(spec, entity)
  if (!known.nics.some(({ name }) => name === nic))
    throw new ViolinError(
      'refused',
      `${entity} has no vNIC ${nic}`,
      `it has ${known.nics.map(({ name }) => name).join(', ') || 'none'}`
    )
  return changeNics(spec, known, (nics) => nics.filter(({ name }) => name !== nic))
}

/** The file, as it would stand for a spec. */
export function fileOf(spec: Spec): Topology {
  const { rendezvous } = spec
  return {
    name: spec.name,
    lans: spec.lans.map((lan): TopologyLan => {
      const gateway = gatewayOf(spec, lan)
      const { hosts: _hosts, ...settled } = lan
      return { ...settled, vswitch: [], ...(gateway === undefined ? {} : { gateway }) }
    }),
    entities: spec.entities.map((entity): TopologyEntity => {
      const { routes: _routes, hosts: _hosts, pinned: _pinned, generation: _generation, ...settled } = entity
      return {
        ...settled,
        image: entity.image.name,
        nics: asksForAddress(entity, spec.lans)
          ? entity.nics.map((nic) => ({ ...topologyNic(nic), ip: byDhcp }))
          : entity.nics.map(topologyNic)
      }
    }),
    ...(rendezvous === undefined ? {} : { rendezvous })
  }
}

function entityOf(spec: Spec, name: string): SpecEntity {
  const found = spec.entities.find((entity) => entity.name === name)
  if (found !== undefined) return found
  throw new ViolinError(
    'unknown-entity',
    `${spec.name} has no entity ${name}`,
    `it has ${spec.entities.map((entity) => entity.name).join(', ')}`
  )
}

function machineOf(spec: Spec, name: string): SpecEntity {
  const found = entityOf(spec, name)
  if (found.driver !== 'tap') return found
  throw new ViolinError('refused', `${name} is no machine`, 'change it in the file, or attach it elsewhere')
}

function freeName({ nics }: SpecEntity): string {
  for (let place = 0; ; place++) if (!nics.some(({ name }) => name === `eth${place}`)) return `eth${place}`
}

function changeNics(
  spec: Spec,
  changed: SpecEntity,
  change: (nics: readonly TopologyNic[]) => readonly TopologyNic[]
): Spec {
  const entities = fileOf(spec).entities.map((entity) =>
    entity.name === changed.name ? { ...entity, nics: change(entity.nics) } : entity
  )
  return settledAnew(spec, entities, placementOf(spec, changed, entities))
}

/** The spec with other entities: images, and who is stopped, stay; routes of all are found anew. */
function settledAnew(spec: Spec, entities: readonly TopologyEntity[], placement: Placement): Spec {
  const images = new Map<string, ImageHash>()
  for (const { image } of spec.entities) if (image.hash !== null) images.set(image.name, image.hash)
  const settled = resolveTopology({ ...fileOf(spec), entities }, placement, spec, images)
  const formerOf = new Map(spec.entities.map((entity) => [entity.name, entity]))
  return {
    ...settled,
    entities: settled.entities.map((entity) => {
      const former = formerOf.get(entity.name)
      return {
        ...entity,
        // Two entities of one spec may begin with images of one name and two making.
        image: former?.image ?? entity.image,
        ...(former?.stopped === undefined ? {} : { stopped: former.stopped })
      }
    })
  }
}

/** The spec with a jetway open or shut, which is the way out of others, or is no more. Throws ViolinError `topology-invalid`. */
export function withDoor(spec: Spec, jetway: string, enabled: boolean): Spec {
  const { entities } = fileOf(spec)
  const changed = entities.map((entity) =>
    entity.name === jetway && entity.jetway !== undefined
      ? { ...entity, jetway: { ...entity.jetway, enabled } }
      : entity
  )
  return settledAnew(spec, changed, placementOf(spec, null, entities))
}

/** All stays where it is; on a vLAN that comes to a host that switches others of its kind, that host may, too. */
function placementOf(spec: Spec, changed: SpecEntity | null, entities: readonly TopologyEntity[]): Placement {
  const nics = entities.find(({ name }) => name === changed?.name)?.nics ?? []
  return {
    entities: new Map(
      spec.entities.map(({ name, hosts, pinned }) => [name, { hosts, pinned, away: false, why: '' }])
    ),
    lans: new Map(
      spec.lans.map(({ name, hosts }) => {
        const isOn = nics.some(({ lan }) => lan === name)
        const others = spec.entities.filter(
          (entity) => entity !== changed && entity.nics.some(({ lan }) => lan === name)
        )
        const byPorts =
          others.length === 0 || others.some((entity) => entity.hosts.some((host) => hosts.includes(host)))
        const all = isOn && byPorts ? [...new Set([...hosts, ...(changed?.hosts ?? [])])] : hosts
        return [name, { hosts: all, why: '' }]
      })
    )
  }
}

/** The router that the vHosts of a vLAN go out by; undefined: none does, and any may become it. */
function gatewayOf(spec: Spec, { name: lan }: SpecLan): string | undefined {
  const vias = new Set(
    spec.entities
      .filter(({ kind, nics }) => kind === 'host' && nics.some((nic) => nic.lan === lan))
      .flatMap(({ routes }) => routes.filter(({ to }) => to === 'default').map(({ via }) => via))
  )
  return spec.entities.find(
    ({ kind, nics }) =>
      kind === 'router' &&
      nics.some(
        (nic) => nic.lan === lan && [false, true].some((ipv6) => vias.has(addressOf(nic, ipv6) ?? ''))
      )
  )?.name
}

function topologyNic(nic: SpecNic): TopologyNic {
  const [ip, ipv6] = [addressOf(nic, false), addressOf(nic, true)]
  return {
    name: nic.name,
    lan: nic.lan,
    ...(ip === undefined ? {} : { ip }),
    ...(ipv6 === undefined ? {} : { ipv6 }),
    ...(nic.link === undefined ? {} : { link: nic.link })
  }
}

/** What an owner changes of an entity while it runs: a spec from a spec. */
import { ViolinError } from './errors.ts'
import type { HostId } from './ids.ts'
import { changeLink, type Link, type LinkField, someLink } from './link.ts'
import { hostsPerEntity, type Spec, type SpecEntity, type SpecNic } from './spec.ts'

/** What is said of a link: all that was is taken back first, then more is said, the cable pulled or put in. */
export interface LinkEdit {
  readonly entity: string
  readonly nic: string
  readonly reset?: boolean
  readonly set?: Readonly<Partial<Record<LinkField, number>>>
  readonly down?: boolean
}

/** Changes what happens to frames of a vNIC. Throws ViolinError `unknown-entity`. */
export function withLink(spec: Spec, { entity: name, nic: nicName, reset, set, down }: LinkEdit): Spec {
  const entity = entityOf(spec, name)
  const { link: former = {}, ...plain } = nicOf(entity, nicName)
  const { down: wasDown, ...words } = changeLink(reset === true ? {} : former, set ?? {})
  const isDown = down ?? wasDown ?? false
  const link: Link = { ...words, ...(isDown ? { down: true } : {}) }
  const changed: SpecNic = someLink(link) === null ? plain : { ...plain, link }
  const nics = entity.nics.map((one) => (one.name === nicName ? changed : one))
  return withEntity(spec, { ...entity, nics })
}

/**
 * Stops an entity, which keeps its place and its addresses, or starts it again. `ranOn`: who ran it; who is first in
 * its list when nobody has a claim starts it. Throws ViolinError.
 */
export function withPower(spec: Spec, name: string, on: boolean, ranOn: HostId | null = null): Spec {
  const entity = entityOf(spec, name)
  if (entity.driver === 'tap')
    throw new ViolinError(
      'refused',
      `${name} is a door to a real network, no machine`,
      'use violin jetway off, or violin detach'
    )
  const { stopped: wasStopped, ...rest } = entity
  if (on) return withEntity(spec, rest)
  if (wasStopped === true || ranOn === null || !entity.hosts.includes(ranOn))
    return withEntity(spec, { ...rest, stopped: true })
  const hosts = [ranOn, ...entity.hosts.filter((host) => host !== ranOn)]
  return withEntity(spec, { ...rest, hosts, stopped: true })
}

/**
 * Moves an entity: its list of hosts begins with the new one, its generation is above the one that runs. Throws
 * ViolinError `unknown-entity`.
 */
export function withMove(spec: Spec, name: string, to: HostId): Spec {
  const entity = entityOf(spec, name)
  const others = entity.hosts.filter((host) => host !== to)
  const hosts = [to, ...others].slice(0, hostsPerEntity)
  const moved = withEntity(spec, { ...entity, hosts, generation: entity.generation + 1 })
  const lans = spec.lans.map((lan) => {
    // Where candidates are the hosts with ports, the new one is among them.
    const has =
      entity.nics.some((nic) => nic.lan === lan.name) && entity.hosts.some((one) => lan.hosts.includes(one))
    return has && !lan.hosts.includes(to) ? { ...lan, hosts: [...lan.hosts, to] } : lan
  })
  return { ...moved, lans }
}

/** Throws ViolinError `unknown-entity`. */
export function entityOf(spec: Spec, name: string): SpecEntity {
  const entity = spec.entities.find((one) => one.name === name)
  if (entity !== undefined) return entity
  throw new ViolinError(
    'unknown-entity',
    `${spec.name} has no entity ${name}`,
    `it has ${spec.entities.map((one) => one.name).join(', ')}`
  )
}

/** Throws ViolinError `unknown-entity`. */
export function nicOf(entity: SpecEntity, name: string): SpecNic {
  const nic = entity.nics.find((one) => one.name === name)
  if (nic !== undefined) return nic
  throw new ViolinError(
    'unknown-entity',
    `${entity.name} has no vNIC ${name}`,
    `it has ${entity.nics.map((one) => one.name).join(', ') || 'none'}`
  )
}

function withEntity(spec: Spec, entity: SpecEntity): Spec {
  return { ...spec, entities: spec.entities.map((one) => (one.name === entity.name ? entity : one)) }
}

/** What an owner changes of an entity while it runs: a spec from a spec. */
import { ViolinError } from './errors.ts'
import { changeLink, type Link, type LinkField, someLink } from './link.ts'
import type { Spec, SpecEntity, SpecNic } from './spec.ts'

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

/** Stops an entity, which keeps its place and its addresses, or starts it again. Throws ViolinError. */
export function withPower(spec: Spec, name: string, on: boolean): Spec {
  const entity = entityOf(spec, name)
  if (entity.driver === 'tap')
    throw new ViolinError(
      'refused',
      `${name} is a door to a real network, no machine`,
      'use violin jetway off, or violin detach'
    )
  const { stopped: _, ...rest } = entity
  return withEntity(spec, on ? rest : { ...rest, stopped: true })
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

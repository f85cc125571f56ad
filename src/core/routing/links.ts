/** Who speaks which routing protocol in a VIOLIN, and with whom on each of its vLANs. Pure. */
import { addressOf } from '../resolve.ts'
import type { Routing, Spec, SpecEntity, SpecNic } from '../spec.ts'
import { frrPath } from './paths.ts'

/** Protocols between routers; the others are no daemon's business. */
export type Protocol = Exclude<Routing, 'none' | 'static'>

/** A vNIC as its entity's routing sees it. */
export interface Link {
  /** Name of the vNIC. */
  readonly name: string
  readonly ipv4: string | undefined
  readonly ipv6: string | undefined
  /** Others on the vLAN that speak the same. */
  readonly neighbours: readonly Neighbour[]
  /** More may speak there, of whom the file does not say what: by a configuration of their own, or beyond a bridge, open or not. */
  readonly strangers: boolean
}

export interface Neighbour {
  readonly entity: SpecEntity
  readonly ipv4: string | undefined
  readonly ipv6: string | undefined
}

/**
 * What an entity speaks. A vHost with an anycast address speaks what a router on its vLAN does: it says itself
 * that it is there, so its silence is the end of its routes.
 */
export function protocolOf(spec: Spec, entity: SpecEntity): Protocol | null {
  if (entity.kind === 'router') return isProtocol(entity.routing) ? entity.routing : null
  if (entity.anycast === undefined) return null
  for (const { lan } of entity.nics)
    for (const router of spec.entities)
      if (
        router.kind === 'router' &&
        isProtocol(router.routing) &&
        router.nics.some((nic) => nic.lan === lan)
      )
        return router.routing
  return null
}

function isProtocol(routing: Routing | undefined): routing is Protocol {
  return routing !== undefined && routing !== 'none' && routing !== 'static'
}

/** An entity's vNICs, with those neighbours for which `speaks` holds. */
export function linksOf(spec: Spec, self: SpecEntity, speaks: (other: SpecEntity) => boolean): Link[] {
  const others = spec.entities.filter((other) => other.name !== self.name && speaks(other))
  return self.nics.map((nic) => ({
    ...addresses(nic),
    name: nic.name,
    strangers: spec.entities.some(
      (other) =>
        other.name !== self.name && isStranger(other) && other.nics.some(({ lan }) => lan === nic.lan)
    ),
    neighbours: others.flatMap((entity) =>
      entity.nics.filter(({ lan }) => lan === nic.lan).map((one) => ({ entity, ...addresses(one) }))
    )
  }))
}

function isStranger({ jetway, files }: SpecEntity): boolean {
  return jetway?.mode === 'bridge' || files.some(({ path }) => path === frrPath)
}

function addresses(nic: SpecNic): { ipv4: string | undefined; ipv6: string | undefined } {
  return { ipv4: addressOf(nic, false), ipv6: addressOf(nic, true) }
}

/** Whether a router is the way out of all that speak its protocol: it has a default route of its own. */
export function leadsOut({ kind, routes }: SpecEntity): boolean {
  return kind === 'router' && routes.some(({ to }) => to === 'default')
}

/** Place of an entity in the file, from 1. Routers come first: a vHost more changes none of their numbers. */
export function numberOf(spec: Spec, { name }: SpecEntity): number {
  const isRouter = ({ kind }: SpecEntity): boolean => kind === 'router'
  const rest = spec.entities.filter((entity) => !isRouter(entity))
  return [...spec.entities.filter(isRouter), ...rest].findIndex((entity) => entity.name === name) + 1
}

/** 32 bits that name a router to others, written as an address: its first, or its number where it has none of IPv4. */
export function routerId(spec: Spec, entity: SpecEntity): string {
  const number = numberOf(spec, entity)
  const first = entity.nics.flatMap((nic) => addressOf(nic, false) ?? [])[0]
  return first ?? `0.0.${number >> 8}.${number & 255}`
}

/** Topologies and hosts for the tests of what settles them: by hand with defaults, or drawn by fast-check. */
import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { tinyImage } from '#core/image.ts'
import { place } from '#core/placement.ts'
import { resolveTopology } from '#core/resolve.ts'
import type { HostId } from '#core/ids.ts'
import type { PlacementHost } from '#core/placement.ts'
import type { Placement } from '#core/resolve.ts'
import type { Spec, SpecEntity, Topology, TopologyEntity, TopologyLan } from '#core/spec.ts'

export const id = (name: string): HostId => `12D3KooW${name}` as HostId

export const rank = (name: string, host: HostId): string =>
  createHash('sha256').update(`${name} ${host}`).digest('hex')

export function entity(
  name: string,
  lans: readonly (string | readonly [lan: string, ip: string])[],
  more: Partial<TopologyEntity> = {}
): TopologyEntity {
  const nics = lans.map((nic, i) =>
    typeof nic === 'string' ? { name: `eth${i}`, lan: nic } : { name: `eth${i}`, lan: nic[0], ip: nic[1] }
  )
  return {
    name,
    kind: 'host',
    driver: 'netns',
    image: 'tiny',
    memoryMiB: 64,
    nics,
    env: {},
    files: [],
    ...more
  }
}

/** An entity as a record has it: a namespace with nothing in it but what is said. */
export function specEntity(name: string, more: Partial<SpecEntity> = {}): SpecEntity {
  return {
    name,
    kind: 'host',
    driver: 'netns',
    image: tinyImage,
    memoryMiB: 64,
    nics: [],
    routes: [],
    env: {},
    files: [],
    run: '',
    hosts: [],
    pinned: false,
    restart: 'on-failure',
    generation: 0,
    ...more
  }
}

export function router(
  name: string,
  lans: readonly (string | readonly [string, string])[],
  more: Partial<TopologyEntity> = {}
): TopologyEntity {
  return entity(name, lans, { kind: 'router', ...more })
}

export function lan(name: string, subnet: string, more: Partial<TopologyLan> = {}): TopologyLan {
  return { name, subnet, vswitch: [], ...more }
}

export function topology(lans: readonly TopologyLan[], entities: readonly TopologyEntity[]): Topology {
  return { name: 'net', lans, entities }
}

export function host(name: string, more: Partial<PlacementHost> = {}): PlacementHost {
  return {
    id: id(name),
    name,
    available: true,
    unavailableWhy: '',
    left: false,
    drivers: ['uml', 'netns'],
    freeMemoryMiB: 4096,
    load: 0,
    ...more
  }
}

export const nobody: Placement = { entities: new Map(), lans: new Map() }

/** Placed and addressed, as `apply` does it. */
export function settle(
  wanted: Topology,
  hosts: readonly PlacementHost[],
  previous: Spec | null = null
): Spec {
  return resolveTopology(wanted, place(wanted, hosts, previous, rank), previous)
}

/** Up to four vLANs of a /24 each, up to twelve entities on any of them, some with an address, none of them pinned. */
export const topologies: fc.Arbitrary<Topology> = fc
  .record({
    lans: fc.integer({ min: 1, max: 4 }),
    entities: fc.array(
      fc.record({
        isRouter: fc.boolean(),
        driver: fc.constantFrom('uml' as const, 'netns' as const),
        memoryMiB: fc.integer({ min: 16, max: 128 }),
        nics: fc.uniqueArray(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 3 }),
        fixed: fc.boolean()
      }),
      { maxLength: 12 }
    )
  })
  .map(({ lans, entities }) =>
    topology(
      Array.from({ length: lans }, (_, i) => lan(`lan${i}`, `10.0.${i}.0/24`)),
      entities.map(({ isRouter, driver, memoryMiB, nics, fixed }, i) => {
        const on = [...new Set(nics.map((nic) => nic % lans))]
        return entity(
          `e${i}`,
          on.map((nic) => (fixed ? ([`lan${nic}`, `10.0.${nic}.${100 + i}`] as const) : `lan${nic}`)),
          { kind: isRouter ? 'router' : 'host', driver, memoryMiB }
        )
      })
    )
  )

/** One to six hosts with room for all of {@link topologies}. */
export const meshes: fc.Arbitrary<readonly PlacementHost[]> = fc
  .array(fc.record({ load: fc.nat({ max: 20 }), freeMemoryMiB: fc.integer({ min: 2048, max: 8192 }) }), {
    minLength: 1,
    maxLength: 6
  })
  .map((hosts) => hosts.map((more, i) => host(`h${i}`, more)))

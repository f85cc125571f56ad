/** BGP (RFC 4271): every speaker is an autonomous system of its own, and a neighbour of all that share a vLAN with it. */
import type { Spec, SpecEntity } from '../spec.ts'
import { leadsOut, type Link, numberOf, routerId } from './links.ts'
import { bfdProfile, block, ownList, ownPrefixes, type Section } from './section.ts'

/** The first of the numbers for private use (RFC 6996); a file has fewer entities than there are. */
const firstAs = 64_512
/** Seconds between signs of life, and without any; BFD is sooner. */
const timers = '3 9'
/** Ways of equal length that are used side by side. */
const maxPaths = 8

export function bgp(spec: Spec, self: SpecEntity, links: readonly Link[]): Section {
  const neighbours = links.flatMap((link) =>
    link.neighbours.flatMap(({ entity, ipv4, ipv6 }) => [
      ...(link.ipv4 === undefined || ipv4 === undefined ? [] : [{ entity, ipv6: false, address: ipv4 }]),
      ...(link.ipv6 === undefined || ipv6 === undefined ? [] : [{ entity, ipv6: true, address: ipv6 }])
    ])
  )
  const runs = [false, true].filter((ipv6) => neighbours.some((one) => one.ipv6 === ipv6))
  const families = runs.flatMap((ipv6) => {
    const own = neighbours.filter((one) => one.ipv6 === ipv6)
    return [
      `address-family ${ipv6 ? 'ipv6' : 'ipv4'} unicast`,
      ' redistribute connected',
      ...(leadsOut(self) && !ipv6 ? [' network 0.0.0.0/0'] : []),
      ...own.flatMap(({ address }) => [
        ` neighbor ${address} activate`,
        ...(self.kind === 'host' ? [` neighbor ${address} prefix-list ${ownList} out`] : [])
      ]),
      ` maximum-paths ${maxPaths}`,
      'exit-address-family'
    ]
  })
  const lines = [
    `bgp router-id ${routerId(spec, self)}`,
    'no bgp ebgp-requires-policy',
    'no bgp default ipv4-unicast',
    'bgp bestpath as-path multipath-relax',
    `timers bgp ${timers}`,
    ...neighbours.flatMap(({ entity, address }) => [
      `neighbor ${address} remote-as ${asOf(spec, entity)}`,
      `neighbor ${address} description ${entity.name}`,
      `neighbor ${address} timers connect 1`,
      `neighbor ${address} advertisement-interval 0`,
      `neighbor ${address} bfd`,
      `neighbor ${address} bfd profile ${bfdProfile}`
    ]),
    ...families
  ]
  const lists = runs.flatMap((ipv6) => ownPrefixes(self, ipv6))
  return { interfaces: new Map(), blocks: [...lists, block(`router bgp ${asOf(spec, self)}`, lines)] }
}

function asOf(spec: Spec, entity: SpecEntity): number {
  return firstAs + numberOf(spec, entity) - 1
}

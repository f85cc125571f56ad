/** RIP version 2 (RFC 2453) for IPv4 and RIPng (RFC 2080) for IPv6; this FRR has no BFD for them, so a death takes seconds. */
import { isIpv6 } from '../addresses.ts'
import type { SpecEntity } from '../spec.ts'
import { leadsOut, type Link } from './links.ts'
import { block, ownList, ownPrefixes, type Section } from './section.ts'

/** Seconds: between updates, until a route that is not heard of ends, until it is forgotten. */
const timers = '5 15 10'

export function rip(self: SpecEntity, links: readonly Link[]): Section {
  const blocks = [false, true].flatMap((ipv6) => {
    const own = links.filter((link) => (ipv6 ? link.ipv6 : link.ipv4) !== undefined)
    const isAnycast = self.anycast?.some((one) => isIpv6(one) === ipv6) === true
    // RIPng passes over a loopback interface; what else is connected it tells anyway.
    const loopback = isAnycast ? [ipv6 ? 'redistribute connected' : 'network lo'] : []
    if (own.length + loopback.length === 0) return []
    const silent = own.filter(({ neighbours, strangers }) => neighbours.length === 0 && !strangers)
    const filter = `${ipv6 ? 'ipv6 ' : ''}distribute-list prefix ${ownList} out`
    return [
      ...ownPrefixes(self, ipv6),
      block(ipv6 ? 'router ripng' : 'router rip', [
        ...(ipv6 ? [] : ['version 2']),
        `timers basic ${timers}`,
        ...(leadsOut(self) && !ipv6 ? ['default-information originate'] : []),
        ...own.map(({ name }) => `network ${name}`),
        ...loopback,
        ...(self.kind === 'host' ? [filter] : []),
        ...silent.map(({ name }) => `passive-interface ${name}`)
      ])
    ]
  })
  return { interfaces: new Map(), blocks }
}

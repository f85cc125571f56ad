/** OSPF version 2 (RFC 2328) for IPv4 and version 3 (RFC 5340) for IPv6, all in one area. */
import { isIpv6 } from '../addresses.ts'
import type { Spec, SpecEntity } from '../spec.ts'
import { leadsOut, type Link, routerId } from './links.ts'
import { bfdProfile, block, type Section } from './section.ts'

/** Seconds. BFD sees a death sooner; hellos find neighbours, and dead ones where a neighbour has no BFD. */
const helloSeconds = 1
const deadSeconds = 4
/** Until what was not acknowledged is sent again: the first exchange with a neighbour loses words that came too early. */
const retransmitSeconds = 1
/** Milliseconds: from news to new routes at first, between two computations, and at most. */
const spfMs = '10 50 500'
/** Milliseconds between two versions of what a router says; FRR's 5,000 would hold back the second news. */
const lsaMs = 100

export function ospf(spec: Spec, self: SpecEntity, links: readonly Link[]): Section {
  const interfaces = new Map<string, string[]>()
  const add = (name: string, lines: readonly string[]): void => {
    interfaces.set(name, [...(interfaces.get(name) ?? []), ...lines])
  }
  const loopback = (ipv6: boolean): boolean => self.anycast?.some((one) => isIpv6(one) === ipv6) === true
  const runs = [false, true].filter(
    (ipv6) => loopback(ipv6) || links.some((link) => (ipv6 ? link.ipv6 : link.ipv4) !== undefined)
  )
  for (const ipv6 of runs) {
    const word = ipv6 ? 'ipv6 ospf6' : 'ip ospf'
    const area = `${word} area 0.0.0.0`
    for (const link of links) {
      if ((ipv6 ? link.ipv6 : link.ipv4) === undefined) continue
      const neighbours = link.neighbours.filter((one) => (ipv6 ? one.ipv6 : one.ipv4) !== undefined).length
      if (neighbours === 0 && !link.strangers) {
        add(link.name, [area, `${word} passive`])
        continue
      }
      add(link.name, [
        `${word} hello-interval ${helloSeconds}`,
        `${word} dead-interval ${deadSeconds}`,
        // Two need nobody elected to speak for them, and no time to elect.
        ...(neighbours === 1 && !link.strangers ? [`${word} network point-to-point`] : []),
        `${word} retransmit-interval ${retransmitSeconds}`,
        // The profile alone turns it on for version 3 only.
        `${word} bfd`,
        `${word} bfd profile ${bfdProfile}`,
        // It begins with this, and waits for others who speak for all as long as was said before.
        area
      ])
    }
    if (loopback(ipv6)) add('lo', [area])
  }
  return { interfaces, blocks: runs.map((ipv6) => router(spec, self, ipv6)) }
}

function router(spec: Spec, self: SpecEntity, ipv6: boolean): string {
  const id = `${ipv6 ? 'ospf6' : 'ospf'} router-id ${routerId(spec, self)}`
  const lsa = ipv6 ? [] : [`timers throttle lsa all ${lsaMs}`]
  const timers = [`timers throttle spf ${spfMs}`, ...lsa, `timers lsa min-arrival ${lsaMs / 2}`]
  // A vHost is no way to anywhere but itself.
  const stub =
    self.kind === 'host' ? [ipv6 ? 'stub-router administrative' : 'max-metric router-lsa administrative'] : []
  // Jetways translate IPv4 alone.
  const origin = leadsOut(self) && !ipv6 ? ['default-information originate'] : []
  return block(ipv6 ? 'router ospf6' : 'router ospf', [id, ...timers, ...origin, ...stub])
}

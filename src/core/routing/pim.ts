/** PIM sparse mode (RFC 7761) between routers and IGMP (RFC 3376) towards vHosts, for IPv4: this FRR has no pim6d (multicast6.ts). */
import { addressOf } from '../resolve.ts'
import type { Spec, SpecEntity } from '../spec.ts'
import { linksOf } from './links.ts'
import { bfdProfile, type Section } from './section.ts'

/** Seconds. */
const helloSeconds = 5
/** Seconds between questions who wants what, and tenths of one to answer. */
const querySeconds = 10
const answerTenths = 25

export function pim(spec: Spec, self: SpecEntity): Section {
  const links = linksOf(spec, self, ({ multicast }) => multicast !== undefined)
  const interfaces = new Map<string, string[]>()
  for (const { name, ipv4, neighbours } of links) {
    if (ipv4 === undefined) continue
    const meets = neighbours.some((one) => one.ipv4 !== undefined)
    interfaces.set(name, [
      'ip pim',
      `ip pim hello ${helloSeconds}`,
      ...(meets ? ['ip pim bfd', `ip pim bfd profile ${bfdProfile}`] : []),
      'ip igmp',
      `ip igmp query-interval ${querySeconds}`,
      `ip igmp query-max-response-time ${answerTenths}`
    ])
  }
  const point = spec.entities.find(({ name }) => name === spec.rendezvous)
  const address = point?.nics.flatMap((nic) => addressOf(nic, false) ?? [])[0]
  return { interfaces, blocks: address === undefined ? [] : [`ip pim rp ${address} 224.0.0.0/4\n`] }
}

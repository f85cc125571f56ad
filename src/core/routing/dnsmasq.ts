/** What an entity does for the vLANs that it serves: addresses, names, router advertisements, all by dnsmasq. Pure. */
import { bare } from '../addresses.ts'
import type { Mac } from '../ids.ts'
import { formatIpv4, parseIpv4, parseSubnet } from '../ipv4.ts'
import { addressOf } from '../resolve.ts'
import { lanServices, type Spec, type SpecEntity, type SpecLan, type SpecNic } from '../spec.ts'

/** Addresses for machines that the file does not know, at most. */
const maxLeases = 100
const leaseTime = '1h'

export type MacOf = (entity: string, nic: string) => Mac

/** Its configuration; null: it serves nothing. */
export function dnsmasqConf(spec: Spec, self: SpecEntity, macOf: MacOf): string | null {
  const served = spec.lans.flatMap((lan) => {
    const nic = self.nics.find((one) => one.lan === lan.name)
    const services = lanServices.filter((service) => lan.services?.[service] === self.name)
    return nic === undefined || services.length === 0 ? [] : [{ lan, nic, services }]
  })
  if (served.length === 0) return null
  const dns = served.filter(({ services }) => services.includes('dns'))
  return [
    // As it was started: a namespace lets nobody change to another user or group.
    'user=root',
    'group=',
    'leasefile-ro',
    'no-resolv',
    'bind-dynamic',
    // A name is looked for nowhere else: inside there is nobody to ask.
    `port=${dns.length > 0 ? 53 : 0}`,
    ...(dns.length > 0
      ? [`domain=${spec.name}`, `local=/${spec.name}/`, 'expand-hosts', 'domain-needed']
      : []),
    ...served.flatMap(({ lan, nic, services }) => [
      '',
      `# ${lan.name}: ${services.join(', ')}`,
      `interface=${nic.name}`,
      ...(services.includes('dhcp')
        ? dhcp(spec, lan, nic, macOf)
        : [`no-dhcp-interface=${nic.name}`].filter(() => !services.includes('ra'))),
      ...(services.includes('ra') ? advertisements(nic) : [])
    ]),
    ''
  ].join('\n')
}

/** Everybody's own address, and a range of free ones for others. */
function dhcp(spec: Spec, lan: SpecLan, own: SpecNic, macOf: MacOf): string[] {
  const subnet = parseSubnet(lan.subnet ?? '')
  if (subnet === null) return []
  const nics = spec.entities.flatMap((entity) =>
    entity.nics
      .filter((nic) => nic.lan === lan.name)
      .map((nic) => ({ entity, nic, ip: addressOf(nic, false) }))
  )
  const taken = new Set(nics.map(({ ip }) => parseIpv4(ip ?? '')))
  // From the top: what is settled comes from the bottom.
  const last = subnet.base + subnet.size - 2
  let first = last + 1
  while (first - 1 > subnet.base && last - first + 1 < maxLeases && !taken.has(first - 1)) first--
  const mask = formatIpv4(2 ** 32 - subnet.size)
  const router = spec.entities
    .flatMap(({ kind, routes }) => (kind === 'host' ? routes : []))
    .find(({ via }) => nics.some(({ ip }) => ip === via))?.via
  // Open or shut: who serves the vLAN is not started anew for it.
  const door = nics.find(({ entity }) => entity.jetway?.mode === 'nat')?.ip
  const gateway = router ?? door
  return [
    first <= last
      ? `dhcp-range=set:${lan.name},${formatIpv4(first)},${formatIpv4(last)},${mask},${leaseTime}`
      : `dhcp-range=set:${lan.name},${bare(own.ips[0] ?? '')},static,${mask},${leaseTime}`,
    `dhcp-option=tag:${lan.name},option:router${gateway === undefined ? '' : `,${gateway}`}`,
    ...nics.flatMap(({ entity, nic, ip }) =>
      ip === undefined ? [] : [`dhcp-host=${macOf(entity.name, nic.name)},${ip},${entity.name}`]
    )
  ]
}

/** The prefix, from which machines make addresses of their own (RFC 4862). */
function advertisements(nic: SpecNic): string[] {
  return ['enable-ra', `dhcp-range=::,constructor:${nic.name},ra-only,64`]
}

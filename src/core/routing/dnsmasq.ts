/** What an entity does for the vLANs that it serves: addresses, names, router advertisements, all by dnsmasq. Pure. */
import type { Mac } from '../ids.ts'
import { formatIpv4, parseSubnet } from '../ipv4.ts'
import { addressOf } from '../resolve.ts'
import {
  type LanService,
  lanServices,
  type Spec,
  type SpecEntity,
  type SpecLan,
  type SpecNic
} from '../spec.ts'
import { dhcpHostsPath, dhcpOptionsPath, dnsmasqPath } from './paths.ts'

/** Addresses for machines that the file does not know, at most. */
const maxLeases = 100
const leaseTime = '1h'

export type MacOf = (entity: string, nic: string) => Mac

interface Served {
  readonly lan: SpecLan
  /** Its own, on that vLAN. */
  readonly nic: SpecNic
  readonly services: readonly LanService[]
}

/**
 * The files that it goes by; none: it serves nothing. What machines come and go with stands in those that it reads anew
 * when it is told to, so that nobody's coming ends it, and with it the machine that it runs on.
 */
export function dnsmasqFiles(spec: Spec, self: SpecEntity, macOf: MacOf): ReadonlyMap<string, string> {
  const served = spec.lans.flatMap((lan): Served[] => {
    const nic = self.nics.find((one) => one.lan === lan.name)
    const services = lanServices.filter((service) => lan.services?.[service] === self.name)
    return nic === undefined || services.length === 0 ? [] : [{ lan, nic, services }]
  })
  if (served.length === 0) return new Map()
  const conf = configuration(spec, served)
  const given = served.filter(({ services }) => services.includes('dhcp'))
  if (given.length === 0) return new Map([[dnsmasqPath, conf]])
  return new Map([
    [dnsmasqPath, conf],
    [dhcpHostsPath, linesOf(given.flatMap(({ lan }) => dhcpHosts(spec, lan, macOf)))],
    [dhcpOptionsPath, linesOf(given.map(({ lan }) => routerOption(spec, lan)))]
  ])
}

function configuration(spec: Spec, served: readonly Served[]): string {
  const does = (service: LanService): boolean => served.some(({ services }) => services.includes(service))
  return linesOf([
    // As it was started: a namespace lets nobody change to another user or group.
    'user=root',
    'group=',
    'leasefile-ro',
    'no-resolv',
    'bind-dynamic',
    // A name is looked for nowhere else: inside there is nobody to ask.
    `port=${does('dns') ? 53 : 0}`,
    ...(does('dns') ? [`domain=${spec.name}`, `local=/${spec.name}/`, 'expand-hosts', 'domain-needed'] : []),
    ...(does('dhcp') ? [`dhcp-hostsfile=${dhcpHostsPath}`, `dhcp-optsfile=${dhcpOptionsPath}`] : []),
    ...served.flatMap(({ lan, nic, services }) => [
      '',
      `# ${lan.name}: ${services.join(', ')}`,
      `interface=${nic.name}`,
      ...(services.includes('dhcp')
        ? dhcpRange(lan)
        : [`no-dhcp-interface=${nic.name}`].filter(() => !services.includes('ra'))),
      ...(services.includes('ra') ? advertisements(nic) : [])
    ])
  ])
}

/** For strangers: at the top, for what is settled comes from the bottom. What is somebody's in there is not given away. */
function dhcpRange(lan: SpecLan): string[] {
  const subnet = parseSubnet(lan.subnet ?? '')
  if (subnet === null) return []
  const last = subnet.base + subnet.size - 2
  const first = last - Math.min(maxLeases, (subnet.size - 2) / 2) + 1
  const mask = formatIpv4(2 ** 32 - subnet.size)
  return [`dhcp-range=set:${lan.name},${formatIpv4(first)},${formatIpv4(last)},${mask},${leaseTime}`]
}

/** Everybody's own address and name; who asks for any is known by his name alone. */
function dhcpHosts(spec: Spec, lan: SpecLan, macOf: MacOf): string[] {
  return nicsOn(spec, lan).map(({ entity, nic, ip }) =>
    [macOf(entity.name, nic.name), ...(ip === undefined ? [] : [ip]), entity.name].join(',')
  )
}

/** Without an address nobody is told of a router: its own, which is what is told else, need be none. */
function routerOption(spec: Spec, lan: SpecLan): string {
  const nics = nicsOn(spec, lan)
  const router = spec.entities
    .flatMap(({ kind, routes }) => (kind === 'host' ? routes : []))
    .find(({ via }) => nics.some(({ ip }) => ip === via))?.via
  const gateway = router ?? nics.find(({ entity }) => entity.jetway?.mode === 'nat')?.ip
  return `tag:${lan.name},option:router${gateway === undefined ? '' : `,${gateway}`}`
}

function nicsOn(
  spec: Spec,
  lan: SpecLan
): { readonly entity: SpecEntity; readonly nic: SpecNic; readonly ip: string | undefined }[] {
  return spec.entities.flatMap((entity) =>
    entity.nics
      .filter((nic) => nic.lan === lan.name)
      .map((nic) => ({ entity, nic, ip: addressOf(nic, false) }))
  )
}

/** The prefix, from which machines make addresses of their own (RFC 4862). */
function advertisements(nic: SpecNic): string[] {
  return ['enable-ra', `dhcp-range=::,constructor:${nic.name},ra-only,64`]
}

function linesOf(lines: readonly string[]): string {
  return [...lines, ''].join('\n')
}

/** What the words of a topology about ways through it ask of the rest of the file. */
import { isIpv6 } from '#core/addresses.ts'
import { tinyImage } from '#core/image.ts'
import { isHostAddress, parseIpv4, parseSubnet } from '#core/ipv4.ts'
import { isHostAddress6, parseIpv6, parseSubnet6 } from '#core/ipv6.ts'
import { nearest } from '#core/nearest.ts'
import { type Network, overlaps, parseNetwork, whyUnusable } from '#core/networks.ts'
import { lanWithoutIpv6 } from '#core/resolve.ts'
import { firewallPath } from '#core/routing/paths.ts'
import type { RoutingRule, Topology, TopologyEntity, TopologyLan } from '#core/spec.ts'
import { plainAddress } from './networking.ts'
import type { Path, Source } from './source.ts'

/** What an entity's words ask of the rest of the file. Throws ViolinError `topology-invalid`. */
export function checkNetworking(
  source: Source,
  topology: Topology,
  pathOf: (entity: TopologyEntity) => Path
): void {
  checkOverlaps(source, topology.lans)
  for (const lan of topology.lans) checkServices(source, topology, lan)
  for (const entity of topology.entities) {
    const path = pathOf(entity)
    const ipv6 = lanWithoutIpv6(entity, topology.lans)
    if (ipv6 !== undefined)
      throw source.refuse(
        [...path, 'image'],
        `a virtual machine of ${tinyImage.name} has no IPv6, which ${ipv6} has`,
        'leave `image` out, or say `image: router`'
      )
    if (entity.driver === 'uml' && entity.files.some((file) => file.path === firewallPath))
      throw source.refuse(
        [...path, 'firewall'],
        'the kernel of a virtual machine has no nftables',
        'say `driver: netns`, or filter with iptables in its `run:` script',
        'key'
      )
    if (entity.nat !== undefined && !isOn(entity, entity.nat))
      throw source.refuse(
        [...path, 'nat'],
        `${entity.name} is not on ${entity.nat}`,
        `it is on ${lansOf(entity)}`
      )
    const hasIpv4 = topology.lans.some((lan) => lan.subnet !== undefined && isOn(entity, lan.name))
    if (entity.multicast !== undefined && !hasIpv4 && entity.driver === 'uml')
      throw source.refuse(
        [...path, 'multicast'],
        `the kernel of virtual machines forwards no IPv6 multicast, and ${entity.name} has no IPv4`,
        'say `driver: netns`, or add `subnet:` to its vLANs'
      )
    for (const [place, rule] of (entity.rules ?? []).entries())
      checkRule(source, topology, entity, rule, [...path, 'rules', place])
    for (const address of entity.anycast ?? [])
      checkAnycast(source, topology, entity, address, [...path, 'anycast'])
  }
  const { rendezvous } = topology
  const forwarding = topology.entities.flatMap(({ name, multicast }) =>
    multicast === undefined ? [] : [name]
  )
  if (rendezvous !== undefined && !forwarding.includes(rendezvous)) {
    const meant = nearest(rendezvous, forwarding)
    throw source.refuse(
      ['rendezvous'],
      `${rendezvous} is no router that forwards multicast`,
      meant === null
        ? `such are: ${forwarding.join(', ') || 'none; add `multicast: pim`'}`
        : `did you mean ${meant}?`
    )
  }
}

/** An address is on one vLAN: routers would lead to only one of two that have it. */
function checkOverlaps(source: Source, lans: readonly TopologyLan[]): void {
  const networks = lans.flatMap(({ name, subnet, ipv6 }) =>
    Object.entries({ subnet, ipv6 }).flatMap(([word, text]) =>
      text === undefined ? [] : [{ name, word, text, network: parseNetwork(text) as Network }]
    )
  )
  // Of sorted ranges, one that overlaps any before overlaps the one that reaches farthest.
  const sorted = networks.toSorted((a, b) => (a.network.first < b.network.first ? -1 : 1))
  for (const isIpv6 of [false, true]) {
    let widest: (typeof networks)[number] | null = null
    for (const one of sorted) {
      if (one.network.isIpv6 !== isIpv6) continue
      if (widest !== null && overlaps(widest.network, one.network)) {
        const [former, later] =
          networks.indexOf(widest) < networks.indexOf(one) ? [widest, one] : [one, widest]
        throw source.refuse(
          ['lans', later.name, later.word],
          `${later.text} of ${later.name} and ${former.text} of ${former.name} overlap`,
          'give each vLAN addresses of its own'
        )
      }
      if (widest === null || one.network.last > widest.network.last) widest = one
    }
  }
}

function checkServices(source: Source, topology: Topology, lan: TopologyLan): void {
  for (const [service, by] of Object.entries(lan.services ?? {})) {
    const path = ['lans', lan.name, service]
    const there = topology.entities.filter((entity) => isOn(entity, lan.name))
    const routers = there.filter(({ kind }) => kind === 'router')
    const needs = service === 'dhcp' ? lan.subnet : service === 'ra' ? lan.ipv6 : ''
    if (needs === undefined)
      throw source.refuse(
        path,
        `${lan.name} has no ${service === 'ra' ? 'IPv6' : 'IPv4'} network`,
        `add \`${service === 'ra' ? 'ipv6' : 'subnet'}:\``,
        'key'
      )
    if (service === 'ra' && lan.ipv6?.endsWith('/64') !== true)
      throw source.refuse(
        path,
        `${lan.ipv6} is no /64`,
        'machines make addresses of their own in a /64 alone',
        'key'
      )
    if (by === '' && lan.gateway === undefined && routers.length !== 1)
      throw source.refuse(
        path,
        `${routers.length} routers are on ${lan.name}`,
        `name who does it: \`${service}: NAME\``
      )
    if (by !== '' && !there.some(({ name }) => name === by)) {
      const names = there.map(({ name }) => name)
      const meant = nearest(by, names)
      throw source.refuse(
        path,
        `${by} is not on ${lan.name}`,
        meant === null ? `there are: ${names.join(', ') || 'none'}` : `did you mean ${meant}?`
      )
    }
  }
}

function checkRule(
  source: Source,
  topology: Topology,
  entity: TopologyEntity,
  rule: RoutingRule,
  path: Path
): void {
  const lans = topology.lans.map(({ name }) => name)
  for (const word of ['from', 'to'] as const) {
    const named = rule[word]
    if (named === undefined || named.includes('/') || lans.includes(named)) continue
    const meant = nearest(named, lans)
    throw source.refuse(
      [...path, word],
      `no vLAN ${named}`,
      meant === null ? `vLANs are: ${lans.join(', ')}` : `did you mean ${meant}?`
    )
  }
  if (plainAddress(rule.via) !== null) {
    const own = topology.lans.filter(({ name }) => isOn(entity, name))
    const isOwn = entity.nics.some(({ ip, ipv6 }) => [ip, ipv6].some((one) => sameAddress(one, rule.via)))
    if (!isOwn && own.some((lan) => isInside(rule.via, lan))) return
    const networks = own.flatMap(({ subnet, ipv6 }) => [subnet, ipv6].filter((one) => one !== undefined))
    throw source.refuse(
      [...path, 'via'],
      isOwn ? `${rule.via} is its own address` : `${rule.via} is on no vLAN of ${entity.name}`,
      `name a neighbour, or an address in ${networks.join(', ')}`
    )
  }
  const beside = topology.entities.flatMap(({ name, nics }) =>
    name !== entity.name && nics.some(({ lan }) => isOn(entity, lan)) ? [name] : []
  )
  if (beside.includes(rule.via)) return
  const meant = nearest(rule.via, beside)
  throw source.refuse(
    [...path, 'via'],
    `${rule.via} is on no vLAN of ${entity.name}`,
    meant === null ? `there are: ${beside.join(', ') || 'none'}` : `did you mean ${meant}?`
  )
}

function checkAnycast(
  source: Source,
  topology: Topology,
  entity: TopologyEntity,
  address: string,
  path: Path
): void {
  for (const lan of topology.lans) {
    if (isInside(address, lan))
      throw source.refuse(path, `${address} is one of ${lan.name}`, 'choose one that is on no vLAN')
  }
  const why = whyUnusable(parseNetwork(address) as Network)
  if (why !== null)
    throw source.refuse(path, `${address} is no machine's: ${why}`, 'choose one such as 10.99.0.1 or fd99::1')
  const speaks = topology.entities.some(
    ({ kind, routing, nics }) =>
      kind === 'router' &&
      routing !== undefined &&
      routing !== 'none' &&
      routing !== 'static' &&
      nics.some(({ lan }) => isOn(entity, lan))
  )
  if (!speaks)
    throw source.refuse(
      path,
      `no router beside ${entity.name} speaks a routing protocol`,
      'say `routing: ospf`, or another, for the router on its vLAN'
    )
}

function sameAddress(text: string | undefined, address: string): boolean {
  return text !== undefined && plainAddress(text) === address
}

/** Whether an address may be a machine's on a vLAN. */
function isInside(address: string, { subnet, ipv6 }: TopologyLan): boolean {
  const [v4, v6] = [parseSubnet(subnet ?? ''), parseSubnet6(ipv6 ?? '')]
  return isIpv6(address)
    ? v6 !== null && isHostAddress6(v6, parseIpv6(address) as bigint)
    : v4 !== null && isHostAddress(v4, parseIpv4(address) as number)
}

function isOn(entity: TopologyEntity, lan: string): boolean {
  return entity.nics.some((nic) => nic.lan === lan)
}

function lansOf(entity: TopologyEntity): string {
  return entity.nics.map(({ lan }) => lan).join(', ')
}

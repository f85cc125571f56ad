/** The words of a topology about ways through it: routing, multicast, translation, services; checked against the rest. */
import { isIpv6 } from '#core/addresses.ts'
import { tinyImage } from '#core/image.ts'
import { isHostAddress, parseIpv4, parseSubnet } from '#core/ipv4.ts'
import { formatIpv6, isHostAddress6, parseIpv6, parseSubnet6 } from '#core/ipv6.ts'
import { firewallPath } from '#core/routing/paths.ts'
import { nearest } from '#core/nearest.ts'
import { type Network, overlaps, parseNetwork, whyUnusable } from '#core/networks.ts'
import { isName } from '#core/records/name.ts'
import { lanWithoutIpv6 } from '#core/resolve.ts'
import {
  type DriverName,
  type EntityKind,
  lanServices,
  type RoutingRule,
  type Topology,
  type TopologyEntity,
  type TopologyLan,
  type TopologyNic
} from '#core/spec.ts'
import type { FileEntity, FileLan, FileSettings, TopologyFile } from './schema.ts'
import type { Path, Source } from './source.ts'

/** What an entity's words of this kind say. */
type Words = Pick<TopologyEntity, 'routing' | 'multicast' | 'nat' | 'rules' | 'click' | 'anycast'>

const routerWords = ['routing', 'multicast', 'frr', 'nat', 'rules', 'click'] as const

/** Reads an entity's words; `defaults` of the file are for routers. Throws ViolinError `topology-invalid`. */
export function readWords(
  source: Source,
  kind: EntityKind,
  path: Path,
  entity: FileEntity,
  defaults: FileSettings | undefined
): Words {
  if (kind === 'router') {
    if (entity.anycast !== undefined)
      throw source.refuse(
        [...path, 'anycast'],
        '`anycast` is for a vHost',
        'give it to one in `hosts:`',
        'key'
      )
    return readRouter(source, path, entity, defaults)
  }
  const wrong = routerWords.find((word) => entity[word] !== undefined)
  if (wrong !== undefined)
    throw source.refuse([...path, wrong], `\`${wrong}\` is for a router`, 'put it below `routers:`', 'key')
  if (entity.anycast === undefined) return {}
  const list = typeof entity.anycast === 'string' ? [entity.anycast] : entity.anycast
  const anycast = list.map((text, place) => {
    const ipv6 = isIpv6(text) ? parseIpv6(text) : null
    if (parseIpv4(text) !== null) return text
    if (ipv6 !== null) return formatIpv6(ipv6)
    const at = typeof entity.anycast === 'string' ? [...path, 'anycast'] : [...path, 'anycast', place]
    throw source.refuse(at, `${text} is no address`, 'write it as 10.99.0.1 or fd99::1')
  })
  return { anycast }
}

function readRouter(
  source: Source,
  path: Path,
  entity: FileEntity,
  defaults: FileSettings | undefined
): Words {
  const own = entity.frr !== undefined
  for (const word of ['routing', 'multicast'] as const)
    if (own && entity[word] !== undefined)
      throw source.refuse(
        [...path, word],
        `\`${word}\` and \`frr\` both say how it routes`,
        'use one of them',
        'key'
      )
  // Its own configuration stands instead of what the file says for all.
  const routing = own ? 'none' : (entity.routing ?? defaults?.routing)
  const multicast = own ? undefined : (entity.multicast ?? defaults?.multicast)
  return {
    ...(routing === undefined ? {} : { routing }),
    ...(multicast === undefined ? {} : { multicast }),
    ...(entity.nat === undefined ? {} : { nat: entity.nat }),
    ...(entity.rules === undefined
      ? {}
      : { rules: entity.rules.map((rule, place) => readRule(source, [...path, 'rules', place], rule)) }),
    ...(entity.click === undefined
      ? {}
      : { click: readProgram(source, [...path, 'click'], entity.click.program) })
  }
}

/** A rule with networks as records have them. What else it names is looked for once all is read. */
function readRule(source: Source, path: Path, rule: RoutingRule): RoutingRule {
  const { proto, port, via } = rule
  if (port !== undefined && proto !== 'tcp' && proto !== 'udp')
    throw source.refuse([...path, 'port'], 'a port is one of tcp or udp', 'add `proto: tcp`', 'key')
  const network = (word: 'from' | 'to'): Partial<RoutingRule> => {
    const text = rule[word]
    if (text === undefined || isName(text)) return text === undefined ? {} : { [word]: text }
    const known = plainNetwork(text)
    if (known !== null) return { [word]: known }
    throw source.refuse(
      [...path, word],
      `${text} is no network, no address and no vLAN`,
      'write it as 10.0.1.0/24, host bits zero, or name a vLAN'
    )
  }
  return {
    ...network('from'),
    ...network('to'),
    ...(proto === undefined ? {} : { proto }),
    ...(port === undefined ? {} : { port }),
    via: plainAddress(via) ?? via
  }
}

/** A network as records have it; an address is one of itself alone. */
function plainNetwork(text: string): string | null {
  const address = plainAddress(text)
  if (address !== null) return `${address}/${isIpv6(address) ? 128 : 32}`
  const prefix = isIpv6(text) ? parseSubnet6(text) : null
  if (prefix !== null) return `${formatIpv6(prefix.base)}/${prefix.prefix}`
  return !isIpv6(text) && parseSubnet(text) !== null ? text : null
}

function plainAddress(text: string): string | null {
  const ipv6 = isIpv6(text) ? parseIpv6(text) : null
  if (ipv6 !== null) return formatIpv6(ipv6)
  return parseIpv4(text) === null ? null : text
}

function readProgram(source: Source, path: Path, program: string): string {
  if (/^(\/[A-Za-z0-9][A-Za-z0-9._+-]*)+$/.test(program)) return program
  throw source.refuse(
    [...path, 'program'],
    `${JSON.stringify(program)} is no path of a program inside`,
    'write it as /usr/local/bin/click, and lay it there by `files:` or an image'
  )
}

/**
 * The image that an entity begins with where the file does not say another. Throws ViolinError `topology-invalid` where the
 * file says `tiny`, and what the entity does takes programs that this does not have.
 */
export function imageOf(
  source: Source,
  file: TopologyFile,
  path: Path,
  entity: FileEntity,
  words: Words,
  nics: readonly TopologyNic[],
  driver: DriverName
): string {
  const word = wordForRouter(file, path[1] as string, entity, words, nics)
  const said = entity.image ?? file.defaults?.image
  if (said === tinyImage.name && word !== null)
    throw source.refuse(
      [...(entity.image === undefined ? ['defaults'] : path), 'image'],
      `${path[1]} has ${word}, for which ${tinyImage.name} has no programs`,
      'leave `image` out, or say `image: router`'
    )
  if (said !== undefined) return said
  // The kernel of a virtual machine has IPv6 as a module, which `tiny` is too small for.
  const ipv6 = driver === 'uml' && nics.some(({ lan }) => file.lans[lan]?.ipv6 !== undefined)
  return word !== null || words.click !== undefined || ipv6 ? 'router' : tinyImage.name
}

/** A word of an entity's that takes programs of the image `router`; null: none does. */
function wordForRouter(
  file: TopologyFile,
  name: string,
  { frr, firewall }: FileEntity,
  { routing, multicast, nat, rules, anycast }: Words,
  nics: readonly TopologyNic[]
): string | null {
  if (routing !== undefined && routing !== 'none' && routing !== 'static') return `\`routing: ${routing}\``
  const words = Object.entries({ frr, firewall, multicast, nat, rules, anycast })
  const [word] = words.find(([, value]) => value !== undefined) ?? []
  if (word !== undefined) return `\`${word}:\``
  const served = nics.find(({ lan }) => serves(file, lan, name))
  return served === undefined ? null : `a service of ${served.lan}`
}

/** Whether an entity does a service of a vLAN that it is on. */
function serves(file: TopologyFile, lanName: string, name: string): boolean {
  const lan = file.lans[lanName] as FileLan
  const isRouter = file.routers !== undefined && Object.hasOwn(file.routers, name)
  const isGateway = isRouter && (lan.gateway === undefined || lan.gateway === name)
  return lanServices.some((service) => lan[service] === name || (lan[service] === true && isGateway))
}

/** Networks and services of a vLAN. Throws ViolinError `topology-invalid`. */
export function readNetworks(
  source: Source,
  path: Path,
  lan: FileLan
): Pick<TopologyLan, 'subnet' | 'ipv6' | 'services'> {
  const { subnet, ipv6 } = lan
  if (subnet === undefined && ipv6 === undefined)
    throw source.refuse(
      path,
      'a vLAN without a network',
      'add `subnet: 192.168.1.0/24` or `ipv6: fd00:1::/64`',
      'key'
    )
  for (const [word, text, least] of [
    ['subnet', subnet, 30],
    ['ipv6', ipv6, 126]
  ] as const)
    if (text !== undefined && parseNetwork(text) !== null && Number(text.split('/')[1] ?? least) > least)
      throw source.refuse(
        [...path, word],
        `${text} is too small for a vLAN`,
        `use a /${least} or a wider one: not all of its addresses are machines'`
      )
  if (subnet !== undefined && parseSubnet(subnet) === null) {
    throw source.refuse(
      [...path, 'subnet'],
      `${subnet} is no IPv4 network`,
      'write it as 192.168.1.0/24, host bits zero'
    )
  }
  const prefix = ipv6 === undefined ? undefined : parseSubnet6(ipv6)
  if (prefix === null) {
    throw source.refuse(
      [...path, 'ipv6'],
      `${ipv6} is no IPv6 network`,
      'write it as fd00:1::/64, host bits zero'
    )
  }
  for (const [word, text] of [
    ['subnet', subnet],
    ['ipv6', ipv6]
  ] as const) {
    const why = text === undefined ? null : whyUnusable(parseNetwork(text) as Network)
    if (why === null) continue
    const example = word === 'ipv6' ? 'fd00:1::/64' : '10.0.1.0/24'
    throw source.refuse(
      [...path, word],
      `${text} is for no machines: ${why}`,
      `choose one such as ${example}`
    )
  }
  const wanted = lanServices.flatMap((service) => {
    const by = lan[service]
    return by === undefined ? [] : [[service, by === true ? '' : by] as const]
  })
  return {
    ...(subnet === undefined ? {} : { subnet }),
    ...(prefix === undefined ? {} : { ipv6: `${formatIpv6(prefix.base)}/${prefix.prefix}` }),
    ...(wanted.length === 0 ? {} : { services: Object.fromEntries(wanted) })
  }
}

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

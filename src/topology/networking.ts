/** The words of a topology about ways through it: routing, multicast, translation, services. What they ask of the rest: check-networking.ts. */
import { isIpv6 } from '#core/addresses.ts'
import { tinyImage } from '#core/image.ts'
import { parseIpv4, parseSubnet } from '#core/ipv4.ts'
import { formatIpv6, parseIpv6, parseSubnet6 } from '#core/ipv6.ts'
import { type Network, parseNetwork, whyUnusable } from '#core/networks.ts'
import { isName } from '#core/records/name.ts'
import {
  type DriverName,
  type EntityKind,
  lanServices,
  type RoutingRule,
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

/** An address as records have it; null: it is none. */
export function plainAddress(text: string): string | null {
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

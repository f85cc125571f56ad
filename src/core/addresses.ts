/** Which addresses vNICs have: those that the file names, those that they had, and the next free ones. Pure. */
import { ViolinError } from './errors.ts'
import { formatIpv4, parseIpv4, parseSubnet } from './ipv4.ts'
import { formatIpv6, parseIpv6, parseSubnet6 } from './ipv6.ts'
import { byDhcp, type Spec, type SpecNic, type Topology, type TopologyLan, type TopologyNic } from './spec.ts'

/** Addresses that a network has for machines. */
interface Range {
  readonly first: bigint
  readonly last: bigint
  readonly prefix: number
}

/** What differs between IPv4 and IPv6. */
interface Family {
  readonly is: (address: string) => boolean
  readonly networkOf: (lan: TopologyLan) => string | undefined
  readonly example: string
  readonly range: (network: string) => Range | null
  readonly wanted: (nic: TopologyNic) => string | undefined
  readonly parse: (text: string) => bigint | null
  readonly format: (address: bigint) => string
}

const families: readonly Family[] = [
  {
    is: (address) => !isIpv6(address),
    networkOf: (lan) => lan.subnet,
    example: '192.168.1.0/24',
    range: (network) => {
      const subnet = parseSubnet(network)
      if (subnet === null) return null
      const { base, size, prefix } = subnet
      return { first: BigInt(base + 1), last: BigInt(base + size - 2), prefix }
    },
    wanted: (nic) => nic.ip,
    parse: (text) => {
      const address = parseIpv4(text)
      return address === null ? null : BigInt(address)
    },
    format: (address) => formatIpv4(Number(address))
  },
  {
    is: isIpv6,
    networkOf: (lan) => lan.ipv6,
    example: 'fd00:1::/64',
    range: (network) => {
      const subnet = parseSubnet6(network)
      if (subnet === null) return null
      const { base, prefix } = subnet
      return { first: base + 1n, last: base + (1n << BigInt(128 - prefix)) - 1n, prefix }
    },
    wanted: (nic) => nic.ipv6,
    parse: parseIpv6,
    format: formatIpv6
  }
]

/** Whether a text that is an address, with or without a prefix length, is one of IPv6. */
export function isIpv6(address: string): boolean {
  return address.includes(':')
}

/**
 * The addresses of every vNIC, by `ENTITY:NIC`, IPv4 first. One that a vNIC had in `previous` stays with it.
 * Throws ViolinError `topology-invalid` when a network is full or none, an address is outside of it or given
 * twice, a vNIC is on no vLAN.
 */
export function assignAddresses(topology: Topology, previous: Spec | null): ReadonlyMap<string, string[]> {
  const nics = topology.entities.flatMap((entity) =>
    entity.nics.map((nic) => ({ key: `${entity.name}:${nic.name}`, nic }))
  )
  for (const { key, nic } of nics)
    if (!topology.lans.some(({ name }) => name === nic.lan))
      throw invalid(`${key} is on ${nic.lan}, which is no vLAN`, 'declare it under lans')
  const addresses = new Map<string, string[]>(nics.map(({ key }) => [key, []]))
  const before = previousNics(previous)
  // What joins a bridge of a host has no address of its own there.
  const bridges = new Set(
    topology.entities.flatMap(({ jetway, nics: own }) => (jetway?.mode === 'bridge' ? own : []))
  )
  const addressed = nics.filter(({ nic }) => !bridges.has(nic))
  for (const family of families) {
    const settled = addressed.filter(({ nic }) => family.wanted(nic) !== byDhcp)
    for (const [key, address] of assign(family, topology.lans, settled, before))
      addresses.get(key)?.push(address)
  }
  return addresses
}

interface KeyedNic {
  readonly key: string
  readonly nic: TopologyNic
}

function assign(
  family: Family,
  lans: readonly TopologyLan[],
  nics: readonly KeyedNic[],
  before: ReadonlyMap<string, SpecNic>
): Map<string, string> {
  const ranges = new Map<string, Range>()
  for (const lan of lans) {
    const network = family.networkOf(lan)
    if (network === undefined) continue
    const range = family.range(network)
    if (range === null)
      throw invalid(`${network} of ${lan.name} is no subnet`, `write it as ${family.example}`)
    ranges.set(lan.name, range)
  }
  const taken = new Map<string, Set<bigint>>(lans.map(({ name }) => [name, new Set()]))
  const chosen = new Map<string, bigint>()
  const claim = ({ key, nic }: KeyedNic, address: bigint | null): boolean => {
    const range = ranges.get(nic.lan)
    const used = taken.get(nic.lan) as Set<bigint>
    if (range === undefined || address === null || used.has(address)) return false
    if (address < range.first || address > range.last) return false
    used.add(address)
    chosen.set(key, address)
    return true
  }
  for (const one of nics) {
    const wanted = family.wanted(one.nic)
    if (wanted !== undefined && !claim(one, family.parse(wanted)))
      throw invalid(
        `${wanted} of ${one.key} is outside ${one.nic.lan} or taken twice`,
        'give it a free address of the subnet'
      )
  }
  for (const one of nics) {
    const former = before.get(one.key)
    const address = former?.lan === one.nic.lan ? former.ips.find(family.is) : undefined
    if (address !== undefined && !chosen.has(one.key)) claim(one, family.parse(bare(address)))
  }
  for (const one of nics) {
    const range = ranges.get(one.nic.lan)
    if (range === undefined || chosen.has(one.key)) continue
    // One more than the addresses in use bounds the search, however large the subnet is.
    const end = range.first + BigInt((taken.get(one.nic.lan) as Set<bigint>).size)
    let address = range.first
    while (address <= end && !claim(one, address)) address++
    if (address > end)
      throw invalid(`no free address for ${one.key} in ${one.nic.lan}`, 'give the vLAN a larger subnet')
  }
  return new Map(
    nics.flatMap(({ key, nic }) => {
      const address = chosen.get(key)
      return address === undefined
        ? []
        : [[key, `${family.format(address)}/${ranges.get(nic.lan)?.prefix}`] as const]
    })
  )
}

function previousNics(previous: Spec | null): Map<string, SpecNic> {
  return new Map(
    previous?.entities.flatMap((entity) =>
      entity.nics.map((nic) => [`${entity.name}:${nic.name}`, nic] as const)
    )
  )
}

/** An address without its prefix length. */
export function bare(address: string): string {
  return address.split('/')[0] as string
}

function invalid(what: string, remedy: string): ViolinError {
  return new ViolinError('topology-invalid', what, remedy)
}

/** Which networks the vLANs of a lab have, and which of its addresses become those of vNICs. */
import { formatIpv4, isHostAddress, type Subnet } from '#core/ipv4.ts'
import { formatIpv6, type Subnet6 } from '#core/ipv6.ts'
import type { Notes } from './foreign.ts'
import type { Given } from './given.ts'
import type { Node } from './node.ts'
import {
  type Address,
  type Address6,
  choosePrefixes,
  chooseSubnets,
  formatAddress6,
  formatSubnet,
  formatSubnet6,
  isIn,
  range6Of,
  rangeOf
} from './subnets.ts'

/** By network of the lab: what its vLAN has of each family. */
export interface Networks {
  readonly subnets: ReadonlyMap<string, Subnet>
  readonly prefixes: ReadonlyMap<string, Subnet6>
}

/** Chooses them. Those that the lab uses with IPv6 alone have no other. */
export function networksOf(nodes: readonly Node[]): Networks {
  const prefixes = choosePrefixes(
    nodes.flatMap(({ nics, ipv6 }) =>
      nics.flatMap(({ foreign, network }) => {
        const address = ipv6.get(foreign)
        return address === undefined ? [] : [{ network, address }]
      })
    )
  )
  return { subnets: subnetsOf(nodes, prefixes), prefixes }
}

/** By vLAN: what scripts and FRR give its vNICs. */
export function addressesOf(
  nodes: readonly Node[],
  lanNames: ReadonlyMap<string, string>
): Map<string, Set<string>> {
  const known = new Map(Array.from(lanNames.values(), (lan) => [lan, new Set<string>()]))
  for (const { nics, addresses, ipv6 } of nodes)
    for (const { foreign, network } of nics) {
      const [v4, v6] = [addresses.get(foreign), ipv6.get(foreign)]
      const own = known.get(lanNames.get(network) as string)
      if (v4 !== undefined) own?.add(formatIpv4(v4.ip))
      if (v6 !== undefined) own?.add(formatIpv6(v6.ip))
    }
  return known
}

function subnetsOf(nodes: readonly Node[], prefixes: ReadonlyMap<string, Subnet6>): Map<string, Subnet> {
  const wanted = new Map<string, { network: string; addresses: Address[]; nics: number }>()
  for (const { nics, addresses } of nodes) {
    for (const { foreign, network } of nics) {
      const entry = wanted.get(network) ?? { network, addresses: [], nics: 0 }
      const address = addresses.get(foreign)
      if (address !== undefined) entry.addresses.push(address)
      entry.nics++
      wanted.set(network, entry)
    }
  }
  const all = [...wanted.values()]
  const several = all.some(({ addresses }) => addresses.length > 0)
  const numbered = all.filter(({ network, addresses }) => addresses.length > 0 || !prefixes.has(network))
  return chooseSubnets(numbered, !several)
}

/** A vNIC's IPv4 address in the topology, and which of the lab's it stands for. */
export function ipv4Of(
  { name, foreign, commands, addresses }: Node,
  nic: Node['nics'][number],
  subnet: Subnet | undefined,
  lan: string,
  given: Given,
  notes: Notes
): { readonly text: string | null; readonly takes: Address | null } {
  if (subnet === undefined) return { text: null, takes: null }
  const address = addresses.get(nic.foreign)
  const fits = address !== undefined && address.prefix === subnet.prefix && isHostAddress(subnet, address.ip)
  if (fits && given.take(lan, formatIpv4(address.ip))) return { text: formatIpv4(address.ip), takes: address }
  if (address !== undefined) {
    const by = commands.addresses.has(nic.foreign) ? 'the script' : 'FRR'
    const why = fits ? `is taken on ${lan}` : `is outside of ${formatSubnet(subnet)}`
    notes.add(
      foreign.place,
      `${name}: ${formatIpv4(address.ip)} of ${nic.name} ${why}: ${nic.name} has an address of ${lan}, and ${by} adds this one`
    )
  }
  return { text: given.choose(lan, rangeOf(subnet)), takes: null }
}

/** A vNIC's IPv6 address in the topology, and which of the lab's it stands for. */
export function ipv6Of(
  { name, foreign, commands, ipv6 }: Node,
  nic: Node['nics'][number],
  prefix: Subnet6 | undefined,
  lan: string,
  given: Given,
  notes: Notes
): { readonly text: string | null; readonly takes: Address6 | null } {
  const address = ipv6.get(nic.foreign)
  const fits = address !== undefined && prefix !== undefined && isIn(prefix, address)
  if (fits && given.take(lan, formatIpv6(address.ip))) return { text: formatIpv6(address.ip), takes: address }
  if (address !== undefined) {
    const by = commands.ipv6.has(nic.foreign) ? 'the script' : 'FRR'
    const why = fits
      ? `is taken on ${lan}`
      : prefix === undefined
        ? `is of a network that another vLAN has`
        : `is outside of ${formatSubnet6(prefix)}`
    notes.add(foreign.place, `${name}: ${formatAddress6(address)} of ${nic.name} ${why}: ${by} adds it`)
  }
  return { text: prefix === undefined ? null : given.choose(lan, range6Of(prefix)), takes: null }
}

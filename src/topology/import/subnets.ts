/** Which subnet each vLAN has: that of the addresses seen on it, else a free one. */
import { ViolinError } from '#core/errors.ts'
import { type Network, overlaps, whyUnusable } from '#core/networks.ts'
import { formatIpv4, isHostAddress, parseIpv4, parseSubnet, type Subnet } from '#core/ipv4.ts'
import { formatIpv6, isHostAddress6, parseIpv6, type Subnet6 } from '#core/ipv6.ts'

/** Networks that named no address get theirs from here: what few labs use themselves comes first. */
const pools: readonly { readonly base: number; readonly end: number }[] = [
  // 10.128.0.0/9, 172.16.0.0/12, and 198.18.0.0/15, which is for measurements.
  { base: 0x0a800000, end: 0x0b000000 },
  { base: 0xac100000, end: 0xac200000 },
  { base: 0xc6120000, end: 0xc6140000 }
]
/** The largest subnet that a vLAN is given, as of a prefix length: what is larger is a slip of the pen. */
const leastPrefix = 8
const leastPrefix6 = 16

/** An address on a vNIC, `192.168.1.2/24`. */
export interface Address {
  readonly ip: number
  readonly prefix: number
}

export function formatAddress({ ip, prefix }: Address): string {
  return `${formatIpv4(ip)}/${prefix}`
}

/** Null for what is no IPv4 address of a host, or has no prefix length that a vLAN can have. */
export function parseAddress(text: string): Address | null {
  const [ipText, prefixText, rest] = text.split('/')
  if (ipText === undefined || prefixText === undefined || rest !== undefined) return null
  const ip = parseIpv4(ipText)
  if (ip === null || !/^\d{1,2}$/.test(prefixText) || Number(prefixText) < leastPrefix) return null
  const subnet = subnetOf({ ip, prefix: Number(prefixText) })
  return subnet !== null && isHostAddress(subnet, ip) ? { ip, prefix: subnet.prefix } : null
}

/** An IPv6 address on a vNIC, `fd00::2/64`. */
export interface Address6 {
  readonly ip: bigint
  readonly prefix: number
}

export function formatAddress6({ ip, prefix }: Address6): string {
  return `${formatIpv6(ip)}/${prefix}`
}

/** Null for what is no IPv6 address of a host, or of a network that no vLAN can have. */
export function parseAddress6(text: string): Address6 | null {
  const [ipText = '', prefixText = '', rest] = text.split('/')
  const [ip, prefix] = [parseIpv6(ipText), Number(prefixText)]
  if (ip === null || rest !== undefined || !/^\d{1,3}$/.test(prefixText)) return null
  if (prefix < leastPrefix6 || prefix > 126) return null
  const subnet = subnet6Of({ ip, prefix })
  return isHostAddress6(subnet, ip) && whyUnusable(range6Of(subnet)) === null ? { ip, prefix } : null
}

function subnet6Of({ ip, prefix }: Address6): Subnet6 {
  return { base: ip - BigInt.asUintN(128 - prefix, ip), prefix }
}

export function formatSubnet6({ base, prefix }: Subnet6): string {
  return formatAddress6({ ip: base, prefix })
}

export function isIn(subnet: Subnet6, { ip, prefix }: Address6): boolean {
  return prefix === subnet.prefix && isHostAddress6(subnet, ip)
}

export function range6Of({ base, prefix }: Subnet6): Network {
  return { isIpv6: true, first: base, last: base + (1n << BigInt(128 - prefix)) - 1n }
}

/** An IPv6 prefix for each network of which an address is known: that of the first one, unless a network before has it. */
export function choosePrefixes(
  wanted: readonly { readonly network: string; readonly address: Address6 }[]
): Map<string, Subnet6> {
  const chosen = new Map<string, Subnet6>()
  for (const { network, address } of wanted) {
    const subnet = subnet6Of(address)
    if (chosen.has(network)) continue
    if (![...chosen.values()].some((other) => overlaps(range6Of(other), range6Of(subnet))))
      chosen.set(network, subnet)
  }
  return chosen
}

/** The subnet that an address is in. */
export function subnetOf({ ip, prefix }: Address): Subnet | null {
  if (prefix > 30) return null
  const size = 2 ** (32 - prefix)
  return parseSubnet(`${formatIpv4(ip - (ip % size))}/${prefix}`)
}

export function formatSubnet({ base, prefix }: Subnet): string {
  return `${formatIpv4(base)}/${prefix}`
}

/** One network's wish. */
export interface Wanted {
  readonly network: string
  readonly addresses: readonly Address[]
  /** How many vNICs it has to number. */
  readonly nics: number
}

/**
 * A subnet for each network: the one most of its addresses are in, the larger of equal ones; a free /24 or
 * larger where it has none that holds all its vNICs, machines can have, and no network before has. `small`: a free /30 for networks of two.
 */
export function chooseSubnets(wanted: readonly Wanted[], small: boolean): Map<string, Subnet> {
  const chosen = new Map<string, Subnet>()
  for (const { network, addresses, nics } of wanted) {
    const subnet = mostCommon(addresses)
    if (subnet === null || nics > subnet.size - 2 || whyUnusable(rangeOf(subnet)) !== null) continue
    if (![...chosen.values()].some((other) => overlaps(rangeOf(other), rangeOf(subnet))))
      chosen.set(network, subnet)
  }
  const pool = new Pool(chosen.values())
  for (const { network, nics } of wanted) {
    if (!chosen.has(network)) chosen.set(network, pool.take(small && nics <= 2 ? 4 : 256, nics + 2))
  }
  return chosen
}

export function rangeOf({ base, size }: Subnet): Network {
  return { isIpv6: false, first: BigInt(base), last: BigInt(base + size - 1) }
}

function mostCommon(addresses: readonly Address[]): Subnet | null {
  const counts = new Map<string, { readonly subnet: Subnet; count: number }>()
  for (const address of addresses) {
    const subnet = subnetOf(address)
    if (subnet === null) continue
    const entry = counts.get(formatSubnet(subnet)) ?? { subnet, count: 0 }
    entry.count++
    counts.set(formatSubnet(subnet), entry)
  }
  const [best] = [...counts.values()].toSorted((a, b) => b.count - a.count || b.subnet.size - a.subnet.size)
  return best?.subnet ?? null
}

/** Subnets that overlap none of those in use. */
class Pool {
  readonly #used: readonly Subnet[]
  #place = 0
  #next = (pools[0] as (typeof pools)[number]).base

  constructor(used: Iterable<Subnet>) {
    this.#used = [...used]
  }

  /** The next free subnet of at least so many addresses, and no smaller than `least`. Throws `topology-invalid`. */
  take(least: number, addresses: number): Subnet {
    const size = Math.max(least, 2 ** Math.ceil(Math.log2(addresses)))
    for (;;) {
      const pool = pools[this.#place]
      if (pool === undefined)
        throw new ViolinError(
          'topology-invalid',
          'no private subnet is left for networks without an address',
          'give them addresses, or the others smaller subnets'
        )
      const base = Math.ceil(this.#next / size) * size
      if (base + size > pool.end) {
        this.#next = pools[++this.#place]?.base ?? 0
        continue
      }
      const over = this.#used.find((used) => used.base < base + size && base < used.base + used.size)
      this.#next = over === undefined ? base + size : over.base + over.size
      if (over === undefined) return { base, size, prefix: 32 - Math.log2(size) }
    }
  }
}

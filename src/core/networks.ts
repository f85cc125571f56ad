/** Networks of both families, as ranges of addresses. */
import { parseIpv4 } from './ipv4.ts'
import { parseIpv6 } from './ipv6.ts'

export interface Network {
  readonly isIpv6: boolean
  readonly first: bigint
  readonly last: bigint
}

/** Any network or address, `10.1.0.0/16`, `fd00::1`, whatever its host bits; null for anything else. */
export function parseNetwork(text: string): Network | null {
  const [address = '', prefixText, rest] = text.split('/')
  const isIpv6 = address.includes(':')
  const bits = isIpv6 ? 128 : 32
  const parsed = isIpv6 ? parseIpv6(address) : parseIpv4(address)
  if (parsed === null || rest !== undefined) return null
  if (prefixText !== undefined && !/^(0|[1-9]\d{0,2})$/.test(prefixText)) return null
  const prefix = Number(prefixText ?? bits)
  if (prefix > bits) return null
  const size = 1n << BigInt(bits - prefix)
  const first = BigInt(parsed) - (BigInt(parsed) % size)
  return { isIpv6, first, last: first + size - 1n }
}

/** Networks in which no machine can have an address that others reach, and what they are. */
const reserved: readonly (readonly [network: string, what: string])[] = [
  ['0.0.0.0/8', 'for who has no address yet'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.0.0/16', 'link-local, which no router leads on'],
  ['224.0.0.0/4', 'multicast'],
  ['240.0.0.0/4', 'reserved'],
  ['::/8', 'reserved, loopback among it'],
  ['fe80::/10', 'link-local, which no router leads on'],
  ['ff00::/8', 'multicast']
]

/** Why machines cannot have the addresses of a network; null: they can. */
export function whyUnusable(network: Network): string | null {
  for (const [text, what] of reserved)
    if (overlaps(network, parseNetwork(text) as Network)) return `${text} is ${what}`
  return null
}

/** Whether two networks have an address in common. */
export function overlaps(a: Network, b: Network): boolean {
  return a.isIpv6 === b.isIpv6 && a.first <= b.last && b.first <= a.last
}

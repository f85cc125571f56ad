/** IPv4 arithmetic on unsigned 32-bit numbers; text was checked when the topology was read. */

export interface Subnet {
  /** Network address. */
  readonly base: number
  /** Prefix length, 0..32. */
  readonly prefix: number
  /** Addresses in it, network and broadcast included. */
  readonly size: number
}

/** Dotted quad to number; null when it is not exactly four decimal octets without leading zeros. */
export function parseIpv4(text: string): number | null {
  const octets = text.split('.')
  if (octets.length !== 4) return null
  let value = 0
  for (const octet of octets) {
    if (!/^(0|[1-9]\d{0,2})$/.test(octet) || Number(octet) > 255) return null
    value = value * 256 + Number(octet)
  }
  return value
}

export function formatIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.')
}

/** CIDR with its host bits zero and room for two hosts (prefix ≤ 30); null for anything else. */
export function parseSubnet(cidr: string): Subnet | null {
  const [address, prefixText, rest] = cidr.split('/')
  if (address === undefined || prefixText === undefined || rest !== undefined) return null
  const base = parseIpv4(address)
  if (base === null || !/^(0|[1-9]\d?)$/.test(prefixText)) return null
  const prefix = Number(prefixText)
  if (prefix > 30) return null
  const size = 2 ** (32 - prefix)
  return base % size === 0 ? { base, prefix, size } : null
}

/** Whether `address` may be a host's: inside, and neither network nor broadcast. */
export function isHostAddress(subnet: Subnet, address: number): boolean {
  return address > subnet.base && address < subnet.base + subnet.size - 1
}

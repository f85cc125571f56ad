/** IPv6 arithmetic on 128-bit numbers; text was checked when the topology was read. */

export interface Subnet6 {
  /** The address with all host bits zero. */
  readonly base: bigint
  /** Prefix length, 0..126. */
  readonly prefix: number
}

/** Text of RFC 4291 §2.2, forms 1 and 2, without a zone, in either case; null for anything else. */
export function parseIpv6(text: string): bigint | null {
  const halves = text.split('::')
  if (halves.length > 2) return null
  const [before = [], after = []] = halves.map((half) => (half === '' ? [] : half.split(':')))
  const zeros = 8 - before.length - after.length
  if (halves.length === 2 ? zeros < 1 : zeros !== 0) return null
  let value = 0n
  for (const group of [...before, ...Array<string>(zeros).fill('0'), ...after]) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return null
    value = (value << 16n) | BigInt(`0x${group}`)
  }
  return value
}

/** The one text of RFC 5952: lower case, no leading zeros, the longest run of zeros (the first of equals) as `::`. */
export function formatIpv6(address: bigint): string {
  const groups = Array.from({ length: 8 }, (_, place) =>
    Number((address >> BigInt(112 - 16 * place)) & 0xffffn)
  )
  let best = { start: 0, length: 1 }
  for (let start = 0; start < 8; start++) {
    let end = start
    while (end < 8 && groups[end] === 0) end++
    if (end - start > best.length) best = { start, length: end - start }
  }
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':')
  if (best.length < 2) return text(groups)
  return `${text(groups.slice(0, best.start))}::${text(groups.slice(best.start + best.length))}`
}

/** A prefix with its host bits zero and room for two hosts (length ≤ 126); null for anything else. */
export function parseSubnet6(prefix: string): Subnet6 | null {
  const [address, lengthText, rest] = prefix.split('/')
  if (address === undefined || lengthText === undefined || rest !== undefined) return null
  const base = parseIpv6(address)
  if (base === null || !/^(0|[1-9]\d{0,2})$/.test(lengthText)) return null
  const length = Number(lengthText)
  if (length > 126) return null
  return BigInt.asUintN(128 - length, base) === 0n ? { base, prefix: length } : null
}

/** Whether `address` may be a host's: inside, and not that of the subnet's routers (RFC 4291 §2.6.1). */
export function isHostAddress6(subnet: Subnet6, address: bigint): boolean {
  const within = BigInt.asUintN(128 - subnet.prefix, address)
  return within !== 0n && address - within === subnet.base
}

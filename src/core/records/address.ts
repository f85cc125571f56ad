/** IP addresses as texts in records: only the plain forms that every tool reads alike. */

/** A dotted IPv4 address without leading zeros, or an IPv6 address in lower case (RFC 4291 §2.2, no zone). */
export function isAddress(text: string): boolean {
  return isIpv4(text) || isIpv6(text)
}

/** An address with `/` and a prefix length. */
export function isPrefix(text: string): boolean {
  const slash = text.indexOf('/')
  const address = text.slice(0, slash)
  const length = text.slice(slash + 1)
  if (slash < 0 || !/^(0|[1-9][0-9]{0,2})$/.test(length)) return false
  return Number(length) <= 32 ? isAddress(address) : Number(length) <= 128 && isIpv6(address)
}

function isIpv4(text: string): boolean {
  const parts = text.split('.')
  return (
    parts.length === 4 && parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255)
  )
}

function isIpv6(text: string): boolean {
  const halves = text.split('::')
  if (halves.length > 2) return false
  const groups = halves.flatMap((half) => (half === '' ? [] : half.split(':')))
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/.test(group))) return false
  return halves.length === 2 ? groups.length <= 7 : groups.length === 8
}

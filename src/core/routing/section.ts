/** Configuration of FRR as each protocol adds to it: lines for interfaces, and blocks of its own. */
import { isIpv6 } from '../addresses.ts'
import type { SpecEntity } from '../spec.ts'

export interface Section {
  /** Lines by the name of an interface. */
  readonly interfaces: ReadonlyMap<string, readonly string[]>
  readonly blocks: readonly string[]
}

/** The profile of BFD that all protocols use. */
export const bfdProfile = 'violin'

/** The list of all that a vHost tells others. */
export const ownList = 'own'

/** That list: its anycast addresses alone, for a way over one of its vLANs to another would end in it. Empty: no vHost. */
export function ownPrefixes({ kind, anycast }: SpecEntity, ipv6: boolean): string[] {
  if (kind !== 'host') return []
  const head = `${ipv6 ? 'ipv6' : 'ip'} prefix-list ${ownList}`
  const own = (anycast ?? []).filter((one) => isIpv6(one) === ipv6)
  if (own.length === 0) return [`${head} seq 1 deny any\n`]
  return [own.map((one, at) => `${head} seq ${at + 1} permit ${one}/${ipv6 ? 128 : 32}\n`).join('')]
}

/** A block that ends as vtysh wants it. */
export function block(head: string, lines: readonly string[], end = 'exit'): string {
  return `${[head, ...lines.map((line) => ` ${line}`), end].join('\n')}\n`
}

/**
 * Policy routing: rules of the kernel, each with a table of one route. A script that may run again whenever the rules,
 * or vNICs that they lead over, changed. Pure.
 */
import { isIpv6 } from '../addresses.ts'
import { overlaps, parseNetwork } from '../networks.ts'
import { addressOf } from '../resolve.ts'
import type { RoutingRule, Spec, SpecEntity } from '../spec.ts'

/** Priority of the first rule, after the kernel's own for this machine (0) and before its main table (32,766). */
const firstPriority = 1_000
/** Of the kernel: the rule that leads into its main table. */
const mainPriority = 32_766
/** By which these rules are told from all others. */
const protocol = 201
/** Busybox's would not know of ports. */
const ip = '/sbin/ip'

/** The script; null: there are none. */
export function rulesScript(spec: Spec, self: SpecEntity): string | null {
  if (self.rules === undefined) return null
  // What the router says itself (answers, names, words between routers) is not forwarded: it comes from nowhere outside.
  const before = [false, true].flatMap((ipv6) => [
    `${ip} ${family(ipv6)} rule flush protocol ${protocol} 2>/dev/null || true`,
    `${ip} ${family(ipv6)} rule add pref ${firstPriority - 1} iif lo goto ${mainPriority} protocol ${protocol}`
  ])
  const lines = self.rules.flatMap((rule, place) =>
    [false, true].flatMap((ipv6) => ruleLines(spec, self, rule, firstPriority + place, ipv6))
  )
  return [...before, ...lines, ''].join('\n')
}

function ruleLines(
  spec: Spec,
  self: SpecEntity,
  rule: RoutingRule,
  priority: number,
  ipv6: boolean
): string[] {
  const via = nextHop(spec, self, rule.via, ipv6)
  const [from, to] = [rule.from, rule.to].map((one) => networkOf(spec, one, ipv6))
  if (via === undefined || from === undefined || to === undefined) return []
  const isPing = rule.proto === 'icmp' && ipv6
  const words = [
    ...['from', from, 'to', to],
    ...(rule.proto === undefined ? [] : ['ipproto', isPing ? 'ipv6-icmp' : rule.proto]),
    ...(rule.port === undefined ? [] : ['dport', String(rule.port)])
  ]
  return [
    `${ip} ${family(ipv6)} route replace default via ${via} table ${priority}`,
    `${ip} ${family(ipv6)} rule add pref ${priority} ${words.join(' ')} lookup ${priority} protocol ${protocol}`
  ]
}

function family(ipv6: boolean): string {
  return ipv6 ? '-6' : '-4'
}

/** The network of a family that a word means; undefined: it means none of it. */
function networkOf(spec: Spec, word: string | undefined, ipv6: boolean): string | undefined {
  if (word === undefined) return 'all'
  if (word.includes('/')) return isIpv6(word) === ipv6 ? word : undefined
  const lan = spec.lans.find(({ name }) => name === word)
  return ipv6 ? lan?.ipv6 : lan?.subnet
}

/** Whether an address is on a vLAN of the router: over no other there is a way, and the kernel would take none. */
function isBeside(spec: Spec, { nics }: SpecEntity, address: string): boolean {
  const at = parseNetwork(address)
  return spec.lans.some(({ name, subnet, ipv6 }) => {
    const network = parseNetwork((isIpv6(address) ? ipv6 : subnet) ?? '')
    return nics.some(({ lan }) => lan === name) && at !== null && network !== null && overlaps(at, network)
  })
}

/** An address of that family; of an entity the one on the first vLAN that both are on. */
function nextHop(spec: Spec, self: SpecEntity, via: string, ipv6: boolean): string | undefined {
  const there = spec.entities.find(({ name }) => name === via)
  if (there === undefined) return isIpv6(via) === ipv6 && isBeside(spec, self, via) ? via : undefined
  const shared = self.nics.flatMap(({ lan }) => there.nics.filter((nic) => nic.lan === lan))
  return shared.flatMap((nic) => addressOf(nic, ipv6) ?? [])[0]
}

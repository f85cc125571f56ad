/**
 * What is done inside a fresh namespace entity, as text: pure functions of its spec.
 */
import { isIpv6 } from '#core/addresses.ts'
import { frrChange } from '#core/routing/frr-change.ts'
import {
  dhcpHostsPath,
  dhcpOptionsPath,
  frrPath,
  multicast6Path,
  resolvPath,
  rulesPath
} from '#core/routing/paths.ts'
import type { SpecEntity, SpecNic, SpecRoute } from '#core/spec.ts'
import type { SliceWish } from '#slice/contract.ts'

/** What FRR is told last. */
const changePath = '/run/frr/change.conf'

/** Where programs are found inside. */
export const insidePath = '/bin:/sbin:/usr/bin:/usr/sbin'

/** Environment of everything that runs inside. */
export function environmentOf(entity: SpecEntity): Record<string, string> {
  return { PATH: insidePath, HOME: '/root', USER: 'root', TERM: 'xterm', ...entity.env }
}

/** A shell script (`sh -e`) that gives the interfaces their addresses, and the entity its routes. */
export function networkScript(entity: SpecEntity): string {
  const lines = ['ip link set lo up']
  for (const nic of entity.nics) lines.push(...nicLines(nic))
  for (const address of entity.anycast ?? [])
    lines.push(
      isIpv6(address)
        ? `ip -6 addr add ${quote(`${address}/128`)} dev lo`
        : `ip addr add ${quote(`${address}/32`)} dev lo`
    )
  for (const route of entity.routes) lines.push(routeLine('add', route))
  return script([...lines, ...forwardingLines(entity)])
}

/**
 * A shell script (`sh -e`) that brings an entity from one spec to another that differs by its vNICs, its routes, and
 * what its services are told of others. Those vNICs that are not there any more have taken their routes along.
 */
export function changeScript(before: SpecEntity, after: SpecEntity): string {
  const lines: string[] = []
  const isIn = (routes: readonly SpecRoute[], route: SpecRoute): boolean =>
    routes.some(({ to, via }) => to === route.to && via === route.via)
  for (const route of before.routes)
    if (!isIn(after.routes, route)) lines.push(`${routeLine('del', route)} 2>/dev/null || true`)
  for (const nic of after.nics) {
    const former = before.nics.find(({ name, lan }) => name === nic.name && lan === nic.lan)
    if (former === undefined) {
      lines.push(...nicLines(nic))
      continue
    }
    const dev = `dev ${quote(nic.name)}`
    for (const ip of former.ips)
      if (!nic.ips.includes(ip)) lines.push(`ip ${isIpv6(ip) ? '-6 ' : ''}addr del ${quote(ip)} ${dev}`)
    lines.push(...nicLines({ ...nic, ips: nic.ips.filter((ip) => !former.ips.includes(ip)) }))
  }
  // All of them: what led over a vNIC that went, or an address that changed, went with it.
  for (const route of after.routes) lines.push(routeLine('replace', route))
  return script([
    ...lines,
    ...forwardingLines(after),
    ...frrLines(before, after),
    ...rulesLines(after),
    ...multicast6Lines(before, after),
    ...dhcpLines(before, after),
    ...writeLines(before, after, resolvPath)
  ])
}

/** Who gives addresses reads anew whose they are. */
function dhcpLines(before: SpecEntity, after: SpecEntity): string[] {
  const written = [dhcpHostsPath, dhcpOptionsPath].flatMap((path) => writeLines(before, after, path))
  return written.length === 0 ? [] : [...written, 'killall -q -HUP dnsmasq || true']
}

/** A file as it is by now, or none. */
function writeLines(before: SpecEntity, after: SpecEntity, path: string): string[] {
  const text = textOf(after, path)
  if (text === textOf(before, path)) return []
  return [text === '' ? `rm -f ${path}` : `printf %s ${quote(text)} > ${path}`]
}

/** All of them: what led over a vNIC that went, went with it. */
function rulesLines(entity: SpecEntity): string[] {
  const text = textOf(entity, rulesPath)
  if (text === '') return []
  return [`printf %s ${quote(text)} > ${rulesPath}`, `sh -e ${rulesPath}`]
}

/** What passes IPv6 multicast on begins anew where the tree has changed: what it learned of the former one is wrong. */
function multicast6Lines(before: SpecEntity, after: SpecEntity): string[] {
  const written = writeLines(before, after, multicast6Path)
  return written.length === 0 ? [] : [...written, `sh -e ${multicast6Path}`]
}

/** A file of an entity; empty: it has none. */
function textOf({ files }: SpecEntity, wanted: string): string {
  const file = files.find(({ path }) => path === wanted)
  return file === undefined ? '' : Buffer.from(file.data).toString('latin1')
}

/** FRR takes back what does not hold any more, as far as it has not gone already, and takes on what is new. */
function frrLines(before: SpecEntity, after: SpecEntity): string[] {
  const [old, fresh] = [textOf(before, frrPath), textOf(after, frrPath)]
  if (old === fresh) return []
  const { undo, add } = frrChange(old, fresh)
  const write = (text: string, path: string): string => `printf %s ${quote(text)} > ${path}`
  return [
    write(fresh, frrPath),
    ...(undo === '' ? [] : [write(undo, changePath), `vtysh -f ${changePath} || true`]),
    ...(add === '' ? [] : [write(add, changePath), `vtysh -f ${changePath}`])
  ]
}

function nicLines({ name, ips }: SpecNic): string[] {
  const [ipv4, ipv6] = [ips.filter((one) => !isIpv6(one)), ips.filter(isIpv6)]
  return [
    ...ipv4.map((address) => `ip addr add ${quote(address)} broadcast + dev ${quote(name)}`),
    // Its owner settled the addresses: asking the vLAN for a second first would only make it late.
    ...(ipv6.length > 0 ? [`echo 0 > /proc/sys/net/ipv6/conf/${quote(name)}/accept_dad`] : []),
    ...ipv6.map((address) => `ip -6 addr add ${quote(address)} dev ${quote(name)}`),
    `ip link set ${quote(name)} up`
  ]
}

function routeLine(verb: 'add' | 'del' | 'replace', { to, via }: SpecRoute): string {
  return `ip ${isIpv6(via) ? '-6 ' : ''}route ${verb} ${quote(to)} via ${quote(via)}`
}

function forwardingLines({ kind, nics, click }: SpecEntity): string[] {
  // Where a program forwards, the kernel does not: each frame would go on twice.
  if (kind !== 'router' || click !== undefined) return []
  const ipv6 = nics.some(({ ips }) => ips.some(isIpv6))
  return [
    'echo 1 > /proc/sys/net/ipv4/ip_forward',
    // Who was told of a shorter way keeps it when that one dies, and the router could not tell him of another.
    ...['all', ...nics.map(({ name }) => quote(name))].map(
      (where) => `echo 0 > /proc/sys/net/ipv4/conf/${where}/send_redirects`
    ),
    ...(ipv6 ? ['echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'] : [])
  ]
}

function script(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`
}

/** Contents of /etc/hosts. Who serves names tells them to others: its own, too, where it has an address. */
export function hostsFile(self: string, names: SliceWish['names']): string {
  const rows = names.map(({ name, ip }) => `${ip}\t${name}`)
  const own = names.some(({ name }) => name === self) ? [] : [`127.0.1.1\t${self}`]
  return ['127.0.0.1\tlocalhost', ...own, '::1\tlocalhost', ...rows, ''].join('\n')
}

/** A word as the shell takes it literally. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`
}

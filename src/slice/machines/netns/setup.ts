/**
 * What is done inside a fresh namespace entity, as text: pure functions of its spec.
 */
import { isIpv6 } from '#core/addresses.ts'
import type { SpecEntity } from '#core/spec.ts'
import type { SliceWish } from '#slice/contract.ts'

/** Where programs are found inside. */
export const insidePath = '/bin:/sbin:/usr/bin:/usr/sbin'

/** Environment of everything that runs inside. */
export function environmentOf(entity: SpecEntity): Record<string, string> {
  return { PATH: insidePath, HOME: '/root', USER: 'root', TERM: 'xterm', ...entity.env }
}

/** A shell script (`sh -e`) that gives the interfaces their addresses, and the entity its routes. */
export function networkScript(entity: SpecEntity): string {
  const lines = ['ip link set lo up']
  for (const nic of entity.nics) {
    const [ipv4, ipv6] = [nic.ips.filter((one) => !isIpv6(one)), nic.ips.filter(isIpv6)]
    for (const address of ipv4) lines.push(`ip addr add ${quote(address)} broadcast + dev ${quote(nic.name)}`)
    // Its owner settled the addresses: asking the vLAN for a second first would only make it late.
    if (ipv6.length > 0) lines.push(`echo 0 > /proc/sys/net/ipv6/conf/${quote(nic.name)}/accept_dad`)
    for (const address of ipv6) lines.push(`ip -6 addr add ${quote(address)} dev ${quote(nic.name)}`)
    lines.push(`ip link set ${quote(nic.name)} up`)
  }
  for (const address of entity.anycast ?? [])
    lines.push(
      isIpv6(address)
        ? `ip -6 addr add ${quote(`${address}/128`)} dev lo`
        : `ip addr add ${quote(`${address}/32`)} dev lo`
    )
  for (const { to, via } of entity.routes)
    lines.push(`ip ${isIpv6(via) ? '-6 ' : ''}route add ${quote(to)} via ${quote(via)}`)
  if (entity.kind === 'router') {
    lines.push('echo 1 > /proc/sys/net/ipv4/ip_forward')
    // Who was told of a shorter way keeps it when that one dies, and the router could not tell him of another.
    for (const where of ['all', ...entity.nics.map(({ name }) => quote(name))])
      lines.push(`echo 0 > /proc/sys/net/ipv4/conf/${where}/send_redirects`)
  }
  if (entity.kind === 'router' && entity.nics.some(({ ips }) => ips.some(isIpv6)))
    lines.push('echo 1 > /proc/sys/net/ipv6/conf/all/forwarding')
  return `${lines.join('\n')}\n`
}

/** Contents of /etc/hosts. */
export function hostsFile(self: string, names: SliceWish['names']): string {
  const rows = names.map(({ name, ip }) => `${ip}\t${name}`)
  return ['127.0.0.1\tlocalhost', `127.0.1.1\t${self}`, '::1\tlocalhost', ...rows, ''].join('\n')
}

/** A word as the shell takes it literally. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`
}

/**
 * What is done inside a fresh namespace entity, as text: pure functions of its spec.
 */
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
    for (const address of nic.ips)
      lines.push(`ip addr add ${quote(address)} broadcast + dev ${quote(nic.name)}`)
    lines.push(`ip link set ${quote(nic.name)} up`)
  }
  for (const route of entity.routes) lines.push(`ip route add ${quote(route.to)} via ${quote(route.via)}`)
  if (entity.kind === 'router') lines.push('echo 1 > /proc/sys/net/ipv4/ip_forward')
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

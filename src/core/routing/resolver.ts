/** Whom an entity asks for names: those who serve `dns:` on its vLANs. Pure. */
import { bare } from '../addresses.ts'
import type { Spec, SpecEntity } from '../spec.ts'

/** A resolver takes no more (resolv.conf(5)). */
const maxServers = 3

/** Its /etc/resolv.conf; null: nobody serves names there, or it is no machine. */
export function resolverConf(spec: Spec, self: SpecEntity): string | null {
  const servers = self.driver === 'tap' ? [] : serversOf(spec, self)
  if (servers.length === 0) return null
  return [`search ${spec.name}`, ...servers.map((address) => `nameserver ${address}`), ''].join('\n')
}

function serversOf(spec: Spec, self: SpecEntity): string[] {
  const lans = spec.lans.filter(({ name }) => self.nics.some(({ lan }) => lan === name))
  const addresses = lans.flatMap(({ name, services }) => {
    const server = spec.entities.find((entity) => entity.name === services?.dns)
    return server?.nics.find(({ lan }) => lan === name)?.ips.map(bare) ?? []
  })
  return [...new Set(addresses)].slice(0, maxServers)
}

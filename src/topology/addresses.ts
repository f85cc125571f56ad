/**
 * Addresses and gateways of a topology that its author chose: inside their network, each once, and a router there.
 */
import { formatIpv4, isHostAddress, parseIpv4, parseSubnet } from '#core/ipv4.ts'
import { formatIpv6, isHostAddress6, parseIpv6, parseSubnet6 } from '#core/ipv6.ts'
import { nearest } from '#core/nearest.ts'
import type { TopologyLan } from '#core/spec.ts'
import type { PlacedEntity } from './entities.ts'
import type { Path, Source } from './source.ts'

/** Throws ViolinError `topology-invalid` where an address cannot be. */
export function checkAddresses(
  source: Source,
  lans: readonly TopologyLan[],
  entities: readonly PlacedEntity[]
): void {
  const holders = new Map<string, string>()
  for (const { entity, nicPaths } of entities) {
    for (const [place, nic] of entity.nics.entries()) {
      const lan = lans.find(({ name: one }) => one === nic.lan) as TopologyLan
      for (const word of ['ip', 'ipv6'] as const) {
        const text = nic[word]
        if (text === undefined) continue
        const path = [...(nicPaths[place] as Path), word]
        const address =
          word === 'ip' ? checkIpv4(source, path, text, lan) : checkIpv6(source, path, text, lan)
        const key = `${nic.lan} ${address}`
        const holder = holders.get(key)
        if (holder !== undefined)
          throw source.refuse(
            path,
            `${text} stands twice on ${nic.lan}: ${holder} has it too`,
            'change one, or leave it out'
          )
        holders.set(key, entity.name)
      }
    }
  }
}

function checkIpv4(source: Source, path: Path, text: string, lan: TopologyLan): number {
  const address = parseIpv4(text)
  if (address === null)
    throw source.refuse(
      path,
      `${text} is no IPv4 address`,
      'write it as 192.168.1.7, without a prefix length'
    )
  const subnet = parseSubnet(lan.subnet ?? '')
  if (subnet === null) throw source.refuse(path, `${lan.name} has no IPv4 network`, 'add `subnet:` to it')
  if (!isHostAddress(subnet, address))
    throw source.refuse(
      path,
      `${text} is no address of a machine in ${lan.subnet} (${lan.name})`,
      `choose one such as ${formatIpv4(subnet.base + 1)}`
    )
  return address
}

function checkIpv6(source: Source, path: Path, text: string, lan: TopologyLan): bigint {
  const address = parseIpv6(text)
  if (address === null)
    throw source.refuse(path, `${text} is no IPv6 address`, 'write it as fd00:1::7, without a prefix length')
  const subnet = parseSubnet6(lan.ipv6 ?? '')
  if (subnet === null) throw source.refuse(path, `${lan.name} has no IPv6 network`, 'add `ipv6:` to it')
  if (!isHostAddress6(subnet, address))
    throw source.refuse(
      path,
      `${text} is no address of a machine in ${lan.ipv6} (${lan.name})`,
      `choose one such as ${formatIpv6(subnet.base + 1n)}`
    )
  return address
}

/** A vLAN with hosts and several routers says which is its gateway. Throws ViolinError `topology-invalid`. */
export function checkGateways(
  source: Source,
  lans: readonly TopologyLan[],
  entities: readonly PlacedEntity[]
): void {
  for (const lan of lans) {
    const routers = entities.filter(
      ({ entity }) => entity.kind === 'router' && entity.nics.some((nic) => nic.lan === lan.name)
    )
    const names = routers.map(({ entity }) => entity.name)
    const path = ['lans', lan.name]
    if (lan.gateway !== undefined && !names.includes(lan.gateway)) {
      const meant = nearest(lan.gateway, names)
      throw source.refuse(
        [...path, 'gateway'],
        `${lan.gateway} is no router on ${lan.name}`,
        meant === null ? `routers there: ${names.join(', ') || 'none'}` : `did you mean ${meant}?`
      )
    }
    const hasHosts = entities.some(
      ({ entity }) => entity.kind === 'host' && entity.nics.some((nic) => nic.lan === lan.name)
    )
    if (lan.gateway === undefined && names.length > 1 && hasHosts) {
      throw source.refuse(
        path,
        `${names.length} routers on ${lan.name} (${names.join(', ')}) and none chosen as gateway`,
        `add \`gateway: ${names[0]}\``,
        'key'
      )
    }
  }
}

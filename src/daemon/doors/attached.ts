/** This host itself on a vLAN: a TAP in its own network stack, with an address and ways to the other vLANs. */
import * as z from 'zod'
import { asksForAddress } from '#core/doors.ts'
import { attachedRules } from '#core/jetway-rules.ts'
import { ViolinError } from '#core/errors.ts'
import { isIpv6 } from '#core/addresses.ts'
import { overlaps, parseNetwork } from '#core/networks.ts'
import type { SpecEntity, SpecLan, SpecRoute } from '#core/spec.ts'
import { close } from '#syscalls/libc.ts'
import { configureLink, openTap } from '#syscalls/tap.ts'
import { type Door, type DoorPlan, txQueueLength } from './door.ts'
import { Lease } from './lease.ts'
import { ip, ipJson, OwnedTable, setSwitch } from './tools.ts'

/** Every interface has these. */
const sharedByAll: ReadonlySet<string> = new Set(['fe80::/64', 'ff00::/8', '224.0.0.0/4'])
const routeRows = z.array(z.object({ dst: z.string(), dev: z.string().optional() }))

/** Networks that this host has routes to, apart from the default one. Throws ViolinError. */
export async function ownRoutes(
  family: '-4' | '-6'
): Promise<readonly { readonly to: string; readonly dev: string }[]> {
  const rows = routeRows.parse(await ipJson(family, 'route', 'show', 'table', 'all'))
  return rows.flatMap(({ dst, dev }) => (dst === 'default' ? [] : [{ to: dst, dev: dev ?? '' }]))
}

/**
 * The routes of an attached entity that stand in nobody's way here. Throws ViolinError `refused` when the vLAN itself
 * does: its addresses are others' on this host.
 */
export async function freeRoutes(entity: SpecEntity, lan: SpecLan): Promise<SpecEntity['routes']> {
  const routes = await Promise.all([ownRoutes('-4'), ownRoutes('-6')])
  const own = routes.flat().flatMap(({ to, dev }) => {
    const network = sharedByAll.has(to) ? null : parseNetwork(to)
    return network === null ? [] : [{ network, to, dev }]
  })
  const inTheWay = (cidr: string): (typeof own)[number] | undefined => {
    const network = parseNetwork(cidr)
    return network === null ? undefined : own.find((one) => overlaps(one.network, network))
  }
  for (const network of [lan.subnet, lan.ipv6]) {
    const taken = network === undefined ? undefined : inTheWay(network)
    if (taken !== undefined)
      throw new ViolinError(
        'refused',
        `${network} of ${lan.name} overlaps ${taken.to} (${taken.dev}), which this host has already`,
        'give the vLAN another subnet, or attach another host'
      )
  }
  return entity.routes.filter(({ to }) => to !== 'default' && inTheWay(to) === undefined)
}

/** Opens it. Throws ViolinError, SyscallError. */
export async function openAttached({
  entity,
  lan,
  device,
  mac,
  mtu,
  folder,
  given
}: DoorPlan): Promise<Door> {
  const routes = await freeRoutes(entity, lan)
  const ips = entity.nics.flatMap((nic) => nic.ips)
  const asks = asksForAddress(entity, [lan])
  const name = `violin_${device}`
  const rules = attachedRules({ table: name, device })
  const table = await OwnedTable.open({ table: `inet ${name}`, rules, device, sources: [] })
  let tap: number | null = null
  try {
    tap = openTap(device)
    configureLink(device, { mac, mtu, txQueueLength })
    // It answers for no other address of this host, and nobody inside tells this host its ways.
    for (const [family, name, value] of [
      ['ipv4', 'arp_ignore', '1'],
      ['ipv4', 'arp_announce', '2'],
      ['ipv4', 'accept_redirects', '0'],
      ['ipv6', 'accept_ra', '0'],
      ['ipv6', 'accept_redirects', '0'],
      ['ipv6', 'disable_ipv6', ips.some(isIpv6) ? '0' : '1']
    ] as const)
      setSwitch(`${family}/conf/${device}/${name}`, value)
    await ip([
      // Nobody else has it: it is the owner's to give.
      ...ips.map((address) => `address add ${address} dev ${device}${isIpv6(address) ? ' nodad' : ''}`),
      `link set ${device} up`,
      ...routes.filter(({ via }) => isIpv6(via) || !asks).map(wayBy(device))
    ])
  } catch (error: unknown) {
    if (tap !== null) close(tap)
    await table.close()
    throw error
  }
  const door = { tap, device, ...table.asDoor() }
  if (!asks)
    return { ...door, text: `this host is ${ips.join(', ')} (${device})`, addresses: Promise.resolve(ips) }
  const { promise: addresses, resolve: has } = Promise.withResolvers<readonly string[]>()
  const ways = routes.filter(({ via }) => !isIpv6(via)).map(wayBy(device))
  const changed = async (address: string | null, former: string | null): Promise<void> => {
    // What led over an address that went, goes with it.
    if (former !== null) await ip([`address delete ${former} dev ${device}`])
    given(address === null ? [] : [address])
    if (address === null) return
    await ip([`address add ${address} dev ${device}`, ...ways])
    has([address, ...ips])
  }
  const { subnet = '' } = lan
  const lease = new Lease({ device, name: entity.name, subnet, folder, changed })
  const over = lease.ended.then(() => 'its DHCP client ended')
  const text = `this host asks for an address on ${lan.name} (${device})`
  return {
    ...door,
    text,
    addresses,
    broken: Promise.race([door.broken, over]),
    close: () => lease.close().then(door.close)
  }
}

function wayBy(device: string): (route: SpecRoute) => string {
  return ({ to, via }) => `route add ${to} via ${via} dev ${device}`
}

/** Removes an interface, if it is there still. */
export async function removeLink(device: string, namespace: number | null = null): Promise<void> {
  await ip([`link delete ${device}`], namespace).catch(() => undefined)
}

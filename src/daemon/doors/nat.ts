/**
 * A jetway of mode `nat`: a network namespace of its own, in which the vLAN ends, and a link from there to this
 * host. Each has its own table of connections, so VIOLINs with one address plan do not mix; addresses are
 * translated there once, and by the host once more.
 *
 *     vLAN ── TAP lan │ namespace: translates │ out ═══ DEVICE │ host: only to the outside │ ── real network
 */
import { readFileSync, closeSync } from 'node:fs'
import * as z from 'zod'
import { isIpv6 } from '#core/addresses.ts'
import { ViolinError } from '#core/errors.ts'
import {
  hostRules,
  insideNames,
  insideRules,
  ownRules,
  type Transit,
  transitOf,
  transitPrefix,
  transits
} from '#core/jetway-rules.ts'
import { close } from '#syscalls/libc.ts'
import { inNetworkNamespaceOf, newNetworkNamespace } from '#syscalls/netns.ts'
import { configureLink, openTap } from '#syscalls/tap.ts'
import { ownRoutes, removeLink } from './attached.ts'
import { type Door, type DoorPlan, txQueueLength } from './door.ts'
import { ip, ipJson, namespacePath, nft, OwnedTable, setSwitch, watch } from './tools.ts'

const defaults = z.array(z.object({ dev: z.string() }))
const addressRows = z.array(z.object({ addr_info: z.array(z.object({ local: z.string().optional() })) }))

/** Opens it. Throws ViolinError `refused` where this host has no way out or passes nothing on; SyscallError. */
export async function openNat(plan: DoorPlan, draw: number): Promise<Door> {
  const { device, reach } = plan
  await checkWayOut()
  const transit = await freeTransit(draw)
  await removeLink(device)
  const name = `violin_${device}`
  const rules = hostRules({ table: name, device, transit, reach })
  const table = await OwnedTable.open({
    table: `inet ${name}`,
    rules,
    device,
    sources: [transit.inner, transit.host]
  })
  const namespace = newNetworkNamespace()
  let tap: number | null = null
  try {
    const tellOwn = async (): Promise<void> =>
      table.load([
        ownRules(
          name,
          (await ownRoutes('-4')).map(({ to }) => to)
        )
      ])
    await tellOwn()
    tap = await furnish(plan, namespace, transit)
    await link(device, transit)
    return new NatDoor({ tap, device, table, namespace, transit, tellOwn })
  } catch (error: unknown) {
    if (tap !== null) close(tap)
    closeSync(namespace)
    await table.close()
    throw error
  }
}

/** Makes the inside of the namespace, all but its link to the host; gives the TAP's descriptor. */
async function furnish(plan: DoorPlan, namespace: number, transit: Transit): Promise<number> {
  const { entity, mac, mtu } = plan
  const { lan, out } = insideNames
  // Translation is of IPv4.
  const addresses = entity.nics.flatMap(({ ips }) => ips).filter((one) => !isIpv6(one))
  const routes = entity.routes.filter(({ via }) => !isIpv6(via))
  await nft(insideRules(), namespace)
  setSwitch('ipv6/conf/default/disable_ipv6', '1', namespace)
  setSwitch('ipv4/ip_forward', '1', namespace)
  const tap = inNetworkNamespaceOf(namespace, () => {
    const fd = openTap(lan)
    configureLink(lan, { mac, mtu, txQueueLength })
    return fd
  })
  try {
    await ip([`link add ${plan.device} type veth peer name ${out} netns ${namespacePath(namespace)}`])
    await ip(
      [
        'link set lo up',
        `address add ${transit.inner}/${transitPrefix} dev ${out}`,
        `link set ${out} up`,
        `route add default via ${transit.host}`,
        ...addresses.map((address) => `address add ${address} dev ${lan}`),
        `link set ${lan} up`,
        ...routes.map(({ to, via }) => `route add ${to} via ${via} dev ${lan}`)
      ],
      namespace
    )
    return tap
  } catch (error: unknown) {
    close(tap)
    throw error
  }
}

/** Brings the host's end up. */
async function link(device: string, transit: Transit): Promise<void> {
  setSwitch(`ipv6/conf/${device}/disable_ipv6`, '1')
  setSwitch(`ipv4/conf/${device}/forwarding`, '1')
  await ip([`address add ${transit.host}/${transitPrefix} dev ${device}`, `link set ${device} up`])
}

interface NatParts {
  readonly tap: number
  readonly device: string
  readonly table: OwnedTable
  readonly namespace: number
  readonly transit: Transit
  /** Says anew which networks are this host's own. */
  readonly tellOwn: () => Promise<void>
}

class NatDoor implements Door {
  readonly tap: number
  readonly device: string
  readonly text: string
  readonly broken: Promise<string>
  readonly #parts: NatParts
  readonly #routes: { close(): void }
  #break: (why: string) => void = () => undefined
  #isClosed = false
  #telling: Promise<void> = Promise.resolve()
  #isStale = false

  constructor(parts: NatParts) {
    this.#parts = parts
    this.tap = parts.tap
    this.device = parts.device
    this.text = `to the outside of this host, as ${parts.transit.inner}`
    this.broken = new Promise((resolve) => {
      this.#break = (why) => this.#isClosed || resolve(why)
    })
    this.#routes = watch(
      'routes',
      () => this.#routesChanged(),
      () => this.#break("this host's routes cannot be watched")
    )
    void parts.table.ended.then(() => this.#break('the keeper of its rules ended'))
    // What changed before the watch began.
    this.#routesChanged()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#routes.close()
    const { table, namespace } = this.#parts
    await table.close()
    // The slice may hold the TAP, and with it the namespace.
    await removeLink(insideNames.lan, namespace)
    closeSync(namespace)
    await this.#telling
  }

  /** Many changes come at once: what is said is true when it is said. */
  #routesChanged(): void {
    if (this.#isStale) return
    this.#isStale = true
    this.#telling = this.#telling.then(async () => {
      this.#isStale = false
      if (this.#isClosed) return
      await this.#parts.tellOwn().catch(() => this.#break("this host's networks could not be kept apart"))
    })
  }
}

async function checkWayOut(): Promise<void> {
  const [way] = defaults.parse(await ipJson('-4', 'route', 'show', 'default'))
  if (way === undefined)
    throw new ViolinError(
      'refused',
      'this host has no default route: there is no outside',
      'give it one: ip route add default via GATEWAY'
    )
  if (readFileSync(`/proc/sys/net/ipv4/conf/${way.dev}/forwarding`, 'latin1').trim() === '1') return
  throw new ViolinError(
    'refused',
    `this host passes nothing on (${way.dev})`,
    'its operator lets it: sysctl -w net.ipv4.ip_forward=1'
  )
}

/** A link's addresses that this host does not have yet, sought from `draw` on. */
async function freeTransit(draw: number): Promise<Transit> {
  const rows = addressRows.parse(await ipJson('-4', 'address'))
  const taken = new Set(rows.flatMap(({ addr_info: info }) => info.map(({ local }) => local)))
  for (let n = 0; n < transits; n++) {
    const transit = transitOf(draw + n)
    if (!taken.has(transit.host)) return transit
  }
  throw new ViolinError('refused', 'this host has no free link-local address', 'shut other jetways')
}

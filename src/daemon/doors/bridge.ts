/** A jetway of mode `bridge`: a TAP that is one more member of a bridge of this host. */
import * as z from 'zod'
import { bridgeRules } from '#core/jetway-rules.ts'
import { ViolinError } from '#core/errors.ts'
import { close } from '#syscalls/libc.ts'
import { configureLink, openTap } from '#syscalls/tap.ts'
import { type Door, type DoorPlan, txQueueLength } from './door.ts'
import { ip, ipJson, OwnedTable, setSwitch } from './tools.ts'

const links = z.array(z.object({ linkinfo: z.object({ info_kind: z.string() }).optional() }))

/** Opens it. Throws ViolinError `refused` where there is no such bridge; SyscallError. */
export async function openBridge({ entity, device, mac, mtu, reach }: DoorPlan): Promise<Door> {
  const bridge = entity.jetway?.bridge ?? ''
  await checkBridge(bridge)
  const name = `violin_${device}`
  const rules = bridgeRules({ table: name, device, reach })
  const table = await OwnedTable.open({ table: `bridge ${name}`, rules, device, sources: [] })
  let tap: number | null = null
  try {
    tap = openTap(device)
    configureLink(device, { mac, mtu, txQueueLength })
    setSwitch(`ipv6/conf/${device}/disable_ipv6`, '1')
    await ip([`link set ${device} master ${bridge}`, `link set ${device} up`])
  } catch (error: unknown) {
    if (tap !== null) close(tap)
    await table.close()
    throw error
  }
  return { tap, device, text: `a port of ${bridge}`, ...table.asDoor() }
}

async function checkBridge(bridge: string): Promise<void> {
  const [link] = links.parse(await ipJson('-details', 'link', 'show', 'dev', bridge).catch(() => []))
  if (link?.linkinfo?.info_kind === 'bridge') return
  throw new ViolinError(
    'refused',
    `this host has no bridge ${bridge}`,
    `make it: ip link add ${bridge} type bridge; ip link set ${bridge} up`
  )
}

/**
 * A jetway of mode `bridge`: a TAP that is one more member of a bridge of this host. A bridge may be made anew while the
 * door is open: its port joins again.
 */
import * as z from 'zod'
import { bridgeRules } from '#core/jetway-rules.ts'
import { errorData, ViolinError } from '#core/errors.ts'
import { close } from '#syscalls/libc.ts'
import { configureLink, openTap } from '#syscalls/tap.ts'
import { type Door, type DoorPlan, txQueueLength } from './door.ts'
import { ip, ipJson, OwnedTable, setSwitch, watch } from './tools.ts'

const links = z.array(
  z.object({
    linkinfo: z.object({ info_kind: z.string().optional() }).optional(),
    master: z.string().optional()
  })
)

/** Opens it. Throws ViolinError `refused` where there is no such bridge; SyscallError. */
export async function openBridge(plan: DoorPlan): Promise<Door> {
  const { entity, device, mac, mtu, reach } = plan
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
  return new BridgeDoor(plan, bridge, tap, table)
}

class BridgeDoor implements Door {
  readonly tap: number
  readonly device: string
  readonly text: string
  readonly broken: Promise<string>
  readonly #bridge: string
  readonly #troubled: DoorPlan['troubled']
  readonly #table: OwnedTable
  readonly #links: { close(): void }
  #break: (why: string) => void = () => undefined
  #isClosed = false
  /** Several changes come at once, and one look sees them all. */
  #isStale = false
  #looking: Promise<void> = Promise.resolve()

  constructor({ device, troubled }: DoorPlan, bridge: string, tap: number, table: OwnedTable) {
    this.tap = tap
    this.device = device
    this.text = `a port of ${bridge}`
    this.#bridge = bridge
    this.#troubled = troubled
    this.#table = table
    this.broken = new Promise((resolve) => {
      this.#break = (why) => this.#isClosed || resolve(why)
    })
    void table.asDoor().broken.then((why) => this.#break(why))
    this.#links = watch(
      'links',
      () => this.#linksChanged(),
      () => this.#break("this host's links cannot be watched")
    )
    // What changed before the watch began.
    this.#linksChanged()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#links.close()
    await this.#table.close()
    await this.#looking
  }

  #linksChanged(): void {
    if (this.#isStale) return
    this.#isStale = true
    this.#looking = this.#looking.then(async () => {
      this.#isStale = false
      const trouble = await this.#join().catch((error: unknown) => errorData(error).message)
      if (!this.#isClosed) this.#troubled(trouble)
    })
  }

  /** Joins the bridge where the port is none of it; gives why that cannot be. */
  async #join(): Promise<string> {
    const [own] = links.parse(await ipJson('link', 'show', 'dev', this.device))
    if (this.#isClosed || own?.master === this.#bridge) return ''
    await checkBridge(this.#bridge)
    await ip([`link set ${this.device} master ${this.#bridge}`])
    return ''
  }
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

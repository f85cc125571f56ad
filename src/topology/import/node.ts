/** A node of a lab as it is read here: names that the language has, and which of its commands and files say what. */
import type { Link } from '#core/link.ts'
import { type EntityKind, maxNicsPerEntity } from '#core/spec.ts'
import { type Commands, sortCommands } from './commands.ts'
import type { ForeignFile, ForeignNode, Notes } from './foreign.ts'
import { findFrr } from './frr.ts'
import { Naming } from './naming.ts'
import { type Address, type Address6, formatAddress } from './subnets.ts'

export interface Node {
  readonly foreign: ForeignNode
  readonly name: string
  readonly kind: EntityKind
  readonly nics: readonly {
    readonly foreign: string
    readonly name: string
    readonly network: string
    readonly link: Link
  }[]
  readonly commands: Commands
  /** Of vNICs, by the lab's names for them: those of its commands, and those that FRR gives the others. */
  readonly addresses: ReadonlyMap<string, Address>
  readonly ipv6: ReadonlyMap<string, Address6>
  /** Configuration of FRR; null: it has none. */
  readonly frr: ForeignFile | null
  /** Its other files. */
  readonly files: readonly ForeignFile[]
}

/** Reads a node; what of it cannot be is noted. */
export function readNode(foreign: ForeignNode, naming: Naming, notes: Notes): Node {
  const nicNaming = new Naming()
  const kept = foreign.nics.slice(0, maxNicsPerEntity)
  for (const { name, place } of foreign.nics.slice(maxNicsPerEntity))
    notes.add(
      place,
      `${name} of ${foreign.name} is left out: an entity has at most ${maxNicsPerEntity} vNICs`
    )
  const nics = kept.map((nic) => {
    const name = nicNaming.nic(nic.name)
    if (name !== nic.name)
      notes.add(nic.place, `${nic.name.slice(0, 100)} of ${foreign.name} is called ${name} here`)
    return { foreign: nic.name, name, network: nic.network, link: nic.link ?? {} }
  })
  const networks = new Set(nics.map(({ network }) => network))
  const { conf, addresses, ipv6, rest } = findFrr(foreign, notes)
  const names = new Set(nics.filter((nic) => nic.name === nic.foreign).map(({ foreign: one }) => one))
  const commands = sortCommands(foreign.commands, names, conf !== null, notes)
  for (const [nic, address] of commands.addresses) {
    const told = addresses.get(nic)
    if (told !== undefined && formatAddress(told) !== formatAddress(address))
      notes.add(
        foreign.place,
        `${foreign.name}: FRR alone knows ${formatAddress(told)} of ${nic}: its script says ${formatAddress(address)}`
      )
  }
  return {
    foreign,
    name: naming.name(foreign.name, 'node'),
    kind: conf !== null ? 'router' : (foreign.kind ?? (networks.size > 1 ? 'router' : 'host')),
    nics,
    commands,
    addresses: new Map([...addresses, ...commands.addresses]),
    ipv6: new Map([...ipv6, ...commands.ipv6]),
    frr: conf,
    files: rest
  }
}

/** The configuration of FRR (or of Quagga and Zebra, which it came from) among the files of a node. */
import { frrPath } from '#core/routing/paths.ts'
import type { ForeignFile, ForeignNode, Notes, Place } from './foreign.ts'
import {
  type Address,
  type Address6,
  formatAddress,
  formatAddress6,
  parseAddress,
  parseAddress6
} from './subnets.ts'

/** Folders in which it lies, and daemons whose files make one. */
const folders = ['/etc/frr', '/etc/quagga', '/etc/zebra'] as const
const daemons = [
  'zebra',
  'ospfd',
  'ospf6d',
  'bgpd',
  'ripd',
  'ripngd',
  'isisd',
  'pimd',
  'staticd',
  'bfdd'
] as const
/** Which daemons start is read from the configuration itself. */
const others: ReadonlySet<string> = new Set([
  'daemons',
  'vtysh.conf',
  'debian.conf',
  'daemons.conf',
  'support_bundle_commands.conf'
])
/** Services that it is started by. */
const services = /^(frr|quagga|zebra)(\.service)?$/

export interface FoundFrr {
  /** Null: the node has none. */
  readonly conf: ForeignFile | null
  /** First address that it gives each vNIC, by the lab's name for it. */
  readonly addresses: ReadonlyMap<string, Address>
  readonly ipv6: ReadonlyMap<string, Address6>
  /** Files that are no part of it. */
  readonly rest: readonly ForeignFile[]
}

/** Takes the configuration out of a node's files: one file of all daemons, or those of each put together. */
export function findFrr(node: ForeignNode, notes: Notes): FoundFrr {
  const { name, files } = node
  for (const folder of folders) {
    const own = files.filter(({ path }) => path.startsWith(`${folder}/`))
    const whole = own.find(({ path }) => /\/(frr|Quagga)\.conf$/.test(path))
    const parts = daemons.flatMap((daemon) => own.filter(({ path }) => path === `${folder}/${daemon}.conf`))
    const [first] = whole === undefined ? parts : [whole]
    if (first === undefined) continue
    const taken = whole === undefined ? parts : [whole]
    for (const file of own) {
      const base = file.path.slice(folder.length + 1)
      if (!taken.includes(file) && !others.has(base))
        notes.add(
          file.place,
          `${file.path} of ${name} is left out: it is no part of the configuration of FRR`
        )
    }
    const data = joined(taken.map((file) => file.data))
    return {
      conf: { path: frrPath, mode: 0o644, data, place: first.place },
      ...addressesIn(taken, node, notes),
      rest: files.filter((file) => !own.includes(file))
    }
  }
  return { conf: null, addresses: new Map(), ipv6: new Map(), rest: files }
}

/**
 * The addresses of a node's vNICs, of which one each stands in the topology: the others FRR gives them all the same, and
 * VIOLIN does not know of them.
 */
function addressesIn(
  files: readonly ForeignFile[],
  { name, nics }: ForeignNode,
  notes: Notes
): Pick<FoundFrr, 'addresses' | 'ipv6'> {
  const found = new Map<string, Address>()
  const found6 = new Map<string, Address6>()
  for (const { nic, text, place } of addressLines(files)) {
    const [address, ipv6] = [parseAddress(text), parseAddress6(text)]
    const [v4, v6] = [found.get(nic), found6.get(nic)]
    const isIpv6 = text.includes(':')
    const known = isIpv6 ? v6 && formatAddress6(v6) : v4 && formatAddress(v4)
    if (nic === 'lo' || known === (isIpv6 ? ipv6 && formatAddress6(ipv6) : text)) continue
    const why = !nics.some((one) => one.name === nic)
      ? 'the lab plugs it into no network'
      : address === null && ipv6 === null
        ? 'a vLAN has no such network'
        : known !== undefined
          ? `it has ${known} already`
          : null
    if (why === null && ipv6 !== null) found6.set(nic, ipv6)
    else if (why === null) found.set(nic, address as Address)
    else notes.add(place, `${name}: FRR alone knows ${text.slice(0, 60)} of ${nic.slice(0, 60)}: ${why}`)
  }
  return { addresses: found, ipv6: found6 }
}

/** Lines that give an interface an address, of whatever family. */
function* addressLines(
  files: readonly ForeignFile[]
): Generator<{ readonly nic: string; readonly text: string; readonly place: Place }> {
  for (const { data, place } of files) {
    let nic: string | null = null
    for (const [row, line] of new TextDecoder().decode(data).split(/\r?\n/).entries()) {
      const head = /^interface (\S+)(?:\s|$)/.exec(line)?.[1]
      const text = /^\s*ip(?:v6)? address ([\da-fA-F.:]+\/\d+)(?:\s|$)/.exec(line)?.[1]
      if (head !== undefined) nic = head
      // What is not of an interface ends it, indented or not.
      else if (/^(exit|end|router|route-map|line|vrf)\b/.test(line.trim())) nic = null
      if (nic !== null && text !== undefined)
        // A file that a lab names somewhere else is found by that place.
        yield { nic, text, place: place.line === 0 ? { ...place, line: row + 1 } : place }
    }
  }
}

/** Whether starting that service starts FRR. */
export function isFrr(service: string): boolean {
  return services.test(service)
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const texts = parts.map((part) => new TextDecoder().decode(part).trimEnd())
  return new TextEncoder().encode(`${texts.join('\n!\n')}\n`)
}

/** The configuration of FRR (or of Quagga and Zebra, which it came from) among the files of a node. */
import { frrPath } from '#core/routing/paths.ts'
import type { ForeignFile, ForeignNode, Notes } from './foreign.ts'

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
  /** Files that are no part of it. */
  readonly rest: readonly ForeignFile[]
}

/** Takes the configuration out of a node's files: one file of all daemons, or those of each put together. */
export function findFrr({ name, files }: ForeignNode, notes: Notes): FoundFrr {
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
      rest: files.filter((file) => !own.includes(file))
    }
  }
  return { conf: null, rest: files }
}

/** Whether starting that service starts FRR. */
export function isFrr(service: string): boolean {
  return services.test(service)
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const texts = parts.map((part) => new TextDecoder().decode(part).trimEnd())
  return new TextEncoder().encode(`${texts.join('\n!\n')}\n`)
}

/** From a lab of others to a topology file of ours, with the files that it needs beside it. */
import { Document, isPair, isSeq, visit } from 'yaml'
import { formatIpv4 } from '#core/ipv4.ts'
import { formatIpv6 } from '#core/ipv6.ts'
import { formatLink } from '#core/link.ts'
import type { DriverName, EntityKind, Routing } from '#core/spec.ts'
import { ViolinError } from '#core/errors.ts'
import { firewallPath, frrPath } from '#core/routing/paths.ts'
import { maxFilesBytes } from '../files.ts'
import { maxEntities } from '../schema.ts'
import { isForBash } from './commands.ts'
import type { ForeignFile, ForeignLab, Notes } from './foreign.ts'
import { Given } from './given.ts'
import { Naming } from './naming.ts'
import { type Node, readNode } from './node.ts'
import { addressesOf, ipv4Of, ipv6Of, type Networks, networksOf } from './numbering.ts'
import { type Address, type Address6, formatSubnet, formatSubnet6 } from './subnets.ts'

/** Files of one entity at most, as the record has it. */
const maxFilesPerEntity = 64
/** Characters of a run script, as the record has it. */
const maxScript = 32_768
/** Variables of one entity at most, as the record has it. */
const maxEnv = 64
/** vLANs of one VIOLIN at most, as the record has it. */
const maxLans = 1_024
/** Networks to which every router can be told a way, as the record has it. */
const maxStaticNetworks = 64
/** The least memory that a virtual machine may be given, MiB. */
const leastMemoryMiB = 64

export interface WriteOptions {
  /** Of all entities; absent: the language's own default. */
  readonly driver?: DriverName
  /** Folder of the files beside the topology file, as it shall name them. */
  readonly filesFolder: string
}

export interface Written {
  readonly name: string
  readonly yaml: string
  /** Files to lie beside the topology file, by the paths that it names. */
  readonly files: ReadonlyMap<string, { readonly data: Uint8Array; readonly mode: number }>
}

/** Writes the topology file; what of the lab does not stand in it is noted. Throws `topology-invalid`. */
export function writeTopology(lab: ForeignLab, notes: Notes, options: WriteOptions): Written {
  if (lab.nodes.length > maxEntities) {
    throw new ViolinError(
      'topology-invalid',
      `${lab.title} has ${lab.nodes.length} nodes, at most ${maxEntities} fit`,
      'make several labs of it'
    )
  }
  const name = new Naming().name(lab.name, 'lab')
  const naming = new Naming()
  const nodes = lab.nodes.map((node) => readNode(node, naming, notes))
  const lanNames = nameLans(nodes, naming)
  if (lanNames.size > maxLans) {
    throw new ViolinError(
      'topology-invalid',
      `${lab.title} has ${lanNames.size} networks, at most ${maxLans} fit`,
      'make several labs of it'
    )
  }
  const networks = networksOf(nodes)
  const { subnets, prefixes } = networks
  const files = new Files(options.filesFolder, notes)
  const given = new Given(lab, addressesOf(nodes, lanNames))
  const gateways = chooseGateways(nodes)
  const lans = Object.fromEntries(
    Array.from(lanNames, ([network, lan]) => {
      const gateway = gateways.get(network)
      const [subnet, prefix] = [subnets.get(network), prefixes.get(network)]
      return [
        lan,
        {
          ...(subnet === undefined ? {} : { subnet: formatSubnet(subnet) }),
          ...(prefix === undefined ? {} : { ipv6: formatSubnet6(prefix) }),
          ...(gateway === undefined ? {} : { gateway })
        }
      ]
    })
  )
  const section = (kind: EntityKind): Record<string, unknown> =>
    Object.fromEntries(
      nodes
        .filter((node) => node.kind === kind)
        .map((node) => [node.name, entityOf(node, networks, lanNames, given, files, notes)])
    )
  const [routers, hosts] = [section('router'), section('host')]
  const renamed = nodes.filter((node) => node.name !== node.foreign.name)
  for (const node of renamed)
    notes.add(
      node.foreign.place,
      `${JSON.stringify(node.foreign.name.slice(0, 100))} is called ${node.name} here`
    )
  const routing = routingOf(nodes, subnets.size + prefixes.size)
  if (routing === 'ospf')
    notes.add(
      { file: lab.title, line: 0 },
      `ways to ${subnets.size} networks do not fit a router's record: routers speak OSPF, in the image router`
    )
  const yaml = layOut(`From ${lab.title}.`, {
    name,
    ...(options.driver === undefined ? {} : { driver: options.driver }),
    ...(routing === null ? {} : { defaults: { routing } }),
    lans,
    ...(Object.keys(hosts).length === 0 ? {} : { hosts }),
    ...(Object.keys(routers).length === 0 ? {} : { routers })
  })
  return { name, yaml, files: files.all }
}

/** What routers of a lab go by: what it tells them itself, or else ways that fit the record. */
function routingOf(nodes: readonly Node[], networks: number): Routing | null {
  const itself = nodes.some(
    ({ kind, frr, commands }) =>
      kind === 'router' &&
      (frr !== null || commands.lines.some(({ text }) => /^\s*ip (-6 )?route /.test(text)))
  )
  if (itself) return 'none'
  return networks > maxStaticNetworks ? 'ospf' : null
}

/** vLANs share one name space with entities, which had the first choice. */
function nameLans(nodes: readonly Node[], naming: Naming): Map<string, string> {
  const names = new Map<string, string>()
  for (const { network } of nodes.flatMap(({ nics }) => nics))
    if (!names.has(network)) names.set(network, naming.name(network, 'lan'))
  return names
}

/** Where a vLAN with hosts has several routers: the one most default routes lead to, else the first. */
function chooseGateways(nodes: readonly Node[]): Map<string, string> {
  const gateways = new Map<string, string>()
  const networks = new Set(nodes.flatMap(({ nics }) => nics.map(({ network }) => network)))
  for (const network of networks) {
    const on = nodes.filter(({ nics }) => nics.some((nic) => nic.network === network))
    const routers = on.filter(({ kind }) => kind === 'router')
    const hosts = on.filter(({ kind }) => kind === 'host')
    if (routers.length < 2 || hosts.length === 0) continue
    const votes = (router: Node): number => hosts.filter((host) => leadsTo(host, router, network)).length
    const [first] = routers.toSorted((a, b) => votes(b) - votes(a))
    gateways.set(network, (first as Node).name)
  }
  return gateways
}

function leadsTo(host: Node, router: Node, network: string): boolean {
  const nic = router.nics.find((one) => one.network === network)
  const address = nic === undefined ? undefined : router.addresses.get(nic.foreign)
  const address6 = nic === undefined ? undefined : router.ipv6.get(nic.foreign)
  if (address === undefined) return address6 !== undefined && leadsBy(host, formatIpv6(address6.ip))
  return (
    leadsBy(host, formatIpv4(address.ip)) ||
    (address6 !== undefined && leadsBy(host, formatIpv6(address6.ip)))
  )
}

function leadsBy(host: Node, address: string): boolean {
  const via = `via ${address}`
  return host.commands.lines.some(({ text }) => `${text} `.includes(`default ${via} `))
}

function entityOf(
  node: Node,
  { subnets, prefixes }: Networks,
  lanNames: ReadonlyMap<string, string>,
  given: Given,
  files: Files,
  notes: Notes
): Record<string, unknown> {
  const { foreign } = node
  const taken = new Set<Address | Address6>()
  const nics = node.nics.map((nic, place) => {
    const lan = lanNames.get(nic.network) as string
    const ipv4 = ipv4Of(node, nic, subnets.get(nic.network), lan, given, notes)
    const ipv6 = ipv6Of(node, nic, prefixes.get(nic.network), lan, given, notes)
    for (const { takes } of [ipv4, ipv6]) if (takes !== null) taken.add(takes)
    return {
      ...(nic.name === `eth${place}` ? {} : { name: nic.name }),
      lan,
      ...(ipv4.text === null ? {} : { ip: ipv4.text }),
      ...(ipv6.text === null ? {} : { ipv6: ipv6.text }),
      ...(Object.keys(nic.link).length === 0 ? {} : { link: formatLink(nic.link) })
    }
  })
  const entity: Record<string, unknown> = { nics }
  if (foreign.memoryMiB !== null) {
    if (foreign.memoryMiB < leastMemoryMiB)
      notes.add(foreign.place, `${node.name} has ${leastMemoryMiB} MiB of memory, not ${foreign.memoryMiB}`)
    entity['memory'] = `${Math.max(leastMemoryMiB, Math.min(foreign.memoryMiB, 999_999))}M`
  }
  const env = Object.entries(foreign.env).filter(([key, value]) => isVariable(key, value))
  if (env.length < Object.keys(foreign.env).length)
    notes.add(
      foreign.place,
      `variables of ${node.name} are left out: their names or values have no place in an environment`
    )
  if (env.length > maxEnv)
    notes.add(
      foreign.place,
      `${env.length - maxEnv} variables of ${node.name} are left out: at most ${maxEnv} fit`
    )
  if (env.length > 0) entity['env'] = Object.fromEntries(env.slice(0, maxEnv))
  const script = node.commands.lines
    .filter(({ takes }) => takes === null || !taken.has(takes))
    .map(({ text }) => text)
  const isWithout = node.nics.every(({ network }) => !prefixes.has(network))
  if (isWithout && script.some(isOfIpv6))
    notes.add(
      foreign.place,
      `IPv6 of ${node.name} is left to its script: no vLAN of it has \`ipv6:\`, so a virtual machine knows none without \`image: router\`, and a router forwards none`
    )
  const run = script.some(doesSomething) ? files.script(node, script) : null
  const frr = node.frr === null ? null : files.frr(node, node.frr)
  if (frr !== null) entity['frr'] = frr
  const laid = files.of(node)
  if (Object.keys(laid).length > 0) entity['files'] = laid
  if (run !== null) entity['run'] = run
  return entity
}

/** Whether a command that is left gives or asks for IPv6. */
function isOfIpv6(line: string): boolean {
  return (
    doesSomething(line) &&
    /\s-6\s|inet6|\bipv6\b|\s[\da-fA-F]{0,4}:[\da-fA-F:]*:[\da-fA-F]{0,4}\/\d/.test(line)
  )
}

/** Neither empty nor a comment nor a command that was taken out. */
function doesSomething(line: string): boolean {
  return /^\s*[^\s#:]/.test(line)
}

function isVariable(key: string, value: string): boolean {
  return (
    /^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(key) &&
    key !== '__proto__' &&
    !/[\0\n]/.test(value) &&
    value.length <= maxScript
  )
}

/** What lies beside the topology file, within the bounds of one. */
class Files {
  readonly all = new Map<string, { readonly data: Uint8Array; readonly mode: number }>()
  readonly #folder: string
  readonly #notes: Notes
  #left = maxFilesBytes

  constructor(folder: string, notes: Notes) {
    this.#folder = folder
    this.#notes = notes
  }

  /** The start-up script of a node; null: there is no room for it. */
  script({ name, foreign }: Node, lines: readonly string[]): string | null {
    // Where these came from a command that fails stops nothing; here a script that fails is a failed boot.
    const text = `${lines.join('\n').trim()}\ntrue\n`
    const data = new TextEncoder().encode(text)
    if (text.length > maxScript || text.includes('\0') || !this.#fits(data.length)) {
      this.#notes.add(
        foreign.place,
        `the start-up commands of ${name} are left out: ${data.length} bytes do not fit`
      )
      return null
    }
    return this.#put(`${name}/startup.sh`, data, 0o755)
  }

  /** The configuration of a router's FRR; null: there is no room for it. */
  frr({ name }: Node, { data, mode, place }: ForeignFile): string | null {
    if (this.#fits(data.length)) return this.#put(`${name}/frr.conf`, data, mode)
    this.#notes.add(place, `the configuration of FRR of ${name} is left out: ${data.length} bytes do not fit`)
    return null
  }

  /** Files of a node: path inside → path beside the topology file. */
  of({ name, files: own }: Node): Record<string, string> {
    const laid = new Map<string, string>()
    for (const { path, mode, data, place } of own) {
      const why = this.#objection(path, data.length, laid)
      if (why === null) {
        laid.set(path, this.#put(`${name}${path}`, data, mode))
        if (isForBash(new TextDecoder().decode(data.subarray(0, 100))))
          this.#notes.add(
            place,
            `${path.slice(0, 300)} of ${name} is for bash, which the guest does not have`
          )
      } else this.#notes.add(place, `${path.slice(0, 300)} of ${name} is left out: ${why}`)
    }
    return Object.fromEntries(laid)
  }

  #objection(path: string, bytes: number, laid: ReadonlyMap<string, string>): string | null {
    const steps = path.split('/').slice(1)
    const bad =
      !path.startsWith('/') ||
      path.length > 255 ||
      /\p{Cc}/u.test(path) ||
      steps.some((step) => /^\.{0,2}$/.test(step))
    if (bad) return 'it is no path of a file'
    if (laid.has(path)) return 'it stands twice'
    if (path === frrPath || path === firewallPath) return 'it has a word of its own, `frr:` or `firewall:`'
    if (laid.size >= maxFilesPerEntity) return `an entity has at most ${maxFilesPerEntity} files`
    // Only then: what is refused anyway takes no room.
    return this.#fits(bytes) ? null : `${bytes} bytes do not fit, copy it in with \`violin cp\``
  }

  #fits(bytes: number): boolean {
    if (bytes > this.#left) return false
    this.#left -= bytes
    return true
  }

  #put(path: string, data: Uint8Array, mode: number): string {
    const at = `${this.#folder}/${path}`
    this.all.set(at, { data, mode })
    return at
  }
}

/** YAML with a line for each vLAN and each vNIC. */
function layOut(head: string, topology: Record<string, unknown>): string {
  const document = new Document(topology)
  document.commentBefore = ` ${head.replaceAll(/\p{C}|\p{Z}/gu, ' ')}`
  visit(document, {
    Map: (_, map, path) => {
      // Document, its map, pair `lans`, the map of vLANs, pair of one; or the list of vNICs.
      const lans = path[2]
      const inLans = path.length === 5 && isPair(lans) && String(lans.key) === 'lans'
      if (inLans || isSeq(path.at(-1))) map.flow = true
    }
  })
  return document.toString({ lineWidth: 110, flowCollectionPadding: true })
}

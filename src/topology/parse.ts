/**
 * A topology file, read and checked: whatever is wrong with it is told here in one line with its place, before
 * anybody is asked to do anything.
 */
import type * as z from 'zod'
import { ViolinError } from '#core/errors.ts'
import { tinyImage } from '#core/image.ts'
import { isInterface } from '#core/records/spec-body.ts'
import { isName, maxNameLength } from '#core/records/name.ts'
import { formatIpv4, isHostAddress, parseIpv4, parseSubnet } from '#core/ipv4.ts'
import { formatIpv6, isHostAddress6, parseIpv6, parseSubnet6 } from '#core/ipv6.ts'
import { changeLink, type Link, linkWords, type LinkWord, parseLinkWord, someLink } from '#core/link.ts'
import { clickPath, firewallPath, frrPath } from '#core/routing/paths.ts'
import {
  type EntityFile,
  type EntityKind,
  maxNicsPerEntity,
  type Topology,
  type TopologyEntity,
  type TopologyLan,
  type TopologyNic
} from '#core/spec.ts'
import { nearest } from '#core/nearest.ts'
import { checkNetworking, needsRouterImage, readNetworks, readWords } from './networking.ts'
import {
  type FileEntity,
  type FileJetway,
  type FileLan,
  type FileLink,
  type FileNic,
  type FileSettings,
  laterWords,
  maxEntities,
  schema,
  type TopologyFile,
  wordsAt
} from './schema.ts'
import { type Path, Source } from './source.ts'

/** Memory of a machine unless the file says otherwise, MiB: what Debian's UML kernel needs to be at ease. */
const defaultMemoryMiB = 64
/** Of a machine with another image than `tiny`, MiB: routing daemons run in it. */
const imageMemoryMiB = 96
/** Of one that is an overlay host itself, MiB: a daemon and a slice take 95, half of the rest is for files. */
const hostMemoryMiB = 256
/** What the record can say of memory, MiB: 1 TiB. */
const maxMemoryMiB: number = 1024 * 1024
/** Bytes of all files and scripts together: they travel in the record, which holds 64 KiB. */
export const maxFilesBytes: number = 40 * 1024

/** A file beside the topology file. */
export interface LocalFile {
  readonly data: Uint8Array
  /** Permission bits. */
  readonly mode: number
}

export interface ParseOptions {
  /** Name for messages. */
  readonly file: string
  /** Reads a file named in the topology, relative to it. Throws ViolinError. */
  readonly readFile: (path: string) => LocalFile
}

/** Reads a topology. Throws ViolinError `topology-invalid`: file:line:column, what, and what to do. */
export function parseTopology(text: string, options: ParseOptions): Topology {
  const source = new Source(text, options.file)
  const file = checkShape(source)
  name(source, ['name'], file.name, 'a VIOLIN')
  const taken = new Map<string, Path>()
  const lans = readLans(source, file, taken)
  const files = new LocalFiles(source, options)
  const entities = [...readEntities(source, file, taken, files), ...readJetways(source, file, taken)]
  if (entities.length > maxEntities) {
    throw source.refuse(
      ['name'],
      `${entities.length} entities, at most ${maxEntities} fit`,
      'make several VIOLINs of it'
    )
  }
  checkAddresses(source, lans, entities)
  checkGateways(source, lans, entities)
  checkBridges(source, entities)
  const topology: Topology = {
    name: file.name,
    lans,
    entities: entities.map(({ entity }) => entity),
    ...(file.rendezvous === undefined ? {} : { rendezvous: file.rendezvous })
  }
  const paths = new Map(entities.map(({ entity, path }) => [entity.name, path]))
  checkNetworking(source, topology, ({ name }) => paths.get(name) as Path)
  return topology
}

function checkShape(source: Source): TopologyFile {
  const value = source.value()
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw source.refuse([], 'is no topology', 'begin with `name:` and `lans:`')
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issues = parsed.error.issues
  // An unknown word is told before what follows from it.
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]
  const path = (issue?.path ?? []) as Path
  if (issue?.code === 'unrecognized_keys') throw unknownWord(source, path, issue.keys[0] as string)
  const what = path.at(-1) ?? 'it'
  const missing = issue?.code === 'invalid_type' && valueAt(value, path) === undefined
  if (missing) throw source.refuse(path, `\`${String(what)}:\` is missing`, 'add it')
  throw source.refuse(
    path,
    `\`${String(what)}\`: ${sayIssue(issue)}`,
    'see config/topology.schema.json for what goes there'
  )
}

/** What is wrong with a value, in words of this language. */
function sayIssue(issue: z.core.$ZodIssue | undefined): string {
  if (issue?.code === 'too_big')
    return `${issue.origin === 'array' ? 'more than' : 'above'} ${issue.maximum}, which is the most`
  if (issue?.code === 'too_small') return `below ${issue.minimum}, which is the least`
  if (issue?.code === 'invalid_value') return `is none of ${issue.values.map(String).join(', ')}`
  return issue?.message ?? 'is wrong'
}

/** Words of an entity under which more words stand. */
const sections: ReadonlySet<string | number> = new Set(['nics', 'link', 'rules', 'click'])

function unknownWord(source: Source, path: Path, word: string): ViolinError {
  if (laterWords.has(word)) {
    return source.refuse([...path, word], `\`${word}:\` is not yet supported`, 'leave it out', 'key')
  }
  const place = path.map((step, depth) => (depth === 0 || sections.has(step) ? step : '*')).join('.')
  const words = wordsAt.get(place) ?? []
  const meant = nearest(word, words)
  const remedy = meant === null ? `words here: ${words.join(', ')}` : `did you mean \`${meant}\`?`
  return source.refuse([...path, word], `unknown word \`${word}\``, remedy, 'key')
}

function valueAt(value: unknown, path: Path): unknown {
  let at: unknown = value
  for (const step of path) at = (at as Record<string | number, unknown> | null | undefined)?.[step]
  return at
}

/** Names stand in shell commands, paths and host tables. */
function name(source: Source, path: Path, text: string, what: string, at: 'key' | 'value' = 'value'): void {
  if (isName(text)) return
  throw source.refuse(
    path,
    `${JSON.stringify(text)} is no name for ${what}`,
    `use letters a-z, digits and hyphens, at most ${maxNameLength}`,
    at
  )
}

function readLans(source: Source, file: TopologyFile, taken: Map<string, Path>): TopologyLan[] {
  return Object.entries(file.lans).map(([lanName, lan]) => {
    const path = ['lans', lanName]
    name(source, path, lanName, 'a vLAN', 'key')
    claim(source, taken, lanName, path)
    const networks = readNetworks(source, path, lan)
    const twice = lan.vswitch?.find((host, place) => lan.vswitch?.indexOf(host) !== place)
    if (twice !== undefined)
      throw source.refuse([...path, 'vswitch'], `${twice} stands twice`, 'name each host once')
    return {
      name: lanName,
      ...networks,
      vswitch: lan.vswitch ?? [],
      ...(lan.gateway === undefined ? {} : { gateway: lan.gateway })
    }
  })
}

/** Entities, jetways and vLANs share one name space. */
function claim(source: Source, taken: Map<string, Path>, wanted: string, path: Path): void {
  if (taken.has(wanted)) {
    throw source.refuse(
      path,
      `the name ${wanted} stands twice`,
      'entities, jetways and vLANs share one name space: rename one',
      'key'
    )
  }
  taken.set(wanted, path)
}

interface PlacedEntity {
  readonly entity: TopologyEntity
  readonly path: Path
  /** Where each of its vNICs stands in the file. */
  readonly nicPaths: readonly Path[]
}

function readEntities(
  source: Source,
  file: TopologyFile,
  taken: Map<string, Path>,
  files: LocalFiles
): PlacedEntity[] {
  const sections: readonly [EntityKind, 'hosts' | 'routers'][] = [
    ['host', 'hosts'],
    ['router', 'routers']
  ]
  return sections.flatMap(([kind, section]) =>
    Object.entries(file[section] ?? {}).flatMap(([entityName, entity]) =>
      readEntity(source, file, kind, [section, entityName], entity ?? {}, taken, files)
    )
  )
}

function readEntity(
  source: Source,
  file: TopologyFile,
  kind: EntityKind,
  path: Path,
  entity: FileEntity,
  taken: Map<string, Path>,
  files: LocalFiles
): PlacedEntity[] {
  const base = path[1] as string
  name(source, path, base, kind === 'host' ? 'a vHost' : 'a vRouter', 'key')
  const { nics, nicPaths } = readNics(source, file, path, entity)
  const settings: FileSettings = {
    ...file.defaults,
    ...entity,
    env: { ...file.defaults?.env, ...entity.env }
  }
  const driver = entity.driver ?? file.defaults?.driver ?? file.driver ?? 'uml'
  const words = readWords(source, kind, path, entity, file.defaults)
  const image =
    settings.image ?? (needsRouterImage(file, base, entity, words, nics, driver) ? 'router' : tinyImage.name)
  name(source, [...path, 'image'], image, 'an image')
  const memoryMiB = memoryOf(settings.memory, image)
  if (driver === 'uml' && memoryMiB < defaultMemoryMiB) {
    throw source.refuse(
      [...path, 'memory'],
      `${settings.memory} is too little for a virtual machine`,
      `give it ${defaultMemoryMiB}M or more`
    )
  }
  if (memoryMiB > maxMemoryMiB) {
    throw source.refuse([...path, 'memory'], `${settings.memory} is more than any host has`, 'give it less')
  }
  if (entity.on !== undefined && settings.restart === 'failover') {
    throw source.refuse(
      [...path, entity.restart === undefined ? 'on' : 'restart'],
      `it is pinned to ${entity.on} and cannot fail over`,
      'leave `on` out, or write `restart: on-failure`'
    )
  }
  const own = files.of(entity, path, file.defaults, entity.count ?? 1)
  const names =
    entity.count === undefined
      ? [base]
      : Array.from({ length: entity.count }, (_, place) => `${base}${place + 1}`)
  if (names.length > 1 && nics.some(({ ip, ipv6 }) => ip !== undefined || ipv6 !== undefined)) {
    throw source.refuse(
      [...path, 'count'],
      'entities made by `count` cannot share one address',
      'leave `ip` and `ipv6` out: each gets the next free one'
    )
  }
  return names.map((one) => {
    name(source, path, one, kind === 'host' ? 'a vHost' : 'a vRouter', 'key')
    claim(source, taken, one, path)
    return {
      entity: {
        name: one,
        kind,
        driver,
        image,
        memoryMiB,
        ...(entity.on === undefined ? {} : { on: entity.on }),
        ...(settings.restart === undefined ? {} : { restart: settings.restart }),
        nics,
        env: readEnv(source, [...path, 'env'], settings.env ?? {}),
        files: own.files,
        ...(own.run === undefined ? {} : { run: own.run }),
        ...words
      },
      path,
      nicPaths
    }
  })
}

function readJetways(source: Source, file: TopologyFile, taken: Map<string, Path>): PlacedEntity[] {
  return Object.entries(file.jetways ?? {}).map(([jetwayName, jetway]) => {
    const path = ['jetways', jetwayName]
    name(source, path, jetwayName, 'a jetway', 'key')
    claim(source, taken, jetwayName, path)
    checkLan(source, file, path, jetway.lan)
    checkMode(source, path, jetway, file.lans[jetway.lan] as FileLan)
    const { lan, on, mode, bridge = '', ip, enabled } = jetway
    return {
      entity: {
        name: jetwayName,
        kind: 'jetway',
        driver: 'tap',
        image: tinyImage.name,
        memoryMiB: 1,
        on,
        nics: [{ name: 'lan', lan, ...(ip === undefined ? {} : { ip }) }],
        env: {},
        files: [],
        jetway: { mode, bridge, ...(enabled === undefined ? {} : { enabled }) }
      },
      path,
      nicPaths: [path]
    }
  })
}

function checkMode(source: Source, path: Path, { mode, bridge, ip }: FileJetway, lan: FileLan): void {
  if (mode === 'nat') {
    if (lan.subnet === undefined)
      throw source.refuse(
        [...path, 'mode'],
        'a jetway translates IPv4, which the vLAN has not',
        'add `subnet:` to the vLAN, or write `mode: bridge`'
      )
    if (bridge === undefined) return
    throw source.refuse(
      [...path, 'bridge'],
      'mode nat joins no bridge',
      'leave it out, or write `mode: bridge`',
      'key'
    )
  }
  if (ip !== undefined)
    throw source.refuse([...path, 'ip'], 'a bridge has no address on the vLAN', 'leave it out', 'key')
  if (bridge === undefined)
    throw source.refuse([...path, 'mode'], 'which bridge of the host?', 'add `bridge: br0`', 'key')
  if (!isInterface(bridge))
    throw source.refuse(
      [...path, 'bridge'],
      `${JSON.stringify(bridge)} is no name of an interface`,
      'write it as br0'
    )
}

function checkLan(source: Source, file: TopologyFile, path: Path, lan: string): void {
  if (Object.hasOwn(file.lans, lan)) return
  const meant = nearest(lan, Object.keys(file.lans))
  throw source.refuse(
    [...path, 'lan'],
    `no vLAN ${lan}`,
    meant === null ? 'add it under `lans:`' : `did you mean ${meant}?`
  )
}

function readNics(
  source: Source,
  file: TopologyFile,
  path: Path,
  entity: FileEntity
): { nics: TopologyNic[]; nicPaths: Path[] } {
  const alone = (['ip', 'ipv6', 'link'] as const).find((word) => entity[word] !== undefined)
  if (entity.nics !== undefined && (entity.lan !== undefined || alone !== undefined)) {
    throw source.refuse(
      [...path, 'nics'],
      '`nics` and `lan` both say what it is plugged into',
      'use one of them',
      'key'
    )
  }
  if (entity.lan === undefined && alone !== undefined) {
    throw source.refuse(
      [...path, alone],
      `${alone === 'link' ? 'a link' : 'an address'} without a vLAN`,
      'add `lan:`',
      'key'
    )
  }
  const short =
    entity.lan === undefined
      ? []
      : [
          {
            lan: entity.lan,
            ...addressesOf(entity),
            ...(entity.link === undefined ? {} : { link: entity.link })
          }
        ]
  const nics: readonly FileNic[] = entity.nics ?? short
  if (nics.length > maxNicsPerEntity) {
    throw source.refuse(
      [...path, 'nics'],
      `${nics.length} vNICs, at most ${maxNicsPerEntity} fit`,
      'use fewer'
    )
  }
  const nicPaths = nics.map((_, place): Path => (entity.nics === undefined ? path : [...path, 'nics', place]))
  const seen = new Set<string>()
  const read = nics.map((nic, place): TopologyNic => {
    const at = nicPaths[place] as Path
    const nicName = nic.name ?? `eth${place}`
    if (!/^[a-z][a-z0-9.-]{0,14}$/.test(nicName) || nicName === 'lo') {
      throw source.refuse(
        [...at, 'name'],
        `${JSON.stringify(nicName)} is no name for a vNIC`,
        'use letters, digits, dots and hyphens, at most 15'
      )
    }
    if (seen.has(nicName))
      throw source.refuse([...at, 'name'], `the vNIC ${nicName} stands twice`, 'rename one')
    seen.add(nicName)
    checkLan(source, file, at, nic.lan)
    const link = linkOf(nic.link)
    return { name: nicName, lan: nic.lan, ...addressesOf(nic), ...(link === null ? {} : { link }) }
  })
  return { nics: read, nicPaths }
}

function addressesOf({ ip, ipv6 }: Pick<FileNic, 'ip' | 'ipv6'>): Pick<TopologyNic, 'ip' | 'ipv6'> {
  return { ...(ip === undefined ? {} : { ip }), ...(ipv6 === undefined ? {} : { ipv6 }) }
}

/** Its words were checked with the shape of the file. */
function linkOf(written: FileLink | undefined): Link | null {
  if (written === undefined) return null
  const words = Object.entries(linkWords).flatMap(([word, { field }]) => {
    const value = parseLinkWord(word as LinkWord, String(written[word as LinkWord] ?? 0))
    return value === null ? [] : [[field, value] as const]
  })
  return someLink({
    ...changeLink({}, Object.fromEntries(words)),
    ...(written.down === true ? { down: true } : {})
  })
}

function memoryOf(text: string | undefined, image: string): number {
  if (text === undefined) {
    if (image === tinyImage.name) return defaultMemoryMiB
    return image === 'host' ? hostMemoryMiB : imageMemoryMiB
  }
  return Number(text.slice(0, -1)) * (text.endsWith('G') ? 1_024 : 1)
}

function readEnv(source: Source, path: Path, env: NonNullable<FileSettings['env']>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).map(([key, value]) => {
      if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(key)) {
        throw source.refuse(
          [...path, key],
          `${JSON.stringify(key)} is no name of a variable`,
          'use letters, digits and underscores',
          'key'
        )
      }
      const text = String(value)
      if (/[\0\n]/.test(text))
        throw source.refuse([...path, key], `the value of ${key} has a line break`, 'put it into a file')
      return [key, text]
    })
  )
}

/** Files and scripts that the topology names, read once, within one bound. */
class LocalFiles {
  readonly #source: Source
  readonly #options: ParseOptions
  readonly #read = new Map<string, LocalFile>()
  #bytes = 0

  constructor(source: Source, options: ParseOptions) {
    this.#source = source
    this.#options = options
  }

  of(
    entity: FileEntity,
    path: Path,
    defaults: FileSettings | undefined,
    copies: number
  ): { files: EntityFile[]; run?: string } {
    const words = { [frrPath]: 'frr', [firewallPath]: 'firewall', [clickPath]: 'click' } as const
    const wanted = {
      ...defaults?.files,
      ...entity.files,
      ...(entity.frr === undefined ? {} : { [frrPath]: entity.frr }),
      ...(entity.firewall === undefined ? {} : { [firewallPath]: entity.firewall }),
      ...(entity.click === undefined ? {} : { [clickPath]: entity.click.config })
    }
    const files = Object.entries(wanted).map(([target, local]): EntityFile => {
      const word = words[target as keyof typeof words]
      const at =
        word !== undefined && entity[word] !== undefined
          ? [...path, word]
          : entity.files !== undefined && target in entity.files
            ? [...path, 'files', target]
            : ['defaults', 'files', target]
      if (!/^\/[^\0\n]{1,255}$/.test(target) || target.split('/').includes('..') || target.endsWith('/')) {
        throw this.#source.refuse(
          at,
          `${JSON.stringify(target)} is no absolute path of a file`,
          'write it as /etc/motd',
          'key'
        )
      }
      const { data, mode } = this.#load(local, at, copies)
      return { path: target, mode, data }
    })
    const run = entity.run ?? defaults?.run
    if (run === undefined) return { files }
    const at = entity.run === undefined ? ['defaults', 'run'] : [...path, 'run']
    return { files, run: new TextDecoder().decode(this.#load(run, at, copies).data) }
  }

  #load(local: string, at: Path, copies: number): LocalFile {
    const known = this.#read.get(local)
    const file = known ?? this.#open(local, at)
    this.#read.set(local, file)
    this.#bytes += file.data.length * copies
    if (this.#bytes > maxFilesBytes) {
      throw this.#source.refuse(
        at,
        `the files are ${this.#bytes} bytes together, ${maxFilesBytes} fit`,
        'fetch large files from inside, or copy them with `violin cp`'
      )
    }
    return file
  }

  #open(local: string, at: Path): LocalFile {
    try {
      return this.#options.readFile(local)
    } catch (error: unknown) {
      throw this.#source.refuse(
        at,
        `${local} cannot be read: ${(error as Error).message}`,
        'paths are relative to the topology file'
      )
    }
  }
}

function checkAddresses(
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

function checkGateways(
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

/** Two live bridges between one vLAN and the real network would make a loop. */
function checkBridges(source: Source, entities: readonly PlacedEntity[]): void {
  const live = new Map<string, string>()
  for (const { entity, path } of entities) {
    const { jetway, name: jetwayName, nics } = entity
    if (jetway?.mode !== 'bridge' || jetway.enabled !== true) continue
    const lan = nics[0]?.lan as string
    const other = live.get(lan)
    if (other !== undefined)
      throw source.refuse(
        [...path, 'enabled'],
        `${lan} has a live bridge already, ${other}: two would make a loop`,
        'enable one of them'
      )
    live.set(lan, jetwayName)
  }
}

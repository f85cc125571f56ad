/**
 * Hosts and routers of a topology: their settings, machines and vNICs.
 */
import { tinyImage } from '#core/image.ts'
import { changeLink, type Link, linkWords, type LinkWord, parseLinkWord, someLink } from '#core/link.ts'
import { type EntityKind, maxNicsPerEntity, type TopologyEntity, type TopologyNic } from '#core/spec.ts'
import type { LocalFiles } from './files.ts'
import { checkLan, checkName, claim } from './names.ts'
import { imageOf, readWords } from './networking.ts'
import type { FileEntity, FileLink, FileNic, FileSettings, TopologyFile } from './schema.ts'
import type { Path, Source } from './source.ts'

/** Memory of a machine unless the file says otherwise, MiB: what Debian's UML kernel needs to be at ease. */
const defaultMemoryMiB = 64
/** Of a machine with another image than `tiny`, MiB: routing daemons run in it. */
const imageMemoryMiB = 96
/** Of one that is an overlay host itself, MiB: a daemon and a slice take 95, half of the rest is for files. */
const hostMemoryMiB = 256
/** What the record can say of memory, MiB: 1 TiB. */
const maxMemoryMiB: number = 1024 * 1024

/** An entity and its place in the file, for messages. */
export interface PlacedEntity {
  readonly entity: TopologyEntity
  readonly path: Path
  /** Where each of its vNICs stands in the file. */
  readonly nicPaths: readonly Path[]
}

/** All hosts and routers, those made by `count` one by one. Throws ViolinError `topology-invalid`. */
export function readEntities(
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
  checkName(source, path, base, kind === 'host' ? 'a vHost' : 'a vRouter', 'key')
  const { nics, nicPaths } = readNics(source, file, path, entity)
  const settings: FileSettings = {
    ...file.defaults,
    ...entity,
    env: { ...file.defaults?.env, ...entity.env }
  }
  const driver = entity.driver ?? file.defaults?.driver ?? file.driver ?? 'uml'
  const words = readWords(source, kind, path, entity, file.defaults)
  const image = imageOf(source, file, path, entity, words, nics, driver)
  checkName(source, [...path, 'image'], image, 'an image')
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
    checkName(source, path, one, kind === 'host' ? 'a vHost' : 'a vRouter', 'key')
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

/**
 * What makes a machine this entity: an archive laid over that of the image `tiny`, with its network's set-up, its
 * names, environment, files and script. Where it begins with another image its files are an archive in that one,
 * which the machine unpacks once it has its root. Pure: text and bytes from the spec.
 */
import { ViolinError } from '#core/errors.ts'
import type { Mac } from '#core/ids.ts'
import type { EntityFile, SpecEntity } from '#core/spec.ts'
import { tinyFolders, tinyLinks } from '#images/layout.ts'
import { type ArchiveEntry, newcArchive, parentFolders } from '#images/newc.ts'
import type { SliceEntity, SliceWish } from '#slice/contract.ts'
import { environmentOf, hostsFile, networkScript, quote } from '../netns/setup.ts'

/** What of an entity's spec and surroundings its archive is made of. */
export interface ArchiveInput {
  readonly entity: SpecEntity & Pick<SliceEntity, 'start'>
  readonly macs: ReadonlyMap<string, Mac>
  readonly names: SliceWish['names']
}

/** Places that the guest mounts something over: what is laid there would not be seen. */
const hidden = ['proc', 'sys', 'dev']

/** Makes the archive, uncompressed. Throws ViolinError `refused` for a file that cannot be laid. */
export function entityArchive(input: ArchiveInput): Uint8Array<ArrayBuffer> {
  const { entity } = input
  const scripts = [
    text('violin/hostname', `${entity.name}\n`),
    text('violin/network', namingScript(input) + networkScript(entity)),
    text('violin/env', environmentScript(entity))
  ]
  if (entity.start !== undefined) scripts.push(text('violin/start', entity.start))
  if (entity.run !== '') scripts.push(text('violin/run', entity.run))
  const texts = [
    text('etc/hostname', `${entity.name}\n`),
    text('etc/hosts', hostsFile(entity.name, input.names)),
    text('etc/motd', greeting(entity))
  ]
  if (entity.image.hash === null)
    return newcArchive([...scripts, ...texts, ...entity.files.flatMap(fileEntries)])
  const files = newcArchive([...texts, ...entity.files.map(plainEntry)])
  return newcArchive([...scripts, { kind: 'file', path: 'violin/files', mode: 0o644, data: files }])
}

/** Gives every vNIC its name by its MAC: the kernel numbers devices in the order in which it met them. */
export function namingScript({ entity, macs }: Pick<ArchiveInput, 'entity' | 'macs'>): string {
  const lines = [
    'name() {',
    '  for path in /sys/class/net/*; do',
    '    read -r mac <$path/address',
    '    [ "$mac" = "$1" ] || continue',
    '    [ "${path##*/}" = "$2" ] && return',
    '    [ -e "/sys/class/net/$2" ] && ip link set "$2" name "$3"',
    '    ip link set "${path##*/}" name "$2"',
    '    return',
    '  done',
    '  echo "there is no vNIC $1"',
    '  return 1',
    '}'
  ]
  for (const [index, { name }] of entity.nics.entries())
    lines.push(`name ${quote(macs.get(name) ?? '')} ${quote(name)} aside${index}`)
  return `${lines.join('\n')}\n`
}

function environmentScript(entity: SpecEntity): string {
  const rows = Object.entries(environmentOf(entity)).map(([name, value]) => {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
      throw new ViolinError('refused', `"${name}" is no name of an environment variable`, 'rename it')
    return `export ${name}=${quote(value)}\n`
  })
  return rows.join('')
}

/** What a person sees who opens the console. */
function greeting(entity: SpecEntity): string {
  const nics = entity.nics.map(({ name, lan, ips }) => `  ${name}  ${ips.join(' ') || '-'}  (${lan})\n`)
  return `\n${entity.name}, ${entity.kind === 'router' ? 'vRouter' : 'vHost'}\n${nics.join('')}\n`
}

function fileEntries(file: EntityFile): ArchiveEntry[] {
  const path = resolved(file)
  // The image's own folders keep their modes.
  const parents = parentFolders(path).filter((folder) => !tinyFolders.has(folder))
  return [
    ...parents.map((folder): ArchiveEntry => ({ kind: 'folder', path: folder, mode: 0o755 })),
    { kind: 'file', path, mode: file.mode, data: file.data }
  ]
}

/** A file for a root that is there already: its links lead where they lead. */
function plainEntry(file: EntityFile): ArchiveEntry {
  return { kind: 'file', path: plainPath(file), mode: file.mode, data: file.data }
}

/** Where a file really goes: its path inside the archive, through the image's links. */
function resolved(file: EntityFile): string {
  const path = plainPath(file)
  const above = parentFolders(path).find((folder) => tinyLinks.has(folder))
  const target = above === undefined ? path : `${tinyLinks.get(above)}${path.slice(above.length)}`
  if (tinyFolders.has(target) || tinyLinks.has(target)) throw notLaid(file, 'there is a folder')
  return target
}

function plainPath(file: EntityFile): string {
  const names = file.path.split('/').filter((name) => name !== '' && name !== '.')
  if (!file.path.startsWith('/') || names.length === 0 || names.includes('..') || file.path.includes('\0'))
    throw notLaid(file, 'it is no plain absolute path')
  if (hidden.includes(names[0] ?? '')) throw notLaid(file, 'the kernel shows its own files there')
  return names.join('/')
}

function notLaid({ path }: EntityFile, why: string): ViolinError {
  return new ViolinError('refused', `the file ${path} cannot be laid: ${why}`, 'lay it elsewhere')
}

function text(path: string, content: string): ArchiveEntry {
  return { kind: 'file', path, mode: 0o644, data: Buffer.from(content) }
}

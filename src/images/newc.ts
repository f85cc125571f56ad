/**
 * Archives in the cpio format "newc" (Documentation/driver-api/early-userspace/buffer-format.rst of Linux):
 * what the kernel unpacks into its first root file system. The same entries give the same bytes.
 */

/** One thing in an archive; `path` is relative to the root, and its parents stand before it. */
export type ArchiveEntry =
  | { readonly kind: 'folder'; readonly path: string; readonly mode: number }
  | { readonly kind: 'file'; readonly path: string; readonly mode: number; readonly data: Uint8Array }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | {
      readonly kind: 'character'
      readonly path: string
      readonly mode: number
      readonly major: number
      readonly minor: number
    }

/** Longest path that the kernel takes (PATH_MAX), bytes, its final zero included. */
const maxPathBytes = 4096
const typeBits = { folder: 0o040000, file: 0o100000, link: 0o120000, character: 0o020000 } as const
const trailer = 'TRAILER!!!'
const encoder = new TextEncoder()

/** Writes one archive; all entries belong to root and are of 1970. Throws RangeError for a path that is none. */
export function newcArchive(entries: readonly ArchiveEntry[]): Uint8Array<ArrayBuffer> {
  const parts = entries.flatMap((entry, index) => member(entry, index + 1))
  parts.push(...record(trailer, { inode: 0, mode: 0, links: 1, major: 0, minor: 0 }, new Uint8Array(0)))
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/**
 * The folders above `path`, outermost first, without the root: the kernel makes no parents by itself.
 * Folders that exist already keep their contents.
 */
export function parentFolders(path: string): string[] {
  const names = path.split('/').slice(0, -1)
  return names.map((_, index) => names.slice(0, index + 1).join('/'))
}

interface Fields {
  readonly inode: number
  readonly mode: number
  readonly links: number
  readonly major: number
  readonly minor: number
}

function member(entry: ArchiveEntry, inode: number): Uint8Array[] {
  const names = entry.path.split('/')
  if (names.some((name) => name === '' || name === '.' || name === '..' || name.includes('\0')))
    throw new RangeError(`"${entry.path}" is no path inside an archive`)
  const device = entry.kind === 'character' ? entry : { major: 0, minor: 0 }
  const permissions = entry.kind === 'link' ? 0o777 : entry.mode & 0o7777
  const fields = {
    inode,
    mode: typeBits[entry.kind] | permissions,
    links: entry.kind === 'folder' ? 2 : 1,
    major: device.major,
    minor: device.minor
  }
  return record(entry.path, fields, contents(entry))
}

function contents(entry: ArchiveEntry): Uint8Array {
  if (entry.kind === 'file') return entry.data
  return entry.kind === 'link' ? encoder.encode(entry.target) : new Uint8Array(0)
}

/** Header of 110 bytes in hexadecimal, name, contents; the latter two padded to 4 bytes. */
function record(path: string, fields: Fields, data: Uint8Array): Uint8Array[] {
  const name = encoder.encode(`${path}\0`)
  if (name.length > maxPathBytes) throw new RangeError(`a path of ${name.length} bytes`)
  const { inode, mode, links, major, minor } = fields
  const [owner, time, check] = [0, 0, 0]
  const numbers = [
    inode,
    mode,
    owner,
    owner,
    links,
    time,
    data.length,
    0,
    0,
    major,
    minor,
    name.length,
    check
  ]
  const header = `070701${numbers.map((number) => number.toString(16).padStart(8, '0')).join('')}`
  return [encoder.encode(header), name, padding(header.length + name.length), data, padding(data.length)]
}

function padding(length: number): Uint8Array {
  return new Uint8Array(-length & 3)
}

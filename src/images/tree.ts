/** An image's tree on disk: read into a manifest, and read by pieces. */
import { createHash } from 'node:crypto'
import { chmod, lstat, open, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { ViolinError } from '#core/errors.ts'
import {
  contentBytesOf,
  encodeManifest,
  type Extent,
  Extents,
  type ImageEntry,
  pieceBytes
} from '#core/image.ts'

/** Modes that all files of an image have on disk: nobody writes them. */
const modes = { plain: 0o444, executable: 0o555, folder: 0o755 } as const

/** Brings a tree into the form of an image, with the modes that these have, and gives its encoded manifest. */
export async function sealTree(root: string): Promise<Uint8Array> {
  const entries = await entriesOf(root, '')
  entries.sort((a, b) => (a.path < b.path ? -1 : 1))
  const extents = new Extents(entries)
  const count = Math.ceil(contentBytesOf(entries) / pieceBytes)
  const pieces: Uint8Array[] = []
  for (let piece = 0; piece < count; piece++) {
    const bytes = await readExtents(root, extents.of(piece))
    pieces.push(createHash('sha256').update(bytes).digest())
  }
  try {
    return encodeManifest({ entries, pieces })
  } catch (error: unknown) {
    throw new ViolinError('too-large', `${root} is too large for an image`, 'leave something out', {
      cause: error
    })
  }
}

/** The bytes of a piece. Throws where a file is not as long as it was. */
export async function readExtents(root: string, extents: readonly Extent[]): Promise<Buffer> {
  const bytes = Buffer.alloc(extents.reduce((sum, extent) => sum + extent.bytes, 0))
  let start = 0
  for (const { path, at, bytes: length } of extents) {
    await using file = await open(join(root, path))
    const { bytesRead } = await file.read(bytes, start, length, at)
    if (bytesRead !== length) throw new Error(`${path} is shorter than it was`)
    start += length
  }
  return bytes
}

/** Mode of a file of an image on disk. */
export function modeOf(executable: boolean): number {
  return executable ? modes.executable : modes.plain
}

async function entriesOf(root: string, folder: string): Promise<ImageEntry[]> {
  const entries: ImageEntry[] = []
  for (const found of await readdir(join(root, folder), { withFileTypes: true })) {
    const path = folder === '' ? found.name : `${folder}/${found.name}`
    const place = join(root, path)
    if (found.isDirectory()) {
      await chmod(place, modes.folder)
      entries.push({ kind: 'folder', path }, ...(await entriesOf(root, path)))
    } else if (found.isSymbolicLink()) {
      entries.push({ kind: 'link', path, target: await readlink(place) })
    } else if (found.isFile()) {
      const { mode, size } = await lstat(place)
      const executable = (mode & 0o111) !== 0
      await chmod(place, modeOf(executable))
      entries.push({ kind: 'file', path, executable, bytes: size })
    } else throw new ViolinError('refused', `${place} is no file, folder or link`, 'leave it out')
  }
  return entries
}

/**
 * An image fetched from elsewhere: its manifest, then the pieces of its contents in order, some on their way at a
 * time. Every byte is checked when it comes; what was fetched before a break is checked and kept (partial.ts).
 */
import { createHash } from 'node:crypto'
import { mkdir, open, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import {
  contentBytesOf,
  decodeManifest,
  type ImageHash,
  imageHashOf,
  type ImageManifest,
  pieceBytes
} from '#core/image.ts'
import { sameBytes } from '#core/records/cbor.ts'
import { partialFolder, removePartial } from './partial.ts'
import type { ImageStore } from './store.ts'
import { modeOf } from './tree.ts'

/** Pieces under way: with their size the memory that a pull takes, and what it asks ahead of a slow path. */
const underWay = 4
/** Bytes of contents copied at once. */
const copyBytes: number = 1024 * 1024

/** Gives the manifest (null) or a piece, if what came satisfies `isRight`. Throws when nobody has it. */
export type FetchPart = (
  piece: number | null,
  isRight: (bytes: Uint8Array) => boolean,
  signal: AbortSignal
) => Promise<Uint8Array>

export interface PullOptions {
  readonly fetch: FetchPart
  /** Throws for an image that is not to be had here, by its contents' size. */
  readonly accept?: (totalBytes: number) => Promise<void>
  readonly told?: (progress: PullProgress) => void
  readonly signal: AbortSignal
}

export interface PullProgress {
  readonly bytes: number
  readonly totalBytes: number
}

const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()

/** Brings an image into the store, unless it is there. Throws what the options throw, and the signal's reason. */
export async function pullImage(store: ImageStore, image: ImageHash, options: PullOptions): Promise<void> {
  const { fetch, accept, signal } = options
  if (store.has(image)) return
  const folder = await partialFolder(store, image)
  const { bytes, manifest } = await manifestOf(folder, image, fetch, signal)
  await accept?.(contentBytesOf(manifest.entries))
  await fetchContent(join(folder, 'content'), manifest, options)
  const staging = await store.staging()
  try {
    await layTree(join(staging, 'root'), manifest, join(folder, 'content'), signal)
    await writeFile(join(staging, 'manifest'), bytes, { mode: 0o444 })
    await store.place(staging, image)
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
  await removePartial(store, image)
}

async function manifestOf(
  folder: string,
  image: ImageHash,
  fetch: FetchPart,
  signal: AbortSignal
): Promise<{ readonly bytes: Uint8Array; readonly manifest: ImageManifest }> {
  const path = join(folder, 'manifest')
  const isRight = (bytes: Uint8Array): boolean => imageHashOf(bytes, { sha256 }) === image
  const former = await readFile(path).catch(() => null)
  if (former !== null && isRight(former)) return { bytes: former, manifest: decodeManifest(former) }
  const bytes = await fetch(null, isRight, signal)
  const manifest = decodeManifest(bytes)
  await writeFile(`${path}.new`, bytes)
  await rename(`${path}.new`, path)
  return { bytes, manifest }
}

async function fetchContent(
  path: string,
  manifest: ImageManifest,
  { fetch, told, signal }: PullOptions
): Promise<void> {
  const totalBytes = contentBytesOf(manifest.entries)
  await using file = await open(path, 'a+', 0o600)
  const whole = await wholePieces(file, manifest)
  await file.truncate(Math.min(whole * pieceBytes, totalBytes))
  const stop = new AbortController()
  const both = AbortSignal.any([signal, stop.signal])
  const pieces: Promise<Uint8Array>[] = []
  const count = manifest.pieces.length
  try {
    for (let piece = whole; piece < count; piece++) {
      for (let next = piece + pieces.length; next < Math.min(count, piece + underWay); next++) {
        const hash = manifest.pieces[next] as Uint8Array
        const coming = fetch(next, (bytes) => sameBytes(sha256(bytes), hash), both)
        // It is heard of in its turn.
        coming.catch(() => undefined)
        pieces.push(coming)
      }
      await file.appendFile(await (pieces.shift() as Promise<Uint8Array>))
      told?.({ bytes: Math.min((piece + 1) * pieceBytes, totalBytes), totalBytes })
    }
  } finally {
    stop.abort()
  }
}

/** How many of the first pieces are there as they should be. */
async function wholePieces(file: FileHandle, manifest: ImageManifest): Promise<number> {
  const buffer = Buffer.alloc(pieceBytes)
  for (let piece = 0; piece < manifest.pieces.length; piece++) {
    const { bytesRead } = await file.read(buffer, 0, pieceBytes, piece * pieceBytes)
    if (!sameBytes(sha256(buffer.subarray(0, bytesRead)), manifest.pieces[piece] as Uint8Array)) return piece
  }
  return manifest.pieces.length
}

/** Lays the tree; its order has each folder before what is in it, and no path leads through a link (decodeManifest). */
async function layTree(
  root: string,
  { entries }: ImageManifest,
  content: string,
  signal: AbortSignal
): Promise<void> {
  await using source = await open(content)
  await mkdir(root, { mode: 0o755 })
  let at = 0
  for (const entry of entries) {
    signal.throwIfAborted()
    const path = join(root, entry.path)
    if (entry.kind === 'folder') await mkdir(path, { mode: 0o755 })
    else if (entry.kind === 'link') await symlink(entry.target, path)
    else {
      await using file = await open(path, 'wx', modeOf(entry.executable))
      for (let done = 0; done < entry.bytes;) {
        const buffer = Buffer.alloc(Math.min(copyBytes, entry.bytes - done))
        const { bytesRead } = await source.read(buffer, 0, buffer.length, at + done)
        if (bytesRead === 0) throw new Error(`${content} is shorter than it was`)
        await file.appendFile(buffer.subarray(0, bytesRead))
        done += bytesRead
      }
      // Whatever the umask is: the manifest's modes are everybody's.
      await file.chmod(modeOf(entry.executable))
      at += entry.bytes
    }
  }
}

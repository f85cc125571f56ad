/**
 * What a pull has of an image before it is whole. It is kept when the pull breaks off: the next one goes on from there.
 *
 *     FOLDER/.pull-HASH/manifest, content
 */
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { contentBytesOf, decodeManifest, type ImageHash, isImageHash } from '#core/image.ts'
import type { ImageStore } from './store.ts'

const prefix = '.pull-'
const stagingPrefix = '.new-'
/** What nobody has gone on with for so long is removed, days: longer than a weekend without the source. */
export const keptDays = 7
const keptMs = keptDays * 24 * 60 * 60 * 1_000

export interface PartialImage {
  readonly hash: ImageHash
  /** Contents that are here. */
  readonly bytes: number
  /** Null: its manifest is not here yet. */
  readonly totalBytes: number | null
}

/** The folder of what is here of an image, made where it is not. */
export async function partialFolder(store: ImageStore, image: ImageHash): Promise<string> {
  const folder = folderOf(store, image)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  return folder
}

export async function listPartials(store: ImageStore): Promise<PartialImage[]> {
  return Promise.all(
    (await partialHashes(store)).map(async (hash) => {
      const folder = folderOf(store, hash)
      const content = await stat(join(folder, 'content')).catch(() => null)
      const manifest = await readFile(join(folder, 'manifest')).catch(() => null)
      return { hash, bytes: content?.size ?? 0, totalBytes: manifest === null ? null : totalOf(manifest) }
    })
  )
}

/** Removes what is here of an image, if anything; a pull under way must have ended. */
export async function removePartial(store: ImageStore, image: ImageHash): Promise<void> {
  // A pull that begins meanwhile finds all of it or nothing.
  const staging = await store.staging()
  await rename(folderOf(store, image), join(staging, 'old')).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  })
  await rm(staging, { recursive: true, force: true })
}

/**
 * Removes what pulls and builds of former days left half done, but for images that are in use, and gives the images.
 */
export async function sweepPartials(
  store: ImageStore,
  nowMs: number,
  isUsed: (image: ImageHash) => boolean
): Promise<ImageHash[]> {
  const isOld = async (path: string): Promise<boolean> => {
    const times = await Promise.all(
      [path, join(path, 'manifest'), join(path, 'content')].map((one) =>
        stat(one).then(
          ({ mtimeMs }) => mtimeMs,
          () => -Infinity
        )
      )
    )
    return nowMs - Math.max(...times) > keptMs
  }
  for (const name of await entriesOf(store)) {
    const path = join(store.folder, name)
    if (name.startsWith(stagingPrefix) && (await isOld(path)))
      await rm(path, { recursive: true, force: true })
  }
  const removed: ImageHash[] = []
  for (const image of await partialHashes(store)) {
    if (!(await isOld(folderOf(store, image))) || isUsed(image)) continue
    await removePartial(store, image)
    removed.push(image)
  }
  return removed
}

async function partialHashes(store: ImageStore): Promise<ImageHash[]> {
  const names = await entriesOf(store)
  return names.flatMap((name) => {
    const hash = name.slice(prefix.length)
    return name.startsWith(prefix) && isImageHash(hash) ? [hash] : []
  })
}

function folderOf(store: ImageStore, image: ImageHash): string {
  return join(store.folder, `${prefix}${image}`)
}

/** A manifest that is damaged says nothing: the pull fetches it again. */
function totalOf(manifest: Uint8Array): number | null {
  try {
    return contentBytesOf(decodeManifest(manifest).entries)
  } catch {
    return null
  }
}

async function entriesOf({ folder }: ImageStore): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  })
}

/**
 * The images of a host, one copy each, whatever uses it:
 *
 *     FOLDER/tiny/…            made of this host's own Debian (tiny.ts)
 *     FOLDER/names/NAME        the hash that the name means here
 *     FOLDER/HASH/manifest     what is in it, and the hashes of all of it
 *     FOLDER/HASH/root/…       the tree itself, which slices and machines see read-only
 *     FOLDER/.new-…            one that is being made
 *     FOLDER/.pull-HASH/…      one that is being fetched (partial.ts)
 */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ViolinError } from '#core/errors.ts'
import {
  contentBytesOf,
  decodeManifest,
  type ImageHash,
  imageHashOf,
  type ImageManifest,
  isImageHash,
  isImageHashStart
} from '#core/image.ts'
import { isName } from '#core/records/name.ts'
import { sealTree } from './tree.ts'

const hash = { sha256: (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest() }

export interface StoredImage {
  readonly hash: ImageHash
  /** Names that mean it here. */
  readonly names: readonly string[]
  /** Contents of its files. */
  readonly bytes: number
  readonly files: number
}

/** What a word means. */
export interface Meaning {
  readonly hash: ImageHash
  /** Null: the word is the start of the hash. */
  readonly name: string | null
}

export class ImageStore {
  readonly folder: string

  constructor(folder: string) {
    this.folder = folder
  }

  /** The tree of an image, whether it is there or not. */
  rootOf(image: ImageHash): string {
    return join(this.folder, image, 'root')
  }

  has(image: ImageHash): boolean {
    return existsSync(join(this.folder, image, 'manifest'))
  }

  /** What a name means here; null: nothing. */
  async find(name: string): Promise<ImageHash | null> {
    if (!isName(name)) return null
    const text = await readFile(this.#nameFile(name), 'utf8').catch(ifThere)
    const image = text?.trim() ?? ''
    return isImageHash(image) && this.has(image) ? image : null
  }

  /** What a word means here: the image of that name, else those whose hash begins with it. */
  async meant(word: string): Promise<Meaning[]> {
    const named = await this.find(word)
    if (named !== null) return [{ hash: named, name: word }]
    if (!isImageHashStart(word)) return []
    const found = (await this.#images()).filter((image) => image.startsWith(word) && this.has(image))
    return found.map((hash) => ({ hash, name: null }))
  }

  /** Its manifest as it travels, checked against its hash; null: it is not here. Throws `store-damaged`. */
  async manifest(
    image: ImageHash
  ): Promise<{ readonly bytes: Uint8Array; readonly manifest: ImageManifest } | null> {
    const bytes = await readFile(join(this.folder, image, 'manifest')).catch(ifThere)
    if (bytes === null) return null
    if (imageHashOf(bytes, hash) !== image)
      throw new ViolinError(
        'store-damaged',
        `the manifest of the image ${image.slice(0, 12)} is damaged`,
        `remove it, and pull it again: violin image remove ${image.slice(0, 12)}`
      )
    return { bytes, manifest: decodeManifest(bytes) }
  }

  async list(): Promise<StoredImage[]> {
    const names = await this.#names()
    const rows = await Promise.all(
      (await this.#images()).map(async (image): Promise<StoredImage[]> => {
        const read = await this.manifest(image).catch(() => null)
        if (read === null) return []
        const { entries } = read.manifest
        const files = entries.filter(({ kind }) => kind === 'file').length
        const own = names.filter(([, meant]) => meant === image).map(([name]) => name)
        return [{ hash: image, names: own, bytes: contentBytesOf(entries), files }]
      })
    )
    return rows.flat()
  }

  /** An empty folder for a tree that becomes an image by {@link keep}; the caller removes it otherwise. */
  async staging(): Promise<string> {
    await mkdir(this.folder, { recursive: true, mode: 0o755 })
    return mkdtemp(join(this.folder, '.new-'))
  }

  /** Makes an image of `STAGING/root`, at once or not at all; gives its hash. */
  async keep(staging: string): Promise<ImageHash> {
    const manifest = await sealTree(join(staging, 'root'))
    const image = imageHashOf(manifest, hash)
    await writeFile(join(staging, 'manifest'), manifest, { mode: 0o444 })
    await this.place(staging, image)
    return image
  }

  /** Puts a whole image, manifest and tree, in its place, or drops it where there is one. */
  async place(staging: string, image: ImageHash): Promise<void> {
    await chmod(staging, 0o755)
    try {
      await rename(staging, join(this.folder, image))
    } catch (error: unknown) {
      if (!this.has(image)) throw error
      await rm(staging, { recursive: true, force: true })
    }
  }

  /** From now on the name means this image here. */
  async name(name: string, image: ImageHash): Promise<void> {
    await mkdir(join(this.folder, 'names'), { recursive: true, mode: 0o755 })
    const staging = `${this.#nameFile(name)}.${randomBytes(4).toString('hex')}`
    await writeFile(staging, `${image}\n`, { mode: 0o644 })
    await rename(staging, this.#nameFile(name))
  }

  /** Removes an image and the names that mean it. */
  async remove(image: ImageHash): Promise<void> {
    for (const [name, meant] of await this.#names()) if (meant === image) await rm(this.#nameFile(name))
    // First it is no image any more, then it goes.
    const staging = await this.staging()
    await rename(join(this.folder, image), join(staging, 'old'))
    await rm(staging, { recursive: true, force: true })
  }

  async #images(): Promise<ImageHash[]> {
    return ((await readdir(this.folder).catch(ifThere)) ?? []).filter(isImageHash)
  }

  async #names(): Promise<[string, string][]> {
    const names = (await readdir(join(this.folder, 'names')).catch(ifThere)) ?? []
    return Promise.all(
      names
        .filter((name) => isName(name))
        .map(async (name): Promise<[string, string]> => {
          return [name, (await readFile(this.#nameFile(name), 'utf8')).trim()]
        })
    )
  }

  #nameFile(name: string): string {
    return join(this.folder, 'names', name)
  }
}

/** Null for what is not there. */
function ifThere(error: unknown): null {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
  throw error
}

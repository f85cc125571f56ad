/** Builds a guest image into a host's folder; a daemon that runs there finds it. */
import { join } from 'node:path'
import type { ImageHash } from '#core/image.ts'
import { buildDebian } from '#images/debian.ts'
import { host } from '#images/host.ts'
import { type Own, ownImage } from '#images/own.ts'
import { router } from '#images/router.ts'
import { ImageStore } from '#images/store.ts'
import { buildTiny } from '#images/tiny.ts'

/** Images that are built, and which of them are made of Debian's packages. */
export const buildable = ['tiny', 'router', 'host'] as const
const ofDebian = { router, host }

/** What was built. */
export interface BuiltImage {
  readonly name: string
  /** Null: `tiny` is each host's own. */
  readonly hash: ImageHash | null
  readonly folder: string
  readonly seconds: number
}

/**
 * Builds an image, or one of the user's `own` that has more than it. Tells its progress on standard error. Throws
 * ViolinError `usage`, `tool-missing`, `boot-failed`.
 */
export async function buildImage(
  dir: string,
  base: (typeof buildable)[number],
  own: Own | null
): Promise<BuiltImage> {
  const startedAt = performance.now()
  const store = new ImageStore(imagesOf(dir))
  const seconds = (): number => Math.round((performance.now() - startedAt) / 100) / 10
  if (base !== 'tiny') {
    const image = own === null ? ofDebian[base] : ownImage(ofDebian[base], own)
    const tell = (text: string): void => void process.stderr.write(`${image.name}: ${text}\n`)
    const hash = await buildDebian(image, store, tell)
    return { name: image.name, hash, folder: store.rootOf(hash), seconds: seconds() }
  }
  const folder = join(store.folder, 'tiny')
  await buildTiny(folder)
  return { name: base, hash: null, folder, seconds: seconds() }
}

/** Where a host keeps its images. */
export function imagesOf(dir: string): string {
  return join(dir, 'images')
}

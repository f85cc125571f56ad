/** Builds a guest image into a host's folder; a daemon that runs there finds it. */
import { join } from 'node:path'
import type { ImageHash } from '#core/image.ts'
import { buildDebian } from '#images/debian.ts'
import { host } from '#images/host.ts'
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

/** Tells its progress on standard error. Throws ViolinError `tool-missing`, `boot-failed`. */
export async function buildImage(dir: string, name: (typeof buildable)[number]): Promise<BuiltImage> {
  const startedAt = performance.now()
  const store = new ImageStore(imagesOf(dir))
  const tell = (text: string): void => void process.stderr.write(`${name}: ${text}\n`)
  const seconds = (): number => Math.round((performance.now() - startedAt) / 100) / 10
  if (name !== 'tiny') {
    const hash = await buildDebian(ofDebian[name], store, tell)
    return { name, hash, folder: store.rootOf(hash), seconds: seconds() }
  }
  const folder = join(store.folder, 'tiny')
  await buildTiny(folder)
  return { name, hash: null, folder, seconds: seconds() }
}

/** Where a host keeps its images. */
export function imagesOf(dir: string): string {
  return join(dir, 'images')
}

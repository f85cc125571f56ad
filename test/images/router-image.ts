/**
 * The image `router` for tests: built once for a checkout, by the command that people use, and kept below
 * node_modules with the caches of other tools. Its making loads a machine for half a minute.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { ImageHash } from '#core/image.ts'
import { ImageStore } from '#images/store.ts'

const root = resolve(import.meta.dirname, '../..')
/** What says how it is made: where that changed it is made anew. */
const recipe = ['router', 'debian', 'tree', 'busybox', 'layout'].map((name) => `src/images/${name}.ts`)

/** The folder of a host that has it, and its hash. Two who ask at a time wait for one making. */
export async function routerImage(): Promise<{ readonly folder: string; readonly hash: ImageHash }> {
  const key = createHash('sha256')
  for (const path of recipe) key.update(readFileSync(join(root, path)))
  const folder = join(root, 'node_modules/.cache/violin', key.digest('hex').slice(0, 16))
  mkdirSync(folder, { recursive: true })
  const build = [join(root, 'bin/violin'), '--dir', folder, 'image', 'build', 'router']
  const script = '[ -e "$0/images/names/router" ] || exec "$@"'
  execFileSync('flock', [join(folder, 'lock'), 'sh', '-c', script, folder, ...build], {
    stdio: ['ignore', 'ignore', 'inherit']
  })
  const hash = await new ImageStore(join(folder, 'images')).find('router')
  if (hash === null) throw new Error(`the image router in ${folder} is not whole`)
  return { folder, hash }
}

/** Puts the image into a host's folder, as if it had been built there. */
export async function giveRouterImage(dir: string): Promise<ImageHash> {
  const { folder, hash } = await routerImage()
  const images = join(dir, 'images')
  mkdirSync(join(images, 'names'), { recursive: true, mode: 0o755 })
  // Nobody writes into an image: its files may be shared, where both lie on one file system.
  const copy = `cp -al "$1/$3" "$2/$3" 2>/dev/null || { rm -rf "$2/$3"; cp -a "$1/$3" "$2/$3"; }`
  execFileSync('sh', ['-c', copy, 'sh', join(folder, 'images'), images, hash])
  await new ImageStore(images).name('router', hash)
  return hash
}

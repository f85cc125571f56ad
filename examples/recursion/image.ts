/**
 * The image `host` of this very bundle: built where it is missing, by the command that people use, and kept below
 * node_modules with the caches of other tools.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../..')
const cache = join(root, 'node_modules/.cache/violin/host')

/** The images' folder of a host that has it, and its hash. */
export interface HostImage {
  readonly images: string
  readonly hash: string
}

/** Builds it if there is none of this bundle; one of another bundle goes. */
export function hostImage(): HostImage {
  const key = createHash('sha256')
  for (const path of globSync(['dist/**/*', 'src/images/*.ts'], { cwd: root, withFileTypes: true }).toSorted(
    (a, b) => (join(a.parentPath, a.name) < join(b.parentPath, b.name) ? -1 : 1)
  ))
    if (path.isFile()) key.update(readFileSync(join(path.parentPath, path.name)))
  const wanted = key.digest('hex')
  const stamp = join(cache, 'bundle')
  if (read(stamp) !== wanted) {
    rmSync(cache, { recursive: true, force: true })
    mkdirSync(cache, { recursive: true })
    const build = ['--dir', cache, 'image', 'build', 'host']
    execFileSync(join(root, 'bin/violin'), build, { stdio: ['ignore', 'ignore', 'inherit'] })
    writeFileSync(stamp, wanted)
  }
  const images = join(cache, 'images')
  return { images, hash: readFileSync(join(images, 'names/host'), 'utf8').trim() }
}

/** Puts the image into a host's folder, as if it had been built there: nobody writes it, so its files are shared. */
export function give({ images, hash }: HostImage, dir: string): void {
  const target = join(dir, 'images')
  mkdirSync(join(target, 'names'), { recursive: true, mode: 0o755 })
  const copy = 'cp -al "$1/$3" "$2/$3" 2>/dev/null || { rm -rf "$2/$3"; cp -a "$1/$3" "$2/$3"; }'
  execFileSync('sh', ['-c', copy, 'sh', images, target, hash])
  writeFileSync(join(target, 'names/host'), `${hash}\n`)
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error: unknown) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

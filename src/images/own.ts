/** Images of people's own: one of Debian's packages, with more packages, files and folders. */
import { existsSync } from 'node:fs'
import { cp, mkdir, realpath } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { ViolinError } from '#core/errors.ts'
import { isName, maxNameLength } from '#core/records/name.ts'
import type { DebianImage } from './debian.ts'

/** A file or folder of this machine, and where it lies in the image. */
export interface Copy {
  readonly from: string
  /** Absolute. */
  readonly to: string
}

export interface Own {
  readonly name: string
  /** Names of Debian's packages. */
  readonly packages: readonly string[]
  readonly copies: readonly Copy[]
}

/** What `own` makes of an image. Throws ViolinError `usage` before anything is built. */
export function ownImage(base: DebianImage, own: Own): DebianImage {
  if (!isName(own.name))
    throw new ViolinError(
      'usage',
      `${JSON.stringify(own.name)} is no name for an image`,
      `use letters a-z, digits and hyphens, at most ${maxNameLength}`
    )
  for (const name of own.packages)
    // Debian Policy 5.6.7; anything else would be mmdebstrap's to read, as patterns and paths.
    if (!/^[a-z0-9][a-z0-9+.-]+$/.test(name))
      throw new ViolinError(
        'usage',
        `${JSON.stringify(name)} is no name of a package`,
        'look for it: apt-cache search WORD'
      )
  for (const { from, to } of own.copies) {
    if (!existsSync(from)) throw new ViolinError('usage', `${from} is not there`, 'name what is there')
    if (!to.startsWith('/') || resolve(to) !== to || to === '/')
      throw new ViolinError(
        'usage',
        `${JSON.stringify(to)} is no absolute path of a file or folder`,
        'write it as /usr/local/bin/click'
      )
  }
  return {
    name: own.name,
    packages: [...base.packages, ...own.packages],
    async add(root) {
      await base.add?.(root)
      for (const { from, to } of own.copies) await copyInto(root, from, to)
    }
  }
}

async function copyInto(root: string, from: string, to: string): Promise<void> {
  const target = join(root, to)
  try {
    const folder = await insideOf(root, dirname(target))
    await mkdir(folder, { recursive: true })
    await cp(from, target, { recursive: true, verbatimSymlinks: true })
  } catch (error: unknown) {
    throw new ViolinError(
      'refused',
      `${from} is not copied to ${to}: ${(error as Error).message}`,
      'choose another path',
      { cause: error }
    )
  }
}

/** The folder, unless a link of the image leads out of it: such links are meant for the machine. Throws. */
async function insideOf(root: string, folder: string): Promise<string> {
  let there = folder
  while (!existsSync(there)) there = dirname(there)
  const [real, base] = await Promise.all([realpath(there), realpath(root)])
  if (real === base || real.startsWith(`${base}/`)) return folder
  throw new Error(`${folder.slice(root.length)} is a link that means a folder of the machine as it runs`)
}

/** Finds out what `violin import` was given, and reads it within bounds: a lab of others is not to be trusted. */
import { lstatSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, sep } from 'node:path'
import { ViolinError } from '#core/errors.ts'
import { looksLikeContainerlab, readContainerlab } from '#topology/import/containerlab.ts'
import type { Folder, ForeignLab, Notes } from '#topology/import/foreign.ts'
import { readGraphml } from '#topology/import/graphml.ts'
import { readKathara } from '#topology/import/kathara.ts'

/** Longest file that describes a lab; the largest graph of the Topology Zoo is half a MiB. */
const maxSourceBytes: number = 4 * 1024 * 1024
/** Longest file that lies in a lab; larger ones do not fit a record by far. */
const maxFileBytes: number = 256 * 1024
/** Files and folders looked at, and how deep they may lie. */
const maxEntries = 10_000
const maxDepth = 24

const remedy = 'name a Kathará folder, a *.clab.yml or a .graphml file'

/** Reads a lab, whatever its format. Throws ViolinError. */
export function readSource(source: string, notes: Notes): ForeignLab {
  const path = isFolder(source) ? mainFileOf(source) : source
  if (basename(path) === 'lab.conf') return readKathara(readFolder(dirname(path)), dirname(path), notes)
  const text = readText(path)
  if (/\.(graphml|xml)$/i.test(path)) return readGraphml(text, path, notes)
  if (/\.ya?ml$/i.test(path) && looksLikeContainerlab(text))
    return readContainerlab(text, path, readFolder(dirname(path)), notes)
  throw new ViolinError('usage', `${source} is no lab that can be imported`, remedy)
}

function isFolder(source: string): boolean {
  try {
    return statSync(source).isDirectory()
  } catch (error: unknown) {
    throw new ViolinError('usage', `${source} cannot be read: ${(error as Error).message}`, remedy, {
      cause: error
    })
  }
}

function mainFileOf(folder: string): string {
  const names = readdirSync(folder)
  const found = names.includes('lab.conf')
    ? ['lab.conf']
    : names.filter((name) => /\.clab\.ya?ml$|\.graphml$/.test(name))
  const [only] = found
  if (only !== undefined && found.length === 1) return join(folder, only)
  throw new ViolinError(
    'usage',
    `${folder} has ${found.length === 0 ? 'no lab.conf and no *.clab.yml' : `${found.length} labs`}`,
    remedy
  )
}

function readText(path: string): string {
  try {
    const info = statSync(path)
    if (!info.isFile()) throw new Error('it is no file')
    if (info.size > maxSourceBytes) throw new Error(`it is larger than ${maxSourceBytes} bytes`)
    return readFileSync(path, 'utf8')
  } catch (error: unknown) {
    throw new ViolinError('usage', `${path} cannot be read: ${(error as Error).message}`, remedy, {
      cause: error
    })
  }
}

/** All files below a folder; a link that leads out of it, and what is no file, is left out and told. */
function readFolder(root: string): Folder {
  const real = realpathSync(root)
  const files: string[] = []
  const skipped: { path: string; why: string }[] = []
  let entries = 0
  const walk = (below: string, depth: number): void => {
    for (const name of readdirSync(join(root, below)).toSorted()) {
      const path = below === '' ? name : `${below}/${name}`
      if (name === '.git') continue
      if (++entries > maxEntries || depth > maxDepth)
        throw new ViolinError(
          'too-large',
          `${root} has more than ${maxEntries} files, or folders ${maxDepth} deep`,
          'import a folder with the lab alone'
        )
      const why = objection(join(root, path), real)
      if (why !== null) skipped.push({ path, why })
      else if (lstatSync(join(root, path)).isDirectory()) walk(path, depth + 1)
      else files.push(path)
    }
  }
  walk('', 0)
  const read = (path: string): { readonly data: Uint8Array; readonly mode: number } => {
    const info = statSync(join(root, path))
    return { data: readFileSync(join(root, path)), mode: (info.mode & 0o111) === 0 ? 0o644 : 0o755 }
  }
  return { files, skipped, read }
}

function objection(path: string, root: string): string | null {
  try {
    const link = lstatSync(path).isSymbolicLink()
    const info = statSync(path)
    if (link && !realpathSync(path).startsWith(`${root}${sep}`)) return 'a link that leads out of the lab'
    if (link && info.isDirectory()) return 'a link to a folder'
    if (!info.isFile() && !info.isDirectory()) return 'it is no file'
    if (info.isFile() && info.size > maxFileBytes) return `it is larger than ${maxFileBytes} bytes`
    return null
  } catch (error: unknown) {
    return (error as Error).message
  }
}

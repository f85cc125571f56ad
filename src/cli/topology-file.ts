/** Finds and reads the topology file that `apply` and `plan` were given. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ViolinError } from '#core/errors.ts'
import type { Topology } from '#core/spec.ts'
import { parseTopology } from '#topology/parse.ts'

/** Reads FILE, standard input (`-`), or the one `*.violin.yaml` of this folder. Throws ViolinError. */
export function readTopology(file: string | undefined): Topology {
  const path = file ?? onlyOne()
  const text = path === '-' ? readFileSync(0, 'utf8') : read(path)
  const base = path === '-' ? '.' : dirname(path)
  return parseTopology(text, {
    file: path === '-' ? 'standard input' : path,
    readFile: (local) => {
      const full = join(base, local)
      const { mode } = statSync(full)
      return { data: readFileSync(full), mode: (mode & 0o111) === 0 ? 0o644 : 0o755 }
    }
  })
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error: unknown) {
    throw new ViolinError(
      'usage',
      `${path} cannot be read: ${(error as Error).message}`,
      'name a topology file'
    )
  }
}

function onlyOne(): string {
  const found = readdirSync('.').filter((name) => name.endsWith('.violin.yaml'))
  const [only] = found
  if (only !== undefined && found.length === 1) return only
  const what =
    found.length === 0
      ? 'no *.violin.yaml is in this folder'
      : `${found.length} *.violin.yaml are in this folder`
  throw new ViolinError('usage', what, 'name the topology file: violin apply FILE')
}

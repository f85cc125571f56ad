/** Finds and reads the topology file that `apply` and `plan` were given. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { ViolinError } from '#core/errors.ts'
import { tinyImage } from '#core/image.ts'
import type { Topology } from '#core/spec.ts'
import type { Service } from '#api/contract.ts'
import type { LocalFile } from '#topology/files.ts'
import { parseTopology } from '#topology/parse.ts'

/** Nothing larger is read: a topology is refused above this, and its files far below. */
const maxReadBytes: number = 1024 * 1024

/**
 * Reads FILE, standard input (`-`), or the one `*.violin.yaml` of this folder, for a host that tells which images it
 * has. Throws ViolinError.
 */
export async function readTopology(
  file: string | undefined,
  service?: Pick<Service, 'images'>
): Promise<Topology> {
  const path = file ?? onlyOne()
  const text = path === '-' ? await readInput() : readText(path)
  const base = path === '-' ? '.' : dirname(path)
  const options = {
    file: path === '-' ? 'standard input' : path,
    readFile: (local: string) => readLocal(resolve(base, local))
  }
  const topology = parseTopology(text, options)
  if (service === undefined || topology.entities.every(({ image }) => image === tinyImage.name))
    return topology
  const rows = await service.images({})
  const images = new Set(rows.flatMap(({ names, bytes }) => (bytes === null ? [] : names)))
  return parseTopology(text, { ...options, images })
}

/** Reads a topology file; `took` hears of each file beside it, `read` of itself. Throws ViolinError. */
export function readTopologyAt(
  path: string,
  took: (local: string, data: Uint8Array) => void,
  read: (data: Uint8Array) => void
): Topology {
  const data = readFileAt(path, 'name a topology file')
  read(data)
  return parseTopology(new TextDecoder().decode(data), {
    file: path,
    readFile: (local) => {
      const file = readLocal(resolve(dirname(path), local))
      took(local, file.data)
      return file
    }
  })
}

async function readInput(): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    bytes += chunk.length
    // The parser says how large is too large.
    if (bytes > maxReadBytes) break
  }
  return Buffer.concat(chunks).toString('utf8')
}

function readText(path: string): string {
  return new TextDecoder().decode(readFileAt(path, 'name a topology file'))
}

/** Reads a file that was named. Throws ViolinError `usage`. */
export function readFileAt(path: string, remedy: string): Uint8Array {
  try {
    return readLocal(path).data
  } catch (error: unknown) {
    throw new ViolinError('usage', `${path} cannot be read: ${(error as Error).message}`, remedy, {
      cause: error
    })
  }
}

function readLocal(path: string): LocalFile {
  const info = statSync(path)
  if (!info.isFile()) throw new Error('it is no file')
  if (info.size > maxReadBytes) throw new Error(`it is larger than ${maxReadBytes} bytes`)
  return { data: readFileSync(path), mode: (info.mode & 0o111) === 0 ? 0o644 : 0o755 }
}

function onlyOne(): string {
  const found = readdirSync('.').filter((name) => name.endsWith('.violin.yaml'))
  const [only] = found
  if (only !== undefined && found.length === 1) return only
  const count = found.length === 0 ? 'no *.violin.yaml is' : `${found.length} *.violin.yaml are`
  throw new ViolinError('usage', `${count} in this folder`, 'name the topology file: violin apply FILE')
}

/**
 * Files and scripts that a topology names: they travel in the record.
 */
import { clickPath, firewallPath, frrPath } from '#core/routing/paths.ts'
import type { EntityFile } from '#core/spec.ts'
import type { FileEntity, FileSettings } from './schema.ts'
import type { Path, Source } from './source.ts'

/** Bytes of all files and scripts together: they travel in the record, which holds 64 KiB. */
export const maxFilesBytes: number = 40 * 1024

/** A file beside the topology file. */
export interface LocalFile {
  readonly data: Uint8Array
  /** Permission bits. */
  readonly mode: number
}

/** Reads a file named in the topology, relative to it. Throws ViolinError. */
export type ReadFile = (path: string) => LocalFile

/** Files and scripts that the topology names, read once, within one bound. */
export class LocalFiles {
  readonly #source: Source
  readonly #readFile: ReadFile
  readonly #read = new Map<string, LocalFile>()
  #bytes = 0

  constructor(source: Source, readFile: ReadFile) {
    this.#source = source
    this.#readFile = readFile
  }

  /** Of one entity, its defaults included; `copies`: so many are made of it. Throws ViolinError `topology-invalid`. */
  of(
    entity: FileEntity,
    path: Path,
    defaults: FileSettings | undefined,
    copies: number
  ): { files: EntityFile[]; run?: string } {
    const words = { [frrPath]: 'frr', [firewallPath]: 'firewall', [clickPath]: 'click' } as const
    const wanted = {
      ...defaults?.files,
      ...entity.files,
      ...(entity.frr === undefined ? {} : { [frrPath]: entity.frr }),
      ...(entity.firewall === undefined ? {} : { [firewallPath]: entity.firewall }),
      ...(entity.click === undefined ? {} : { [clickPath]: entity.click.config })
    }
    const files = Object.entries(wanted).map(([target, local]): EntityFile => {
      const word = words[target as keyof typeof words]
      const at =
        word !== undefined && entity[word] !== undefined
          ? [...path, word]
          : entity.files !== undefined && target in entity.files
            ? [...path, 'files', target]
            : ['defaults', 'files', target]
      if (!/^\/[^\0\n]{1,255}$/.test(target) || target.split('/').includes('..') || target.endsWith('/')) {
        throw this.#source.refuse(
          at,
          `${JSON.stringify(target)} is no absolute path of a file`,
          'write it as /etc/motd',
          'key'
        )
      }
      const { data, mode } = this.#load(local, at, copies)
      return { path: target, mode, data }
    })
    const run = entity.run ?? defaults?.run
    if (run === undefined) return { files }
    const at = entity.run === undefined ? ['defaults', 'run'] : [...path, 'run']
    return { files, run: new TextDecoder().decode(this.#load(run, at, copies).data) }
  }

  #load(local: string, at: Path, copies: number): LocalFile {
    const known = this.#read.get(local)
    const file = known ?? this.#open(local, at)
    this.#read.set(local, file)
    this.#bytes += file.data.length * copies
    if (this.#bytes > maxFilesBytes) {
      throw this.#source.refuse(
        at,
        `the files are ${this.#bytes} bytes together, ${maxFilesBytes} fit`,
        'fetch large files from inside, or copy them with `violin cp`'
      )
    }
    return file
  }

  #open(local: string, at: Path): LocalFile {
    try {
      return this.#readFile(local)
    } catch (error: unknown) {
      throw this.#source.refuse(
        at,
        `${local} cannot be read: ${(error as Error).message}`,
        'paths are relative to the topology file'
      )
    }
  }
}

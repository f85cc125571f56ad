import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { buildCommand, type Command } from '@stricli/core'
import { ViolinError } from '#core/errors.ts'
import { printable } from '#core/printable.ts'
import type { DriverName } from '#core/spec.ts'
import { Notes } from '#topology/import/foreign.ts'
import { writeTopology } from '#topology/import/write.ts'
import type { Context } from '../context.ts'
import { readSource } from '../import-source.ts'
import { readTopology } from '../topology-file.ts'
import { type JsonFlag, jsonFlag, printJson } from './common.ts'

interface Flags extends JsonFlag {
  readonly output?: string
  readonly driver?: DriverName
  readonly force?: boolean
}

/** Longest line about something that was left out, characters. */
const maxLine = 500
const ending = '.violin.yaml'

export const importVerb: Command<Context> = buildCommand<Flags, [source: string], Context>({
  docs: {
    brief: "Make a topology file of another program's lab",
    fullDescription:
      'SOURCE: a Kathará lab (a folder with lab.conf), a containerlab file (*.clab.yml) or a GraphML file. What cannot be carried over is told line by line.'
  },
  parameters: {
    flags: {
      output: {
        kind: 'parsed',
        parse: String,
        optional: true,
        placeholder: 'FILE',
        brief: `The topology file to write (default: NAME${ending} here)`
      },
      driver: {
        kind: 'enum',
        values: ['uml', 'netns'],
        optional: true,
        brief: 'Of all entities (default: as the language has it)'
      },
      force: { kind: 'boolean', optional: true, withNegated: false, brief: 'Write over what is there' },
      ...jsonFlag
    },
    aliases: { o: 'output' },
    positional: {
      kind: 'tuple',
      parameters: [{ parse: String, placeholder: 'SOURCE', brief: 'A folder or file of the lab' }]
    }
  },
  async func({ output, driver, force = false, json = false }, source) {
    const notes = new Notes()
    const lab = readSource(source, notes)
    // The name of the folder beside it follows from the file's, and that may follow from the lab's.
    const nameOf = writeTopology(lab, new Notes(), { filesFolder: '.' }).name
    const file = output ?? `${nameOf}${ending}`
    const folder = `${basename(file).replace(/(\.violin)?\.ya?ml$/, '')}.files`
    const written = writeTopology(lab, notes, {
      filesFolder: folder,
      ...(driver === undefined ? {} : { driver })
    })
    const base = dirname(file)
    for (const path of [file, ...(written.files.size > 0 ? [join(base, folder)] : [])]) {
      if (!force && existsSync(path))
        throw new ViolinError('refused', `${path} is there already`, 'name another with -o, or use --force')
    }
    if (written.files.size > 0) await rm(join(base, folder), { recursive: true, force: true })
    await mkdir(base, { recursive: true })
    for (const [path, { data, mode }] of written.files) {
      await mkdir(dirname(join(base, path)), { recursive: true })
      await writeFile(join(base, path), data, { mode })
    }
    await writeFile(file, written.yaml)
    const { lans, entities } = await readTopology(file)
    for (const { file: at, line, text } of notes.all)
      process.stderr.write(`${printable(`${at}${line === 0 ? '' : `:${line}`}: ${text}`, maxLine)}\n`)
    const files = [...written.files.keys()].map((path) => join(base, path))
    if (json)
      return printJson({
        name: written.name,
        file,
        files,
        lans: lans.length,
        entities: entities.length,
        notes: notes.all
      })
    const count = notes.all.length
    const told =
      count === 0 ? '' : `; ${count} ${count === 1 ? 'thing was' : 'things were'} not carried over, see above`
    process.stdout.write(`${file}: ${entities.length} entities on ${lans.length} vLANs${told}\n`)
  }
})

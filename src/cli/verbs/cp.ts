import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { lstat, mkdtemp, open, rename, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { PassThrough, type Readable, type Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { buildCommand, type Command } from '@stricli/core'
import { ViolinError } from '#core/errors.ts'
import type { Service } from '#api/contract.ts'
import type { Context } from '../context.ts'
import type { NoFlags } from './common.ts'
import { parseTarget, runSession } from '../session.ts'
import { unpack } from '../unpack.ts'

interface Remote {
  readonly violin: string
  readonly entity: string
  readonly path: string
}

export const cp: Command<Context> = buildCommand<NoFlags, [from: string, to: string], Context>({
  docs: {
    brief: 'Copy files and folders into an entity, or out of it',
    fullDescription:
      'violin cp FILE NAME/ENTITY:PATH, or the other way round; modes are kept. What is there already is replaced if it is a file. Write ./a:b for a file here with a colon in its name.'
  },
  parameters: {
    flags: {},
    positional: {
      kind: 'tuple',
      parameters: [
        { parse: String, placeholder: 'FROM', brief: 'A path here, or NAME/ENTITY:PATH' },
        { parse: String, placeholder: 'TO', brief: 'NAME/ENTITY:PATH, or a path here' }
      ]
    }
  },
  async func(_flags, from, to) {
    const source = remoteOf(from)
    const target = remoteOf(to)
    if ((source === null) === (target === null)) {
      throw new ViolinError(
        'usage',
        'one side is here, the other in an entity',
        'violin cp FILE NAME/ENTITY:PATH, or the other way round'
      )
    }
    try {
      if (target !== null) await copyIn(this.service, from, target)
      if (source !== null) await copyOut(this.service, source, to)
    } catch (error: unknown) {
      throw asRefusal(error)
    }
  }
})

/** NAME/ENTITY:PATH; null for a path here (which may hold a colon after a dot or a slash). */
function remoteOf(text: string): Remote | null {
  const colon = text.indexOf(':')
  if (colon < 0 || /^[./]/.test(text)) return null
  return { ...parseTarget(text.slice(0, colon)), path: text.slice(colon + 1) || '.' }
}

/** What this machine's files refuse is no defect. */
function asRefusal(error: unknown): unknown {
  if (error instanceof ViolinError || (error as NodeJS.ErrnoException).code === undefined) return error
  return new ViolinError('refused', (error as Error).message, 'choose another path, or look at its mode', {
    cause: error
  })
}

async function copyIn(service: Service, path: string, target: Remote): Promise<void> {
  const info = await stat(path).catch((error: unknown) => {
    throw new ViolinError(
      'usage',
      `${path} cannot be read: ${(error as Error).message}`,
      'name what is there'
    )
  })
  if (info.isDirectory()) return copyFolderIn(service, path, target)
  // Written beside and moved: a copy that breaks off leaves the old file.
  const script =
    'd=$1; [ -d "$d" ] && d=$d/$2; ' +
    'cat > "$d.part" && chmod "$3" "$d.part" && mv -f "$d.part" "$d" || { rm -f "$d.part"; exit 1; }'
  const mode = (info.mode & 0o7777).toString(8)
  await using file = await open(path)
  await run(
    service,
    target,
    ['sh', '-c', script, 'sh', target.path, basename(path), mode],
    file.createReadStream(),
    null
  )
}

async function copyFolderIn(service: Service, path: string, target: Remote): Promise<void> {
  const script = 'd=$1; [ -d "$d" ] && d=$d/$2; mkdir -p "$d" && tar -C "$d" -xf -'
  const tar = spawn('tar', ['-C', path, '-cf', '-', '.'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(tar, 'close') as Promise<[number | null]>
  // Read from the start: what a child wrote is thrown away when it ends and nobody reads.
  const archive = tar.stdout.pipe(new PassThrough())
  try {
    await run(service, target, ['sh', '-c', script, 'sh', target.path, basename(path)], archive, null)
  } finally {
    tar.kill()
  }
  const [status] = await ended
  if (status !== 0)
    throw new ViolinError(
      'refused',
      `not all of ${path} could be read (status ${status})`,
      'see the line above'
    )
}

async function copyOut(service: Service, source: Remote, path: string): Promise<void> {
  const kind = await ask(
    service,
    source,
    'if [ -d "$1" ]; then echo folder; elif [ -r "$1" ]; then stat -L -c %a "$1"; fi'
  )
  if (kind !== 'folder' && !/^[0-7]{1,4}$/.test(kind)) {
    throw new ViolinError(
      'refused',
      `${source.path} is not there, or cannot be read`,
      `look: violin exec ${source.violin}/${source.entity} -- ls -la`
    )
  }
  const isFolder = await stat(path).then(
    (info) => info.isDirectory(),
    () => false
  )
  const target = isFolder ? join(path, basename(source.path)) : path
  if (kind === 'folder') await copyFolderOut(service, source, target)
  else await copyFileOut(service, source, target, Number.parseInt(kind, 8) & 0o777)
}

async function copyFileOut(service: Service, source: Remote, target: string, mode: number): Promise<void> {
  const part = `${target}.${randomBytes(4).toString('hex')}.part`
  const file = await open(part, 'wx', 0o600)
  try {
    const stream = file.createWriteStream()
    const written = finished(stream)
    await Promise.all([
      run(service, source, ['cat', source.path], null, stream).finally(() => stream.end()),
      written
    ])
    const mended = await open(part, 'r')
    await mended.chmod(mode)
    await mended.close()
    await rename(part, target)
  } catch (error: unknown) {
    await rm(part, { force: true })
    throw error
  }
}

async function copyFolderOut(service: Service, source: Remote, target: string): Promise<void> {
  const there = await lstat(target).catch(() => null)
  if (there !== null)
    throw new ViolinError('refused', `${target} is there already`, 'remove it, or name another folder')
  const part = await mkdtemp(`${target}.part-`)
  try {
    const archive = new PassThrough()
    const [left] = await Promise.all([
      unpack(archive, part).catch((error: unknown) => {
        archive.destroy()
        throw error
      }),
      run(service, source, ['tar', '-C', source.path, '-cf', '-', '.'], null, archive).finally(() =>
        archive.end()
      )
    ])
    if (left > 0) process.stderr.write(`${left} devices or pipes were left out\n`)
    await rename(part, target)
  } catch (error: unknown) {
    await rm(part, { recursive: true, force: true })
    throw error
  }
}

/** The few words that a script prints. */
async function ask(service: Service, source: Remote, script: string): Promise<string> {
  const output = new PassThrough()
  const chunks: Buffer[] = []
  output.on('data', (chunk: Buffer) => chunks.push(chunk))
  await run(service, source, ['sh', '-c', script, 'sh', source.path], null, output)
  return Buffer.concat(chunks).toString('utf8').trim()
}

async function run(
  service: Service,
  { violin, entity }: Remote,
  argv: readonly string[],
  input: Readable | null,
  output: Writable | null
): Promise<void> {
  const status = await runSession(
    service,
    { violin, entity, argv },
    { input, output: output ?? process.stderr, errors: process.stderr }
  )
  if (status !== 0)
    throw new ViolinError('refused', `the copy failed in ${entity} (status ${status})`, 'see the line above')
}

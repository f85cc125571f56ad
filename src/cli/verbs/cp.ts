import { spawn } from 'node:child_process'
import { createReadStream, createWriteStream } from 'node:fs'
import { chmod, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { PassThrough, type Readable, type Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { buildCommand, type Command } from '@stricli/core'
import { ViolinError } from '#core/errors.ts'
import type { Service } from '#api/contract.ts'
import type { Context } from '../context.ts'
import { parseTarget, runSession } from '../session.ts'

interface Remote {
  readonly violin: string
  readonly entity: string
  readonly path: string
}

export const cp: Command<Context> = buildCommand<Record<never, never>, [from: string, to: string], Context>({
  docs: { brief: 'Copy files and folders into an entity, or out of it' },
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
    if (source === null && target !== null) return copyIn(this.service, from, target)
    if (source !== null && target === null) return copyOut(this.service, source, to)
    throw new ViolinError(
      'usage',
      'one side is here, the other in an entity',
      'violin cp FILE NAME/ENTITY:PATH, or the other way round'
    )
  }
})

/** NAME/ENTITY:PATH; null for a path here (which may hold a colon after a dot or a slash). */
function remoteOf(text: string): Remote | null {
  const colon = text.indexOf(':')
  if (colon < 0 || /^[./]/.test(text)) return null
  return {
    ...parseTarget(text.slice(0, colon)),
    path: text.slice(colon + 1) === '' ? '.' : text.slice(colon + 1)
  }
}

async function copyIn(service: Service, path: string, target: Remote): Promise<void> {
  const info = await stat(path).catch((error: unknown) => {
    throw new ViolinError(
      'usage',
      `${path} cannot be read: ${(error as Error).message}`,
      'name a file or a folder'
    )
  })
  if (info.isDirectory()) {
    const tar = spawn('tar', ['-C', dirname(path), '-cf', '-', basename(path)], {
      stdio: ['ignore', 'pipe', 'inherit']
    })
    return run(
      service,
      target,
      ['sh', '-c', 'mkdir -p "$1" && tar -C "$1" -xf -', 'sh', target.path],
      tar.stdout,
      process.stderr
    )
  }
  // Written beside and moved: a copy that breaks off leaves the old file.
  const script =
    'd=$1; [ -d "$d" ] && d=$d/$2; cat > "$d.part" && chmod "$3" "$d.part" && mv -f "$d.part" "$d"'
  const mode = (info.mode & 0o7777).toString(8)
  return run(
    service,
    target,
    ['sh', '-c', script, 'sh', target.path, basename(path), mode],
    createReadStream(path),
    process.stderr
  )
}

async function copyOut(service: Service, source: Remote, path: string): Promise<void> {
  const kind = await ask(
    service,
    source,
    'if [ -d "$1" ]; then echo folder; elif [ -r "$1" ]; then stat -c %a "$1"; fi'
  )
  if (kind === '')
    throw new ViolinError(
      'refused',
      `${source.path} is not there, or cannot be read`,
      `look: violin exec ${source.violin}/${source.entity} -- ls -la`
    )
  if (kind === 'folder') {
    const tar = spawn('tar', ['-C', path, '-xf', '-'], { stdio: ['pipe', 'inherit', 'inherit'] })
    await run(
      service,
      source,
      ['sh', '-c', 'cd "$(dirname "$1")" && tar -cf - "$(basename "$1")"', 'sh', source.path],
      null,
      tar.stdin
    )
    tar.stdin.end()
    return finished(tar.stdin)
  }
  const isFolder = await stat(path).then(
    (info) => info.isDirectory(),
    () => false
  )
  const target = isFolder ? join(path, basename(source.path)) : path
  const part = `${target}.part`
  const file = createWriteStream(part, { mode: Number.parseInt(kind, 8) & 0o777 })
  try {
    await run(service, source, ['cat', source.path], null, file)
    file.end()
    await finished(file)
    await chmod(part, Number.parseInt(kind, 8) & 0o777)
    await rename(part, target)
  } catch (error: unknown) {
    file.destroy()
    await rm(part, { force: true })
    throw error
  }
}

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
  output: Writable
): Promise<void> {
  const status = await runSession(
    service,
    { violin, entity, argv },
    { input, output, errors: process.stderr }
  )
  if (status !== 0)
    throw new ViolinError('refused', `the copy failed in ${entity} (status ${status})`, 'see the line above')
}

/** Starts the programs that lie beside this one: the daemon's and the lab's. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { errorFrom, type ErrorData, ViolinError } from '#core/errors.ts'

function pathOf(program: 'daemon' | 'lab'): string {
  const url = import.meta.url.endsWith('.ts')
    ? new URL(`../${program}/main.ts`, import.meta.url)
    : new URL(`./${program}.js`, import.meta.url)
  return fileURLToPath(url)
}

/**
 * Becomes another program: same process, terminal and signals, so that who started `violin daemon` (a shell,
 * systemd) has the daemon itself.
 */
export function becomeProgram(program: 'daemon' | 'lab', args: readonly string[]): never {
  const path = pathOf(program)
  if (!existsSync(path)) {
    throw new ViolinError('tool-missing', `${path} is missing`, 'install violin again')
  }
  if (process.execve === undefined) {
    throw new ViolinError('tool-missing', `Node ${process.version} is too old`, 'start it by bin/violin')
  }
  return process.execve(
    process.execPath,
    [process.execPath, ...nodeFlags(program), path, ...args],
    process.env
  )
}

/** Asks the daemon's program for one thing that needs no running daemon. Throws what it refused. */
export async function askProgram(
  mode: 'init' | 'id' | 'join' | 'build' | 'doctor',
  dir: string,
  options: object
): Promise<unknown> {
  const child = spawn(process.execPath, [pathOf('daemon'), mode, '--dir', dir], {
    stdio: ['pipe', 'pipe', 'inherit']
  })
  child.stdin.on('error', () => {})
  child.stdin.end(JSON.stringify(options))
  const answer = await text(child.stdout)
  const line = parse(answer)
  if (line.error !== undefined) throw errorFrom(line.error)
  if (!('ok' in line))
    throw new ViolinError('internal', `${mode} gave no answer`, 'run it again with --debug')
  return line.ok
}

/** A daemon waits most of its life: a small young generation saves a third of its memory. */
function nodeFlags(program: 'daemon' | 'lab'): readonly string[] {
  return program === 'daemon' ? ['--max-semi-space-size=1'] : []
}

function parse(line: string): { readonly ok?: unknown; readonly error?: ErrorData } {
  try {
    return JSON.parse(line) as { ok?: unknown; error?: ErrorData }
  } catch {
    return {}
  }
}

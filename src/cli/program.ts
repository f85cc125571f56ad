/** Starts the programs that lie beside this one: the daemon's and the lab's. */
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { errorFrom, type ErrorData, ViolinError } from '#core/errors.ts'

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

function pathOf(program: 'daemon' | 'lab'): string {
  const url = import.meta.url.endsWith('.ts')
    ? new URL(`../${program}/main.ts`, import.meta.url)
    : new URL(`./${program}.js`, import.meta.url)
  return fileURLToPath(url)
}

/** Runs a program in the foreground with this one's terminal; signals go to it. Gives its exit status. */
export function runProgram(program: 'daemon' | 'lab', args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...nodeFlags(program), pathOf(program), ...args], {
      stdio: 'inherit'
    })
    // A terminal sends Ctrl-C to both; a signal to this one alone is passed on.
    const forward = (signal: NodeJS.Signals): void => {
      child.kill(signal)
    }
    for (const signal of signals) process.on(signal, forward)
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      for (const one of signals) process.off(one, forward)
      resolve(code ?? (signal === null ? 1 : 128 + 15))
    })
  })
}

/** Asks the daemon's program for one thing that needs no running daemon. Throws what it refused. */
export async function askProgram(
  mode: 'init' | 'join' | 'doctor',
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

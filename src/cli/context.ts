/** What every verb is given: the host's folder, its daemon, where to write, and how it may end. */
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline/promises'
import type { CommandContext } from '@stricli/core'
import { connectApi } from '#api/client.ts'
import type { Service } from '#api/contract.ts'
import { errorCodes, errorData, ViolinError } from '#core/errors.ts'

export interface Context extends CommandContext {
  /** The host's folder. */
  readonly dir: string
  readonly debug: boolean
  /** The daemon of that folder; its methods throw `not-running` when there is none. */
  readonly service: Service
}

/** Options that stand before or after any verb, and the rest. */
export interface GlobalOptions {
  readonly dir: string
  readonly debug: boolean
  readonly rest: readonly string[]
}

/**
 * Takes `--dir DIR` and `--debug` out of the arguments, wherever they stand before `--`; a `--json` before the
 * verb is moved behind it. Throws `usage`.
 */
export function globalOptions(args: readonly string[], env: NodeJS.ProcessEnv): GlobalOptions {
  const rest: string[] = []
  let dir = env['VIOLIN_DIR']
  let debug = false
  for (let place = 0; place < args.length; place++) {
    const arg = args[place] as string
    if (arg === '--') {
      rest.push(...args.slice(place))
      break
    }
    if (arg === '--debug') debug = true
    else if (arg.startsWith('--dir=')) dir = arg.slice('--dir='.length)
    else if (arg === '--dir') {
      dir = args[++place]
      if (dir === undefined) throw new ViolinError('usage', '--dir names no folder', 'violin --dir DIR …')
    } else rest.push(arg)
  }
  if (rest[0] === '--json' && rest.length > 1) rest.splice(endOfFlags(rest), 0, ...rest.splice(0, 1))
  return { dir: resolve(dir === undefined || dir === '' ? defaultDir() : dir), debug, rest }
}

/** Where `--` stands once the first word is gone, or the end. */
function endOfFlags(words: readonly string[]): number {
  const escape = words.indexOf('--')
  return (escape < 0 ? words.length : escape) - 1
}

function defaultDir(): string {
  return process.getuid?.() === 0 ? '/var/lib/violin' : join(homedir(), '.local/state/violin')
}

export function createContext(options: GlobalOptions, stdio: CommandContext['process']): Context {
  return {
    process: stdio,
    dir: options.dir,
    debug: options.debug,
    service: connectApi(join(options.dir, 'api.sock'), (text) => process.stderr.write(`violin: ${text}\n`))
  }
}

/** One line for a person: what, why, and what to do; the stack only for who asks. Gives the exit status. */
export function reportError(error: unknown, debug: boolean): number {
  const data = errorData(error)
  process.stderr.write(`violin: ${`${data.message}; ${data.remedy}`.replaceAll(/\s*\n\s*/g, ' ')}\n`)
  if (debug && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`)
  return errorCodes[data.code]
}

/** Asks before something is destroyed. Without a terminal there is nobody to ask: the command line decides. */
export async function confirm(question: string, yes: boolean): Promise<void> {
  if (yes || !process.stdin.isTTY) return
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  // Ctrl-D and Ctrl-C close it, which is no yes either.
  const closed = new Promise<string>((resolve) => lines.once('close', () => resolve('')))
  try {
    const answer = await Promise.race([lines.question(`${question} [y/N] `), closed])
    if (!/^y(es)?$/i.test(answer.trim()))
      throw new ViolinError('refused', 'not confirmed', 'answer y, or use --yes')
  } finally {
    lines.close()
  }
}

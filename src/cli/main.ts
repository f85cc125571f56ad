/** `violin`: the command line. */
import { run } from '@stricli/core'
import { buildApp } from './app.ts'
import { complete } from './complete.ts'
import { createContext, globalOptions, reportError } from './context.ts'
import { overview } from './overview.ts'

/** Words that ask for the overview. */
const wantsHelp: ReadonlySet<string> = new Set(['help', '--help', '-h', '--help-all', '-H'])

/** A reader that went away (`violin list | head -1`) is no failure. */
function quietWhenClosed(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
}

async function main(args: readonly string[]): Promise<void> {
  let debug = args.includes('--debug')
  try {
    const options = globalOptions(args, process.env)
    debug = options.debug
    const app = buildApp((error) => {
      process.exitCode = reportError(error, debug)
      return process.exitCode
    })
    const [verb, ...others] = options.rest
    if (verb === undefined || (wantsHelp.has(verb) && others.length === 0)) {
      process.stdout.write(overview(app))
      return
    }
    if (verb === '__complete') {
      await complete(app, others, (stdio) => createContext(options, stdio))
      return
    }
    // The scanner's own refusals come as text with negative codes; ours are told above.
    const stdio = {
      stdout: process.stdout,
      stderr: { write: (text: string) => process.stderr.write(oneLine(text)) },
      exitCode: undefined as number | undefined
    }
    const words = verb === 'help' ? [...others, '--help'] : options.rest
    await run(app, words, createContext(options, stdio as never))
    const code = stdio.exitCode ?? 0
    if (code < 0) process.exitCode = 2
  } catch (error: unknown) {
    process.exitCode = reportError(error, debug)
  }
}

/** What the scanner says of wrong usage, in the form of every other refusal. */
function oneLine(text: string): string {
  const plain = text.trim()
  return plain === '' ? '' : `violin: ${plain.replaceAll(/\s*\n\s*/g, '; ')}; see violin --help\n`
}

process.stdout.on('error', quietWhenClosed)
process.stderr.on('error', quietWhenClosed)
await main(process.argv.slice(2))
// A terminal or a pipe at standard input would keep the process.
process.stdin.destroy()

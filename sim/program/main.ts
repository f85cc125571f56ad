/** `violin-sim`: virtual meshes on the command line. */
import { list } from './list.ts'
import { play } from './play.ts'
import { report } from './report.ts'
import { search } from './search.ts'
import { type Options, UsageError, help, optionsOf } from './usage.ts'

/** Gives the exit status. */
async function main(args: readonly string[]): Promise<number> {
  try {
    return await run(optionsOf(args))
  } catch (error: unknown) {
    if (!(error instanceof UsageError)) throw error
    const { message, remedy } = error
    process.stderr.write(`violin-sim: ${message}; ${remedy}\n`.replaceAll(/\s*\n\s*(?=.)/g, ' '))
    if (args.includes('--json'))
      process.stdout.write(`${JSON.stringify({ error: { code: 'usage', message, remedy } })}\n`)
    return 2
  }
}

function run(options: Options): number | Promise<number> {
  switch (options.verb) {
    case 'run':
      return play(options)
    case 'swarm':
      return search(options)
    case 'report':
      return report(options)
    case 'list':
      return list(options)
    case 'help':
      process.stdout.write(help)
      return 0
  }
}

// A reader that went away (`violin-sim list | head -1`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})
process.exitCode = await main(process.argv.slice(2))

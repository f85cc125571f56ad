/** `violin-sim`: virtual meshes on the command line. */
import { list } from './list.ts'
import { play } from './play.ts'
import { report } from './report.ts'
import { search } from './search.ts'
import { type Options, UsageError, help, optionsOf } from './usage.ts'

/** Gives the exit status. */
async function main(args: readonly string[]): Promise<number> {
  let options: Options
  try {
    options = optionsOf(args)
  } catch (error: unknown) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`violin-sim: ${error.message}; see violin-sim --help\n`)
    return 2
  }
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

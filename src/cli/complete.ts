/** Shell completion: what may come next, a line each, with names asked of the daemon. */
import { type Application, proposeCompletions } from '@stricli/core'
import type { Context } from './context.ts'

/** Prints proposals for the words so far, the last one being typed; nothing when nobody can be asked. */
export async function complete(
  app: Application<Context>,
  words: readonly string[],
  context: (stdio: Context['process']) => Context
): Promise<void> {
  const proposals = await proposeCompletions(app, words, context(process as never)).catch(() => [])
  for (const { completion } of proposals) process.stdout.write(`${completion}\n`)
}

import { buildCommand, type Command } from '@stricli/core'
import { errorData, ViolinError } from '#core/errors.ts'
import { type Context, reportError } from '../context.ts'
import { notReached, parseTarget, runSession } from '../session.ts'
import { entityArgument, type NoFlags } from './common.ts'

export const exec: Command<Context> = buildCommand<NoFlags, string[], Context>({
  docs: {
    brief: 'Run a command in an entity, wherever it runs',
    customUsage: ['NAME/ENTITY -- CMD...'],
    fullDescription:
      'violin exec NAME/ENTITY -- CMD...: standard input, output and error apart; exits with its status; 125: not reached, 126: cannot run, 127: not found.'
  },
  parameters: { flags: {}, positional: { kind: 'array', parameter: entityArgument, minimum: 1 } },
  async func(_flags, target, ...argv) {
    if (target === undefined || argv.length === 0) {
      throw new ViolinError('usage', 'no command given', 'violin exec NAME/ENTITY -- CMD...')
    }
    const request = { ...parseTarget(target), argv }
    try {
      process.exitCode = await runSession(this.service, request, {
        input: process.stdin,
        output: process.stdout,
        errors: process.stderr
      })
    } catch (error: unknown) {
      reportError(error, this.debug)
      process.exitCode = errorData(error).code === 'usage' ? 2 : notReached
    }
  }
})

import { buildCommand, type Command } from '@stricli/core'
import type { Context } from '../context.ts'
import { parseTarget } from '../session.ts'
import { durationFlag, entityArgument, type JsonFlag, jsonFlag, printJson } from './common.ts'

interface Flags extends JsonFlag {
  readonly timeout: number
}

export const stop: Command<Context> = turning('Stop an entity; it keeps its place and its addresses', [false])
export const start: Command<Context> = turning('Start an entity that was stopped, from its image', [true])
export const restart: Command<Context> = turning('Stop an entity and start it again, from its image', [
  false,
  true
])

/** A verb that turns an entity off, on, or both in turn. */
function turning(brief: string, turns: readonly boolean[]): Command<Context> {
  return buildCommand<Flags, [target: string], Context>({
    docs: { brief },
    parameters: {
      flags: { timeout: durationFlag('How long to wait until it is so', '120s'), ...jsonFlag },
      positional: { kind: 'tuple', parameters: [entityArgument] }
    },
    async func({ timeout, json }, target) {
      const { violin, entity } = parseTarget(target)
      const deadline = performance.now() + timeout
      let version = 0
      for (const on of turns) {
        const timeoutMs = Math.max(0, Math.ceil(deadline - performance.now()))
        version = (await this.service.power({ violin, entity, on, timeoutMs })).version
      }
      const state = turns.at(-1) === true ? 'running' : 'stopped'
      if (json === true) return printJson({ violin, entity, state, version })
      process.stdout.write(`${target} is ${state} (version ${version})\n`)
    }
  })
}

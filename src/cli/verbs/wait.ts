import { buildCommand, type Command } from '@stricli/core'
import type { Context } from '../context.ts'
import { durationFlag, type JsonFlag, jsonFlag, printJson, violinArgument } from './common.ts'

interface Flags extends JsonFlag {
  readonly for: 'running' | 'gone'
  readonly timeout: number
}

export const wait: Command<Context> = buildCommand<Flags, [name: string], Context>({
  docs: { brief: 'Wait until a VIOLIN runs, or is gone' },
  parameters: {
    flags: {
      for: { kind: 'enum', values: ['running', 'gone'], brief: 'The state to wait for' },
      timeout: durationFlag('How long to wait', '60s'),
      ...jsonFlag
    },
    positional: { kind: 'tuple', parameters: [violinArgument] }
  },
  async func(flags, name) {
    const reached = await this.service.wait({ name, for: flags.for, timeoutMs: flags.timeout })
    if (flags.json === true) printJson(reached)
  }
})

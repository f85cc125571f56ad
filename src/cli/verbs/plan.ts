import { buildCommand, type Command } from '@stricli/core'
import type { Context } from '../context.ts'
import { planText } from '../print/progress.ts'
import { readTopology } from '../topology-file.ts'
import { fileArgument } from './apply.ts'
import { type JsonFlag, jsonFlag, printJson } from './common.ts'

export const plan: Command<Context> = buildCommand<JsonFlag, [file?: string], Context>({
  docs: { brief: 'Say what `apply` would do, and why; change nothing' },
  parameters: { flags: jsonFlag, positional: fileArgument },
  async func({ json }, file) {
    const planned = await this.service.plan({ topology: await readTopology(file, this.service) })
    if (json === true) return printJson(planned)
    process.stdout.write(planText(planned))
  }
})

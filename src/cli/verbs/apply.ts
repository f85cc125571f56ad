import { buildCommand, type Command } from '@stricli/core'
import type { Context } from '../context.ts'
import { showProgress } from '../print/progress.ts'
import { readTopology } from '../topology-file.ts'
import { durationFlag, type JsonFlag, jsonFlag } from './common.ts'

interface Flags extends JsonFlag {
  readonly wait: boolean
  readonly timeout: number
}

export const fileArgument = {
  kind: 'tuple',
  parameters: [
    {
      parse: String,
      optional: true,
      placeholder: 'FILE',
      brief: 'Topology file, or - (default: the one *.violin.yaml here)'
    }
  ]
} as const

export const apply: Command<Context> = buildCommand<Flags, [file?: string], Context>({
  docs: { brief: 'Create a VIOLIN, or change it in place, to match a topology file' },
  parameters: {
    flags: {
      wait: { kind: 'boolean', default: true, brief: 'Wait until it runs' },
      timeout: durationFlag('How long to wait', '120s'),
      ...jsonFlag
    },
    positional: fileArgument
  },
  async func({ wait, timeout, json = false }, file) {
    await showProgress(this.service.apply({ topology: readTopology(file), wait, timeoutMs: timeout }), json)
  }
})

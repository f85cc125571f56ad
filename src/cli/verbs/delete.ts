import { buildCommand, type Command } from '@stricli/core'
import { confirm, type Context } from '../context.ts'
import { showProgress } from '../print/progress.ts'
import { durationFlag, type JsonFlag, jsonFlag, violinArgument, yesFlag } from './common.ts'

interface Flags extends JsonFlag {
  readonly yes?: boolean
  readonly timeout: number
}

export const deleteVerb: Command<Context> = buildCommand<Flags, [name: string], Context>({
  docs: { brief: 'Stop a VIOLIN everywhere and bury it' },
  parameters: {
    flags: { ...yesFlag, timeout: durationFlag('How long to wait until it is gone', '60s'), ...jsonFlag },
    positional: { kind: 'tuple', parameters: [violinArgument] }
  },
  async func({ yes = false, timeout, json = false }, name) {
    await confirm(`${name} and all that is in its machines goes for good?`, yes)
    await showProgress(this.service.delete({ name, timeoutMs: timeout }), json)
  }
})

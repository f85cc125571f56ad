import { buildCommand, type Command } from '@stricli/core'
import type { Context } from '../context.ts'
import { showProgress } from '../print/progress.ts'
import { parseTarget } from '../session.ts'
import { type JsonFlag, jsonFlag, lanArgument } from './common.ts'

interface Flags extends JsonFlag {
  readonly to: string
  readonly withdraw?: boolean
}

export const offer: Command<Context> = buildCommand<Flags, [target: string], Context>({
  docs: {
    brief: 'Let another owner put hosts of its own on a vLAN, or take that back',
    fullDescription:
      'The other one then says `violin attach NAME/LAN` on its host, for that host or for a vHost there. What comes by an offer goes with it.'
  },
  parameters: {
    flags: {
      to: { kind: 'parsed', parse: String, placeholder: 'HOST', brief: 'The host of the other owner' },
      withdraw: {
        kind: 'boolean',
        optional: true,
        withNegated: false,
        brief: 'Take it back, and off what came by it'
      },
      ...jsonFlag
    },
    positional: { kind: 'tuple', parameters: [lanArgument] }
  },
  async func({ to, withdraw = false, json }, target) {
    const { violin, entity: lan } = parseTarget(target)
    await showProgress(this.service.offer({ violin, lan, to, withdraw }), json === true)
  }
})

import { buildCommand, type Command } from '@stricli/core'
import { confirm, type Context } from '../context.ts'
import { type JsonFlag, jsonFlag, printJson, yesFlag } from './common.ts'

interface Flags extends JsonFlag {
  readonly yes?: boolean
  readonly 'and-below'?: boolean
}

export const revoke: Command<Context> = buildCommand<Flags, [host: string], Context>({
  docs: {
    brief: 'Shut a member out everywhere, for good',
    fullDescription:
      'By a host that let it in, directly or through others, or with the root key in the folder of this host.'
  },
  parameters: {
    flags: {
      'and-below': {
        kind: 'boolean',
        optional: true,
        withNegated: false,
        brief: 'Also all hosts that came in through it'
      },
      ...yesFlag,
      ...jsonFlag
    },
    positional: { kind: 'tuple', parameters: [{ parse: String, placeholder: 'HOST', brief: 'Name or id' }] }
  },
  async func({ yes = false, json, 'and-below': andBelow = false }, host) {
    await confirm(`${host} is shut out for good${andBelow ? ', with all that it let in' : ''}?`, yes)
    const out = await this.service.revoke({ host, andBelow })
    if (json === true) return printJson(out)
    process.stdout.write(`${out.name} (${out.id}) is shut out\n`)
  }
})

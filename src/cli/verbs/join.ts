import { buildCommand, type Command } from '@stricli/core'
import type { Context } from '../context.ts'
import { askProgram } from '../program.ts'
import { readToken } from '../token.ts'
import {
  type JsonFlag,
  jsonFlag,
  listenFlag,
  nameFlag,
  networkKeyFlag,
  networkKeyOption,
  printJson
} from './common.ts'

interface Flags extends JsonFlag {
  readonly name?: string
  readonly listen?: readonly string[]
  readonly 'network-key'?: string
}

export const join: Command<Context> = buildCommand<Flags, [token?: string], Context>({
  docs: { brief: 'Join a mesh with an invite' },
  parameters: {
    flags: { ...nameFlag, ...listenFlag, ...networkKeyFlag, ...jsonFlag },
    positional: {
      kind: 'tuple',
      parameters: [
        {
          parse: String,
          optional: true,
          placeholder: 'TOKEN',
          brief: 'The invite: its text, @FILE, or - for standard input'
        }
      ]
    }
  },
  async func({ json, 'network-key': networkKey, ...options }, token) {
    const given = { token: await readToken(token), ...options, ...networkKeyOption(networkKey) }
    const joined = (await askProgram('join', this.dir, given)) as {
      name: string
      id: string
    }
    if (json === true) return printJson(joined)
    process.stdout.write(`${joined.name} (${joined.id}) is a member\nnext: violin daemon\n`)
  }
})

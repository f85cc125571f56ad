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
  readonly id?: boolean
}

export const join: Command<Context> = buildCommand<Flags, [token?: string], Context>({
  docs: { brief: 'Join a mesh with an invite' },
  parameters: {
    flags: {
      ...nameFlag,
      ...listenFlag,
      ...networkKeyFlag,
      id: {
        kind: 'boolean',
        optional: true,
        withNegated: false,
        brief: 'Do not join yet: print the id that this host will have, for `violin invite --for`'
      },
      ...jsonFlag
    },
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
  async func({ json, id: onlyId, 'network-key': networkKey, ...options }, token) {
    if (onlyId === true) {
      const made = (await askProgram('id', this.dir, {})) as { id: string }
      if (json === true) printJson(made)
      else process.stdout.write(`${made.id}\n`)
      return
    }
    const given = { token: await readToken(token), ...options, ...networkKeyOption(networkKey) }
    const joined = (await askProgram('join', this.dir, given)) as {
      name: string
      id: string
    }
    if (json === true) return printJson(joined)
    process.stdout.write(`${joined.name} (${joined.id}) is a member\nnext: violin daemon\n`)
  }
})

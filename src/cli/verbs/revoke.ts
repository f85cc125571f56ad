import { buildCommand, type Command } from '@stricli/core'
import { confirm, type Context } from '../context.ts'
import { type JsonFlag, jsonFlag, printJson, yesFlag } from './common.ts'

interface Flags extends JsonFlag {
  readonly yes?: boolean
}

export const revoke: Command<Context> = buildCommand<Flags, [host: string], Context>({
  docs: {
    brief: 'Shut a member out everywhere, for good',
    fullDescription: 'By the host that let it in, or with the root key in the folder of this host.'
  },
  parameters: {
    flags: { ...yesFlag, ...jsonFlag },
    positional: { kind: 'tuple', parameters: [{ parse: String, placeholder: 'HOST', brief: 'Name or id' }] }
  },
  async func({ yes = false, json }, host) {
    await confirm(`${host} is shut out for good?`, yes)
    const out = await this.service.revoke({ host })
    if (json === true) return printJson(out)
    process.stdout.write(`${out.name} (${out.id}) is shut out\n`)
  }
})

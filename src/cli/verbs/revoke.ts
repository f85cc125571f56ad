import { buildCommand, type Command } from '@stricli/core'
import { confirm, type Context } from '../context.ts'
import { type JsonFlag, jsonFlag, printJson, yesFlag } from './common.ts'

interface Flags extends JsonFlag {
  readonly yes?: boolean
  readonly 'and-below'?: boolean
}

export const revoke: Command<Context> = buildCommand<Flags, [host: string], Context>({
  docs: {
    brief: 'Shut a host out everywhere, for good',
    fullDescription:
      'Hosts whose join it countersigned go with it, and are named first. By a host that let it in, directly or through others, or with the root key in the folder of this host. A host that is not listed, for it stayed quiet since it joined or its record ended, is named by its id.'
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
    const { others } = await this.service.revoke({ host, andBelow, dryRun: true })
    if (others.length > 0)
      process.stderr.write(
        `with ${host} are shut out, for it saw them join or let them in: ${others.map(called).join(', ')}\n`
      )
    await confirm(`${host} is shut out for good${andBelow ? ', with all that it let in' : ''}?`, yes)
    const out = await this.service.revoke({ host, andBelow })
    if (json === true) return printJson(out)
    const gone = out.others.length === 0 ? '' : `, and with it ${out.others.map(called).join(', ')}`
    const text = out.isKnown
      ? `${called(out)} is shut out${gone}`
      : `${called(out)} is not known here: it is shut out as soon as it shows a membership, if this host let it in`
    process.stdout.write(`${text}\n`)
  }
})

function called({ id, name }: { readonly id: string; readonly name: string }): string {
  return name === id ? id : `${name} (${id})`
}

import { buildCommand, type Command } from '@stricli/core'
import { ViolinError } from '#core/errors.ts'
import type { Context } from '../context.ts'
import { emphasis } from '../print/table.ts'
import { type JsonFlag, jsonFlag, printJson, violinArgument } from './common.ts'

interface Flags extends JsonFlag {
  readonly follow?: boolean
}

export const events: Command<Context> = buildCommand<Flags, [name?: string], Context>({
  docs: { brief: 'Tell what happened on this host, or to one VIOLIN on all its hosts, and why' },
  parameters: {
    flags: {
      follow: { kind: 'boolean', optional: true, withNegated: false, brief: 'Go on with what comes' },
      ...jsonFlag
    },
    aliases: { f: 'follow' },
    positional: { kind: 'tuple', parameters: [{ ...violinArgument, optional: true }] }
  },
  async func({ follow = false, json }, name) {
    if (follow && name !== undefined)
      throw new ViolinError(
        'usage',
        'only the events of this host can be followed',
        'leave out the name, or --follow'
      )
    for await (const row of this.service.events({
      follow,
      ...(name === undefined ? {} : { violin: name })
    })) {
      if (json === true) printJson(row)
      else {
        const where = row.host ?? row.violin
        process.stdout.write(`${emphasis('dim', row.at)}  ${where === null ? '' : `${where}: `}${row.text}\n`)
      }
    }
  }
})

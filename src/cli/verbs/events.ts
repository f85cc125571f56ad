import { buildCommand, type Command } from '@stricli/core'
import type { Context } from '../context.ts'
import { emphasis } from '../print/table.ts'
import { type JsonFlag, jsonFlag, printJson } from './common.ts'

interface Flags extends JsonFlag {
  readonly follow?: boolean
}

export const events: Command<Context> = buildCommand<Flags, [], Context>({
  docs: { brief: 'Tell what happened on this host, and why' },
  parameters: {
    flags: {
      follow: { kind: 'boolean', optional: true, withNegated: false, brief: 'Go on with what comes' },
      ...jsonFlag
    },
    aliases: { f: 'follow' }
  },
  async func({ follow = false, json }) {
    for await (const row of this.service.events({ follow })) {
      if (json === true) printJson(row)
      else
        process.stdout.write(
          `${emphasis('dim', row.at)}  ${row.violin === null ? '' : `${row.violin}: `}${row.text}\n`
        )
    }
  }
})

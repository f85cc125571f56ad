import { buildCommand, type Command } from '@stricli/core'
import type { Context } from '../context.ts'
import { table } from '../print/table.ts'
import { type JsonFlag, jsonFlag, printJson } from './common.ts'

export const list: Command<Context> = buildCommand<JsonFlag, [], Context>({
  docs: { brief: 'List the VIOLINs that this host owns or takes part in' },
  parameters: { flags: jsonFlag },
  async func({ json }) {
    const rows = await this.service.list({})
    if (json === true) return printJson(rows)
    const cells = rows.map((row) => [
      row.name,
      row.mine ? `${row.owner} *` : row.owner,
      row.state,
      `${row.running}/${row.entities}`,
      row.id.slice(0, 12)
    ])
    process.stdout.write(table(['name', 'owner', 'state', 'running', 'id'], cells))
  }
})

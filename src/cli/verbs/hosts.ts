import { buildCommand, type Command } from '@stricli/core'
import type { HostRow } from '#api/contract.ts'
import type { Context } from '../context.ts'
import { milliseconds, table } from '../print/table.ts'
import { type JsonFlag, jsonFlag, printJson } from './common.ts'

export const hosts: Command<Context> = buildCommand<JsonFlag, [], Context>({
  docs: { brief: 'List the members of the mesh' },
  parameters: { flags: jsonFlag },
  async func({ json }) {
    const rows = await this.service.hosts({})
    if (json === true) return printJson(rows)
    const cells = rows.map((row) => [
      row.self ? `${row.name} *` : row.name,
      stateText(row) + clockText(row.clockAheadMs),
      row.self ? null : milliseconds(row.rttMs),
      row.load,
      row.entities,
      row.memoryMiB === null ? null : `${row.memoryMiB} MiB`,
      row.version,
      row.membershipEndsAt?.slice(0, 10) ?? null,
      row.id
    ])
    process.stdout.write(
      table(['name', 'state', 'rtt', 'load', 'entities', 'memory', 'version', 'until', 'id'], cells)
    )
  }
})

function stateText({ state, draining }: HostRow): string {
  const text = state === 'revoked' ? 'shut out' : state === 'displaced' ? 'no slot' : state
  return draining ? `${text}, drained` : text
}

/** What is wrong with a clock that is five minutes off; nothing otherwise. */
function clockText(aheadMs: number): string {
  const minutes = Math.round(aheadMs / 60_000)
  return Math.abs(minutes) < 5 ? '' : `, clock ${Math.abs(minutes)} min ${minutes > 0 ? 'ahead' : 'behind'}`
}

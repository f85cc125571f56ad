import { buildCommand, type Command } from '@stricli/core'
import type { Context } from '../context.ts'
import { askProgram } from '../program.ts'
import { emphasis } from '../print/table.ts'
import { type JsonFlag, jsonFlag, printJson } from './common.ts'

interface Check {
  readonly name: string
  readonly ok: boolean
  readonly detail: string
  readonly remedy: string
}

export const doctor: Command<Context> = buildCommand<JsonFlag, [], Context>({
  docs: { brief: 'Check this machine; each failure with the command that mends it' },
  parameters: { flags: jsonFlag },
  async func({ json }) {
    const { checks } = (await askProgram('doctor', this.dir, {})) as { checks: readonly Check[] }
    if (json === true) printJson({ checks })
    else {
      for (const { name, ok, detail, remedy } of checks) {
        const mark = ok ? emphasis('green', '✔') : emphasis('red', '✘')
        process.stdout.write(`${mark} ${name}: ${detail}${remedy === '' ? '' : `\n  → ${remedy}`}\n`)
      }
    }
    if (checks.some(({ ok }) => !ok)) process.exitCode = 1
  }
})

import { buildCommand, type Command } from '@stricli/core'
import type { Context } from '../context.ts'
import { wrongClockMs } from '#core/records/clock.ts'
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
    const { checks: machine } = (await askProgram('doctor', this.dir, {})) as { checks: readonly Check[] }
    const aheadMs = await this.service.hosts({}).then(
      (rows) =>
        rows.some(({ self, state }) => !self && state === 'alive')
          ? (rows.find(({ self }) => self)?.clockAheadMs ?? null)
          : null,
      // Without a daemon only the machine can be looked at.
      () => null
    )
    const checks = aheadMs === null ? machine : [...machine, clockOf(aheadMs)]
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

/** What the daemon heard of its neighbours' clocks, in place of what a machine alone can know. */
function clockOf(aheadMs: number): Check {
  const ok = Math.abs(aheadMs) <= wrongClockMs
  const off = (Math.abs(aheadMs) / 1000).toFixed(1)
  return {
    name: 'clock in the mesh',
    ok,
    detail: `${off} s ${aheadMs < 0 ? 'behind' : 'ahead of'} the neighbours’ median`,
    remedy: ok ? '' : 'set the clock: timedatectl set-ntp true'
  }
}

import { buildCommand, type Command } from '@stricli/core'
import type { Context } from '../context.ts'
import type { HostRow } from '#api/contract.ts'
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
    // Without a daemon only the machine can be looked at.
    const rows = await this.service.hosts({}).catch(() => [])
    const checks = [...machine, ...inMesh(rows), ...(await networkKeyOf(this, rows))]
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

/** What a running daemon knows. */
function inMesh(rows: readonly HostRow[]): readonly Check[] {
  const own = rows.find(({ self }) => self)
  if (own === undefined) return []
  const hasNeighbours = rows.some(({ self, state }) => !self && state === 'alive')
  return [membershipOf(own), ...(hasNeighbours ? [clockOf(own.clockAheadMs)] : [])]
}

/** Whether the key of a closed network was refused since the daemon started, where nobody answered since. */
async function networkKeyOf({ service }: Context, rows: readonly HostRow[]): Promise<readonly Check[]> {
  if (rows.length === 0 || rows.some(({ self, state }) => !self && state === 'alive')) return []
  for await (const { kind, text } of service.events({ follow: false }))
    if (kind === 'network-key') {
      const [detail = '', remedy = ''] = text.split('; ')
      return [{ name: 'network key', ok: false, detail, remedy }]
    }
  return []
}

function membershipOf({ state, membershipEndsAt }: HostRow): Check {
  const remedy = 'ask an admin of the mesh for a new invite, and join in a new folder'
  const out = { name: 'membership', ok: false, remedy }
  if (state === 'revoked') return { ...out, detail: 'this host was shut out of the mesh (violin events)' }
  if (state === 'displaced') return { ...out, detail: 'another host keeps the slot of the invite' }
  return { name: 'membership', ok: true, detail: `until ${membershipEndsAt?.slice(0, 10) ?? ''}`, remedy: '' }
}

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

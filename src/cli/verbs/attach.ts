import { buildCommand, type Command } from '@stricli/core'
import { ViolinError } from '#core/errors.ts'
import type { AttachRow } from '#api/contract.ts'
import type { Context } from '../context.ts'
import { showProgress } from '../print/progress.ts'
import { parseTarget } from '../session.ts'
import { type JsonFlag, jsonFlag, lanArgument, printJson } from './common.ts'

interface AttachFlags extends JsonFlag {
  readonly ip?: string
  readonly vhost?: string
  readonly driver?: 'uml' | 'netns'
}

export const attach: Command<Context> = buildCommand<AttachFlags, [target: string], Context>({
  docs: {
    brief: 'Put this host itself on a vLAN, until Ctrl-C or detach',
    fullDescription:
      "This host gets an interface with an address of the vLAN, and routes to the VIOLIN's other vLANs. When the command ends nothing of it is left. The daemon must run as root."
  },
  parameters: {
    flags: {
      ip: {
        kind: 'parsed',
        parse: String,
        optional: true,
        placeholder: 'ADDRESS|dhcp',
        brief:
          "Its address, as 10.0.0.7 or 10.0.0.7/24, or `dhcp`, the vLAN's service (default: the next free one)"
      },
      vhost: {
        kind: 'parsed',
        parse: String,
        optional: true,
        placeholder: 'NAME',
        brief: "Not this host, but a vHost on it: on another owner's vLAN that is offered to you"
      },
      driver: {
        kind: 'enum',
        values: ['uml', 'netns'],
        optional: true,
        brief: 'How that vHost runs (default: uml)'
      },
      ...jsonFlag
    },
    positional: { kind: 'tuple', parameters: [lanArgument] }
  },
  async func({ ip, vhost, driver, json }, target) {
    const { violin, entity: lan } = parseTarget(target)
    const rows = this.service.attach({
      violin,
      lan,
      ...(ip === undefined ? {} : { ip }),
      ...(vhost === undefined ? {} : { vhost }),
      ...(driver === undefined ? {} : { driver })
    })
    if (vhost !== undefined) return showProgress(told(rows, json === true), json === true)
    let isAsked = false
    // The daemon takes it off, and then ends the stream; were this to end first, nobody could say that it is done.
    const leave = (): void => {
      isAsked = true
      this.service.detach({ violin, lan }).catch(() => process.exit(1))
    }
    process.on('SIGINT', leave).on('SIGTERM', leave).on('SIGHUP', leave)
    try {
      await showProgress(told(rows, json === true), json === true)
    } catch (error: unknown) {
      if (!isAsked) throw error
    } finally {
      process.off('SIGINT', leave).off('SIGTERM', leave).off('SIGHUP', leave)
    }
    if (json !== true) process.stderr.write(`this host is off ${target}\n`)
  }
})

/** Rows as progress; what programs want to know goes to standard output as it is. */
async function* told(
  rows: AsyncIterable<AttachRow>,
  json: boolean
): ReturnType<Context['service']['apply']> & AsyncGenerator {
  for await (const row of rows) {
    if (row.kind !== 'attached') yield row
    else if (json) printJson(row)
    else
      yield {
        kind: 'done',
        text: `this host is ${row.ips.join(', ')} on ${row.violin}/${row.lan} (${row.device}), called ${row.entity} inside; Ctrl-C takes it off`
      }
  }
}

export const detach: Command<Context> = buildCommand<JsonFlag, [target?: string], Context>({
  docs: { brief: 'Take this host off a vLAN, off all of them where none is named' },
  parameters: {
    flags: jsonFlag,
    positional: { kind: 'tuple', parameters: [{ ...lanArgument, optional: true }] }
  },
  async func({ json }, target) {
    if (target === '') throw new ViolinError('usage', 'no vLAN is named', 'violin detach NAME/LAN')
    const [violin, lan] = target === undefined ? [] : target.includes('/') ? splitTarget(target) : [target]
    const { from } = await this.service.detach({
      ...(violin === undefined ? {} : { violin }),
      ...(lan === undefined ? {} : { lan })
    })
    if (json === true) printJson({ from })
    else process.stdout.write(`this host is off ${from.join(', ')}\n`)
  }
})

function splitTarget(target: string): [string, string] {
  const { violin, entity } = parseTarget(target)
  return [violin, entity]
}

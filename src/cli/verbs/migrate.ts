import { buildCommand, type Command } from '@stricli/core'
import type { Context } from '../context.ts'
import { parseTarget } from '../session.ts'
import { type JsonFlag, jsonFlag, printJson } from './common.ts'

interface Flags extends JsonFlag {
  readonly to?: string
}

export const migrate: Command<Context> = buildCommand<Flags, [target: string], Context>({
  docs: { brief: "Move a vLAN's vSwitch to another host; no frame is lost" },
  parameters: {
    flags: {
      to: {
        kind: 'parsed',
        parse: String,
        optional: true,
        placeholder: 'HOST',
        brief: 'One of its candidates (default: the next)'
      },
      ...jsonFlag
    },
    positional: {
      kind: 'tuple',
      parameters: [{ parse: String, placeholder: 'NAME/LAN', brief: 'A vLAN of a VIOLIN' }]
    }
  },
  async func({ to, json }, target) {
    const { violin, entity: lan } = parseTarget(target)
    const moved = await this.service.migrate({ violin, lan, ...(to === undefined ? {} : { to }) })
    if (json === true) return printJson(moved)
    process.stdout.write(`${target} is switched by ${moved.active} (term ${moved.term})\n`)
  }
})

import { buildCommand, type Command } from '@stricli/core'
import type { Context } from '../context.ts'
import { parseTarget } from '../session.ts'
import { showProgress } from '../print/progress.ts'
import { durationFlag, type JsonFlag, jsonFlag, printJson } from './common.ts'
import { ViolinError } from '#core/errors.ts'

interface Flags extends JsonFlag {
  readonly to?: string
  readonly timeout: number
}

export const migrate: Command<Context> = buildCommand<Flags, [target: string], Context>({
  docs: {
    brief: "Move an entity, or a vLAN's vSwitch, to another host",
    fullDescription:
      'An entity starts there from its image, and stops where it was as soon as it is up. A vSwitch loses no frame.'
  },
  parameters: {
    flags: {
      to: {
        kind: 'parsed',
        parse: String,
        optional: true,
        placeholder: 'HOST',
        brief: 'The host; of a vSwitch one of its candidates (default: the next)'
      },
      timeout: durationFlag('How long to wait for an entity', '120s'),
      ...jsonFlag
    },
    positional: {
      kind: 'tuple',
      parameters: [{ parse: String, placeholder: 'NAME/WHAT', brief: 'An entity or a vLAN of a VIOLIN' }]
    }
  },
  async func({ to, timeout, json }, target) {
    const { violin, entity: what } = parseTarget(target)
    const { entities } = await this.service.show({ name: violin, here: true })
    if (entities.some(({ name }) => name === what)) {
      if (to === undefined)
        throw new ViolinError('usage', `${target} is an entity: where to?`, 'name the host: --to HOST')
      const moving = this.service.move({ violin, entity: what, to, timeoutMs: timeout })
      return showProgress(moving, json === true)
    }
    const moved = await this.service.migrate({ violin, lan: what, ...(to === undefined ? {} : { to }) })
    if (json === true) return printJson(moved)
    process.stdout.write(`${target} is switched by ${moved.active} (term ${moved.term})\n`)
  }
})

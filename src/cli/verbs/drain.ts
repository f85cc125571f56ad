import { buildCommand, type Command } from '@stricli/core'
import type { Context } from '../context.ts'
import { showProgress } from '../print/progress.ts'
import { durationFlag, type JsonFlag, jsonFlag } from './common.ts'

interface Flags extends JsonFlag {
  readonly off?: boolean
  readonly timeout: number
}

export const drain: Command<Context> = buildCommand<Flags, [], Context>({
  docs: {
    brief: 'Have other hosts take over what runs here, and take nothing new',
    fullDescription:
      'Each entity starts on the next host of its list and stops here as soon as it is up there; what cannot move is named and stays. --off: take part again.'
  },
  parameters: {
    flags: {
      off: { kind: 'boolean', optional: true, withNegated: false, brief: 'Take part again' },
      timeout: durationFlag('How long to wait until all has moved', '120s'),
      ...jsonFlag
    }
  },
  async func({ off = false, timeout, json = false }) {
    await showProgress(this.service.drain({ off, timeoutMs: timeout }), json)
  }
})

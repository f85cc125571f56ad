import { buildCommand, type Command } from '@stricli/core'
import { confirm, type Context } from '../context.ts'
import { type JsonFlag, jsonFlag, printJson, yesFlag } from './common.ts'

interface Flags extends JsonFlag {
  readonly undo?: boolean
  readonly everywhere?: boolean
  readonly yes?: boolean
}

const flag = (brief: string): { kind: 'boolean'; optional: true; withNegated: false; brief: string } => ({
  kind: 'boolean',
  optional: true,
  withNegated: false,
  brief
})

export const refuse: Command<Context> = buildCommand<Flags, [owner: string], Context>({
  docs: {
    brief: 'Run nothing of an owner on this host, or take that back',
    fullDescription:
      'With --everywhere an admin that let its host in shuts the owner key out of the mesh, for good: its VIOLINs end.'
  },
  parameters: {
    flags: {
      undo: flag('Take it back on this host'),
      everywhere: flag('In the whole mesh, for good (admins)'),
      ...yesFlag,
      ...jsonFlag
    },
    positional: {
      kind: 'tuple',
      parameters: [
        {
          parse: String,
          placeholder: 'OWNER',
          brief: 'An owner key, a host, or a VIOLIN whose owner is meant'
        }
      ]
    }
  },
  async func({ undo = false, everywhere = false, yes = false, json }, owner) {
    if (!undo)
      await confirm(
        everywhere ? `the owner of ${owner} is shut out for good?` : `what runs here of ${owner} is stopped?`,
        yes
      )
    const done = await this.service.refuse({ owner, undo, everywhere })
    if (json === true) return printJson(done)
    process.stdout.write(`${done.text}\n`)
  }
})

import { buildCommand, type Command, type TypedPositionalParameters } from '@stricli/core'
import type { Topology } from '#core/spec.ts'
import { confirm, type Context } from '../context.ts'
import { planText, showProgress } from '../print/progress.ts'
import { readTopology } from '../topology-file.ts'
import { durationFlag, type JsonFlag, jsonFlag, yesFlag } from './common.ts'

interface Flags extends JsonFlag {
  readonly wait: boolean
  readonly timeout: number
  readonly yes?: boolean
}

export const fileArgument: TypedPositionalParameters<[file?: string], Context> = {
  kind: 'tuple',
  parameters: [
    {
      parse: String,
      optional: true,
      placeholder: 'FILE',
      brief: 'Topology file, or - (default: the one *.violin.yaml here)'
    }
  ]
}

export const apply: Command<Context> = buildCommand<Flags, [file?: string], Context>({
  docs: { brief: 'Create a VIOLIN, or change it in place, to match a topology file' },
  parameters: {
    flags: {
      wait: { kind: 'boolean', default: true, brief: 'Wait until it runs' },
      timeout: durationFlag('How long to wait', '120s'),
      ...yesFlag,
      ...jsonFlag
    },
    positional: fileArgument
  },
  async func({ wait, timeout, yes = false, json = false }, file) {
    const topology = await readTopology(file, this.service)
    await confirmLosses(this, topology, yes)
    await showProgress(this.service.apply({ topology, wait, timeoutMs: timeout }), json)
  }
})

/** Whoever sits at a terminal is asked before a machine is removed or starts anew. */
async function confirmLosses({ service }: Context, topology: Topology, yes: boolean): Promise<void> {
  if (yes || !process.stdin.isTTY) return
  const plan = await service.plan({ topology })
  const losses = plan.steps.filter(({ kind }) => kind === 'remove' || kind === 'restart')
  if (losses.length === 0) return
  process.stderr.write(planText(plan))
  const names = losses.map(({ kind, name }) => `${kind} ${name}`).join(', ')
  await confirm(`${names}: what is in them goes for good?`, false)
}

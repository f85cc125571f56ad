import { buildCommand, type Command } from '@stricli/core'
import type { Context } from '../context.ts'
import { becomeProgram } from '../program.ts'
import { listenFlag } from './common.ts'

interface Flags {
  readonly listen?: readonly string[]
}

export const daemon: Command<Context> = buildCommand<Flags, [], Context>({
  docs: {
    brief: 'Run this host, in the foreground',
    fullDescription:
      'Machines go on when the daemon ends, and the next one adopts them; `violin leave` ends them.'
  },
  parameters: { flags: listenFlag },
  func({ listen = [] }) {
    const args = ['run', '--dir', this.dir, ...listen.flatMap((address) => ['--listen', address])]
    becomeProgram('daemon', this.debug ? [...args, '--debug'] : args)
  }
})

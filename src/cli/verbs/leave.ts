import { buildCommand, type Command } from '@stricli/core'
import { confirm, type Context } from '../context.ts'
import { showProgress } from '../print/progress.ts'
import { type JsonFlag, jsonFlag, yesFlag } from './common.ts'

interface Flags extends JsonFlag {
  readonly yes?: boolean
}

export const leave: Command<Context> = buildCommand<Flags, [], Context>({
  docs: {
    brief: 'Leave the mesh when other hosts have taken over what runs here',
    fullDescription:
      'Refuses while entities run here that cannot move; --yes stops those. The owner key stays in the folder.'
  },
  parameters: { flags: { ...yesFlag, ...jsonFlag } },
  async func({ yes = false, json = false }) {
    const { name } = await this.service.about({})
    await confirm(`${name} leaves its mesh for good?`, yes)
    await showProgress(this.service.leave({ stop: yes }), json)
  }
})

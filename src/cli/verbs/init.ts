import { buildCommand, type Command } from '@stricli/core'
import type { Context } from '../context.ts'
import { askProgram } from '../program.ts'
import {
  type JsonFlag,
  jsonFlag,
  listenFlag,
  nameFlag,
  networkKeyFlag,
  networkKeyOption,
  printJson
} from './common.ts'

interface Flags extends JsonFlag {
  readonly name?: string
  readonly listen?: readonly string[]
  readonly 'network-key'?: string
}

export const init: Command<Context> = buildCommand<Flags, [], Context>({
  docs: { brief: "Make this host's identity and found a mesh" },
  parameters: { flags: { ...nameFlag, ...listenFlag, ...networkKeyFlag, ...jsonFlag } },
  async func({ json, 'network-key': networkKey, ...options }) {
    const given = { ...options, ...networkKeyOption(networkKey) }
    const founded = (await askProgram('init', this.dir, given)) as {
      name: string
      id: string
      rootKeyFile: string
    }
    if (json === true) return printJson(founded)
    process.stdout.write(`${founded.name} (${founded.id}) founded a mesh\n`)
    process.stdout.write(
      `the root key is in ${founded.rootKeyFile}: put it away; it is needed to revoke an admin\n`
    )
    process.stdout.write(`next: violin daemon, then violin invite\n`)
  }
})

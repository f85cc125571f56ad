import { buildCommand, buildRouteMap, type Command, type RouteMap } from '@stricli/core'
import type { Context } from '../context.ts'
import { showProgress } from '../print/progress.ts'
import { parseTarget } from '../session.ts'
import { durationFlag, entityArgument, type JsonFlag, jsonFlag } from './common.ts'

interface Flags extends JsonFlag {
  readonly timeout: number
}

interface AddFlags extends Flags {
  readonly lan: string
  readonly ip?: string
}

const timeout = durationFlag('How long to wait until it is there', '60s')

const add: Command<Context> = buildCommand<AddFlags, [target: string], Context>({
  docs: {
    brief: 'Plug one more vNIC into an entity, while it runs',
    fullDescription:
      'A router that is plugged into a vLAN joins it to the others: all get the routes that this takes.'
  },
  parameters: {
    flags: {
      lan: { kind: 'parsed', parse: String, placeholder: 'LAN', brief: 'The vLAN to plug it into' },
      ip: {
        kind: 'parsed',
        parse: bareAddress,
        optional: true,
        placeholder: 'IP',
        brief: 'Its address there (default: the next free one)'
      },
      timeout,
      ...jsonFlag
    },
    positional: { kind: 'tuple', parameters: [entityArgument] }
  },
  async func({ lan, ip, timeout: timeoutMs, json }, target) {
    const address = ip === undefined ? {} : { ip }
    const adding = this.service.addNic({ ...parseTarget(target), lan, ...address, timeoutMs })
    await showProgress(adding, json === true)
  }
})

const remove: Command<Context> = buildCommand<Flags, [target: string, nic: string], Context>({
  docs: { brief: 'Pull a vNIC out of an entity, while it runs' },
  parameters: {
    flags: { timeout, ...jsonFlag },
    positional: {
      kind: 'tuple',
      parameters: [entityArgument, { parse: String, placeholder: 'NIC', brief: 'Its name, as eth1' }]
    }
  },
  async func({ timeout: timeoutMs, json }, target, nic) {
    await showProgress(this.service.removeNic({ ...parseTarget(target), nic, timeoutMs }), json === true)
  }
})

export const nic: RouteMap<Context> = buildRouteMap({
  routes: { add, remove },
  docs: { brief: 'Plug vNICs into entities that run, and pull them out' }
})

/** The vLAN knows how long its prefix is. */
function bareAddress(text: string): string {
  return text.split('/')[0] as string
}

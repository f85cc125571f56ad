import { buildCommand, buildRouteMap, type Command, type RouteMap } from '@stricli/core'
import type { Context } from '../context.ts'
import { runProgram } from '../program.ts'
import { type JsonFlag, jsonFlag } from './common.ts'

interface DemoFlags extends JsonFlag {
  readonly keep?: boolean
}

export const demo: Command<Context> = buildCommand<DemoFlags, [], Context>({
  docs: { brief: "The paper's Figure 2 on this machine, from nothing to failover" },
  parameters: {
    flags: {
      keep: { kind: 'boolean', optional: true, brief: 'Leave it running, and say how to look around' },
      ...jsonFlag
    }
  },
  async func({ keep, json }) {
    process.exitCode = await runProgram('lab', [
      'demo',
      ...(keep === true ? ['--keep'] : []),
      ...(json === true ? ['--json'] : [])
    ])
  }
})

const up: Command<Context> = buildCommand<{ readonly hosts: number }, [], Context>({
  docs: { brief: 'Overlay hosts in network namespaces, joined by an underlay with delays' },
  parameters: {
    flags: { hosts: { kind: 'parsed', parse: Number, default: '5', placeholder: 'N', brief: 'How many' } }
  },
  async func({ hosts }) {
    process.exitCode = await runProgram('lab', ['up', '--hosts', String(hosts)])
  }
})

const down: Command<Context> = buildCommand<Record<never, never>, [], Context>({
  docs: { brief: 'Take the lab away, whatever is left of it' },
  parameters: { flags: {} },
  async func() {
    process.exitCode = await runProgram('lab', ['down'])
  }
})

export const lab: RouteMap<Context> = buildRouteMap({
  routes: { up, down },
  docs: { brief: 'Overlay hosts on this one machine, to try things with' }
})

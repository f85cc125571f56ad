import { buildCommand, buildRouteMap, type Command, type RouteMap } from '@stricli/core'
import type { Context } from '../context.ts'
import { becomeProgram } from '../program.ts'
import { type JsonFlag, jsonFlag } from './common.ts'

interface DemoFlags extends JsonFlag {
  readonly keep?: boolean
}

export const demo: Command<Context> = buildCommand<DemoFlags, [], Context>({
  docs: { brief: "The paper's Figure 2 on this machine, from nothing to failover" },
  parameters: {
    flags: {
      keep: {
        kind: 'boolean',
        optional: true,
        withNegated: false,
        brief: 'Leave it running, and say how to look around'
      },
      ...jsonFlag
    }
  },
  func({ keep, json }) {
    becomeProgram('lab', ['demo', ...flag('--keep', keep), ...flag('--json', json)])
  }
})

interface UpFlags extends JsonFlag {
  readonly hosts: string
}

const up: Command<Context> = buildCommand<UpFlags, [], Context>({
  docs: { brief: 'Overlay hosts in network namespaces, joined by an underlay with delays' },
  parameters: {
    flags: {
      hosts: { kind: 'parsed', parse: String, default: '5', placeholder: 'N', brief: 'How many' },
      ...jsonFlag
    }
  },
  func({ hosts, json }) {
    becomeProgram('lab', ['up', '--hosts', hosts, ...flag('--json', json)])
  }
})

interface DownFlags extends JsonFlag {
  readonly all?: boolean
}

const down: Command<Context> = buildCommand<DownFlags, [string?], Context>({
  docs: { brief: 'Take the lab away, whatever is left of it' },
  parameters: {
    positional: {
      kind: 'tuple',
      parameters: [
        { parse: String, placeholder: 'LAB', optional: true, brief: 'Which, where there are several' }
      ]
    },
    flags: {
      all: { kind: 'boolean', optional: true, withNegated: false, brief: 'Every lab of this machine' },
      ...jsonFlag
    }
  },
  func({ all, json }, name) {
    const names = name === undefined ? [] : ['--', name]
    becomeProgram('lab', ['down', ...flag('--all', all), ...flag('--json', json), ...names])
  }
})

function flag(name: string, given: boolean | undefined): readonly string[] {
  return given === true ? [name] : []
}

export const lab: RouteMap<Context> = buildRouteMap({
  routes: { up, down },
  docs: { brief: 'Overlay hosts on this one machine, to try things with' }
})

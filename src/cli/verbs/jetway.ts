import { buildCommand, type Command } from '@stricli/core'
import { ViolinError } from '#core/errors.ts'
import type { Context } from '../context.ts'
import { showProgress } from '../print/progress.ts'
import { parseTarget } from '../session.ts'
import { durationFlag, jetwayArgument, type JsonFlag, jsonFlag, printJson } from './common.ts'

interface Flags extends JsonFlag {
  readonly timeout: number
  readonly bridge?: readonly string[]
  readonly reach?: readonly string[]
}

const words = ['on', 'off', 'allow', 'forbid'] as const
type Word = (typeof words)[number]

const listFlag = <const P extends string>(
  placeholder: P,
  brief: string
): {
  kind: 'parsed'
  parse: (text: string) => string
  optional: true
  variadic: true
  placeholder: P
  brief: string
} => ({ kind: 'parsed', parse: (text) => text, optional: true, variadic: true, placeholder, brief })

export const jetway: Command<Context> = buildCommand<Flags, [word: Word, target: string], Context>({
  docs: {
    brief: 'Open or shut a door between a vLAN and the real network',
    customUsage: ['on|off NAME/JETWAY', 'allow|forbid OWNER'],
    fullDescription:
      "on, off: of its owner. Off: nothing passes, flows under way end, nothing of it is left on the host. allow, forbid: of a host's operator, who lets an owner (a key, a host, or the VIOLIN of one) have jetways there; nobody may at first (docs/jetway.md)."
  },
  parameters: {
    flags: {
      timeout: durationFlag('How long to wait for its host', '30s'),
      bridge: listFlag('BRIDGE', 'allow: a bridge of this host that they may join'),
      reach: listFlag('NETWORK', "allow: what of this host's own may be reached: a network, or `host`"),
      ...jsonFlag
    },
    positional: {
      kind: 'tuple',
      parameters: [
        {
          parse: readWord,
          placeholder: 'WORD',
          brief: 'on, off, allow or forbid',
          proposeCompletions: () => [...words]
        },
        { ...jetwayArgument, placeholder: 'WHAT', brief: 'A jetway of a VIOLIN, NAME/JETWAY; or an owner' }
      ]
    }
  },
  async func({ timeout, bridge = [], reach = [], json }, word, target) {
    if (word === 'on' || word === 'off') {
      const { violin, entity } = parseTarget(target)
      const done = this.service.jetway({ violin, jetway: entity, open: word === 'on', timeoutMs: timeout })
      return showProgress(done, json === true)
    }
    const answer = await this.service.letJetways({
      owner: target,
      undo: word === 'forbid',
      bridges: bridge,
      reach
    })
    if (json === true) printJson(answer)
    else process.stdout.write(`${answer.text}\n`)
  }
})

function readWord(text: string): Word {
  const word = words.find((one) => one === text)
  if (word !== undefined) return word
  throw new ViolinError('usage', `${JSON.stringify(text)} is none of ${words.join(', ')}`, 'see --help')
}

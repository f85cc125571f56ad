import { buildCommand, type Command } from '@stricli/core'
import qrcode from 'qrcode-terminal'
import type { Context } from '../context.ts'
import { maxSlots } from '#core/admission/link.ts'
import { ViolinError } from '#core/errors.ts'
import { parseDuration } from '../duration.ts'
import { readToken } from '../token.ts'
import { type JsonFlag, jsonFlag, printJson } from './common.ts'

interface Flags extends JsonFlag {
  readonly expires?: number
  readonly uses?: number
  readonly role?: 'member' | 'admin'
  readonly for?: string
  readonly cancel?: string
  readonly 'without-network-key'?: boolean
}

/** What says how an invite is to be. */
const makingFlags = ['expires', 'uses', 'role', 'for', 'without-network-key'] as const
const standardLifeMs = 24 * 3600_000

export const invite: Command<Context> = buildCommand<Flags, [], Context>({
  docs: { brief: 'Print an invite to the mesh, or take one back' },
  parameters: {
    flags: {
      expires: {
        kind: 'parsed',
        parse: parseDuration,
        optional: true,
        placeholder: 'TIME',
        brief: 'How long it can be used (24h)'
      },
      uses: {
        kind: 'parsed',
        parse: parseUses,
        optional: true,
        placeholder: 'N',
        brief: 'How many hosts may join with it (1)'
      },
      role: {
        kind: 'enum',
        values: ['member', 'admin'],
        optional: true,
        brief: 'What they become (member); only admins invite'
      },
      for: {
        kind: 'parsed',
        parse: String,
        optional: true,
        placeholder: 'PEERID',
        brief: 'Only this host may use it: the id that `violin join --id` printed there'
      },
      cancel: {
        kind: 'parsed',
        parse: String,
        optional: true,
        placeholder: 'TOKEN',
        brief: 'Take this invite back'
      },
      'without-network-key': {
        kind: 'boolean',
        optional: true,
        withNegated: false,
        brief: 'The joiner has the key of the closed network otherwise'
      },
      ...jsonFlag
    }
  },
  async func(flags) {
    if (flags.cancel !== undefined) {
      const other = makingFlags.find((name) => flags[name] !== undefined)
      if (other !== undefined)
        throw new ViolinError(
          'usage',
          `--${other} is of an invite that is made: --cancel takes one back as it is`,
          'leave one of the two out'
        )
      await this.service.cancelInvite({ token: await readToken(flags.cancel) })
      if (flags.json === true) printJson({})
      else process.stderr.write('the invite is taken back\n')
      return
    }
    const { expires = standardLifeMs, uses = 1, role = 'member' } = flags
    const made = await this.service.invite({
      expiresMs: expires,
      uses,
      role,
      ...(flags.for === undefined ? {} : { for: flags.for }),
      ...(flags['without-network-key'] === true ? { withoutNetworkKey: true } : {})
    })
    if (flags.json === true) return printJson(made)
    process.stdout.write(`${made.token}\n`)
    if (!process.stdout.isTTY) return
    qrcode.generate(made.token, { small: true }, (picture) => process.stderr.write(`${picture}\n`))
    process.stderr.write(`good for ${uses} until ${made.expiresAt}: violin join TOKEN\n`)
  }
})

/** How many hosts an invite is for. Throws ViolinError `usage`. */
export function parseUses(text: string): number {
  const uses = Number(text)
  if (/^[0-9]{1,9}$/.test(text) && uses >= 1 && uses <= maxSlots) return uses
  throw new ViolinError(
    'usage',
    `${JSON.stringify(text)} is no whole number from 1 to ${maxSlots}`,
    'write how many hosts may join with it: violin invite --uses 5'
  )
}

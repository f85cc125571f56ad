import { buildCommand, buildRouteMap, type Command, type RouteMap } from '@stricli/core'
import { ViolinError } from '#core/errors.ts'
import { type LinkField, linkWords, type LinkWord, parseLinkWord, sayLinkWord } from '#core/link.ts'
import type { Context } from '../context.ts'
import { table } from '../print/table.ts'
import { parseTarget } from '../session.ts'
import { durationFlag, entityArgument, type JsonFlag, jsonFlag, printJson } from './common.ts'

interface ChangeFlags extends JsonFlag {
  readonly timeout: number
}
type SetFlags = ChangeFlags & Readonly<Partial<Record<LinkWord, number>>>

/** One vNIC. */
interface Target {
  readonly violin: string
  readonly entity: string
  readonly nic: string
}

const nicArgument = {
  ...entityArgument,
  placeholder: 'NAME/ENTITY:NIC',
  brief: 'A vNIC of an entity'
} as const
const changeFlags = { timeout: durationFlag('How long to wait until it acts', '20s'), ...jsonFlag } as const

const set: Command<Context> = buildCommand<SetFlags, [target: string], Context>({
  docs: {
    brief: 'Say what happens to frames of a vNIC, each way',
    fullDescription:
      'What is left out keeps its value; 0 takes it back. It acts on what the machine sends and on what it gets.'
  },
  parameters: {
    flags: {
      delay: wordFlag('delay'),
      jitter: wordFlag('jitter'),
      loss: wordFlag('loss'),
      duplicate: wordFlag('duplicate'),
      reorder: wordFlag('reorder'),
      rate: wordFlag('rate'),
      queue: wordFlag('queue'),
      ...changeFlags
    },
    positional: { kind: 'tuple', parameters: [nicArgument] }
  },
  async func({ timeout, json, ...words }, target) {
    const said = Object.entries(words).flatMap(([word, value]) =>
      value === undefined ? [] : [[linkWords[word as LinkWord].field, value] as const]
    )
    if (said.length === 0)
      throw new ViolinError(
        'usage',
        'nothing to set',
        `say what: ${Object.keys(linkWords)
          .map((word) => `--${word}`)
          .join(', ')}`
      )
    await change(
      this,
      target,
      { set: Object.fromEntries(said) as Partial<Record<LinkField, number>> },
      timeout,
      json
    )
  }
})

const reset: Command<Context> = changing('Take back all that was said of a vNIC’s link', { reset: true })
const down: Command<Context> = changing('Pull the cable of a vNIC', { down: true })
const up: Command<Context> = changing('Put the cable of a vNIC in again', { down: false })

const show: Command<Context> = buildCommand<JsonFlag, [target: string], Context>({
  docs: { brief: 'Show the links of a VIOLIN, of an entity or of one vNIC' },
  parameters: {
    flags: jsonFlag,
    positional: {
      kind: 'tuple',
      parameters: [
        { ...entityArgument, placeholder: 'NAME[/ENTITY[:NIC]]', brief: 'A VIOLIN, an entity or a vNIC' }
      ]
    }
  },
  async func({ json }, target) {
    const [name = '', rest] = target.split('/')
    const [entity, nic] = rest === undefined ? [] : rest.split(':')
    const shown = await this.service.show({ name, here: true })
    const rows = shown.entities.flatMap((one) =>
      one.nics
        .filter(
          (port) => (entity === undefined || one.name === entity) && (nic === undefined || port.name === nic)
        )
        .map((port) => ({ entity: one.name, nic: port.name, lan: port.lan, up: port.up, link: port.link }))
    )
    if (rows.length === 0)
      throw new ViolinError(
        'unknown-entity',
        `${name} has no ${rest === undefined ? 'vNIC' : rest}`,
        `see \`violin show ${name}\``
      )
    if (json === true) return printJson(rows)
    process.stdout.write(
      table(
        ['vnic', 'vlan', 'up', 'link'],
        rows.map((row) => [`${row.entity}:${row.nic}`, row.lan, row.up ? 'yes' : 'no', sayLink(row.link)])
      )
    )
  }
})

export const link: RouteMap<Context> = buildRouteMap({
  routes: { set, show, reset, down, up },
  docs: { brief: 'Delay, loss, rate of a vNIC’s link; pull its cable' }
})

/** A verb that says one thing. */
function changing(
  brief: string,
  what: { readonly reset?: boolean; readonly down?: boolean }
): Command<Context> {
  return buildCommand<ChangeFlags, [target: string], Context>({
    docs: { brief },
    parameters: { flags: changeFlags, positional: { kind: 'tuple', parameters: [nicArgument] } },
    func({ timeout, json }, target) {
      return change(this, target, what, timeout, json)
    }
  })
}

async function change(
  { service }: Context,
  text: string,
  what: {
    readonly reset?: boolean
    readonly down?: boolean
    readonly set?: Partial<Record<LinkField, number>>
  },
  timeoutMs: number,
  json: boolean | undefined
): Promise<void> {
  const target = parseNic(text)
  const { version, link: now } = await service.link({ ...target, ...what, timeoutMs })
  if (json === true) return printJson({ ...target, version, link: now })
  process.stdout.write(`${text}: ${sayLink(now)} (version ${version})\n`)
}

function sayLink(words: Readonly<Record<string, string>>): string {
  const { down: out, ...rest } = words
  const said = Object.entries(rest).map(([word, value]) => `${word} ${value}`)
  return [...(out === undefined ? [] : ['down']), ...said].join(', ') || 'plain'
}

/** Splits `NAME/ENTITY:NIC`. Throws ViolinError `usage`. */
export function parseNic(text: string): Target {
  const { violin, entity: rest } = parseTarget(text)
  const [entity, nic, more] = rest.split(':')
  if (entity === undefined || entity === '' || nic === undefined || nic === '' || more !== undefined)
    throw new ViolinError(
      'usage',
      `${JSON.stringify(text)} names no vNIC`,
      'write it as NAME/ENTITY:NIC, such as figure2/vhost1:eth0'
    )
  return { violin, entity, nic }
}

function wordFlag<W extends LinkWord>(
  word: W
): { kind: 'parsed'; parse: (text: string) => number; optional: true; placeholder: string; brief: string } {
  const parse = (text: string): number => {
    const value = parseLinkWord(word, text)
    if (value === null)
      throw new ViolinError('usage', `${JSON.stringify(text)} is no ${word}`, sayLinkWord(word))
    return value
  }
  const { brief, example } = linkWords[word]
  return { kind: 'parsed', parse, optional: true, placeholder: example, brief }
}

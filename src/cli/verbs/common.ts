/** Flags and arguments that several verbs share. */
import { resolve } from 'node:path'
import { parseDuration } from '../duration.ts'
import type { Show } from '#api/contract.ts'
import type { Context } from '../context.ts'

/** Of verbs that take none. */
export type NoFlags = Readonly<Record<string, never>>

export interface JsonFlag {
  readonly json?: boolean
}

export const jsonFlag = {
  json: { kind: 'boolean', optional: true, withNegated: false, brief: 'One JSON document on standard output' }
} as const
export const yesFlag = {
  yes: { kind: 'boolean', optional: true, withNegated: false, brief: 'Do not ask' }
} as const
export const listenFlag = {
  listen: {
    kind: 'parsed',
    parse: (text: string): string => text,
    optional: true,
    variadic: true,
    placeholder: 'MULTIADDR',
    brief: 'Where the mesh listens, as /ip4/0.0.0.0/tcp/4780'
  }
} as const
export const nameFlag = {
  name: {
    kind: 'parsed',
    parse: (text: string): string => text,
    optional: true,
    placeholder: 'N',
    brief: "The host's name for people"
  }
} as const

/** The key of a closed network. */
export const networkKeyFlag = {
  'network-key': {
    kind: 'parsed',
    parse: (text: string): string => text,
    optional: true,
    placeholder: 'FILE',
    brief: 'Of a closed network: the file with its key (init: or `new`)'
  }
} as const

/** As the daemon's program takes it: paths are meant from here. */
export function networkKeyOption(given: string | undefined): { readonly networkKey?: string } {
  return given === undefined ? {} : { networkKey: given === 'new' ? given : resolve(given) }
}

/** A duration with a default. */
export function durationFlag<const D extends string>(
  brief: string,
  standard: D
): { kind: 'parsed'; parse: (text: string) => number; default: D; placeholder: string; brief: string } {
  return { kind: 'parsed', parse: parseDuration, default: standard, placeholder: 'TIME', brief }
}

/** Who cannot be asked proposes nothing: a completion is no place for a refusal. */
function nothing(): readonly never[] {
  return []
}

/** The name of a VIOLIN; the daemon proposes those that it knows. */
export const violinArgument = {
  parse: (text: string): string => text,
  placeholder: 'NAME',
  brief: 'Name, id or name@owner',
  async proposeCompletions(this: Context): Promise<readonly string[]> {
    const violins = await this.service.list({}).catch(nothing)
    return violins.map(({ name }) => name)
  }
} as const

interface PartArgument {
  readonly parse: (text: string) => string
  readonly placeholder: string
  readonly brief: string
  readonly proposeCompletions: (this: Context) => Promise<readonly string[]>
}

/** A part of a VIOLIN, NAME/PART; the daemon proposes those that it knows. */
function partArgument(
  placeholder: string,
  brief: string,
  partsOf: (show: Show) => readonly { readonly name: string }[]
): PartArgument {
  return {
    parse: (text) => text,
    placeholder,
    brief,
    async proposeCompletions() {
      const violins = await this.service.list({}).catch(nothing)
      const shows = await Promise.all(
        violins.map(({ id }) => this.service.show({ name: id }).catch(() => null))
      )
      return shows
        .filter((show) => show !== null)
        .flatMap((show) => partsOf(show).map(({ name }) => `${show.name}/${name}`))
    }
  }
}

export const entityArgument: PartArgument = partArgument(
  'NAME/ENTITY',
  'An entity of a VIOLIN',
  ({ entities }) => entities
)
export const lanArgument: PartArgument = partArgument('NAME/LAN', 'A vLAN of a VIOLIN', ({ lans }) => lans)
export const jetwayArgument: PartArgument = partArgument(
  'NAME/JETWAY',
  'A jetway of a VIOLIN',
  ({ jetways }) => jetways
)

/** Prints one JSON document. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

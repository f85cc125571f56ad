/** The topology file's shape; its JSON Schema is published for editors (config/topology.schema.json). */
import * as z from 'zod'
import { maxNicsPerEntity, type Restart, restarts } from '#core/spec.ts'

/** Entities that `count` may make of one, and that a file may have. */
export const maxEntities = 1_000

const text = z.string().max(256)
const scalar = z.union([z.string(), z.number(), z.boolean()])

const nic = z.strictObject({
  name: text.optional().meta({ description: 'Name inside the entity; eth0, eth1… in order when left out' }),
  lan: text.meta({ description: 'The vLAN it is plugged into' }),
  ip: text
    .optional()
    .meta({ description: "Its address; the next free one of the vLAN's subnet when left out" })
})

const settings = {
  driver: z
    .enum(['uml', 'netns'])
    .optional()
    .meta({ description: 'A jailed User-Mode Linux machine, or a network namespace' }),
  memory: z
    .string()
    .regex(/^[1-9][0-9]{0,5}[MG]$/, 'is no memory size: write 64M or 1G')
    .optional()
    .meta({ description: 'Memory of a virtual machine, as 128M' }),
  files: z
    .record(z.string(), text)
    .optional()
    .meta({ description: 'Path inside the entity → file beside the topology file' }),
  run: text.optional().meta({ description: 'A script beside the topology file, run once inside' }),
  restart: z.enum(restarts).optional().meta({
    description:
      'When its machine or its host dies: failover to another host, again on-failure where it was, or never'
  }),
  env: z.record(z.string(), scalar).optional().meta({ description: 'Environment of the script and of exec' })
}

const entity = z.strictObject({
  lan: text.optional().meta({ description: 'Short for one vNIC on this vLAN' }),
  ip: text.optional().meta({ description: 'The address of that one vNIC' }),
  nics: z.array(nic).max(maxNicsPerEntity).optional(),
  on: text.optional().meta({ description: 'The overlay host that runs it, by name or id' }),
  count: z.int().min(1).max(maxEntities).optional().meta({ description: 'Makes name1 … nameN' }),
  ...settings
})

const lan = z.strictObject({
  subnet: text.meta({ description: 'IPv4 network, as 192.168.1.0/24' }),
  vswitch: z.array(text).max(64).optional().meta({ description: 'Hosts that may switch it, in order' }),
  gateway: text.optional().meta({ description: 'The router that is the default route, of several' })
})

export const schema: z.ZodType<TopologyFile> = z.strictObject({
  name: text,
  driver: settings.driver,
  defaults: z.strictObject(settings).optional(),
  lans: z.record(z.string(), lan),
  hosts: z.record(z.string(), entity.nullable()).optional(),
  routers: z.record(z.string(), entity.nullable()).optional()
}) as unknown as z.ZodType<TopologyFile>

export interface FileSettings {
  readonly driver?: 'uml' | 'netns'
  readonly memory?: string
  readonly files?: Readonly<Record<string, string>>
  readonly run?: string
  readonly env?: Readonly<Record<string, string | number | boolean>>
  readonly restart?: Restart
}

export interface FileEntity extends FileSettings {
  readonly lan?: string
  readonly ip?: string
  readonly nics?: readonly { readonly name?: string; readonly lan: string; readonly ip?: string }[]
  readonly on?: string
  readonly count?: number
}

/** A topology file as it is written. */
export interface TopologyFile {
  readonly name: string
  readonly driver?: 'uml' | 'netns'
  readonly defaults?: FileSettings
  readonly lans: Readonly<
    Record<
      string,
      { readonly subnet: string; readonly vswitch?: readonly string[]; readonly gateway?: string }
    >
  >
  readonly hosts?: Readonly<Record<string, FileEntity | null>>
  readonly routers?: Readonly<Record<string, FileEntity | null>>
}

const entityWords = Object.keys(entity.shape)

/** The words of each place in a file, `*` for any name; for telling the nearest right one. */
export const wordsAt: ReadonlyMap<string, readonly string[]> = new Map([
  ['', ['name', 'driver', 'defaults', 'lans', 'hosts', 'routers']],
  ['defaults', Object.keys(settings)],
  ['lans.*', Object.keys(lan.shape)],
  ['hosts.*', entityWords],
  ['routers.*', entityWords],
  ['hosts.*.nics.*', Object.keys(nic.shape)],
  ['routers.*.nics.*', Object.keys(nic.shape)]
])

/** Words of the language that this version does not act on: refused by name, never ignored. */
export const laterWords: ReadonlySet<string> = new Set([
  'ipv6',
  'link',
  'image',
  'routing',
  'multicast',
  'firewall',
  'frr',
  'nat',
  'jetways',
  'offer',
  'anycast',
  'kernel',
  'disk',
  'dhcp',
  'dns'
])

/** JSON Schema of a topology file, for editors. */
export function jsonSchema(): object {
  return z.toJSONSchema(schema, { io: 'input' })
}

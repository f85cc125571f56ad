/** The topology file's shape; its JSON Schema is published for editors (config/topology.schema.json). */
import * as z from 'zod'
import { linkWords, type LinkWord, parseLinkWord, sayLinkWord } from '#core/link.ts'
import {
  type Jetway,
  jetwayModes,
  type LanService,
  maxNicsPerEntity,
  type Restart,
  restarts,
  type Routing,
  type RoutingRule,
  routings,
  ruleProtocols
} from '#core/spec.ts'

/** Entities that `count` may make of one, and that a file may have. */
export const maxEntities = 1_000
/** Rules of one router. */
const maxRules = 64
/** Anycast addresses of one vHost. */
const maxAnycast = 8

const text = z.string().max(256)
const scalar = z.union([z.string(), z.number(), z.boolean()])

const linkWord = (word: LinkWord): z.ZodOptional<z.ZodType<string | number>> =>
  z
    .union([z.string().max(32), z.number()])
    .refine((text) => parseLinkWord(word, String(text)) !== null, sayLinkWord(word))
    .optional()
    .meta({ description: linkWords[word].brief })

const link = z
  .strictObject({
    delay: linkWord('delay'),
    jitter: linkWord('jitter'),
    loss: linkWord('loss'),
    duplicate: linkWord('duplicate'),
    reorder: linkWord('reorder'),
    rate: linkWord('rate'),
    queue: linkWord('queue'),
    down: z.boolean().optional().meta({ description: 'The cable is out' })
  })
  .optional()
  .meta({ description: 'What happens to frames between this vNIC and its vLAN, each way' })

const nic = z.strictObject({
  name: text.optional().meta({ description: 'Name inside the entity; eth0, eth1… in order when left out' }),
  lan: text.meta({ description: 'The vLAN it is plugged into' }),
  ip: text
    .optional()
    .meta({ description: "Its address; the next free one of the vLAN's subnet when left out" }),
  ipv6: text
    .optional()
    .meta({ description: "Its IPv6 address; the next free one of the vLAN's prefix when left out" }),
  link
})

const settings = {
  driver: z
    .enum(['uml', 'netns'])
    .optional()
    .meta({ description: 'A jailed User-Mode Linux machine, or a network namespace' }),
  image: text.optional().meta({
    description:
      'What it begins with: tiny (busybox, the default), router (FRR, nftables…), or another image of the host'
  }),
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
  env: z.record(z.string(), scalar).optional().meta({ description: 'Environment of the script and of exec' }),
  routing: z.enum(routings).optional().meta({
    description: 'How a router knows the ways: none, static (computed from this file), or a protocol'
  }),
  multicast: z
    .enum(['pim'])
    .optional()
    .meta({ description: 'A router forwards multicast, by PIM sparse mode' })
}

const rule = z.strictObject({
  from: text
    .optional()
    .meta({ description: 'A network or address, or the name of a vLAN; anywhere when left out' }),
  to: text.optional().meta({ description: 'As `from`' }),
  proto: z.enum(ruleProtocols).optional(),
  port: z.int().min(1).max(65_535).optional().meta({ description: 'Destination, of tcp or udp' }),
  via: text.meta({ description: 'The next hop: who is beside the router, or its address' })
})

const entity = z.strictObject({
  lan: text.optional().meta({ description: 'Short for one vNIC on this vLAN' }),
  ip: text.optional().meta({ description: 'The address of that one vNIC' }),
  ipv6: text.optional().meta({ description: 'The IPv6 address of that one vNIC' }),
  link,
  nics: z.array(nic).max(maxNicsPerEntity).optional(),
  on: text.optional().meta({ description: 'The overlay host that runs it, by name or id' }),
  count: z.int().min(1).max(maxEntities).optional().meta({ description: 'Makes name1 … nameN' }),
  frr: text.optional().meta({ description: "A router's own configuration of FRR, in place of a made one" }),
  firewall: text.optional().meta({ description: 'Rules of nftables beside the topology file' }),
  nat: text
    .optional()
    .meta({ description: "The vLAN outside, which sees the router's address for all inside" }),
  rules: z.array(rule).min(1).max(maxRules).optional().meta({
    description:
      'Where a router sends some of what it forwards, whatever else it knows; the first that fits counts'
  }),
  click: z
    .strictObject({
      program: text.meta({ description: 'Path inside, of its image or of `files:`' }),
      config: text.meta({ description: 'Its configuration, a file beside the topology file' })
    })
    .optional()
    .meta({
      description: 'A program such as Click that forwards in place of the kernel; restarted when it ends'
    }),
  anycast: z
    .union([text, z.array(text).min(1).max(maxAnycast)])
    .optional()
    .meta({
      description: 'Addresses that other vHosts may have too; routers lead to the nearest'
    }),
  ...settings
})

const service = z.union([z.literal(true), text]).optional()

const lan = z.strictObject({
  subnet: text.optional().meta({ description: 'IPv4 network, as 192.168.1.0/24' }),
  ipv6: text.optional().meta({ description: 'IPv6 network, as fd00:1::/64' }),
  vswitch: z.array(text).max(64).optional().meta({ description: 'Hosts that may switch it, in order' }),
  gateway: text.optional().meta({ description: 'The router that is the default route, of several' }),
  dhcp: service.meta({ description: 'Its router, or the entity named, gives addresses by DHCP' }),
  dns: service.meta({ description: 'Its router, or the entity named, knows the names of all entities' }),
  ra: service.meta({ description: 'Its router, or the entity named, advertises the IPv6 prefix' })
})

const jetway = z.strictObject({
  lan: text.meta({ description: 'The vLAN it opens' }),
  on: text.meta({ description: 'The overlay host whose real network it leads to, by name or id' }),
  mode: z.enum(jetwayModes).meta({
    description: 'By address translation of the host, or as one more member of a bridge of the host'
  }),
  bridge: text.optional().meta({ description: "The host's bridge, of mode bridge" }),
  ip: text.optional().meta({ description: 'Its address on the vLAN, of mode nat; the next free one' }),
  enabled: z.boolean().optional().meta({
    description: 'Open or shut; left out: as `violin jetway on|off` left it, shut at first'
  })
})

export const schema: z.ZodType<TopologyFile> = z.strictObject({
  name: text,
  driver: settings.driver,
  rendezvous: text
    .optional()
    .meta({ description: 'The router at which senders and receivers of multicast meet' }),
  defaults: z.strictObject(settings).optional(),
  lans: z.record(z.string(), lan),
  hosts: z.record(z.string(), entity.nullable()).optional(),
  routers: z.record(z.string(), entity.nullable()).optional(),
  jetways: z.record(z.string(), jetway).optional()
}) as unknown as z.ZodType<TopologyFile>

export interface FileSettings {
  readonly driver?: 'uml' | 'netns'
  readonly image?: string
  readonly memory?: string
  readonly files?: Readonly<Record<string, string>>
  readonly run?: string
  readonly env?: Readonly<Record<string, string | number | boolean>>
  readonly restart?: Restart
  readonly routing?: Routing
  readonly multicast?: 'pim'
}

export interface FileNic {
  readonly name?: string
  readonly lan: string
  readonly ip?: string
  readonly ipv6?: string
  readonly link?: FileLink
}

/** A link as it is written. */
export type FileLink = Readonly<Partial<Record<LinkWord, string | number>>> & { readonly down?: boolean }

export interface FileEntity extends FileSettings {
  readonly lan?: string
  readonly ip?: string
  readonly ipv6?: string
  readonly link?: FileLink
  readonly nics?: readonly FileNic[]
  readonly on?: string
  readonly count?: number
  readonly frr?: string
  readonly firewall?: string
  readonly nat?: string
  readonly rules?: readonly RoutingRule[]
  readonly click?: { readonly program: string; readonly config: string }
  readonly anycast?: string | readonly string[]
}

export interface FileLan extends Readonly<Partial<Record<LanService, true | string>>> {
  readonly subnet?: string
  readonly ipv6?: string
  readonly vswitch?: readonly string[]
  readonly gateway?: string
}

export interface FileJetway {
  readonly lan: string
  readonly on: string
  readonly mode: Jetway['mode']
  readonly bridge?: string
  readonly ip?: string
  readonly enabled?: boolean
}

/** A topology file as it is written. */
export interface TopologyFile {
  readonly name: string
  readonly driver?: 'uml' | 'netns'
  readonly rendezvous?: string
  readonly defaults?: FileSettings
  readonly lans: Readonly<Record<string, FileLan>>
  readonly hosts?: Readonly<Record<string, FileEntity | null>>
  readonly routers?: Readonly<Record<string, FileEntity | null>>
  readonly jetways?: Readonly<Record<string, FileJetway>>
}

const entityWords = Object.keys(entity.shape)
const linkNames = [...Object.keys(linkWords), 'down']

/** The words of each place in a file, `*` for any name; for telling the nearest right one. */
export const wordsAt: ReadonlyMap<string, readonly string[]> = new Map([
  ['', ['name', 'driver', 'rendezvous', 'defaults', 'lans', 'hosts', 'routers', 'jetways']],
  ['defaults', Object.keys(settings)],
  ['lans.*', Object.keys(lan.shape)],
  ['hosts.*', entityWords],
  ['routers.*', entityWords],
  ['routers.*.rules.*', Object.keys(rule.shape)],
  ['routers.*.click', ['program', 'config']],
  ['jetways.*', Object.keys(jetway.shape)],
  ['hosts.*.nics.*', Object.keys(nic.shape)],
  ['routers.*.nics.*', Object.keys(nic.shape)],
  ['hosts.*.link', linkNames],
  ['routers.*.link', linkNames],
  ['hosts.*.nics.*.link', linkNames],
  ['routers.*.nics.*.link', linkNames]
])

/** Words of the language that this version does not act on: refused by name, never ignored. */
export const laterWords: ReadonlySet<string> = new Set(['offer', 'kernel', 'disk'])

/** JSON Schema of a topology file, for editors. */
export function jsonSchema(): object {
  return z.toJSONSchema(schema, { io: 'input' })
}

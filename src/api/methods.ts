/**
 * Every method of the API as it crosses the socket: the schema of its request, and whether it answers once or
 * as a stream. Server and client are both made from this table.
 */
import * as z from 'zod'
import type { ErrorData } from '#core/errors.ts'
import { linkWords } from '#core/link.ts'
import type { CaptureRequest, SessionRequest } from '#core/session.ts'
import {
  drivers,
  jetwayModes,
  lanServices,
  maxNicsPerEntity,
  restarts,
  routings,
  ruleProtocols,
  type Topology
} from '#core/spec.ts'
import type { Service } from './contract.ts'

/** Methods that are plain requests; `session` is an upgraded connection instead. */
export type Method = Exclude<keyof Service, 'session'>
export type Request<M extends Method> = Parameters<Service[M]>[0]

interface MethodEntry<R> {
  readonly request: z.ZodType<R>
  readonly stream: boolean
}

/** Longest request body, bytes: a topology with all of its files, in JSON. */
export const maxBodyBytes: number = 1024 * 1024
const maxTimeoutMs: number = 24 * 3600 * 1000

const name = z.string().min(1).max(256)
const timeoutMs = z.int().min(0).max(maxTimeoutMs)
const none = z.strictObject({})
const captured = z.union([z.strictObject({ lan: name }), z.strictObject({ entity: name, nic: name })])

/** File contents travel as base64. */
const bytes = z
  .base64()
  .max(maxBodyBytes)
  .transform((text) => new Uint8Array(Buffer.from(text, 'base64')))

/** The numbers of a link, each within its bounds; zero takes one back. */
const linkNumbers = Object.fromEntries(
  Object.values(linkWords).map(({ field, max }) => [field, z.int().min(0).max(max).optional()])
)
const link = z.strictObject({ ...linkNumbers, down: z.literal(true).optional() })

const topology = z.strictObject({
  name,
  lans: z
    .array(
      z.strictObject({
        name,
        subnet: name.optional(),
        ipv6: name.optional(),
        services: z.partialRecord(z.enum(lanServices), z.string().max(256)).optional(),
        vswitch: z.array(name).max(64),
        gateway: name.optional()
      })
    )
    .max(1_024),
  entities: z
    .array(
      z.strictObject({
        name,
        kind: z.enum(['host', 'router', 'jetway']),
        driver: z.enum(drivers),
        image: name,
        memoryMiB: z.int().min(1).max(1_048_576),
        on: name.optional(),
        restart: z.enum(restarts).optional(),
        nics: z
          .array(
            z.strictObject({
              name,
              lan: name,
              ip: name.optional(),
              ipv6: name.optional(),
              link: link.optional()
            })
          )
          .max(maxNicsPerEntity),
        env: z.record(z.string().max(256), z.string().max(65_536)),
        files: z
          .array(
            z.strictObject({ path: z.string().max(4_096), mode: z.int().min(0).max(0o7777), data: bytes })
          )
          .max(256),
        run: z.string().max(65_536).optional(),
        routing: z.enum(routings).optional(),
        multicast: z.enum(['pim']).optional(),
        nat: name.optional(),
        rules: z
          .array(
            z.strictObject({
              from: name.optional(),
              to: name.optional(),
              proto: z.enum(ruleProtocols).optional(),
              port: z.int().min(1).max(65_535).optional(),
              via: name
            })
          )
          .max(64)
          .optional(),
        click: name.optional(),
        anycast: z.array(name).max(64).optional(),
        jetway: z
          .strictObject({
            mode: z.enum(jetwayModes),
            bridge: z.string().max(15),
            enabled: z.boolean().optional()
          })
          .optional()
      })
    )
    .max(1_024),
  rendezvous: name.optional()
})
// Optional fields of the contract never hold undefined, which JSON cannot carry anyway.
const checkedTopology = topology as unknown as z.ZodType<Topology>

type Table = { readonly [M in Method]: MethodEntry<Request<M>> }

const optional = <T>(schema: z.ZodType): z.ZodType<T> => schema as unknown as z.ZodType<T>

export const methods: Table = {
  about: { request: none, stream: false },
  hosts: { request: none, stream: false },
  invite: {
    request: optional<Request<'invite'>>(
      z.strictObject({
        // How long and how many is the inviter's to judge, in words.
        expiresMs: z.number(),
        uses: z.number(),
        role: z.enum(['member', 'admin']),
        for: name.optional(),
        withoutNetworkKey: z.boolean().optional()
      })
    ),
    stream: false
  },
  cancelInvite: { request: z.strictObject({ token: z.string().max(65_536) }), stream: false },
  revoke: {
    request: optional<Request<'revoke'>>(
      z.strictObject({ host: name, andBelow: z.boolean().optional(), dryRun: z.boolean().optional() })
    ),
    stream: false
  },
  refuse: {
    request: optional<Request<'refuse'>>(
      z.strictObject({ owner: name, undo: z.boolean().optional(), everywhere: z.boolean().optional() })
    ),
    stream: false
  },
  plan: { request: z.strictObject({ topology: checkedTopology }), stream: false },
  apply: {
    request: z.strictObject({ topology: checkedTopology, wait: z.boolean(), timeoutMs }),
    stream: true
  },
  list: { request: none, stream: false },
  show: {
    request: optional<Request<'show'>>(z.strictObject({ name, here: z.boolean().optional() })),
    stream: false
  },
  config: { request: z.strictObject({ name }), stream: false },
  wait: { request: z.strictObject({ name, for: z.enum(['running', 'gone']), timeoutMs }), stream: false },
  delete: { request: z.strictObject({ name, timeoutMs }), stream: true },
  migrate: {
    request: optional<Request<'migrate'>>(z.strictObject({ violin: name, lan: name, to: name.optional() })),
    stream: false
  },
  move: { request: z.strictObject({ violin: name, entity: name, to: name, timeoutMs }), stream: true },
  addNic: {
    request: optional<Request<'addNic'>>(
      z.strictObject({ violin: name, entity: name, lan: name, ip: name.optional(), timeoutMs })
    ),
    stream: true
  },
  removeNic: { request: z.strictObject({ violin: name, entity: name, nic: name, timeoutMs }), stream: true },
  images: { request: none, stream: false },
  pullImage: {
    request: optional<Request<'pullImage'>>(z.strictObject({ image: name, from: name.optional() })),
    stream: true
  },
  removeImage: { request: z.strictObject({ image: name }), stream: false },
  jetway: {
    request: z.strictObject({ violin: name, jetway: name, open: z.boolean(), timeoutMs }),
    stream: true
  },
  letJetways: {
    request: optional<Request<'letJetways'>>(
      z.strictObject({
        owner: name,
        undo: z.boolean().optional(),
        bridges: z.array(z.string().max(15)).max(64).optional(),
        reach: z.array(z.string().max(18)).max(256).optional()
      })
    ),
    stream: false
  },
  attach: {
    request: optional<Request<'attach'>>(
      z.strictObject({
        violin: name,
        lan: name,
        ip: name.optional(),
        vhost: name.optional(),
        driver: z.enum(['uml', 'netns']).optional()
      })
    ),
    stream: true
  },
  offer: {
    request: optional<Request<'offer'>>(
      z.strictObject({ violin: name, lan: name, to: name, withdraw: z.boolean().optional() })
    ),
    stream: true
  },
  detach: {
    request: optional<Request<'detach'>>(z.strictObject({ violin: name.optional(), lan: name.optional() })),
    stream: false
  },
  power: {
    request: z.strictObject({ violin: name, entity: name, on: z.boolean(), timeoutMs }),
    stream: false
  },
  link: {
    request: optional<Request<'link'>>(
      z.strictObject({
        violin: name,
        entity: name,
        nic: name,
        reset: z.boolean().optional(),
        set: z.strictObject(linkNumbers).optional(),
        down: z.boolean().optional(),
        timeoutMs
      })
    ),
    stream: false
  },
  drain: { request: z.strictObject({ off: z.boolean(), timeoutMs }), stream: true },
  events: {
    request: optional<Request<'events'>>(z.strictObject({ follow: z.boolean(), violin: name.optional() })),
    stream: true
  },
  leave: { request: z.strictObject({ stop: z.boolean() }), stream: true },
  whereabouts: { request: z.strictObject({ violin: name, what: captured }), stream: true }
}

/** What a session begins with, in its first frame. */
export const sessionRequest: z.ZodType<SessionRequest | CaptureRequest> = optional<
  SessionRequest | CaptureRequest
>(
  z.union([
    z.strictObject({
      violin: name,
      entity: name,
      argv: z.array(z.string().max(65_536)).max(4_096),
      terminal: z
        .strictObject({ rows: z.int().min(1).max(65_535), columns: z.int().min(1).max(65_535) })
        .optional()
    }),
    z.strictObject({
      violin: name,
      host: name,
      capture: captured
    })
  ])
)

/** JSON of a request; bytes as base64. */
export function encodeRequest(request: unknown): string {
  // `this` holds the value as it was: a Buffer has a toJSON of its own, which comes first.
  return JSON.stringify(request, function (this: Record<string, unknown>, key, value: unknown) {
    const raw = this[key]
    return raw instanceof Uint8Array ? Buffer.from(raw).toString('base64') : value
  })
}

/** The refusal of a request that is longer than {@link maxBodyBytes}. */
export function tooLarge(): ErrorData {
  return {
    code: 'too-large',
    message: `a request is larger than ${maxBodyBytes / 1024} KiB`,
    remedy: 'make the topology or its files smaller'
  }
}

/** The name of the upgrade that makes a connection a session. */
export const sessionUpgrade = 'violin-session'

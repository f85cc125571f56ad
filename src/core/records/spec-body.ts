/**
 * A settled topology as it stands in a VIOLIN's record. Hosts are written once, in a table in the order in
 * which they first appear, and named by their place; so the encoding of a Spec has one form.
 *
 * Every text in here ends in a guest's configuration or in a path, so each is held to its own grammar.
 */
import { hostIdOf, keyBytes, publicKeyOf } from '../admission/host-id.ts'
import { readKey } from '../admission/link.ts'
import { hex, unhex } from '../derive.ts'
import type { HostId } from '../ids.ts'
import { type ImageHash, type ImageRef, tinyImage } from '../image.ts'
import { changeLink, type Link, linkWords, someLink } from '../link.ts'
import {
  type EntityFile,
  type EntityKind,
  type Jetway,
  type Offer,
  type Restart,
  type RoutingRule,
  type Spec,
  type SpecEntity,
  type SpecLan,
  type SpecNic,
  type SpecRoute,
  drivers,
  jetwayModes,
  lanServices,
  maxNicsPerEntity,
  restarts,
  routings,
  ruleProtocols
} from '../spec.ts'
import { isAddress, isPrefix } from './address.ts'
import {
  Malformed,
  readBytes,
  readFlag,
  readInteger,
  readList,
  readMap,
  readText,
  readTexts
} from './cbor.ts'
import { isName, maxNameLength } from './name.ts'

/** Bounds of one VIOLIN as a record; what does not fit in 64 KiB is refused before these matter. */
export const specLimits = {
  lans: 1024,
  entities: 4096,
  /** Hosts named in one record. */
  hosts: 1000,
  /** Hosts that may run one entity. */
  hostsPerEntity: 16,
  offers: 256,
  /** The claims of a generation are 2¹⁶, all of them below 2³¹. */
  generation: 0x7fff,
  ipsPerNic: 16,
  routes: 64,
  files: 64,
  env: 64,
  /** Characters of a run script, of a value of the environment. */
  text: 32_768,
  path: 255,
  anycast: 16,
  rules: 64,
  memoryMiB: 1_048_576
} as const

const entityKinds: readonly EntityKind[] = ['host', 'router', 'jetway']
/** Linux: IFNAMSIZ less the final zero. */
const maxNicName = 15

/** Plain data for CBOR. */
export function specToWire(spec: Spec): unknown {
  const table = new Map<HostId, number>()
  const places = (hosts: readonly HostId[]): readonly number[] =>
    hosts.map((host) => {
      const place = table.get(host) ?? table.size
      table.set(host, place)
      return place
    })
  const lans = spec.lans.map((lan) => ({
    name: lan.name,
    subnet: lan.subnet ?? null,
    ipv6: lan.ipv6 ?? null,
    services: lan.services ?? {},
    hosts: places(lan.hosts)
  }))
  const entities = spec.entities.map((entity) => ({
    name: entity.name,
    kind: entity.kind,
    driver: entity.driver,
    image: imageToWire(entity.image),
    memoryMiB: entity.memoryMiB,
    nics: entity.nics.map(({ name, lan, ips, link }) => ({ name, lan, ips, link: linkToWire(link) })),
    routes: entity.routes.map(({ to, via }) => ({ to, via })),
    env: entity.env,
    files: entity.files.map(({ path, mode, data }) => ({ path, mode, data })),
    run: entity.run,
    hosts: places(entity.hosts),
    pinned: entity.pinned,
    restart: entity.restart,
    stopped: entity.stopped === true,
    generation: entity.generation,
    routing: entity.routing ?? null,
    multicast: entity.multicast ?? null,
    nat: entity.nat ?? null,
    rules: (entity.rules ?? []).map(ruleToWire),
    click: entity.click ?? null,
    anycast: entity.anycast ?? [],
    jetway: entity.jetway === undefined ? null : jetwayToWire(entity.jetway),
    by: entity.by === undefined ? [] : places([entity.by])
  }))
  const offers = (spec.offers ?? []).map(({ lan, to }) => ({ lan, to: places([to]) }))
  const rendezvous = spec.rendezvous ?? null
  return { name: spec.name, hosts: hostsToWire([...table.keys()]), lans, entities, rendezvous, offers }
}

/** Checks shape, bounds and references. Throws {@link Malformed}. */
export function specFromWire(value: unknown): Spec {
  const wire = readMap(value, 'spec', ['name', 'hosts', 'lans', 'entities', 'rendezvous', 'offers'])
  const hosts = hostsFromWire(wire.hosts, 'hosts', specLimits.hosts)
  const lans = readList(wire.lans, 'lans', 0, specLimits.lans).map((lan) => lanFromWire(lan, hosts))
  const names = new Set<string>()
  for (const lan of lans) unique(names, lan.name)
  const lanNames = new Set(names)
  const entities = readList(wire.entities, 'entities', 0, specLimits.entities).map((one) => {
    const entity = entityFromWire(one, hosts, lanNames)
    unique(names, entity.name)
    return entity
  })
  const rendezvous = maybe(wire.rendezvous, (name) => readName(name, 'rendezvous'))
  if (rendezvous !== undefined && !names.has(rendezvous)) throw new Malformed('rendezvous is no entity')
  const offers = readList(wire.offers, 'offers', 0, specLimits.offers).map((one) =>
    offerFromWire(one, hosts, lanNames)
  )
  return {
    name: readName(wire.name, 'name'),
    lans,
    entities,
    ...present({ rendezvous, offers: offers.length === 0 ? undefined : offers })
  }
}

/** What may be left out is null on the wire. */
function maybe<T>(value: unknown, read: (value: unknown) => T): T | undefined {
  return value === null ? undefined : read(value)
}

type Present<T> = { readonly [K in keyof T]?: Exclude<T[K], undefined> }

/** Without those fields that have no value. */
function present<T extends object>(fields: T): Present<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Present<T>
}

/** Hosts as the 32 bytes of their keys. Throws RangeError for a text that is no host id. */
export function hostsToWire(hosts: readonly HostId[]): readonly Uint8Array[] {
  return hosts.map((host) => {
    const key = publicKeyOf(host)
    if (key === null) throw new RangeError(`${host} is no host id`)
    return keyBytes(key)
  })
}

/** The reverse of {@link hostsToWire}; none twice. Throws {@link Malformed}. */
export function hostsFromWire(value: unknown, what: string, max: number): readonly HostId[] {
  const hosts = readList(value, what, 0, max).map((one) => hostIdOf(readKey(one, 'host')))
  if (new Set(hosts).size !== hosts.length) throw new Malformed(`a host stands twice in ${what}`)
  return hosts
}

/** A name by the one rule. Throws {@link Malformed}. */
export function readName(value: unknown, what: string): string {
  const name = readText(value, what, maxNameLength)
  if (!isName(name)) throw new Malformed(`${what} is no name`)
  return name
}

function lanFromWire(value: unknown, hosts: readonly HostId[]): SpecLan {
  const wire = readMap(value, 'lan', ['name', 'subnet', 'ipv6', 'services', 'hosts'])
  const network = (text: unknown): string => {
    const subnet = readText(text, 'subnet', 49)
    if (!isPrefix(subnet)) throw new Malformed('subnet is no prefix')
    return subnet
  }
  const services = servicesFromWire(wire.services)
  return {
    name: readName(wire.name, 'name of a lan'),
    ...present({ subnet: maybe(wire.subnet, network), ipv6: maybe(wire.ipv6, network), services }),
    hosts: pick(wire.hosts, hosts, 0, specLimits.hosts)
  }
}

function servicesFromWire(value: unknown): SpecLan['services'] {
  const entries = Object.entries(readTexts(value, 'services', lanServices.length))
  const services = entries.map(
    ([service, by]) =>
      [readOneOf(service, 'service', lanServices), readName(by, 'who does a service')] as const
  )
  return services.length === 0 ? undefined : Object.fromEntries(services)
}

function anycastFromWire(value: unknown): SpecEntity['anycast'] {
  const addresses = readList(value, 'anycast', 0, specLimits.anycast).map((one) => {
    const address = readText(one, 'anycast', 45)
    if (!isAddress(address)) throw new Malformed('an anycast address is no address')
    return address
  })
  return addresses.length === 0 ? undefined : addresses
}

function ruleToWire({ from, to, proto, port, via }: RoutingRule): unknown {
  return { from: from ?? null, to: to ?? null, proto: proto ?? null, port: port ?? null, via }
}

function rulesFromWire(value: unknown): SpecEntity['rules'] {
  const rules = readList(value, 'rules', 0, specLimits.rules).map((one): RoutingRule => {
    const wire = readMap(one, 'rule', ['from', 'to', 'proto', 'port', 'via'])
    const network = (text: unknown): string => {
      const network = readText(text, 'network of a rule', 49)
      return isPrefix(network) ? network : readName(text, 'vLAN of a rule')
    }
    const via = readText(wire.via, 'via of a rule', 63)
    return {
      ...present({
        from: maybe(wire.from, network),
        to: maybe(wire.to, network),
        proto: maybe(wire.proto, (word) => readOneOf(word, 'proto', ruleProtocols)),
        port: maybe(wire.port, (port) => readInteger(port, 'port', 1, 65_535))
      }),
      via: isAddress(via) ? via : readName(via, 'via of a rule')
    }
  })
  return rules.length === 0 ? undefined : rules
}

/** It stands in a shell script. */
function programFromWire(value: unknown): string {
  const program = readText(value, 'program', specLimits.path)
  if (!/^(\/[A-Za-z0-9][A-Za-z0-9._+-]*)+$/.test(program)) throw new Malformed('a program has no plain path')
  return program
}

function pick(value: unknown, hosts: readonly HostId[], min: number, max: number): readonly HostId[] {
  const places = readList(value, 'hosts', min, max).map((place) =>
    readInteger(place, 'place of a host', 0, hosts.length - 1)
  )
  if (new Set(places).size !== places.length) throw new Malformed('a host is named twice in one list')
  return places.map((place) => hosts[place] as HostId)
}

function entityFromWire(value: unknown, hosts: readonly HostId[], lans: ReadonlySet<string>): SpecEntity {
  const wire = readMap(value, 'entity', [
    'name',
    'kind',
    'driver',
    'image',
    'memoryMiB',
    'nics',
    'routes',
    'env',
    'files',
    'run',
    'hosts',
    'pinned',
    'restart',
    'stopped',
    'generation',
    'routing',
    'multicast',
    'nat',
    'rules',
    'click',
    'anycast',
    'jetway',
    'by'
  ])
  const nicNames = new Set<string>()
  return checkedDoor({
    name: readName(wire.name, 'name of an entity'),
    kind: readOneOf(wire.kind, 'kind of entity', entityKinds),
    driver: readOneOf(wire.driver, 'driver', drivers),
    image: imageFromWire(wire.image),
    memoryMiB: readInteger(wire.memoryMiB, 'memory', 1, specLimits.memoryMiB),
    nics: readList(wire.nics, 'nics', 0, maxNicsPerEntity).map((one) => {
      const nic = nicFromWire(one, lans)
      unique(nicNames, nic.name)
      return nic
    }),
    routes: readList(wire.routes, 'routes', 0, specLimits.routes).map(routeFromWire),
    env: envFromWire(wire.env),
    files: readList(wire.files, 'files', 0, specLimits.files).map(fileFromWire),
    run: readLine(wire.run, 'run script'),
    hosts: pick(wire.hosts, hosts, 1, specLimits.hostsPerEntity),
    pinned: readFlag(wire.pinned, 'pinned'),
    restart: readOneOf<Restart>(wire.restart, 'restart', restarts),
    ...(readFlag(wire.stopped, 'stopped') ? { stopped: true as const } : {}),
    generation: readInteger(wire.generation, 'generation', 0, specLimits.generation),
    ...present({
      routing: maybe(wire.routing, (word) => readOneOf(word, 'routing', routings)),
      multicast: maybe(wire.multicast, (word) => readOneOf(word, 'multicast', ['pim'] as const)),
      nat: maybe(wire.nat, (lan) => readName(lan, 'the vLAN outside')),
      rules: rulesFromWire(wire.rules),
      click: maybe(wire.click, programFromWire),
      anycast: anycastFromWire(wire.anycast),
      jetway: maybe(wire.jetway, jetwayFromWire),
      by: pick(wire.by, hosts, 0, 1)[0]
    })
  })
}

function offerFromWire(value: unknown, hosts: readonly HostId[], lans: ReadonlySet<string>): Offer {
  const wire = readMap(value, 'offer', ['lan', 'to'])
  const lan = readName(wire.lan, 'lan of an offer')
  if (!lans.has(lan)) throw new Malformed('an offer is of a lan that is not there')
  return { lan, to: pick(wire.to, hosts, 1, 1)[0] as HostId }
}

function jetwayToWire({ mode, bridge, enabled }: Jetway): unknown {
  return { mode, bridge, enabled }
}

function jetwayFromWire(value: unknown): Jetway {
  const wire = readMap(value, 'jetway', ['mode', 'bridge', 'enabled'])
  const mode = readOneOf(wire.mode, 'mode', jetwayModes)
  const bridge = readText(wire.bridge, 'bridge', maxNicName)
  if (mode === 'bridge' ? !isInterface(bridge) : bridge !== '')
    throw new Malformed('bridge is no name of an interface')
  return { mode, bridge, enabled: readFlag(wire.enabled, 'enabled') }
}

/** Whether a text can name a network interface (dev_valid_name of Linux, without what a shell might take amiss). */
export function isInterface(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/.test(text)
}

/** A door has one vNIC, one host that is named for it, and no machine; nothing else is a door. */
function checkedDoor(entity: SpecEntity): SpecEntity {
  const { kind, driver, jetway, nics, hosts, pinned } = entity
  const isJetway = kind === 'jetway'
  if ((jetway !== undefined) !== isJetway || (isJetway && driver !== 'tap') || kind + driver === 'routertap')
    throw new Malformed('a jetway and its driver do not fit')
  if (driver === 'tap' && (nics.length !== 1 || hosts.length !== 1 || !pinned))
    throw new Malformed('a door has not one vNIC and one host')
  return entity
}

/** Null for `tiny`, which is each host's own; else its name and hash. */
function imageToWire({ name, hash }: ImageRef): unknown {
  return hash === null ? null : { name, hash: unhex(hash) }
}

function imageFromWire(value: unknown): ImageRef {
  if (value === null) return tinyImage
  const wire = readMap(value, 'image', ['name', 'hash'])
  const name = readName(wire.name, 'name of an image')
  if (name === tinyImage.name) throw new Malformed('the image tiny has no hash')
  return { name, hash: hex(readBytes(wire.hash, 'hash of an image', 32, 32)) as ImageHash }
}

function nicFromWire(value: unknown, lans: ReadonlySet<string>): SpecNic {
  const wire = readMap(value, 'nic', ['name', 'lan', 'ips', 'link'])
  const name = readName(wire.name, 'name of a nic')
  if (name.length > maxNicName) throw new Malformed('name of a nic is too long')
  const lan = readText(wire.lan, 'lan', maxNameLength)
  if (!lans.has(lan)) throw new Malformed('a nic is on a lan that is not there')
  const ips = readList(wire.ips, 'ips', 0, specLimits.ipsPerNic).map((one) => {
    const ip = readText(one, 'ip', 49)
    if (!isPrefix(ip)) throw new Malformed('ip is no address with a prefix length')
    return ip
  })
  const link = linkFromWire(wire.link)
  return { name, lan, ips, ...(link === null ? {} : { link }) }
}

/** Null for a plain link; else its numbers in the order of the words, and whether the cable is out. */
function linkToWire(link: Link | undefined): unknown {
  if (link === undefined) return null
  return [...Object.values(linkWords).map(({ field }) => link[field] ?? 0), link.down === true]
}

function linkFromWire(value: unknown): Link | null {
  if (value === null) return null
  const words = Object.values(linkWords)
  const parts = readList(value, 'link', words.length + 1, words.length + 1)
  const numbers = words.map(
    ({ field, max }, place) => [field, readInteger(parts[place], field, 0, max)] as const
  )
  for (const [place, { field, least }] of words.entries()) {
    const number = numbers[place]?.[1] as number
    if (number > 0 && number < least) throw new Malformed(`${field} is below ${least}`)
  }
  const down = readFlag(parts.at(-1), 'down')
  const link = someLink({ ...changeLink({}, Object.fromEntries(numbers)), ...(down ? { down } : {}) })
  if (link === null) throw new Malformed('a link of which nothing is said')
  return link
}

function routeFromWire(value: unknown): SpecRoute {
  const wire = readMap(value, 'route', ['to', 'via'])
  const to = readText(wire.to, 'to', 49)
  const via = readText(wire.via, 'via', 45)
  if (to !== 'default' && !isPrefix(to)) throw new Malformed('a route leads to no prefix')
  if (!isAddress(via)) throw new Malformed('a route leads over no address')
  return { to, via }
}

function envFromWire(value: unknown): Readonly<Record<string, string>> {
  const env: Record<string, string> = {}
  for (const [name, text] of Object.entries(readTexts(value, 'env', specLimits.env))) {
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,254}$/.test(name)) throw new Malformed('name of a variable')
    // Not a plain assignment: `__proto__` is a well-formed name of a variable.
    Object.defineProperty(env, name, {
      value: readLine(text, 'value of a variable'),
      enumerable: true,
      configurable: true,
      writable: true
    })
  }
  return env
}

function fileFromWire(value: unknown): EntityFile {
  const wire = readMap(value, 'file', ['path', 'mode', 'data'])
  const path = readText(wire.path, 'path', specLimits.path)
  const parts = path.split('/')
  const [before, ...steps] = parts
  const good = before === '' && steps.every((step) => step !== '' && step !== '.' && step !== '..')
  if (!good || hasControl(path)) throw new Malformed('a path is not absolute and plain')
  const mode = readInteger(wire.mode, 'mode', 0, 0o7777)
  return { path, mode, data: readBytes(wire.data, 'data', 0, 65_536) }
}

/** A text that may have several lines, but no NUL: it goes through C strings. */
function readLine(value: unknown, what: string): string {
  const text = readText(value, what, specLimits.text)
  if (text.includes('\0')) throw new Malformed(`${what} has a NUL`)
  return text
}

function hasControl(text: string): boolean {
  for (const character of text) if (character < ' ' || character === '\x7f') return true
  return false
}

/** One of a closed list of words. Throws {@link Malformed}. */
export function readOneOf<T extends string>(value: unknown, what: string, words: readonly T[]): T {
  const word = words.find((one) => one === value)
  if (word === undefined) throw new Malformed(`${what} is none of ${words.join(', ')}`)
  return word
}

function unique(names: Set<string>, name: string): void {
  if (names.has(name)) throw new Malformed(`the name ${name} stands twice`)
  names.add(name)
}

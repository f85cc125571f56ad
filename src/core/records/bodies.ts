/**
 * What records say, by kind. Each body has one wire form (plain data for CBOR) and one strict reader: no
 * unknown field, no text outside its grammar, every list bounded.
 */
import { type Link, linksFromWire, linksToWire, readKey } from '../admission/link.ts'
import { hostIdOf, keyBytes, publicKeyOf } from '../admission/host-id.ts'
import { ascii, hex, unhex } from '../derive.ts'
import type { Crypto, HostId, PublicKey, ViolinId, WallTime } from '../ids.ts'
import type { Spec } from '../spec.ts'
import {
  Malformed,
  concat,
  encodeCbor,
  readBytes,
  readFlag,
  readInteger,
  readList,
  readMap,
  readText
} from './cbor.ts'
import {
  hostsFromWire,
  hostsToWire,
  readName,
  readOneOf,
  specFromWire,
  specLimits,
  specToWire
} from './spec-body.ts'

export { isName } from './name.ts'

/** A host about itself; what changes by the second is asked of it, not spread. */
export interface HostBody {
  readonly host: HostId
  readonly name: string
  /** Multiaddrs at which it can be dialled, best first. */
  readonly addresses: readonly string[]
  /** What its operator gives to VIOLINs. */
  readonly capacity: { readonly memoryMiB: number; readonly cpus: number }
  /** Rounded network coordinate, whole milliseconds a dimension; empty when it has none. */
  readonly coordinate: readonly number[]
  /** Version of its software, such as `0.1.0`. */
  readonly software: string
  /** Protocol → versions that it speaks, such as `trunk` → 1. */
  readonly protocols: readonly { readonly name: string; readonly versions: readonly number[] }[]
  /** Takes nothing new, hands over what it has. */
  readonly draining: boolean
  /** Gone of its own will. */
  readonly left: boolean
  /** How far its clock is ahead of its neighbours' median, ms; 0 when it does not know. */
  readonly clockAheadMs: number
  /** The owner key that lies on it; null: it says nothing of that. */
  readonly owner: OwnerHere | null
}

/** An owner key, and its signature of the host on which it lies. */
export interface OwnerHere {
  readonly key: PublicKey
  /** Of ownerProofBytes (admission/link.ts). */
  readonly proof: Uint8Array
}

/** With what a VIOLIN begins; its hash is the VIOLIN's id. */
export interface Founding {
  /** 16 bytes. */
  readonly nonce: Uint8Array
  /** One to four owner keys, the senior first. */
  readonly owners: readonly PublicKey[]
}

/** The end of a VIOLIN: what it was called, and the hosts that the last version named. */
export interface Ended {
  readonly name: string
  readonly hosts: readonly HostId[]
}

/** A host that signed a version before this one, and the date of its last (upon.ts). */
export interface Upon {
  readonly host: HostId
  readonly at: WallTime
}

/** The whole wanted topology, or its end. */
export type ViolinBody = {
  readonly founding: Founding
  /** What it was made upon, the latest first; the first version has none. */
  readonly upon?: readonly Upon[]
} & ({ readonly spec: Spec; readonly ended: null } | { readonly spec: null; readonly ended: Ended })

export type RunState = 'pending' | 'booting' | 'running' | 'stopped' | 'failed' | 'refused'

/** What a host runs of one VIOLIN. */
export interface RunsBody {
  readonly violin: ViolinId
  readonly entities: readonly {
    readonly name: string
    /** Claim counter: the highest living claim (counter, host) keeps the entity. */
    readonly claim: number
    readonly state: RunState
    /** Why it is not running, one line; empty when there is nothing to say. */
    readonly reason: string
  }[]
  /** vLANs whose vSwitch is here. */
  readonly switches: readonly string[]
}

/** A key is out for ever. */
export interface RevocationBody {
  readonly key: PublicKey
  /** Also all that it let in. */
  readonly andBelow: boolean
  /**
   * Links of a chain that ends with the key: shows by bytes that the author stands above it. Empty where the
   * author knows none: the revocation then cuts only chains in which the author stands above the key.
   */
  readonly target: readonly Link[]
}

export interface Bodies {
  readonly host: HostBody
  readonly revocation: RevocationBody
  readonly violin: ViolinBody
  readonly runs: RunsBody
}

export type RecordKind = keyof Bodies

/** In wire order: the place is the number. */
export const recordKinds: readonly RecordKind[] = ['host', 'revocation', 'violin', 'runs']

/** Bounds of bodies. */
export const bodyLimits = {
  addresses: 16,
  /** Characters of one multiaddr. */
  address: 256,
  protocols: 32,
  versions: 8,
  coordinate: 8,
  owners: 4,
  /** Hosts on which a VIOLIN's versions were signed, such as the laptops of its owner. */
  upon: 8,
  nonce: 16,
  /** Characters of a reason; longer ones are cut by who writes them. */
  reason: 200,
  software: 64,
  claim: 0x7fff_ffff
} as const

const runStates: readonly RunState[] = ['pending', 'booting', 'running', 'stopped', 'failed', 'refused']

/** The id of the VIOLIN that begins with this block. */
export function violinIdOf(founding: Founding, crypto: Pick<Crypto, 'sha256'>): ViolinId {
  return hex(
    crypto.sha256(concat(ascii('violin founding 1\0'), encodeCbor(foundingToWire(founding))))
  ) as ViolinId
}

/** Plain data for CBOR. Throws RangeError for ids that are none. */
export function bodyToWire<K extends RecordKind>(kind: K, body: Bodies[K]): unknown {
  return (toWire[kind] as (body: Bodies[K]) => unknown)(body)
}

/** Checks shape and bounds. Throws {@link Malformed}. */
export function bodyFromWire<K extends RecordKind>(kind: K, value: unknown): Bodies[K] {
  return (fromWire[kind] as (value: unknown) => Bodies[K])(value)
}

const toWire: { readonly [K in RecordKind]: (body: Bodies[K]) => unknown } = {
  host: (body) => ({
    host: hostToWire(body.host),
    name: body.name,
    addresses: body.addresses,
    capacity: { memoryMiB: body.capacity.memoryMiB, cpus: body.capacity.cpus },
    coordinate: body.coordinate,
    software: body.software,
    protocols: body.protocols.map(({ name, versions }) => ({ name, versions })),
    draining: body.draining,
    left: body.left,
    clockAheadMs: body.clockAheadMs,
    owner: body.owner === null ? null : [keyBytes(body.owner.key), body.owner.proof]
  }),
  revocation: (body) => ({
    key: keyBytes(body.key),
    andBelow: body.andBelow,
    target: linksToWire(body.target)
  }),
  violin: (body) => ({
    founding: foundingToWire(body.founding),
    spec: body.spec === null ? null : specToWire(body.spec),
    ended: body.ended === null ? null : { name: body.ended.name, hosts: hostsToWire(body.ended.hosts) },
    ...(body.upon === undefined || body.upon.length === 0
      ? {}
      : { upon: body.upon.map(({ host, at }) => [hostToWire(host), at]) })
  }),
  runs: (body) => ({
    violin: violinToWire(body.violin),
    entities: body.entities.map(({ name, claim, state, reason }) => ({ name, claim, state, reason })),
    switches: body.switches
  })
}

const fromWire: { readonly [K in RecordKind]: (value: unknown) => Bodies[K] } = {
  host: hostFromWire,
  revocation: revocationFromWire,
  violin: violinFromWire,
  runs: runsFromWire
}

function hostFromWire(value: unknown): HostBody {
  const wire = readMap(value, 'host', [
    'host',
    'name',
    'addresses',
    'capacity',
    'coordinate',
    'software',
    'protocols',
    'draining',
    'left',
    'clockAheadMs',
    'owner'
  ])
  const capacity = readMap(wire.capacity, 'capacity', ['memoryMiB', 'cpus'])
  return {
    host: hostIdOf(readKey(wire.host, 'host')),
    name: readName(wire.name, 'name of the host'),
    addresses: readList(wire.addresses, 'addresses', 0, bodyLimits.addresses).map((one) =>
      readPrintable(one, 'address', bodyLimits.address)
    ),
    capacity: {
      memoryMiB: readInteger(capacity.memoryMiB, 'memory', 0, 0x7fff_ffff),
      cpus: readInteger(capacity.cpus, 'cpus', 0, 65_535)
    },
    coordinate: readList(wire.coordinate, 'coordinate', 0, bodyLimits.coordinate).map((one) =>
      readInteger(one, 'coordinate', -60_000, 60_000)
    ),
    software: readPrintable(wire.software, 'software', bodyLimits.software),
    protocols: readList(wire.protocols, 'protocols', 0, bodyLimits.protocols).map(protocolFromWire),
    draining: readFlag(wire.draining, 'draining'),
    left: readFlag(wire.left, 'left'),
    clockAheadMs: readInteger(wire.clockAheadMs, 'clock', -0x7fff_ffff, 0x7fff_ffff),
    owner: wire.owner === null ? null : ownerFromWire(wire.owner)
  }
}

function ownerFromWire(value: unknown): OwnerHere {
  const wire = readList(value, 'owner', 2, 2)
  return { key: readKey(wire[0], 'owner key'), proof: readBytes(wire[1], 'proof of the owner', 64, 64) }
}

function protocolFromWire(value: unknown): HostBody['protocols'][number] {
  const wire = readMap(value, 'protocol', ['name', 'versions'])
  return {
    name: readName(wire.name, 'name of a protocol'),
    versions: readList(wire.versions, 'versions', 0, bodyLimits.versions).map((one) =>
      readInteger(one, 'version', 0, 65_535)
    )
  }
}

function revocationFromWire(value: unknown): RevocationBody {
  const wire = readMap(value, 'revocation', ['key', 'andBelow', 'target'])
  return {
    key: readKey(wire.key, 'key'),
    andBelow: readFlag(wire.andBelow, 'andBelow'),
    target: isEmptyList(wire.target) ? [] : linksFromWire(wire.target)
  }
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0
}

function violinFromWire(value: unknown): ViolinBody {
  const fields = ['founding', 'spec', 'ended'] as const
  const isFirst = typeof value !== 'object' || value === null || !Object.hasOwn(value, 'upon')
  const wire: Readonly<Record<(typeof fields)[number] | 'upon', unknown>> = isFirst
    ? { ...readMap(value, 'violin', fields), upon: null }
    : readMap(value, 'violin', [...fields, 'upon'])
  const founding = foundingFromWire(wire.founding)
  const upon = isFirst ? {} : { upon: uponFromWire(wire.upon) }
  if (wire.ended === null) return { founding, spec: specFromWire(wire.spec), ended: null, ...upon }
  if (wire.spec !== null) throw new Malformed('a violin that ended has no spec')
  const ended = readMap(wire.ended, 'ended', ['name', 'hosts'])
  return {
    founding,
    spec: null,
    ended: {
      name: readName(ended.name, 'name of the violin'),
      hosts: hostsFromWire(ended.hosts, 'hosts', specLimits.hosts)
    },
    ...upon
  }
}

function uponFromWire(value: unknown): readonly Upon[] {
  const all = readList(value, 'upon', 1, bodyLimits.upon).map((one) => {
    const [host, at] = readList(one, 'upon', 2, 2)
    return {
      host: hostIdOf(readKey(host, 'host')),
      at: readInteger(at, 'date', 0, Number.MAX_SAFE_INTEGER) as WallTime
    }
  })
  if (new Set(all.map(({ host }) => host)).size !== all.length) throw new Malformed('a host stands twice')
  return all
}

function runsFromWire(value: unknown): RunsBody {
  const wire = readMap(value, 'runs', ['violin', 'entities', 'switches'])
  const body = {
    violin: readViolin(wire.violin),
    entities: readList(wire.entities, 'entities', 0, specLimits.entities).map((one) => {
      const entity = readMap(one, 'entity', ['name', 'claim', 'state', 'reason'])
      return {
        name: readName(entity.name, 'name of an entity'),
        claim: readInteger(entity.claim, 'claim', 0, bodyLimits.claim),
        state: readOneOf(entity.state, 'state', runStates),
        reason: readPrintable(entity.reason, 'reason', bodyLimits.reason)
      }
    }),
    switches: readList(wire.switches, 'switches', 0, specLimits.lans).map((one) =>
      readName(one, 'name of a lan')
    )
  }
  const names = body.entities.map((entity) => entity.name)
  if (new Set(names).size !== names.length) throw new Malformed('an entity stands twice')
  if (new Set(body.switches).size !== body.switches.length) throw new Malformed('a lan stands twice')
  return body
}

/** A founding block as plain data for CBOR. */
export function foundingToWire(founding: Founding): unknown {
  return { nonce: founding.nonce, owners: founding.owners.map(keyBytes) }
}

/** The reverse of {@link foundingToWire}. Throws {@link Malformed}. */
export function foundingFromWire(value: unknown): Founding {
  const wire = readMap(value, 'founding', ['nonce', 'owners'])
  const owners = readList(wire.owners, 'owners', 1, bodyLimits.owners).map((one) => readKey(one, 'owner'))
  if (new Set(owners).size !== owners.length) throw new Malformed('an owner stands twice')
  return { nonce: readBytes(wire.nonce, 'nonce', bodyLimits.nonce, bodyLimits.nonce), owners }
}

function hostToWire(host: HostId): Uint8Array {
  const key = publicKeyOf(host)
  if (key === null) throw new RangeError(`${host} is no host id`)
  return keyBytes(key)
}

/** A VIOLIN's id as 32 bytes. Throws RangeError for a text that is none. */
export function violinToWire(violin: ViolinId): Uint8Array {
  const bytes = unhex(violin)
  if (bytes?.length !== 32) throw new RangeError(`${violin} is no id of a violin`)
  return bytes
}

/** The reverse of {@link violinToWire}. Throws {@link Malformed}. */
export function readViolin(value: unknown): ViolinId {
  return hex(readBytes(value, 'violin', 32, 32)) as ViolinId
}

/** One line without control characters: it is shown on terminals. */
function readPrintable(value: unknown, what: string, max: number): string {
  const text = readText(value, what, max)
  for (const character of text) {
    const code = character.codePointAt(0) as number
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) throw new Malformed(`${what} has a control character`)
  }
  return text
}

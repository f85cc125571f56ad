/** Records of a small test mesh, of every kind. */
import { randomFillSync } from 'node:crypto'
import type { Chain } from '#core/admission/chain.ts'
import type { ImageHash } from '#core/image.ts'
import type { HostId, PublicKey, Signer, ViolinId, WallTime } from '#core/ids.ts'
import type { Founding, HostBody, RunsBody } from '#core/records/bodies.ts'
import { violinIdOf } from '#core/records/bodies.ts'
import {
  type HostRecord,
  type RevocationRecord,
  type RunsRecord,
  type ViolinRecord,
  sealRecord
} from '#core/records/record.ts'
import { RecordSet } from '#core/records/set.ts'
import { type View, view } from '#core/records/view.ts'
import type { Spec } from '#core/spec.ts'
import { type TestHost, crypto, dayMs, root, start } from '../admission/keys.ts'

export function emptySet(): RecordSet {
  return new RecordSet({ root: root.publicKey, crypto })
}

/** A set with these records, merged in order. */
export function setOf(records: Iterable<{ readonly bytes: Uint8Array }>, now: WallTime = start): RecordSet {
  const set = emptySet()
  for (const record of records) set.merge(record.bytes, now)
  return set
}

export interface Times {
  readonly version?: number
  readonly issuedAt?: WallTime
  readonly expiresAt?: WallTime
}

function timed(times: Times, lifeMs: number): { version: number; issuedAt: WallTime; expiresAt: WallTime } {
  const issuedAt = times.issuedAt ?? start
  return {
    version: times.version ?? 1,
    issuedAt,
    expiresAt: times.expiresAt ?? ((issuedAt + lifeMs) as WallTime)
  }
}

export function hostBody(host: TestHost, change: Partial<HostBody> = {}): HostBody {
  return {
    host: host.chain.host as HostId,
    name: 'alpha',
    addresses: ['/ip4/192.0.2.1/tcp/4780'],
    capacity: { memoryMiB: 4096, cpus: 2 },
    coordinate: [3, -4, 1],
    software: '0.1.0',
    protocols: [{ name: 'trunk', versions: [1] }],
    draining: false,
    left: false,
    clockAheadMs: -12,
    owner: null,
    ...change
  }
}

export function hostRecord(host: TestHost, change: Partial<HostBody> = {}, times: Times = {}): HostRecord {
  const draft = {
    kind: 'host',
    body: hostBody(host, change),
    chain: host.chain,
    ...timed(times, 30 * dayMs)
  } as const
  return sealRecord(draft, root.publicKey, host.signer, crypto) as HostRecord
}

/** A revocation of the end of `target`, or of a key without its chain; by a host, or by the root where it is null. */
export function revocation(
  target: Chain | PublicKey,
  by: TestHost | null,
  andBelow = false,
  times: Times = {}
): RevocationRecord {
  const body =
    typeof target === 'string'
      ? { key: target, andBelow, target: [] }
      : { key: target.subject, andBelow, target: target.links }
  const draft = { kind: 'revocation', body, chain: by?.chain ?? null, ...timed(times, 400 * dayMs) } as const
  const signer: Signer = by?.signer ?? root
  return sealRecord(draft, root.publicKey, signer, crypto) as RevocationRecord
}

export function foundingOf(...owners: readonly PublicKey[]): Founding {
  return { nonce: new Uint8Array(16).fill(7), owners }
}

export function freshFounding(...owners: readonly PublicKey[]): Founding {
  return { nonce: new Uint8Array(randomFillSync(Buffer.alloc(16))), owners }
}

export function violinId(founding: Founding): ViolinId {
  return violinIdOf(founding, crypto)
}

export function specOn(hosts: readonly HostId[], name = 'figure2'): Spec {
  return {
    name,
    lans: [{ name: 'lan1', subnet: '192.168.1.0/24', hosts }],
    entities: [
      {
        name: 'vhost1',
        kind: 'host',
        driver: 'uml',
        image: { name: 'router', hash: 'ab'.repeat(32) as ImageHash },
        memoryMiB: 64,
        nics: [
          { name: 'eth0', lan: 'lan1', ips: ['192.168.1.2/24'] },
          { name: 'eth1', lan: 'lan1', ips: [], link: { delayUs: 20_000, rateBps: 10_000_000, down: true } }
        ],
        routes: [{ to: 'default', via: '192.168.1.1' }],
        env: { A: 'b' },
        files: [{ path: '/etc/motd', mode: 0o644, data: Uint8Array.of(104, 105) }],
        run: 'echo hi\n',
        hosts,
        pinned: false,
        restart: 'on-failure',
        generation: 0
      }
    ]
  }
}

export function violinRecord(
  by: TestHost,
  founding: Founding,
  spec: Spec | null,
  times: Times = {}
): ViolinRecord {
  const body =
    spec === null
      ? { founding, spec: null, ended: { name: 'figure2', hosts: [by.chain.host as HostId] } }
      : { founding, spec, ended: null }
  const draft = { kind: 'violin', body, chain: by.ownerChain, ...timed(times, 300 * dayMs) } as const
  return sealRecord(draft, root.publicKey, by.owner, crypto) as ViolinRecord
}

export function runsRecord(
  by: TestHost,
  violin: ViolinId,
  change: Partial<RunsBody> = {},
  times: Times = {}
): RunsRecord {
  const body = {
    violin,
    entities: [{ name: 'vhost1', claim: 3, state: 'running', reason: '' }],
    switches: ['lan1'],
    ...change
  } as const
  const draft = { kind: 'runs', body, chain: by.chain, ...timed(times, dayMs) } as const
  return sealRecord(draft, root.publicKey, by.signer, crypto) as RunsRecord
}

/** What a set holds, in a form that compares. */
export function contents(set: RecordSet): readonly string[] {
  return [...set.all()].map((record) => `${record.kind} ${record.hash}`).toSorted()
}

/** What a set means, in a form that compares: members are looked up, they are no fields. */
export function seen(set: RecordSet, now: WallTime = start): View {
  const { members, ...rest } = view(set, now)
  return { ...rest, members: new Map(members) }
}

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ViolinError } from '#core/errors.ts'
import type { HostId, Signer, WallTime } from '#core/ids.ts'
import { encodeCbor, decodeCbor } from '#core/records/cbor.ts'
import { type OwnerHere, bodyToWire, isName } from '#core/records/bodies.ts'
import { keyBytes } from '#core/admission/host-id.ts'
import { ownerProofBytes } from '#core/admission/link.ts'
import { ascii } from '#core/derive.ts'
import { isAddress, isPrefix } from '#core/records/address.ts'
import {
  type SignedRecord,
  type ViolinRecord,
  isRejected,
  maxLifeMs,
  maxRecordBytes,
  openRecord,
  scopeOf,
  sealRecord
} from '#core/records/record.ts'
import type { Spec, SpecEntity } from '#core/spec.ts'
import {
  type TestHost,
  after,
  crypto,
  dayMs,
  founder,
  invite,
  join,
  root,
  signerFor,
  start,
  witnessOf,
  yearMs
} from '../admission/keys.ts'
import {
  foundingOf,
  hostBody,
  hostRecord,
  revocation,
  runsRecord,
  specOn,
  violinId,
  violinRecord
} from './records.ts'

const first = founder()
const member = join(invite(first, 'token').token, 'member', witnessOf(first))
const hosts = [first.chain.host, member.chain.host] as HostId[]
const founding = foundingOf(first.owner.publicKey, member.owner.publicKey)
const samples: readonly SignedRecord[] = [
  hostRecord(member),
  revocation(member.chain, first, true),
  revocation(first.chain, null),
  violinRecord(first, founding, specOn(hosts)),
  violinRecord(member, founding, null),
  runsRecord(member, violinId(founding)),
  revocation(member.signer.publicKey, first)
]

function open(bytes: Uint8Array): SignedRecord {
  const record = openRecord(bytes, root.publicKey, crypto)
  assert.ok(!isRejected(record), isRejected(record) ? record.rejected : '')
  return record
}

function why(bytes: Uint8Array): string {
  const record = openRecord(bytes, root.publicKey, crypto)
  assert.ok(isRejected(record))
  return record.rejected
}

test('every kind of record opens to what was sealed', () => {
  for (const record of samples) assert.deepEqual(open(record.bytes), record)
  assert.deepEqual(samples[0]?.body, hostBody(member))
  assert.deepEqual((samples[3] as ViolinRecord).body.spec, specOn(hosts))
})

test('hosts and revocations are mesh-wide, the rest is with its VIOLIN', () => {
  const id = violinId(founding)
  assert.deepEqual(samples.map(scopeOf), ['mesh', 'mesh', 'mesh', id, id, id, 'mesh'])
})

test('one flipped bit anywhere in a record is refused', () => {
  for (const { bytes, kind } of samples) {
    for (let at = 0; at < bytes.length; at++) {
      const altered = Uint8Array.from(bytes)
      altered[at] = (altered[at] as number) ^ (1 << (at % 8))
      assert.ok(isRejected(openRecord(altered, root.publicKey, crypto)), `${kind}, byte ${at}`)
    }
  }
})

test('a record of another mesh, cut, or with bytes behind it is refused', () => {
  for (const { bytes } of samples) {
    assert.ok(isRejected(openRecord(bytes, signerFor('other root').publicKey, crypto)))
    why(bytes.subarray(0, -1))
    why(Uint8Array.of(...bytes, 0))
  }
})

test('hostile bytes are refused, never thrown', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) =>
      isRejected(openRecord(bytes, root.publicKey, crypto))
    )
  )
  why(new Uint8Array(maxRecordBytes).fill(0x81))
  why(new Uint8Array(maxRecordBytes + 1))
  why(Uint8Array.of(0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))
})

test('any field replaced by anything and signed again by its author opens whole or is refused', () => {
  const anything = fc.oneof(
    fc.integer(),
    fc.string({ maxLength: 20 }),
    fc.uint8Array({ maxLength: 70 }),
    fc.boolean(),
    fc.constant(null),
    fc.array(fc.integer(), { maxLength: 11 }),
    fc.dictionary(fc.string({ maxLength: 5 }), fc.integer())
  )
  const authors = [member.signer, first.signer, root, first.owner, member.owner, member.signer, first.signer]
  const which = fc.integer({ min: 0, max: samples.length - 1 })
  fc.assert(
    fc.property(
      which,
      fc.integer({ min: 0, max: 8 }),
      fc.integer({ min: 0, max: 20 }),
      anything,
      (which, field, inner, value) => {
        const sample = samples[which] as SignedRecord
        const wire = decodeCbor(sample.bytes, maxRecordBytes) as unknown[]
        const body = wire[8] as Record<string, unknown>
        const name = Object.keys(body)[inner]
        if (field === 8 && name !== undefined) body[name] = value
        else wire[field] = value
        const signed = Buffer.concat([
          ascii(`violin record ${sample.kind} 1\0`),
          keyBytes(root.publicKey),
          encodeCbor(wire.slice(0, 9))
        ])
        wire[9] = (authors[which] as Signer).sign(signed)
        const bytes = encodeCbor(wire)
        const record = openRecord(bytes, root.publicKey, crypto)
        if (isRejected(record)) return
        assert.equal(record.author, sample.author)
        assert.deepEqual(
          Buffer.from(encodeCbor(bodyToWire(record.kind, record.body))),
          Buffer.from(encodeCbor(wire[8]))
        )
      }
    ),
    { numRuns: 2000 }
  )
})

test('each kind lives no longer than its limit', () => {
  for (const [kind, make] of [
    ['host', (expiresAt: WallTime) => hostRecord(member, {}, { expiresAt })],
    ['violin', (expiresAt: WallTime) => violinRecord(first, founding, null, { expiresAt })],
    ['runs', (expiresAt: WallTime) => runsRecord(member, violinId(founding), {}, { expiresAt })]
  ] as const) {
    assert.ok(make(after(maxLifeMs[kind])))
    assert.throws(() => make(after(maxLifeMs[kind] + 1)), /lives too long/)
    assert.throws(() => make(start), ViolinError)
  }
  const latest = (member.chain.endsAt + maxLifeMs.revocation) as WallTime
  assert.ok(revocation(member.chain, first, false, { expiresAt: latest }))
  assert.throws(
    () => revocation(member.chain, first, false, { expiresAt: (latest + 1) as WallTime }),
    /lives too long/
  )
})

test('versions are 1 to 2^31', () => {
  assert.ok(hostRecord(member, {}, { version: 2 ** 31 }))
  for (const version of [0, -1, 1.5, 2 ** 31 + 1]) assert.throws(() => hostRecord(member, {}, { version }))
})

test('a record ends with its author, but a revocation and the end of a VIOLIN do not', () => {
  const brief = { expiresAt: after(390 * dayMs) }
  assert.equal(violinRecord(member, founding, specOn(hosts), brief).endsAt, after(yearMs))
  assert.equal(violinRecord(member, founding, null, brief).endsAt, brief.expiresAt)
  assert.equal(revocation(member.chain, first, true).endsAt, after(400 * dayMs))
})

test('nobody speaks for another', () => {
  const seal = (draft: object, signer = member.signer): unknown =>
    sealRecord(
      { version: 1, issuedAt: start, expiresAt: after(dayMs), ...draft } as never,
      root.publicKey,
      signer,
      crypto
    )
  const refused =
    /speaks for itself|not the author|chain is not|owners|said by a host|stands above|only revokes|only an admin/
  assert.throws(() => seal({ kind: 'host', body: hostBody(first), chain: member.chain }), refused)
  assert.throws(() => seal({ kind: 'host', body: hostBody(member), chain: first.chain }), refused)
  assert.throws(
    () => seal({ kind: 'host', body: hostBody(member), chain: member.ownerChain }, member.owner),
    refused
  )
  assert.throws(() => seal({ kind: 'host', body: hostBody(member), chain: null }, root), refused)
  const body = { founding: foundingOf(first.owner.publicKey), spec: specOn(hosts), ended: null }
  assert.throws(() => seal({ kind: 'violin', body, chain: member.ownerChain }, member.owner), refused)
  assert.throws(() => seal({ kind: 'violin', body, chain: member.chain }), refused)
  assert.throws(() => revocation(first.signer.publicKey, member), refused)
  assert.throws(() => revocation(first.chain, member), refused)
  assert.throws(() => revocation(member.chain, member), refused)
})

test('that an owner key lies on a host only the key itself says, of that host', () => {
  const owner = member.owner
  const here = (host: TestHost): OwnerHere => ({
    key: owner.publicKey,
    proof: new Uint8Array(owner.sign(ownerProofBytes(root.publicKey, host.signer.publicKey)))
  })
  assert.deepEqual(hostRecord(member, { owner: here(member) }).body.owner, here(member))
  assert.equal(hostRecord(first, { owner: here(first) }).body.owner?.key, owner.publicKey)
  assert.throws(() => hostRecord(first, { owner: here(member) }), /does not say that it is here/)
})

test('a VIOLIN is named by its founding block', () => {
  assert.notEqual(violinId(foundingOf(first.owner.publicKey)), violinId(founding))
  assert.notEqual(violinId({ ...founding, nonce: new Uint8Array(16) }), violinId(founding))
  assert.throws(
    () => violinRecord(first, foundingOf(first.owner.publicKey, first.owner.publicKey), null),
    /twice/
  )
  assert.throws(() => violinRecord(first, { ...founding, nonce: new Uint8Array(15) }, null), /nonce/)
})

test('what is larger than a record is told to who made it', () => {
  const spec = specOn(hosts)
  const entity = spec.entities[0] as SpecEntity
  const file = { path: '/big', mode: 0o644, data: new Uint8Array(65_000) }
  assert.throws(
    () =>
      violinRecord(first, founding, {
        ...spec,
        entities: [{ ...entity, files: [file, { ...file, path: '/big2' }] }]
      }),
    (error: unknown) => error instanceof ViolinError && error.code === 'too-large'
  )
})

test('a spec with anything outside its grammar is refused', () => {
  const spec = specOn(hosts)
  const entity = spec.entities[0] as SpecEntity
  const lan = spec.lans[0] as Spec['lans'][number]
  const changes: readonly Partial<SpecEntity>[] = [
    { name: 'Up' },
    { name: 'lan1' },
    { memoryMiB: 0 },
    { hosts: [] },
    { hosts: [hosts[0] as HostId, hosts[0] as HostId] },
    { nics: [{ name: 'eth0', lan: 'lan2', ips: [] }] },
    { nics: [{ name: 'eth0', lan: 'lan1', ips: ['192.168.1.2'] }] },
    { nics: [{ name: 'a-name-of-16-abc', lan: 'lan1', ips: [] }] },
    { nics: Array.from({ length: 2 }, () => ({ name: 'eth0', lan: 'lan1', ips: [] })) },
    { nics: Array.from({ length: 17 }, (_, i) => ({ name: `eth${i}`, lan: 'lan1', ips: [] })) },
    { nics: [{ name: 'eth0', lan: 'lan1', ips: [], link: {} }] },
    { nics: [{ name: 'eth0', lan: 'lan1', ips: [], link: { delayUs: 10_000_001 } }] },
    { nics: [{ name: 'eth0', lan: 'lan1', ips: [], link: { delayUs: 0.5 } }] },
    { nics: [{ name: 'eth0', lan: 'lan1', ips: [], link: { rateBps: 1 } }] },
    { nics: [{ name: 'eth0', lan: 'lan1', ips: [], link: { lossPpm: -1 } }] },
    { routes: [{ to: 'default; reboot', via: '192.168.1.1' }] },
    { routes: [{ to: 'default', via: '$(reboot)' }] },
    { env: { 'A B': '' } },
    { env: { A: '\0' } },
    { run: 'a\0b' },
    { files: [{ path: 'etc/motd', mode: 0, data: new Uint8Array() }] },
    { files: [{ path: '/etc/../../root', mode: 0, data: new Uint8Array() }] },
    { files: [{ path: '/a//b', mode: 0, data: new Uint8Array() }] },
    { files: [{ path: '/a\nb', mode: 0, data: new Uint8Array() }] },
    { files: [{ path: '/a', mode: 0o10000, data: new Uint8Array() }] }
  ]
  for (const change of changes) {
    const wrong = { ...spec, entities: [{ ...entity, ...change }] }
    assert.throws(() => violinRecord(first, founding, wrong), ViolinError, JSON.stringify(change))
  }
  assert.throws(() => violinRecord(first, founding, { ...spec, entities: [entity, entity] }), /twice/)
  assert.throws(
    () => violinRecord(first, founding, { ...spec, lans: [{ ...lan, subnet: '10.0.0.0' }] }),
    ViolinError
  )
  assert.throws(() => violinRecord(first, founding, { ...spec, name: '' }), ViolinError)
})

test('an environment may hold any well-formed name', () => {
  const spec = specOn(hosts)
  const entity = spec.entities[0] as SpecEntity
  const env = Object.fromEntries([
    ['__proto__', 'x'],
    ['PATH', '/bin']
  ])
  const record = open(violinRecord(first, founding, { ...spec, entities: [{ ...entity, env }] }).bytes)
  assert.ok(record.kind === 'violin')
  const read = new Map(Object.entries(record.body.spec?.entities[0]?.env ?? {}))
  assert.deepEqual(read, new Map(Object.entries(env)))
  assert.equal(read.size, 2)
})

test('specs of any names, hosts and sizes survive the wire', () => {
  const ids = Array.from({ length: 6 }, (_, i) => hostRecordId(`h${i}`))
  const someHosts = fc.shuffledSubarray(ids, { minLength: 1 })
  const entity = fc.record({
    kind: fc.constantFrom('host', 'router'),
    driver: fc.constantFrom('uml', 'netns'),
    memoryMiB: fc.integer({ min: 1, max: 4096 }),
    hosts: someHosts,
    pinned: fc.boolean(),
    run: fc.string({ maxLength: 30, unit: 'grapheme' }).filter((text) => !text.includes('\0')),
    data: fc.uint8Array({ maxLength: 40 })
  })
  fc.assert(
    fc.property(fc.array(entity, { maxLength: 6 }), someHosts, (entities, lanHosts) => {
      const spec: Spec = {
        name: 'any',
        lans: [{ name: 'l', subnet: '10.0.0.0/8', hosts: lanHosts }],
        entities: entities.map(({ data, ...rest }, i) => ({
          ...(specOn(hosts).entities[0] as SpecEntity),
          ...rest,
          name: `e${i}`,
          nics: [{ name: 'eth0', lan: 'l', ips: [`10.0.0.${i + 1}/8`, 'fd00::1/64'] }],
          files: [{ path: '/data', mode: 0o600, data }]
        })) as SpecEntity[]
      }
      const record = open(violinRecord(first, founding, spec).bytes)
      assert.ok(record.kind === 'violin')
      assert.deepEqual(record.body.spec, spec)
    }),
    { numRuns: 50 }
  )
})

test('names and addresses are held to one form', () => {
  for (const name of ['a', '0', 'a-b', 'a'.repeat(40)]) assert.ok(isName(name), name)
  for (const name of ['', '-a', 'A', 'a_b', 'a.b', 'ä', 'a\n', 'a'.repeat(41)]) assert.ok(!isName(name), name)
  for (const ip of ['0.0.0.0', '10.1.2.255', '::', '::1', 'fd00:2::1', '1:2:3:4:5:6:7:8'])
    assert.ok(isAddress(ip), ip)
  for (const ip of [
    '',
    '1.2.3',
    '01.2.3.4',
    '1.2.3.256',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    'FD00::1',
    '::g',
    '1:2:3:4:5:6:7:8::'
  ])
    assert.ok(!isAddress(ip), ip)
  for (const prefix of ['10.0.0.0/8', '::/0', 'fd00::/128', '1.1.1.1/32']) assert.ok(isPrefix(prefix), prefix)
  for (const prefix of ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/08', '::/129', '/8', '1.1.1.1/', '1.1.1.1/8/8'])
    assert.ok(!isPrefix(prefix), prefix)
})

function hostRecordId(label: string): HostId {
  return founder(label).chain.host as HostId
}

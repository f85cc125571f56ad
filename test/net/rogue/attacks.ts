/** What a hijacked member, or nobody at all, tries against one host. Each ends by itself, and tells what it did. */
import { randomBytes } from 'node:crypto'
import { createConnection, type Socket } from 'node:net'
import { lpStream } from '@libp2p/utils'
import { type Chain, joinedChain, verifyChain } from '#core/admission/chain.ts'
import { type JoinedLink, slotProofBytes, wholeSeconds } from '#core/admission/link.ts'
import { mintToken } from '#core/admission/token.ts'
import type { HostId, PublicKey, Signer, WallTime } from '#core/ids.ts'
import type { HostBody } from '#core/records/bodies.ts'
import { decodeCbor, encodeCbor } from '#core/records/cbor.ts'
import { type Draft, type SignedRecord, sealRecord } from '#core/records/record.ts'
import { RecordSet } from '#core/records/set.ts'
import { applySync, maxSyncBytes, syncRequest } from '#core/records/sync.ts'
import { encodeTold, sealRefutation, sealSuspicion } from '#core/liveness/message.ts'
import { crypto, freshSeed, keyOfSeed, signerOf } from '#daemon/crypto.ts'
import type { Host } from '#daemon/host.ts'
import { MAX_ANSWER_BYTES } from '#mesh/bounds.ts'
import type { Rogue, Rpc } from './member.ts'

/** Who attacks, what it knows, and until when. */
export interface Attack {
  readonly self: Host
  /** Its connection; null where the attack needs none. */
  readonly rogue: Rogue
  readonly target: { readonly ip: string; readonly port: number }
  readonly until: number
}

const dayMs = 24 * 3600 * 1000
/** Gossipsub's topic of hosts and revocations. */
const meshTopic = 'mesh'

export const attacks: Readonly<Record<string, (attack: Attack) => Promise<Record<string, number>>>> = {
  records: wrongRecords,
  topics: manyTopics,
  messages: manyMessages,
  controls: manyControls,
  streams: slowStreams,
  junk: junkEverywhere,
  pointers: wrongPointers,
  deaths: liesOfDeath,
  mint: mintMembers
}

const going = ({ until }: Attack): boolean => performance.now() < until

/** Everything that the target lets a member have, by its own exchange. */
async function allRecords({ self, rogue }: Attack): Promise<SignedRecord[]> {
  const now = Date.now() as WallTime
  const set = new RecordSet({ root: self.identity.mesh, crypto })
  const access = { allows: () => true, wants: () => true, shows: () => true }
  let request: Uint8Array | null = syncRequest(set, ['mesh'], now)
  for (let round = 0; request !== null && round < 64; round++) {
    request = applySync(set, await ask(rogue, 'sync', request), now, access).next
  }
  return [...set.all()]
}

/** One request; gives the answer, or its refusal as an error. */
async function ask(rogue: Rogue, name: string, body: Uint8Array): Promise<Uint8Array> {
  const stream = await rogue.open(name)
  const signal = AbortSignal.timeout(10_000)
  const wire = lpStream(stream, { maxDataLength: MAX_ANSWER_BYTES + 1, maxBufferSize: 4 * MAX_ANSWER_BYTES })
  await wire.write(body, { signal })
  await stream.close({ signal })
  const answer = (await wire.read({ signal })).subarray()
  if (answer[0] !== 0) throw new Error(Buffer.from(answer.subarray(1)).toString())
  return answer.subarray(1)
}

/** A message of the exchange that brings records and asks for nothing. */
function bringing(records: readonly Uint8Array[]): Uint8Array {
  return encodeCbor([1, [], [], records])
}

function hostBody(self: Host, change: Partial<HostBody> = {}): HostBody {
  return {
    host: self.identity.id,
    name: self.identity.name,
    addresses: [],
    capacity: { memoryMiB: 1, cpus: 1 },
    coordinate: [],
    software: '0.1.0',
    protocols: [],
    draining: false,
    left: false,
    clockAheadMs: 0,
    ...change
  }
}

/** Forged, replayed, truncated, oversize and future records, and those of what is not the liar's. */
async function wrongRecords(attack: Attack): Promise<Record<string, number>> {
  const { self, rogue } = attack
  const known = await allRecords(attack)
  const now = Date.now() as WallTime
  const own = (draft: Partial<Draft> & { body: HostBody }): Uint8Array =>
    sealedAnyhow(
      {
        kind: 'host',
        version: 1,
        issuedAt: now,
        expiresAt: now + dayMs,
        chain: self.chain,
        ...draft
      } as Draft,
      self.identity.host,
      self.identity.mesh
    )
  const others = known.filter(({ author }) => author !== self.identity.host.publicKey)
  const wrong: Uint8Array[] = [
    // Forged: each signed record with a byte changed, under another's name, with another's chain.
    ...others.flatMap(({ bytes }) => [5, 40, 200, bytes.length - 20].map((at) => flipped(bytes, at))),
    ...others.map((record) =>
      own({ body: hostBody(self, { host: record.chain?.host as HostId, name: 'stolen', left: true }) })
    ),
    ...others.map((record) => own({ body: hostBody(self, { left: true }), chain: record.chain })),
    // Truncated and oversize.
    ...others.flatMap(({ bytes }) => [0, 1, 60, bytes.length - 1].map((to) => bytes.slice(0, to))),
    ...others.map(({ bytes }) => Buffer.concat([bytes, new Uint8Array(60_000)])),
    // From the future, of the past, for ever, in a version that nothing beats.
    own({
      body: hostBody(self, { name: 'future' }),
      issuedAt: (now + 3600_000) as WallTime,
      expiresAt: (now + dayMs) as WallTime,
      version: 9
    }),
    own({
      body: hostBody(self, { name: 'past' }),
      issuedAt: (now - 9 * dayMs) as WallTime,
      expiresAt: (now - dayMs) as WallTime,
      version: 9
    }),
    own({
      body: hostBody(self, { name: 'forever' }),
      expiresAt: (now + 900 * dayMs) as WallTime,
      version: 9
    }),
    own({ body: hostBody(self, { name: 'highest' }), version: 2 ** 32 }),
    // A revocation of the host that let it in, and of every other.
    ...others.map((record) =>
      sealedAnyhow(
        {
          kind: 'revocation',
          version: 1,
          issuedAt: now,
          expiresAt: (now + 100 * dayMs) as WallTime,
          chain: self.chain,
          body: { key: record.author, andBelow: true, target: record.chain?.links ?? [] }
        },
        self.identity.host,
        self.identity.mesh
      )
    )
  ]
  let refused = 0
  for (const bytes of wrong) {
    // One at a time: a wrong message among right ones would be refused as a whole.
    await ask(rogue, 'sync', bringing([bytes])).catch(() => refused++)
  }
  const replayed = known.flatMap(({ bytes }) => Array.from({ length: 50 }, () => bytes))
  await ask(rogue, 'sync', bringing(replayed.slice(0, 100))).catch(() => refused++)
  const sent = await rogue.gossip(
    [...wrong, ...replayed].map((data) => ({ subscriptions: [], messages: [{ topic: meshTopic, data }] }))
  )
  return { known: known.length, wrong: wrong.length, refused, sent }
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice()
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}

/** A record as its own host would never seal it: right in its bytes, wrong in what it says. */
function sealedAnyhow(draft: Draft, signer: Signer, root: PublicKey): Uint8Array {
  try {
    return sealRecord(draft, root, signer, crypto).bytes
  } catch {
    // Refused where it is made: the same fields with a signature that is not one.
    const fields = [
      1,
      0,
      Buffer.from(signer.publicKey, 'hex'),
      new Uint8Array(0),
      draft.version,
      draft.issuedAt
    ]
    return encodeCbor([
      ...fields,
      draft.expiresAt,
      decodeCbor(draft.chain?.bytes ?? encodeCbor([]), 1 << 16),
      {},
      randomBytes(64)
    ])
  }
}

/** GHSA-4f8r-922h-2vgv: subscriptions to ever new topics. */
async function manyTopics(attack: Attack): Promise<Record<string, number>> {
  let topics = 0
  function* packets(): Generator<Rpc> {
    while (going(attack)) {
      const subscriptions = Array.from({ length: 500 }, () => ({
        subscribe: true,
        topic: `${topics++} ${'x'.repeat(900)}`
      }))
      yield { subscriptions, messages: [] }
    }
  }
  const sent = await attack.rogue.gossip(packets())
  return { sent, topics }
}

/** Messages of topics that are taken and of others, as fast as they go out: tiny ones and the longest. */
async function manyMessages(attack: Attack): Promise<Record<string, number>> {
  let messages = 0
  function* packets(): Generator<Rpc> {
    while (going(attack)) {
      const long = messages % 3 === 0
      const topic = messages % 2 === 0 ? meshTopic : `nobody ${messages}`
      const count = long ? 16 : 500
      messages += count + 1
      yield {
        subscriptions: [],
        messages: Array.from({ length: count }, () => ({ topic, data: randomBytes(long ? 65_000 : 40) }))
      }
    }
  }
  const sent = await attack.rogue.gossip(packets())
  return { sent, messages }
}

/** Control messages: ids without end and without measure, asked for, offered and not wanted; grafts and prunes. */
async function manyControls(attack: Attack): Promise<Record<string, number>> {
  const ids = (count: number, bytes: number): Uint8Array[] =>
    Array.from({ length: count }, () => randomBytes(bytes))
  const kinds: readonly (() => NonNullable<Rpc['control']>)[] = [
    () => ({ ...none, ihave: [{ topicID: meshTopic, messageIDs: ids(5_000, 32) }] }),
    () => ({ ...none, ihave: [{ topicID: meshTopic, messageIDs: ids(3, 1_000_000) }] }),
    () => ({ ...none, iwant: [{ messageIDs: ids(5_000, 32) }] }),
    () => ({ ...none, idontwant: [{ messageIDs: ids(500, 32) }] }),
    () => ({ ...none, idontwant: [{ messageIDs: ids(3, 1_200_000) }] }),
    () => ({
      ...none,
      graft: Array.from({ length: 500 }, (_, i) => ({ topicID: i % 2 === 0 ? meshTopic : `t${i}` }))
    }),
    () => ({
      ...none,
      prune: Array.from({ length: 500 }, () => ({
        topicID: meshTopic,
        backoff: 2 ** 31,
        peers: Array.from({ length: 16 }, () => ({
          peerID: randomBytes(38),
          signedPeerRecord: randomBytes(100)
        }))
      }))
    })
  ]
  const none = { ihave: [], iwant: [], graft: [], prune: [], idontwant: [] }
  let place = 0
  function* packets(): Generator<Rpc> {
    while (going(attack)) {
      const control = kinds[place++ % kinds.length]?.() ?? none
      yield { subscriptions: [], messages: [], control }
    }
  }
  return { sent: await attack.rogue.gossip(packets()), packets: place }
}

/** Requests that begin and never end, a byte at a time, as many as the host takes; and answers that nobody reads. */
async function slowStreams(attack: Attack): Promise<Record<string, number>> {
  let [opened, refused] = [0, 0]
  const names = ['sync', 'status', 'load', 'trunk', 'handoff', 'session', 'join', 'member']
  while (going(attack)) {
    const batch = names.map(async (name) => {
      const stream = await attack.rogue.open(name)
      opened++
      // A length that promises much, and one byte of it.
      stream.send(Uint8Array.of(0xff, 0xff, 0x03, 0x81))
    })
    const outcomes = await Promise.allSettled(batch)
    refused += outcomes.filter(({ status }) => status === 'rejected').length
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return { opened, refused }
}

/** Bytes that mean nothing, and some that nearly do, to every protocol. */
async function junkEverywhere(attack: Attack): Promise<Record<string, number>> {
  let [asked, answered] = [0, 0]
  const junk: readonly (() => Uint8Array)[] = [
    () => randomBytes(200),
    () => new Uint8Array(0),
    () => new TextEncoder().encode('['.repeat(100_000)),
    () => new TextEncoder().encode('{"violin":1,"known":null,"holdMs":1e9}'),
    () => new TextEncoder().encode(`{"violin":"${'ab'.repeat(32)}","known":null,"holdMs":10000}`),
    () => new TextEncoder().encode('{"__proto__":{"half":1},"violin":null,"half":null}'),
    () => new Uint8Array(200_000).fill(0x81),
    () => encodeCbor([1, [], [], Array.from({ length: 3_000 }, () => Uint8Array.of(1))]),
    () => new Uint8Array(maxSyncBytes + 100)
  ]
  while (going(attack)) {
    for (const name of ['sync', 'status', 'load', 'trunk', 'handoff', 'join']) {
      await Promise.all(
        junk.map(async (make) => {
          asked++
          await ask(attack.rogue, name, make()).then(
            () => answered++,
            () => undefined
          )
        })
      )
    }
    const session = await attack.rogue.open('session')
    session.send(new TextEncoder().encode('{"owner":"x"}\n'))
    session.abort(new Error('enough'))
  }
  return { asked, answered }
}

/**
 * Pointers of other hosts in the DHT: values that they did not sign, and older ones; by hand, past every check of
 * one's own. kad-dht's messages: PUT_VALUE is type 0, its record in field 3.
 */
async function wrongPointers(attack: Attack): Promise<Record<string, number>> {
  const { self, rogue } = attack
  const known = await allRecords(attack)
  const prefix = `/violin/${self.identity.mesh.slice(0, 16)}/kad/1`
  let [put, taken, genuine] = [0, 0, 0]
  const ownRecord = known.find(({ author }) => author === self.identity.host.publicKey)
  while (going(attack)) {
    for (const { author, bytes } of known) {
      const key = new TextEncoder().encode(`/violin/host/${author}`)
      const values = [
        randomBytes(1_000),
        new Uint8Array(0),
        flipped(bytes, 100),
        ownRecord === undefined || author === ownRecord.author ? randomBytes(9) : ownRecord.bytes,
        randomBytes(9_000),
        bytes
      ]
      for (const value of values) {
        const stream = await rogue.connection.newStream(prefix)
        put++
        try {
          const signal = AbortSignal.timeout(2_000)
          const wire = lpStream(stream, { maxDataLength: 1 << 20 })
          await wire.write(putValue(key, value), { signal })
          await wire.read({ signal })
          // The host answers a value that it stored with the same message.
          if (value === bytes) genuine++
          else taken++
          await stream.close({ signal })
        } catch (error: unknown) {
          stream.abort(error instanceof Error ? error : new Error(String(error)))
        }
      }
    }
  }
  return { put, taken, genuine }
}

function putValue(key: Uint8Array, value: Uint8Array): Uint8Array {
  const record = Buffer.concat([
    field(1, key),
    field(2, value),
    field(5, new TextEncoder().encode(new Date().toISOString()))
  ])
  return Buffer.concat([field(2, key), field(3, record)])
}

/** A length-delimited field of protobuf. */
function field(number: number, bytes: Uint8Array): Buffer {
  const length: number[] = []
  for (let rest = bytes.length; ; rest >>>= 7) {
    length.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest)
    if (rest <= 0x7f) break
  }
  return Buffer.concat([Uint8Array.of((number << 3) | 2, ...length), bytes])
}

/** Says of every other host, again and again, that it is dead: signed, in every form that there is. */
async function liesOfDeath(attack: Attack): Promise<Record<string, number>> {
  const { self, rogue } = attack
  const { mesh, host: signer, id } = self.identity
  const others = (await allRecords(attack)).flatMap(({ kind, chain }) =>
    kind === 'host' && chain?.host !== null && chain?.host !== undefined && chain.host !== id
      ? [chain.host]
      : []
  )
  let said = 0
  while (going(attack)) {
    const lies = others.flatMap((accused) => [
      sealSuspicion(signer, accused, null, 1, mesh).bytes,
      // A refutation that the accused never signed.
      sealSuspicion(signer, accused, sealRefutation(signer, 9, mesh), 1, mesh).bytes
    ])
    for (const spread of [true, false]) {
      await ask(rogue, 'liveness', encodeTold({ spread, messages: lies })).catch(() => undefined)
    }
    await rogue.gossip(lies.map((data) => ({ subscriptions: [], messages: [{ topic: meshTopic, data }] })))
    said += 3 * lies.length
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return { said }
}

/** How many members an admin mints, each with a record as large as it may be. */
const minted = 300
/** Of them in one message of the exchange. */
const batch = 20

/** An admin's key makes members by the hundred, and tells of each. */
async function mintMembers({ self, rogue }: Attack): Promise<Record<string, number>> {
  const now = Date.now() as WallTime
  const seed = freshSeed()
  const wish = {
    role: 'member',
    redeemBy: (now + 3600_000) as WallTime,
    slots: minted,
    addresses: []
  } as const
  const key = { seed, publicKey: keyOfSeed(seed) }
  const { token } = mintToken(self.chain, self.identity.host, key, wish, now, crypto)
  const chain = verifyChain([...self.chain.links, token.invite], self.identity.mesh, crypto) as Chain
  const records = Array.from({ length: minted }, (_, slot) =>
    mintedRecord(self, chain, signerOf(seed), slot, now)
  )
  let refused = 0
  for (let at = 0; at < records.length; at += batch) {
    await ask(rogue, 'sync', bringing(records.slice(at, at + batch))).catch(() => refused++)
  }
  const sent = await rogue.gossip(
    records.map((data) => ({ subscriptions: [], messages: [{ topic: meshTopic, data }] }))
  )
  return { minted: records.length, refused, sent }
}

function mintedRecord(
  self: Host,
  token: Chain,
  tokenSigner: Signer,
  slot: number,
  now: WallTime
): Uint8Array {
  const root = self.identity.mesh
  const host = signerOf(freshSeed())
  const link = {
    kind: 'joined',
    issuer: token.subject,
    subject: host.publicKey,
    slot,
    notAfter: wholeSeconds(token.endsAt),
    proof: tokenSigner.sign(slotProofBytes(root, token.subject, slot, host.publicKey)),
    witness: self.chain.subject
  } as const satisfies Omit<JoinedLink, 'signature'>
  const chain = joinedChain(token, self.chain, self.identity.host, link, crypto)
  const body = hostBody(self, {
    host: chain.host as HostId,
    name: `minted${slot}`,
    addresses: Array.from({ length: 16 }, () => `/dns4/${'a'.repeat(200)}/tcp/1`)
  })
  const draft = {
    kind: 'host',
    version: 1,
    issuedAt: now,
    expiresAt: (now + dayMs) as WallTime,
    chain,
    body
  } as const
  return sealRecord(draft, root, host, crypto).bytes
}

/** Revokes a host and all that it let in, by the key of one above it: what its daemon would publish. */
export async function revokeBelow(self: Host, rogue: Rogue, host: HostId): Promise<void> {
  const known = await allRecords({ self, rogue, target: { ip: '', port: 0 }, until: 0 })
  const target = known.find(({ kind, chain }) => kind === 'host' && chain?.host === host)?.chain
  if (target === null || target === undefined) throw new Error(`no record of ${host}`)
  const now = Date.now() as WallTime
  const draft = {
    kind: 'revocation',
    version: 1,
    issuedAt: now,
    expiresAt: (now + 400 * dayMs) as WallTime,
    chain: self.chain,
    body: { key: target.subject, andBelow: true, target: target.links }
  } as const
  await ask(
    rogue,
    'sync',
    bringing([sealRecord(draft, self.identity.mesh, self.identity.host, crypto).bytes])
  )
}

/** Connections that begin and go no further: silent, with half a handshake, a byte at a time. */
export async function halfOpen(ip: string, port: number, until: number): Promise<Record<string, number>> {
  const [atOnce, drippers] = [2_000, 200]
  let [opened, failed] = [0, 0]
  const sockets = new Set<Socket>()
  const open = (first: Uint8Array | null): Socket => {
    const socket = createConnection({ host: ip, port })
    sockets.add(socket)
    socket.on('connect', () => {
      opened++
      if (first !== null) socket.write(first)
    })
    socket.on('error', () => failed++)
    socket.on('data', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    return socket
  }
  const select = Buffer.from('\x13/multistream/1.0.0\n\x07/noise\n')
  const starts = [
    null,
    select.subarray(0, 5),
    select,
    Buffer.concat([select, Uint8Array.of(0, 32), randomBytes(32)]),
    randomBytes(500)
  ]
  const dripping = new Set<Socket>()
  let place = 0
  while (performance.now() < until) {
    for (let i = 0; i < 100 && sockets.size < atOnce; i++) {
      const socket = open(starts[place++ % starts.length] ?? null)
      if (dripping.size < drippers) {
        dripping.add(socket)
        socket.on('close', () => dripping.delete(socket))
      }
    }
    for (const socket of dripping) if (socket.writable) socket.write(Uint8Array.of(0))
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const held = sockets.size
  for (const socket of sockets) socket.destroy()
  return { opened, failed, held }
}

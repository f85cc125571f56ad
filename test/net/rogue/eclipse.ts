/** Members whose ids lie nearest to a key of the DHT, and who answer with nothing, with what is old or wrong, or never. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { peerIdFromString } from '@libp2p/peer-id'
import { lpStream } from '@libp2p/utils'
import type { StreamHandler } from '@libp2p/interface'
import { hostIdOf } from '#core/admission/host-id.ts'
import type { PublicKey } from '#core/ids.ts'
import { freshSeed, keyOfSeed } from '#daemon/crypto.ts'
import { protocolPrefix } from '#mesh/node.ts'
import { kadAnswer, kadTypes, readKad } from './kad.ts'
import { rogueMember, sayInPlace } from './member.ts'
import { appear, mint } from './minted.ts'
import { type Attack, ask, flipped } from './records.ts'

/** More than the DHT asks at first. */
const around = 24
/** So many keys are made, of which the nearest are taken: nearer than any that nobody chose. */
const drawn = 3_000

const encoder = new TextEncoder()
const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest()

/**
 * `words`: the key to surround, the ip of an owner's host, and keys whose pointers of now are old ones later. Each
 * member is known as `near…` once it is in place.
 */
export async function eclipse(attack: Omit<Attack, 'rogue'>): Promise<Record<string, number>> {
  const { self, target, words, until } = attack
  const [surrounded = '', ownerIp = '', ...keys] = words
  const old = await pointersOf(attack, ownerIp, keys)
  const member = mint(self, around)
  const members = nearest(surrounded).map((seed, slot) => member(slot, seed))
  const ids = members.map(({ key }) => multihashOf(key))
  const asked = new Map<string, number>()
  const address = `/ip4/${target.ip}/tcp/${target.port}`
  const kad = `${protocolPrefix(self.identity.mesh)}/kad/1`
  const rogues = await Promise.all(
    members.map((minted, place) =>
      appear(self, minted, `near${place}`, {
        address,
        handlers: { [kad]: answering(place, old, ids, asked) }
      })
    )
  )
  sayInPlace()
  // Until who started it has seen enough.
  await once(process.stdin.resume(), 'end', {
    signal: AbortSignal.timeout(Math.ceil(until - performance.now()))
  })
  const held = rogues.filter(({ connection }) => connection.status === 'open').length
  return {
    held,
    surrounded: asked.get(`/violin/${surrounded}`) ?? 0,
    old: keys.reduce((sum, key) => sum + (asked.get(`/violin/${key}`) ?? 0), 0)
  }
}

function answering(
  place: number,
  old: ReadonlyMap<string, Uint8Array>,
  ids: readonly Uint8Array[],
  asked: Map<string, number>
): StreamHandler {
  return async (stream) => {
    const wire = lpStream(stream, { maxDataLength: 1 << 20 })
    const message = readKad((await wire.read()).subarray())
    const key = new TextDecoder().decode(message.key)
    if (message.type === kadTypes.getValue) asked.set(key, (asked.get(key) ?? 0) + 1)
    const about = message.type === kadTypes.getValue || message.type === kadTypes.putValue
    const known = message.type === kadTypes.getValue ? (old.get(key) ?? null) : null
    // A ping is answered by all: who does not is not asked again. Then one in four never answers.
    if (about && place % 4 === 3) return
    const value = known === null || place % 4 === 0 ? null : place % 4 === 1 ? known : flipped(known, 60)
    const closer = message.type === kadTypes.ping ? [] : ids.slice(0, 20)
    await wire.write(kadAnswer(message, value, closer))
    await stream.close()
  }
}

/** What the owner's host tells of keys now. */
async function pointersOf(
  { self, target }: Omit<Attack, 'rogue'>,
  ip: string,
  keys: readonly string[]
): Promise<ReadonlyMap<string, Uint8Array>> {
  await using rogue = await rogueMember({
    seed: self.identity.hostSeed,
    meshId: self.identity.mesh,
    presentation: self.identity.membership,
    address: `/ip4/${ip}/tcp/${target.port}`
  })
  const found = new Map<string, Uint8Array>()
  for (const key of keys) {
    const answer = await ask(rogue, 'pointer', encoder.encode(JSON.stringify({ key })))
    const { pointer } = JSON.parse(new TextDecoder().decode(answer)) as { pointer: string | null }
    if (pointer !== null) found.set(`/violin/${key}`, Buffer.from(pointer, 'base64'))
  }
  return found
}

/** Seeds whose peer ids lie nearest to a key, of many. */
function nearest(key: string): Uint8Array[] {
  const wanted = sha256(encoder.encode(`/violin/${key}`))
  const distance = (seed: Uint8Array): Buffer =>
    Buffer.from(sha256(multihashOf(keyOfSeed(seed))).map((byte, i) => byte ^ (wanted[i] as number)))
  return Array.from({ length: drawn }, () => freshSeed())
    .map((seed) => ({ seed, away: distance(seed) }))
    .toSorted((a, b) => Buffer.compare(a.away, b.away))
    .slice(0, around)
    .map(({ seed }) => seed)
}

function multihashOf(key: PublicKey): Uint8Array {
  return peerIdFromString(hostIdOf(key)).toMultihash().bytes
}

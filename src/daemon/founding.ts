/** How a host begins: it founds a mesh, or joins one with an invite. Neither needs a running daemon. */
import { hostname } from 'node:os'
import { join as joinPath } from 'node:path'
import { acceptGrant, decodeJoinAnswer, firstSlot, joinRequest } from '#core/admission/join.ts'
import { foundChain, membershipMs } from '#core/admission/chain.ts'
import { hostIdOf } from '#core/admission/host-id.ts'
import { type Token, parseToken } from '#core/admission/token.ts'
import { ViolinError, errorFrom } from '#core/errors.ts'
import type { HostId, PublicKey, WallTime } from '#core/ids.ts'
import { isName } from '#core/records/bodies.ts'
import { clockToleranceMs } from '#core/records/set.ts'
import type { Mesh } from '#mesh/contract.ts'
import { createMesh, parseAddress } from '#mesh/mesh.ts'
import { openStore } from '#store/level.ts'
import { crypto, freshSeed, signerOf } from './crypto.ts'
import { assertFresh, defaultListen, defaultPorts, rootKeyFile, saveIdentity } from './identity.ts'
import { encodeJson } from './wire.ts'

/** A member that does not answer within this time is passed over. */
const answerTimeoutMs = 10_000
/** The founding host's link: every other chain hangs on it, so it lasts ten times as long as a membership. */
const foundingMs: number = 10 * membershipMs
/** Section of the store with the addresses by which a new host finds its mesh the first time. */
export const peersSection = 'peers'

export interface FoundOptions {
  readonly name?: string | undefined
  readonly listen?: readonly string[] | undefined
}

export interface Founded {
  readonly id: HostId
  readonly name: string
  readonly mesh: PublicKey
  readonly rootKeyFile: string
  readonly listen: readonly string[]
}

/** Makes the keys of a new mesh and of its first host, an admin. Throws `already-initialised`. */
export async function found(dir: string, options: FoundOptions): Promise<Founded> {
  await assertFresh(dir)
  const name = nameOf(options.name)
  const listen = listenOf(options.listen)
  const rootSeed = freshSeed()
  const hostSeed = freshSeed()
  const root = signerOf(rootSeed)
  const host = signerOf(hostSeed).publicKey
  const chain = foundChain(root, host, (Date.now() + foundingMs) as WallTime, crypto)
  await saveIdentity(dir, {
    name,
    mesh: root.publicKey,
    listen,
    ports: defaultPorts,
    rootSeed,
    hostSeed,
    ownerSeed: freshSeed(),
    membership: chain.bytes
  })
  return { id: hostIdOf(host), name, mesh: root.publicKey, rootKeyFile: rootKeyFile(dir), listen }
}

export interface Joined {
  readonly id: HostId
  readonly name: string
  readonly mesh: PublicKey
  /** The member that let this host in. */
  readonly through: HostId
  readonly listen: readonly string[]
}

/** Joins the mesh of a token through any member at its addresses. Throws ViolinError with the reason. */
export async function join(dir: string, text: string, options: FoundOptions): Promise<Joined> {
  const token = parseToken(text.trim(), crypto)
  if (token instanceof ViolinError) throw token
  await assertFresh(dir)
  if (token.invite.redeemBy + clockToleranceMs < Date.now()) {
    throw new ViolinError(
      'token-expired',
      `the invite expired on ${new Date(token.invite.redeemBy).toISOString()}`,
      'ask an admin of the mesh for a new invite'
    )
  }
  const name = nameOf(options.name)
  const hostSeed = freshSeed()
  const host = signerOf(hostSeed).publicKey
  const listen = listenOf(options.listen)
  const { membership, through, addresses } = await redeem(token, hostSeed, host, name)
  await saveIdentity(dir, {
    name,
    mesh: token.root,
    listen,
    ports: defaultPorts,
    hostSeed,
    ownerSeed: freshSeed(),
    membership
  })
  await remember(dir, through, addresses)
  return { id: hostIdOf(host), name, mesh: token.root, through, listen }
}

async function redeem(
  token: Token,
  hostSeed: Uint8Array,
  host: PublicKey,
  name: string
): Promise<{ membership: Uint8Array; through: HostId; addresses: readonly string[] }> {
  const mesh = await createMesh({
    hostSeed,
    listen: [],
    meshId: token.root,
    presentation: () => null,
    admit: () => false,
    remembered: () => [],
    mdns: false,
    log: () => {}
  })
  try {
    let refusal: ViolinError | null = null
    for (const address of token.addresses) {
      try {
        const peer = await mesh.dial([address], AbortSignal.timeout(answerTimeoutMs))
        const membership = await redeemAt(mesh, peer, token, host, name)
        return { membership, through: peer, addresses: [address] }
      } catch (error: unknown) {
        if (!(error instanceof ViolinError)) throw error
        // A member's no is everyone's; who cannot be reached is passed over.
        if (error.code !== 'nobody-reachable' && error.code !== 'timeout') throw error
        refusal = error
      }
    }
    const tried = token.addresses.join(', ') || 'no address in it'
    throw new ViolinError(
      'nobody-reachable',
      `no member of the mesh answered (${tried})`,
      'see that `violin daemon` runs on the inviting host and that its port is reachable from here',
      { cause: refusal }
    )
  } finally {
    await mesh.close()
  }
}

async function redeemAt(
  mesh: Mesh,
  peer: HostId,
  token: Token,
  host: PublicKey,
  name: string
): Promise<Uint8Array> {
  const signer = signerOf(token.seed)
  let slot = firstSlot(token, host, crypto)
  // Each answer names a slot that was free: as many tries as there are slots are enough.
  for (let tries = 0; tries <= token.invite.slots; tries++) {
    const body = joinRequest(token, signer, host, slot, name)
    const answer = decodeJoinAnswer(
      await mesh.request(peer, 'join', body, AbortSignal.timeout(answerTimeoutMs))
    )
    if (answer.kind === 'refused') throw errorFrom(answer.error)
    if (answer.kind === 'granted') {
      const chain = acceptGrant(token, host, answer.chain, crypto)
      if (chain instanceof ViolinError) throw chain
      return chain.bytes
    }
    slot = answer.free
  }
  throw new ViolinError(
    'token-used-up',
    'others took every slot of the invite meanwhile',
    'ask an admin of the mesh for a new invite'
  )
}

async function remember(dir: string, peer: HostId, addresses: readonly string[]): Promise<void> {
  const store = await openStore(joinPath(dir, 'store'))
  try {
    await store.write([{ section: peersSection, key: peer, value: encodeJson(addresses) }], { sync: true })
  } finally {
    await store.close()
  }
}

function nameOf(wanted: string | undefined): string {
  if (wanted !== undefined) {
    if (isName(wanted)) return wanted
    throw new ViolinError(
      'usage',
      `${JSON.stringify(wanted)} is no name for a host`,
      'use letters, digits and hyphens, as in princeton-2'
    )
  }
  const own =
    hostname()
      .toLowerCase()
      .split('.')[0]
      ?.replaceAll(/[^a-z0-9-]/g, '-')
      .replaceAll(/^-+|-+$/g, '') ?? ''
  return isName(own) ? own : 'host'
}

function listenOf(wanted: readonly string[] | undefined): readonly string[] {
  if (wanted === undefined || wanted.length === 0) return defaultListen
  for (const address of wanted) {
    parseAddress(address)
    if (!/^\/ip[46]\/[^/]+\/tcp\/\d+$/.test(address))
      throw new ViolinError('usage', `${address} is no place to listen`, 'write it as /ip4/0.0.0.0/tcp/4780')
  }
  return wanted
}

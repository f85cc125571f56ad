/** How a host begins: it founds a mesh, or joins one with an invite. Neither needs a running daemon. */
import { hostname } from 'node:os'
import { foundChain, membershipMs } from '#core/admission/chain.ts'
import { hostIdOf } from '#core/admission/host-id.ts'
import { isWorthKeeping } from '#core/admission/seat.ts'
import { networkKeyFor, parseToken } from '#core/admission/token.ts'
import { ViolinError } from '#core/errors.ts'
import type { HostId, PublicKey, WallTime } from '#core/ids.ts'
import { isName } from '#core/records/bodies.ts'
import { clockToleranceMs } from '#core/records/set.ts'
import { parseAddress } from '#mesh/mesh.ts'
import { crypto, freshSeed, keyOfSeed, signerOf } from './crypto.ts'
import {
  assertFresh,
  dropJoinKey,
  loadJoinKey,
  saveJoinKey,
  defaultListen,
  defaultPorts,
  readNetworkKey,
  rootKeyFile,
  saveIdentity
} from './identity.ts'
import { addressOf, namingPeers } from './remembered.ts'
import { redeem } from './stranger.ts'

/** The founding host's link: every other chain hangs on it, so it lasts ten times as long as a membership. */
export const foundingMs: number = 10 * membershipMs

export interface FoundOptions {
  readonly name?: string | undefined
  readonly listen?: readonly string[] | undefined
  /** The file with the key of a closed network; to found one also `new`. */
  readonly networkKey?: string | undefined
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
  const networkKey =
    options.networkKey === undefined
      ? null
      : options.networkKey === 'new'
        ? freshSeed()
        : await readNetworkKey(options.networkKey)
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
    networkKey,
    membership: chain.bytes
  })
  return { id: hostIdOf(host), name, mesh: root.publicKey, rootKeyFile: rootKeyFile(dir), listen }
}

/**
 * The id that this host will have once it joins, for an invite that is for it alone (`violin invite --for`). Makes
 * its key where there is none yet. Throws ViolinError where a host is already.
 */
export async function identifyBeforeJoin(dir: string): Promise<{ readonly id: HostId }> {
  await assertFresh(dir)
  const waiting = await loadJoinKey(dir)
  const seed = waiting ?? freshSeed()
  if (waiting === null) await saveJoinKey(dir, seed)
  return { id: hostIdOf(signerOf(seed).publicKey) }
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
  const token = parseToken(text.trim(), crypto, keyOfSeed)
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
  const given = options.networkKey === undefined ? null : await readNetworkKey(options.networkKey)
  const networkKey = networkKeyFor(token, given, crypto)
  if (networkKey instanceof ViolinError) throw networkKey
  const hostSeed = (await loadJoinKey(dir)) ?? freshSeed()
  const listen = listenOf(options.listen)
  const host = signerOf(hostSeed)
  const { answer, through, address } = await redeem(
    token,
    { seed: hostSeed, signer: host, name, networkKey },
    token.addresses
  )
  await saveIdentity(dir, {
    name,
    mesh: token.root,
    listen,
    ports: defaultPorts,
    hostSeed,
    ownerSeed: freshSeed(),
    networkKey,
    membership: answer.bytes,
    // Whose the others in the invite are is not known.
    addresses: [...new Set([addressOf(through, address), ...namingPeers(token.addresses)])],
    ...(isWorthKeeping(token.invite) ? { invite: text.trim() } : {})
  })
  await dropJoinKey(dir)
  return { id: hostIdOf(host.publicKey), name, mesh: token.root, through, listen }
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

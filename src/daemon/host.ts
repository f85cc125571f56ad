/** This host as the rest of the daemon knows it: keys, chains, and the record in which it tells of itself. */
import { cpus, loadavg, totalmem } from 'node:os'
import { access, readFile } from 'node:fs/promises'
import { type Chain, isRefusal, membershipMs, ownerChain, verifyChain } from '#core/admission/chain.ts'
import { ownerProofBytes } from '#core/admission/link.ts'
import { ViolinError } from '#core/errors.ts'
import type { HostBody } from '#core/records/bodies.ts'
import { maxLifeMs } from '#core/records/record.ts'
import { stands } from '#core/records/standing.ts'
import { type DriverName, drivers } from '#core/spec.ts'
import { isLoopback } from '#mesh/loopback.ts'
import { crypto } from './crypto.ts'
import { type Identity, saveAddresses, saveMembership } from './identity.ts'
import type { Records } from './records.ts'

export const softwareVersion = '0.1.0'

export interface Host {
  readonly identity: Identity
  /** From the root to this host. */
  readonly chain: Chain
  /** From the root to the owner key of this host. */
  readonly ownerChain: Chain
  /** Goes on under another membership; stored before it counts. */
  adopt(chain: Chain): Promise<void>
  /** Where members were when it was looked last, each with `/p2p/ID`; a copy of the identity has them, too. */
  readonly addresses: readonly string[]
  keepAddresses(addresses: readonly string[]): Promise<void>
  readonly drivers: readonly DriverName[]
  readonly memoryMiB: number
}

/** Checks the stored membership and hangs the owner key on it; whether it ended is not asked. */
export async function hostOf(dir: string, identity: Identity): Promise<Host> {
  const chain = verifyChain(identity.membership, identity.mesh, crypto)
  if (isRefusal(chain) || chain.subject !== identity.host.publicKey) {
    throw new ViolinError(
      'store-damaged',
      'the stored membership is not valid',
      'restore identity/membership from a backup, or join again in a new folder'
    )
  }
  const host = {
    identity,
    chain,
    ownerChain: ownerChainOf(identity, chain),
    drivers: await driversHere(),
    memoryMiB: Math.floor(totalmem() / 2 ** 20),
    addresses: identity.addresses,
    async keepAddresses(addresses: readonly string[]): Promise<void> {
      await saveAddresses(dir, addresses)
      host.addresses = addresses
    },
    async adopt(next: Chain): Promise<void> {
      await saveMembership(dir, next.bytes)
      host.chain = next
      host.ownerChain = ownerChainOf(identity, next)
    }
  }
  return host
}

function ownerChainOf(identity: Identity, chain: Chain): Chain {
  const notAfter = Math.min(chain.endsAt, Date.now() + membershipMs) as Chain['endsAt']
  return ownerChain(chain, identity.host, identity.owner.publicKey, notAfter, crypto)
}

/** Whether this machine is User-Mode Linux itself: none starts inside of one. */
export async function isUserModeLinux(): Promise<boolean> {
  return /^vendor_id\s*: User Mode Linux$/m.test(await readFile('/proc/cpuinfo', 'utf8'))
}

async function driversHere(): Promise<DriverName[]> {
  const there = (path: string): Promise<boolean> =>
    access(path).then(
      () => true,
      () => false
    )
  const found: DriverName[] = []
  const uml = (await there('/usr/bin/linux.uml')) && !(await isUserModeLinux())
  if (uml && (await there('/usr/bin/bwrap'))) found.push('uml')
  if (process.getuid?.() === 0 && (await there('/dev/net/tun'))) found.push('netns', 'tap')
  return found
}

/** How a host stands in its own eyes; `displaced`: another host keeps its slot of the invite. */
export type Place = 'member' | 'displaced' | 'revoked'

export function placeOf({ identity, chain }: Host, records: Records): Place {
  if (records.set.isRevoked(chain)) return 'revoked'
  return records.view.displaced.has(identity.id) ? 'displaced' : 'member'
}

/** What changes in the own record while the daemon runs. */
export interface HostState {
  readonly addresses: readonly string[]
  readonly draining: boolean
  readonly left: boolean
}

/** What this host says of itself. */
export function hostBody({ identity, ...host }: Host, records: Records, state: HostState): HostBody {
  return {
    host: identity.id,
    name: identity.name,
    addresses: state.addresses.slice(0, 16),
    capacity: { memoryMiB: host.memoryMiB, cpus: cpus().length },
    coordinate: [],
    software: softwareVersion,
    protocols: host.drivers.map((name) => ({ name: `driver-${name}`, versions: [1] })),
    draining: state.draining,
    left: state.left,
    // In whole minutes: a record that says the same is not signed anew.
    clockAheadMs: Math.round((records.clockAheadMs ?? 0) / 60_000) * 60_000,
    owner: {
      key: identity.owner.publicKey,
      proof: identity.owner.sign(ownerProofBytes(identity.mesh, identity.host.publicKey))
    }
  }
}

/** Publishes the own record if it says something else than the one that stands, or that one ends soon; gives whether it did. */
export async function publishHost(host: Host, records: Records, state: HostState): Promise<boolean> {
  const { identity, chain } = host
  // Nobody takes the word of a host that was shut out.
  if (placeOf(host, records) === 'revoked') return false
  const { now } = records
  const own = records.set.get('host', identity.host.publicKey, '')
  const addresses = foundAt(state.addresses, identity.listen, own?.body.addresses ?? [])
  const body = hostBody(host, records, { ...state, addresses })
  if (stands(own, 'host', body, chain, now)) return false
  await records.publish(
    {
      kind: 'host',
      version: records.nextVersion('host', identity.host.publicKey, ''),
      issuedAt: now,
      expiresAt: Math.min(now + maxLifeMs.host, chain.endsAt) as typeof now,
      body,
      chain
    },
    identity.host
  )
  return true
}

/**
 * Where others find this host. Without a network nothing but loopback is left of what it listens on, which each of them
 * has, too: until there is one again it stays where it was.
 */
function foundAt(
  now: readonly string[],
  listen: readonly string[],
  former: readonly string[]
): readonly string[] {
  const isAlone = now.length > 0 && now.every(isLoopback) && !listen.every(isLoopback)
  return isAlone && !former.every(isLoopback) ? former : now
}

/** Drivers that a host's record names. */
export function driversOf(body: HostBody): DriverName[] {
  return drivers.filter((driver) => body.protocols.some(({ name }) => name === `driver-${driver}`))
}

/** Runnable processes for each processor over the last minute (getloadavg(3)). */
export function loadNow(): number {
  return Math.round(((loadavg()[0] as number) / cpus().length) * 100) / 100
}

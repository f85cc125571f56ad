/**
 * Whom this host remembers, and where they were: from records while these last, from the store, and from its identity,
 * which a copy of that folder has, too. Who answers at a remembered address proves to be the peer that is meant.
 */
import * as z from 'zod'
import { isHostId } from '#core/admission/host-id.ts'
import type { HostId } from '#core/ids.ts'
import type { Store } from '#store/contract.ts'
import type { Host } from './host.ts'
import type { Records } from './records.ts'
import { parseJson } from './wire.ts'

/** Section of the store with the addresses of members that were connected, by their ids. */
export const peersSection = 'peers'
/** Members whose addresses lie beside the identity. */
const maxKept = 8
const maxKeptAddresses = 3

export const addressList: z.ZodType<string[]> = z.array(z.string().max(256)).max(16)

export interface Remembered {
  readonly id: HostId
  /** Each with `/p2p/ID`. */
  readonly addresses: readonly string[]
}

/** Peers of former times; none that was shut out or left, as far as is known here. */
export function rememberedPeers(
  { identity, addresses: kept }: Pick<Host, 'identity' | 'addresses'>,
  records: Records,
  store: Store
): readonly Remembered[] {
  const known = new Map<HostId, Set<string>>()
  const { members } = records.view
  const add = (id: HostId, addresses: readonly string[]): void => {
    if (members.get(id)?.body.left === true) return
    const all = known.get(id) ?? new Set<string>()
    for (const address of addresses) all.add(address.includes('/p2p/') ? address : `${address}/p2p/${id}`)
    known.set(id, all)
  }
  for (const { host, body } of members.values()) add(host, body.addresses)
  for (const { key, value } of store.entries(peersSection)) add(key as HostId, storedAddresses(value))
  for (const { id, addresses } of byPeer(kept)) add(id, addresses)
  known.delete(identity.id)
  for (const out of records.seats.revoked(known.keys())) known.delete(out)
  return [...known].map(([id, addresses]) => ({ id, addresses: [...addresses] }))
}

/**
 * The addresses to keep beside the identity: of admins, the nearest to the root first, for they renew; then of others,
 * who pass a request on; then of those that were kept, while nobody else is known.
 */
export function addressesToKeep(host: Pick<Host, 'identity' | 'addresses'>, records: Records): string[] {
  const { members } = records.view
  const rank = (role: string, links: number): number => (role === 'admin' ? links : Infinity)
  const others = [...members.values()]
    .filter(({ host: id, body }) => id !== host.identity.id && !body.left && body.addresses.length > 0)
    .map(({ host: id, body, role, record }) => ({
      id,
      addresses: body.addresses.map((address) => addressOf(id, address)),
      rank: rank(role, record.chain?.path.length ?? 0)
    }))
    .toSorted((a, b) => a.rank - b.rank || (a.id < b.id ? -1 : 1))
  const out = records.seats.revoked(byPeer(host.addresses).map(({ id }) => id))
  const former = byPeer(host.addresses).filter(({ id }) => !members.has(id) && !out.has(id))
  return [...others, ...former]
    .slice(0, maxKept)
    .flatMap(({ addresses }) => addresses.slice(0, maxKeptAddresses))
}

/** An address of a peer, whoever it was said to be of. */
export function addressOf(peer: HostId, address: string): string {
  return `${address.replace(/\/p2p\/[^/]+$/, '')}/p2p/${peer}`
}

/** Those of which it is known whose they are. */
export function namingPeers(addresses: readonly string[]): readonly string[] {
  return byPeer(addresses).flatMap((one) => one.addresses)
}

/** Addresses by the peer that each names; those that name none are passed over. */
function byPeer(addresses: readonly string[]): readonly Remembered[] {
  const known = new Map<HostId, string[]>()
  for (const address of addresses) {
    const id = /\/p2p\/([^/]+)$/.exec(address)?.[1] ?? ''
    if (isHostId(id)) known.set(id, [...(known.get(id) ?? []), address])
  }
  return Array.from(known, ([id, its]) => ({ id, addresses: its }))
}

/** What was stored of a peer; nothing where it is not as it was written. */
function storedAddresses(value: Uint8Array): readonly string[] {
  const parsed = addressList.safeParse(parseJson(value))
  return parsed.success ? parsed.data : []
}

/**
 * Who keeps the records of a VIOLIN (its holders: all hosts of owners who signed, and every host that the
 * standing version names), what two hosts may tell each other of them, and how holders hang together.
 */
import type { HostId, ViolinId, WallTime } from '../ids.ts'
import { hostsOfOwner } from './owners.ts'
import type { SignedRecord, ViolinRecord } from './record.ts'
import type { RecordSet } from './set.ts'
import { hostsIn, settleViolin } from './view.ts'

/** Up to so many holders every two keep a connection; above, each keeps this many less one. */
export const fullyConnectedHolders = 7

/** The holders of a VIOLIN as the records settle it; none where there is no living version of it. */
export function holdersOf(set: RecordSet, violin: ViolinId, now: WallTime): ReadonlySet<HostId> {
  const versions = set
    .entries(violin)
    .filter((record): record is ViolinRecord => record.kind === 'violin' && record.endsAt > now)
  if (versions.length === 0) return new Set()
  const hosts = set.tree('hosts')
  const owners = new Map(versions.map(({ author }) => [author, hostsOfOwner(hosts, author)]))
  return settleViolin(violin, versions, owners, new Map()).holders
}

/** Whether a record is a host's to keep: the mesh's, and those of VIOLINs that it owns, or that name it. */
export function wantsRecord(set: RecordSet, self: HostId, record: SignedRecord): boolean {
  switch (record.kind) {
    case 'host':
    case 'revocation':
      return true
    case 'violin':
      return namesHost(record, self) || set.holds(record.key as ViolinId) || isOwnersHost(set, record, self)
    case 'runs':
      return set.holds(record.body.violin)
  }
}

/** Whether the owner key that signed a version lies on a host, too. */
function isOwnersHost(set: RecordSet, record: ViolinRecord, host: HostId): boolean {
  return hostsOfOwner(set.tree('hosts'), record.author).includes(host)
}

/** Whether a version of a VIOLIN, or its end, makes a host one of its holders. */
export function namesHost(record: ViolinRecord, host: HostId): boolean {
  const { spec, ended } = record.body
  const named = ended === null ? hostsIn(spec) : new Set(ended.hosts)
  return named.has(host) || record.chain?.host === host
}

/**
 * The holder with whom to exchange a VIOLIN's records next; `draw` is in [0, 1), null: there is no other. Every
 * second time it is the host of an owner, who was told of every version: all others that are named here may
 * have been dropped together, and hold what is over.
 */
export function holderToAsk(
  holders: ReadonlySet<HostId>,
  owners: ReadonlySet<HostId>,
  self: HostId,
  draw: number
): HostId | null {
  const others = [...holders].filter((host) => host !== self)
  const chosen = others.filter((host) => owners.has(host))
  const from = draw < 0.5 && chosen.length > 0 ? chosen : others
  return from[Math.floor(((2 * draw) % 1) * from.length)] ?? null
}

/** The hosts of the owners who signed a living version: on which it was signed, and on which their keys lie. */
export function ownerHosts(set: RecordSet, violin: ViolinId): ReadonlySet<HostId> {
  const versions = set.entries(violin).filter((record) => record.kind === 'violin')
  return new Set(
    versions.flatMap(({ author, chain }) => [
      chain?.host as HostId,
      ...hostsOfOwner(set.tree('hosts'), author)
    ])
  )
}

/** Whether a record shows by itself that a host holds its VIOLIN, or held it once. */
export function showsHolder(record: SignedRecord, host: HostId): boolean {
  return record.kind === 'violin' && namesHost(record, host)
}

/**
 * The holders to which one keeps connections, so that the VIOLIN's topic reaches all: the holders in order of
 * their ids are a ring, and each is joined to those 1, s and s² places away, where s³ is their number. So a
 * message is with the last of n after some 3/2 n^⅓ hops, whoever a host is, both ends name each other, and
 * VIOLINs on the same hosts share their connections.
 */
export function holderNeighbours(holders: ReadonlySet<HostId>, self: HostId): readonly HostId[] {
  const ring = [...holders].toSorted((a, b) => (a < b ? -1 : 1))
  const own = ring.indexOf(self)
  if (own < 0) return []
  if (ring.length <= fullyConnectedHolders) return ring.filter((host) => host !== self)
  const step = Math.round(Math.cbrt(ring.length))
  const away = [1, step, step * step].flatMap((places) => [own + places, own - places])
  const chosen = new Set(away.map((place) => ring[(place + ring.length) % ring.length] as HostId))
  chosen.delete(self)
  return [...chosen]
}

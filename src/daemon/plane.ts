/**
 * The control plane of one host, put together: what decides and remembers, over slices and doors that it is given.
 * The daemon runs it over real slices, tests over played ones.
 */
import type { Limits } from '#core/limits.ts'
import type { ImageStore } from '#images/store.ts'
import { createMesh } from '#mesh/mesh.ts'
import type { Mesh, NetworkMismatch } from '#mesh/contract.ts'
import type { Store } from '#store/contract.ts'
import { Admission } from './admission.ts'
import { Changes } from './changes.ts'
import { Claims } from './claims.ts'
import type { Doors } from './doors/doors.ts'
import type { Journal } from './events.ts'
import { Handoffs } from './handoff.ts'
import { type Host, placeOf } from './host.ts'
import { wrongNetworkKey } from './identity.ts'
import { Images } from './images.ts'
import { Loads } from './loads.ts'
import { Moves } from './moves.ts'
import { Peers } from './peers.ts'
import { Pointers } from './pointers.ts'
import { Reconciler } from './reconciler.ts'
import type { Records } from './records.ts'
import { rememberedPeers } from './remembered.ts'
import { Waiting } from './waiting.ts'
import type { Settings } from './settings.ts'
import type { Slices } from './slices/slices.ts'
import { Statuses } from './statuses.ts'
import { Violins } from './violins.ts'

export type Log = (message: string, fields: Record<string, unknown>) => void

export interface PlaneParts {
  readonly dir: string
  readonly host: Host
  readonly store: Store
  readonly journal: Journal
  readonly records: Records
  readonly mesh: Mesh
  readonly settings: Settings
  readonly doors: Doors
  readonly slices: Slices
  readonly imageStore: ImageStore
  readonly log: Log
}

export interface Plane {
  readonly peers: Peers
  readonly images: Images
  readonly reconciler: Reconciler
  readonly statuses: Statuses
  readonly loads: Loads
  readonly handoffs: Handoffs
  readonly violins: Violins
  readonly waiting: Waiting
  readonly changes: Changes
  readonly moves: Moves
  readonly pointers: Pointers
  readonly admission: Admission
}

/** What has to be closed is given to the stack. */
export function controlPlane(parts: PlaneParts, undo: AsyncDisposableStack): Plane {
  const { dir, host, store, journal, records, mesh, settings, doors, slices, imageStore, log } = parts
  const { identity } = host
  const limits = (): Limits => settings.limits
  const peers = undo.adopt(new Peers({ host, records, store, mesh, journal, log }), (one) => one.close())
  const claims = new Claims(host, records, peers, limits, doors)
  const images = undo.adopt(new Images({ store: imageStore, mesh, records, peers, journal, limits }), (one) =>
    one.close()
  )
  const reconciler = undo.adopt(
    new Reconciler(host, records, slices, claims, doors, journal, images),
    (one) => one.close()
  )
  images.onChange(() => reconciler.kick())
  mesh.on(() => reconciler.kick())
  const statuses = new Statuses(identity.id, records, reconciler, mesh)
  const loads = new Loads(host, records, mesh, limits)
  const handoffs = new Handoffs({ identity, records, slices, peers, mesh })
  const violins = new Violins({ host, records, peers, statuses })
  const waiting = new Waiting({ violins, records, peers, statuses })
  const changes = new Changes({ host, records, peers, violins, waiting, loads, journal, images })
  const moves = new Moves({ records, peers, violins, changes, statuses, loads, handoffs })
  const pointers = undo.adopt(new Pointers({ host, records, mesh, peers, violins, log }), (one) =>
    one.close()
  )
  const admission = new Admission({ dir, host, records, peers, mesh, journal, store, log })
  return {
    peers,
    images,
    reconciler,
    statuses,
    loads,
    handoffs,
    violins,
    waiting,
    changes,
    moves,
    pointers,
    admission
  }
}

/** The mesh as a host of these records takes part in it. */
export function hostMesh(
  parts: Pick<PlaneParts, 'host' | 'records' | 'store' | 'journal' | 'log'>,
  options: {
    readonly listen: readonly string[]
    readonly mdns: boolean
    readonly warn: (text: string) => void
  }
): Promise<Mesh> {
  const { host, records, store, journal, log } = parts
  const { identity } = host
  const otherNetwork = (mismatch: NetworkMismatch): void => {
    const text = wrongNetworkKey(identity, mismatch)
    journal.note('network-key', null, text)
    options.warn(text)
  }
  return createMesh({
    hostSeed: identity.hostSeed,
    networkKey: identity.networkKey,
    otherNetwork,
    listen: options.listen,
    meshId: identity.mesh,
    presentation: () => host.chain.bytes,
    admit: (peer, presented) => records.seats.admits(peer, presented),
    why: (peer, presented) => records.seats.whyOut(peer, presented),
    refused: (why) => records.refused(why, host.chain),
    remembered: () => (placeOf(host, records) === 'revoked' ? [] : rememberedPeers(host, records, store)),
    mdns: options.mdns,
    log
  })
}

/**
 * Overlay hosts in one process: real mesh on loopback, real records, a store in a temporary folder. Only the
 * slices are played: they run what they are told at once, so that the control plane is tested alone.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import type { HostId, ViolinId } from '#core/ids.ts'
import type { Topology, TopologyEntity } from '#core/spec.ts'
import type { Progress } from '#api/contract.ts'
import { Admission } from '#daemon/admission.ts'
import type { Limits } from '#core/limits.ts'
import { Claims } from '#daemon/claims.ts'
import { Journal } from '#daemon/events.ts'
import { found, join } from '#daemon/founding.ts'
import { Doors } from '#daemon/doors/doors.ts'
import { Handoffs } from '#daemon/handoff.ts'
import { hostOf, placeOf, publishHost, type Host } from '#daemon/host.ts'
import { loadIdentity } from '#daemon/identity.ts'
import { Images } from '#daemon/images.ts'
import { Loads } from '#daemon/loads.ts'
import { Peers, rememberedPeers } from '#daemon/peers.ts'
import { Reconciler } from '#daemon/reconciler.ts'
import { Records } from '#daemon/records.ts'
import { Renewal, renewLapsed } from '#daemon/renewal.ts'
import { Pointers } from '#daemon/pointers.ts'
import type { refuseOwner } from '#daemon/refusing.ts'
import { Settings } from '#daemon/settings.ts'
import { Seat } from '#daemon/seat.ts'
import { whenShutOut } from '#daemon/shut-out.ts'
import type { Slices } from '#daemon/slices/slices.ts'
import { Statuses } from '#daemon/statuses.ts'
import { Changes } from '#daemon/changes.ts'
import { Moves } from '#daemon/moves.ts'
import { Running } from '#daemon/running.ts'
import { Violins } from '#daemon/violins.ts'
import { ImageStore } from '#images/store.ts'
import type { Mesh } from '#mesh/contract.ts'
import { createMesh } from '#mesh/mesh.ts'
import type { SliceStatus, SliceWish } from '#slice/contract.ts'
import { openStore } from '#store/level.ts'

const listen = ['/ip4/127.0.0.1/tcp/0']
const quiet = (): void => {}

export interface TestHost {
  readonly host: Host
  readonly dir: string
  readonly records: Records
  readonly mesh: Mesh
  readonly admission: Admission
  readonly pointers: Pointers
  readonly refusing: Parameters<typeof refuseOwner>[0]
  readonly renewal: Renewal
  readonly seat: Seat
  readonly loads: Loads
  readonly peers: Peers
  readonly violins: Violins
  readonly changes: Changes
  readonly moves: Moves
  readonly handoffs: Handoffs
  readonly journal: Journal
  /** What it said where it was started. */
  readonly warned: readonly string[]
  /** What each played slice was told last. */
  readonly slices: PlayedSlices
  /** Resolves when a condition on what runs here holds. */
  reconciled(condition: () => boolean): Promise<void>
  close(): Promise<void>
}

export class PlayedSlices {
  readonly wishes: Map<ViolinId, SliceWish> = new Map<ViolinId, SliceWish>()
  /** Who hears what the slices say. */
  heard: Reconciler['heard'] = quiet

  all(): { violin: ViolinId }[] {
    return [...this.wishes.keys()].map((violin) => ({ violin }))
  }

  get(violin: ViolinId): unknown {
    return this.wishes.has(violin) ? this.#slice(violin) : null
  }

  /** Those that went on from a former life of the host. */
  adopt(): { readonly violin: ViolinId; readonly hello: SliceStatus }[] {
    return Array.from(this.wishes, ([violin, wish]) => ({ violin, hello: statusOf(wish) }))
  }

  ensure(violin: ViolinId): Promise<unknown> {
    return Promise.resolve(this.#slice(violin))
  }

  remove(violin: ViolinId): Promise<void> {
    this.wishes.delete(violin)
    return Promise.resolve()
  }

  #slice(violin: ViolinId): unknown {
    return {
      call: (method: string, params: unknown): Promise<unknown> => {
        if (method === 'configure') this.wishes.set(violin, params as SliceWish)
        const status = statusOf(this.wishes.get(violin) as SliceWish)
        if (method === 'status') this.heard(violin, { kind: 'status', status })
        return Promise.resolve(status)
      }
    }
  }
}

export function statusOf(wish: SliceWish): SliceStatus {
  return {
    contract: 1,
    pid: process.pid,
    version: wish.version,
    port: 1,
    memoryBytes: 0,
    entities: wish.entities.map(({ name, claim }) => ({
      name,
      state: 'running',
      reason: '',
      claim,
      superseded: null,
      again: false,
      bootMs: 1,
      nics: []
    })),
    switches: wish.lans.map((lan) => ({
      lan: lan.name,
      active: lan.hosts[0] as HostId,
      standby: null,
      term: 1
    })),
    trunks: []
  }
}

/** Hosts of one mesh: the first founds it, the others join by one invite of it. All end with the stack. */
export async function meshOf(names: readonly string[], stack: AsyncDisposableStack): Promise<TestHost[]> {
  const folder = await mkdtemp(joinPath(tmpdir(), 'violin-hosts-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const hosts: TestHost[] = []
  let token = ''
  for (const [place, name] of names.entries()) {
    const dir = joinPath(folder, name)
    if (place === 0) await found(dir, { name, listen })
    else await join(dir, token, { name, listen })
    const host = await startHost(dir)
    stack.defer(() => host.close())
    hosts.push(host)
    token ||= (
      await host.admission.invite({ expiresMs: 60_000, uses: Math.max(1, names.length - 1), role: 'member' })
    ).token
  }
  const all = (): boolean =>
    hosts.every(
      ({ records, mesh }) =>
        records.view.members.size === names.length && mesh.members().length === names.length - 1
    )
  await until(hosts, all)
  return hosts
}

/** Starts the control plane of a folder, over slices that are played, or played otherwise. */
export async function startHost(dir: string, played: PlayedSlices = new PlayedSlices()): Promise<TestHost> {
  const identity = await loadIdentity(dir)
  const host = await hostOf(dir, identity)
  const store = await openStore(joinPath(dir, 'store'))
  const journal = new Journal()
  const tell = (kind: string, text: string): void => journal.note(kind, null, text)
  const records = new Records({ root: identity.mesh, self: identity.id, store, tell, log: quiet })
  await renewLapsed(dir, host, records)
  const mesh = await createMesh({
    hostSeed: identity.hostSeed,
    networkKey: identity.networkKey,
    listen: identity.listen,
    meshId: identity.mesh,
    presentation: () => host.chain.bytes,
    admit: (peer, shown) => records.admits(peer, shown),
    why: (peer, shown) => records.whyOut(peer, shown),
    refused: (why) => records.refused(why),
    remembered: () =>
      placeOf(host, records) === 'revoked' ? [] : rememberedPeers(identity.id, records, store),
    mdns: false,
    log: quiet
  })
  records.attach(mesh)
  const settings = await Settings.of(dir, host.memoryMiB)
  const slices = played as unknown as Slices
  const peers = new Peers({
    host,
    records,
    store,
    mesh,
    journal,
    log: quiet
  })
  const limits = (): Limits => settings.limits
  const doors = new Doors({ self: identity.id, records, limits, journal })
  const claims = new Claims(host, records, peers, limits, doors)
  const images = new Images({
    store: new ImageStore(joinPath(dir, 'images')),
    mesh,
    records,
    peers,
    journal,
    limits
  })
  const reconciler = new Reconciler(host, records, slices, claims, doors, journal, images)
  images.onChange(() => reconciler.kick())
  played.heard = (violin, told) => reconciler.heard(violin, told)
  mesh.on(() => reconciler.kick())
  const statuses = new Statuses(identity.id, records, reconciler, mesh)
  const loads = new Loads(host, records, mesh, limits)
  const handoffs = new Handoffs({ identity, records, slices, peers, mesh })
  const violins = new Violins({ host, records, peers, statuses })
  const running = new Running({ violins, records, peers, statuses })
  const changes = new Changes({ host, records, peers, violins, running, loads, journal, images })
  const moves = new Moves({ records, peers, violins, changes, statuses, loads, handoffs })
  const admission = new Admission(dir, host, records, mesh, journal, store)
  const say = (): Promise<void> =>
    publishHost(host, records, { addresses: mesh.addresses(), draining: false, left: false })
  await say()
  const renewal = new Renewal({ dir, host, records, mesh, journal, log: quiet, entered: say })
  const warned: string[] = []
  const warn = (text: string): void => void warned.push(text)
  const unwatch = whenShutOut({ host, records, mesh, journal, warn })
  const seat = await Seat.of({ dir, host, records, mesh, journal, log: quiet, entered: say })
  const pointers = new Pointers({ host, records, mesh, peers, violins, log: quiet })
  for (const { violin, hello } of played.adopt()) reconciler.adopted(violin, hello)
  await reconciler.begin()
  const close = async (): Promise<void> => {
    unwatch()
    pointers.close()
    reconciler.close()
    peers.close()
    records.close()
    await mesh.close()
    await store.close()
  }
  const reconciled = (condition: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const unwatch = reconciler.watch(() => {
        if (!condition()) return
        unwatch()
        resolve()
      })
      reconciler.kick()
      if (condition()) resolve()
    })
  const refusing = { settings, records, peers, violins, admission, reconciler, journal }
  return {
    host,
    dir,
    pointers,
    refusing,
    records,
    mesh,
    peers,
    admission,
    renewal,
    seat,
    loads,
    warned,
    violins,
    changes,
    moves,
    handoffs,
    journal,
    slices: played,
    reconciled,
    close
  }
}

/** Resolves when a condition holds; it is looked at whenever records or connections of these hosts change. */
export async function until(hosts: readonly TestHost[], condition: () => boolean): Promise<void> {
  if (condition()) return
  await new Promise<void>((resolve) => {
    const look = (): void => {
      if (condition()) resolve()
    }
    for (const { records, mesh } of hosts) {
      records.onChange(look)
      mesh.on(look)
    }
  })
}

/** Runs a stream of progress to its end and gives all of it. */
export async function collect(progress: AsyncIterable<Progress>): Promise<Progress[]> {
  const rows: Progress[] = []
  for await (const row of progress) rows.push(row)
  return rows
}

/** A topology of one vLAN with an entity on each named host. */
export function oneLan(name: string, on: readonly string[]): Topology {
  const entities = on.map((host, place): TopologyEntity => ({
    name: `vhost${place + 1}`,
    kind: 'host',
    driver: 'uml',
    image: 'tiny',
    memoryMiB: 64,
    on: host,
    nics: [{ name: 'eth0', lan: 'lan1' }],
    env: {},
    files: []
  }))
  return { name, lans: [{ name: 'lan1', subnet: '10.1.0.0/24', vswitch: [] }], entities }
}

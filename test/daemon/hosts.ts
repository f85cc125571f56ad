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
import { Journal, type Subject } from '#daemon/events.ts'
import { found, join } from '#daemon/founding.ts'
import { Doors } from '#daemon/doors/doors.ts'
import { hostOf, publishHost, type Host } from '#daemon/host.ts'
import { loadIdentity } from '#daemon/identity.ts'
import { controlPlane, hostMesh, type Plane } from '#daemon/plane.ts'
import type { Reconciler } from '#daemon/reconciler.ts'
import { Records } from '#daemon/records.ts'
import { Renewal, renewLapsed } from '#daemon/renewal.ts'
import type { refuseOwner } from '#daemon/refusing.ts'
import { Settings } from '#daemon/settings.ts'
import { Seat } from '#daemon/seat.ts'
import { whenShutOut } from '#daemon/shut-out.ts'
import type { Slices } from '#daemon/slices/slices.ts'
import { ImageStore } from '#images/store.ts'
import type { Mesh } from '#mesh/contract.ts'
import type { SliceStatus, SliceWish } from '#slice/contract.ts'
import { openStore } from '#store/level.ts'

const listen = ['/ip4/127.0.0.1/tcp/0']
const quiet = (): void => {}

export interface TestHost extends Plane {
  readonly host: Host
  readonly dir: string
  readonly records: Records
  readonly mesh: Mesh
  readonly refusing: Parameters<typeof refuseOwner>[0]
  readonly renewal: Renewal
  readonly seat: Seat
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
    // Names may be those of several.
    const dir = joinPath(folder, `${place}-${name}`)
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
  await using undo = new AsyncDisposableStack()
  const identity = await loadIdentity(dir)
  const host = await hostOf(dir, identity)
  const store = undo.adopt(await openStore(joinPath(dir, 'store')), (one) => one.close())
  const journal = new Journal()
  const tell = (kind: string, text: string, violin: Subject | null = null): void =>
    journal.note(kind, violin, text)
  const log = quiet
  const records = undo.adopt(
    new Records({ root: identity.mesh, self: identity.id, store, tell, log }),
    (one) => one.close()
  )
  await renewLapsed(dir, host, records, store)
  const warned: string[] = []
  const warn = (text: string): void => void warned.push(text)
  const mesh = undo.adopt(
    await hostMesh({ host, records, store, journal, log }, { listen: identity.listen, mdns: false, warn }),
    (one) => one.close()
  )
  records.attach(mesh)
  const settings = await Settings.of(dir, host.memoryMiB)
  const doors = new Doors({ self: identity.id, folder: dir, records, limits: () => settings.limits, journal })
  const slices = played as unknown as Slices
  const imageStore = new ImageStore(joinPath(dir, 'images'))
  const plane = controlPlane(
    { dir, host, store, journal, records, mesh, settings, doors, slices, imageStore, log },
    undo
  )
  const { reconciler, violins, admission, peers } = plane
  played.heard = (violin, told) => reconciler.heard(violin, told)
  const say = (): Promise<boolean> =>
    publishHost(host, records, { addresses: mesh.addresses(), draining: false, left: false })
  await say()
  const renewal = new Renewal({ dir, host, records, store, peers, mesh, journal, log, entered: say })
  undo.defer(whenShutOut({ host, records, mesh, journal, warn }))
  const seat = await Seat.of({ dir, host, records, mesh, journal, warn, log, entered: say })
  for (const { violin, hello } of played.adopt()) reconciler.adopted(violin, hello)
  await reconciler.begin()
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
  const refusing = { host, settings, records, violins, admission, reconciler, journal }
  const owned = undo.move()
  return {
    ...plane,
    host,
    dir,
    refusing,
    records,
    mesh,
    renewal,
    seat,
    warned,
    journal,
    slices: played,
    reconciled,
    close: () => owned.disposeAsync()
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

/** A topology of one vLAN with one entity that is not pinned. */
export function free(name: string): Topology {
  const topology = oneLan(name, ['a'])
  const entities = topology.entities.map(
    ({ name: one, kind, driver, image, memoryMiB, nics, env, files }) => ({
      name: one,
      kind,
      driver,
      image,
      memoryMiB,
      nics,
      env,
      files
    })
  )
  return { ...topology, entities }
}

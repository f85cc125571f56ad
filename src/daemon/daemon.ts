/** The host's daemon, put together: what starts it, in which order, and what its end leaves running. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { errorData } from '#core/errors.ts'
import { serveApi } from '#api/server.ts'
import { ImageStore } from '#images/store.ts'
import { buildTiny } from '#images/tiny.ts'
import type { Mesh } from '#mesh/contract.ts'
import { openMended } from '#store/level.ts'
import { imagesOf } from './build.ts'
import { Attachments } from './attachments.ts'
import { Departure } from './departure.ts'
import { Doors } from './doors/doors.ts'
import { Journal, type Subject } from './events.ts'
import { Holders } from './holders.ts'
import { nextGeneration } from './generation.ts'
import { Histories } from './histories.ts'
import { type Host, hostOf, publishHost } from './host.ts'
import { forgetIdentity, type Identity, loadIdentity, openSecrets } from './identity.ts'
import { EntityChanges } from './entity-changes.ts'
import { Jetways } from './jetways.ts'
import { Offers } from './offers.ts'
import type { Peers } from './peers.ts'
import { controlPlane, type Log, hostMesh } from './plane.ts'
import { rereadSettings } from './refusing.ts'
import { Settings } from './settings.ts'
import { shareOf } from './slices/share.ts'
import { Records } from './records.ts'
import { Renewal, renewLapsed } from './renewal.ts'
import { whenRestored } from './restored.ts'
import { Seat } from './seat.ts'
import { sayingWhere } from './elsewhere.ts'
import { createService } from './service.ts'
import { Sessions } from './sessions.ts'
import { whenShutOut } from './shut-out.ts'
import { Slices } from './slices/slices.ts'
import { TrunkAgreement } from './trunks.ts'

/** The own record is looked at this often: new addresses, or an end that comes near. */
const refreshEveryMs = 60_000

export interface DaemonOptions {
  readonly listen: readonly string[]
  readonly log: Log
  /** Says at once, where the daemon was started, what keeps it from its work. */
  readonly warn: (text: string) => void
}

export interface Daemon {
  readonly identity: Identity
  readonly mesh: Mesh
  /** Resolves when the host has left its mesh and the daemon shall end. */
  readonly left: Promise<void>
  /** Ends the daemon; slices and their machines go on, and the next daemon adopts them. */
  close(): Promise<void>
}

/**
 * Starts the host of a folder. Throws ViolinError: `not-initialised`, `already-running`, `port-taken`,
 * `not-a-member`, `store-damaged`.
 */
export async function startDaemon(dir: string, options: DaemonOptions): Promise<Daemon> {
  await using door = new AsyncDisposableStack()
  await using undo = new AsyncDisposableStack()
  const identity = await loadIdentity(dir)
  const host = await hostOf(dir, identity)
  const { store, mended } = await openMended(join(dir, 'store'))
  undo.adopt(store, (one) => one.close())
  const generation = await nextGeneration(store, mended !== null)
  const imageStore = new ImageStore(imagesOf(dir))
  // Made once; a start with the image there costs a look at it.
  await mkdir(imageStore.folder, { recursive: true, mode: 0o755 })
  if (host.drivers.includes('uml')) await buildTiny(join(imageStore.folder, 'tiny'))
  const journal = new Journal()
  const settings = await Settings.of(dir, host.memoryMiB)
  const { log } = options
  const tell = (kind: string, text: string, violin: Subject | null = null): void =>
    journal.note(kind, violin, text)
  const warn = (kind: string, text: string): void => {
    tell(kind, text)
    options.warn(text)
  }
  if (mended !== null) warn('store-mended', `${mended}; neighbours give the rest`)
  const open = await openSecrets(dir)
  if (open !== null) warn('secrets-open', `${open.what}: ${open.remedy}`)
  const records = undo.adopt(
    new Records({ root: identity.mesh, self: identity.id, store, tell, log }),
    (one) => one.close()
  )
  await renewLapsed(dir, host, records, store)
  const listen = options.listen.length > 0 ? options.listen : identity.listen
  const mesh = undo.adopt(
    await hostMesh({ host, records, store, journal, log }, { listen, mdns: true, warn: options.warn }),
    (one) => one.close()
  )
  const doors = new Doors({ self: identity.id, folder: dir, records, limits: () => settings.limits, journal })
  const slices: Slices = undo.adopt(
    new Slices({
      folder: join(dir, 'slices'),
      self: identity.id,
      ports: identity.ports,
      images: imageStore.folder,
      generation,
      share: () => shareOf(identity.id, settings.shareOf(slices.all().length + 1)),
      door: (violin, wanted) => doors.tap(violin, wanted),
      onEvent: (told) => {
        if (told.kind === 'died') reconciler.ended(told.violin, told.reason)
        else if (told.event.kind === 'trunk-wanted') trunks.want(told.violin, told.event.peer)
        else reconciler.heard(told.violin, told.event)
      },
      log
    }),
    (one) => one.close()
  )
  undo.defer(() => doors.close())
  const plane = controlPlane(
    { dir, host, store, journal, records, mesh, settings, doors, slices, imageStore, log },
    undo
  )
  const { peers, reconciler, statuses, handoffs, violins, changes, pointers, admission, images } = plane
  const trunks = undo.adopt(
    new TrunkAgreement({ self: identity.id, signer: identity.host, records, slices, mesh, log }),
    (one) => one.close()
  )
  undo.adopt(new Holders({ self: identity.id, records, peers, log }), (one) => one.close())
  const offers = new Offers({ self: identity.id, violins, changes, records, peers, mesh, images })
  const attachments = new Attachments({
    host,
    records,
    doors,
    violins,
    offers,
    statuses,
    reconciler,
    journal
  })
  const left = Promise.withResolvers<void>()
  const gone = async (): Promise<void> => {
    await owned.disposeAsync()
    await forgetIdentity(dir)
  }
  const departure = new Departure({
    host,
    records,
    reconciler,
    slices,
    violins,
    changes,
    handoffs,
    mesh,
    journal,
    gone,
    end: left.resolve
  })
  const refusing = { host, settings, records, violins, admission, reconciler, journal }
  // A host that was being drained still is.
  departure.draining = records.view.members.get(identity.id)?.body.draining ?? false
  const service = sayingWhere(
    createService({
      ...plane,
      refusing,
      host,
      mesh,
      records,
      sessions: new Sessions(identity, records, slices, mesh),
      statuses,
      jetways: new Jetways({ changes, statuses, peers }),
      entityChanges: new EntityChanges({ changes, statuses, journal }),
      attachments,
      offers,
      departure,
      journal,
      histories: new Histories({
        self: identity.id,
        records,
        journal,
        mesh,
        nameOf: (one) => peers.nameOf(one)
      })
    }),
    (name) => plane.pointers.look(name)
  )
  // Before anything is heard or asked: what runs must not be taken for what is to be started.
  for (const { violin, hello } of await slices.adopt()) reconciler.adopted(violin, hello)
  await reconciler.begin()
  const api = await serveApi(join(dir, 'api.sock'), service)
  // Apart: it answers to the last who asked the host to leave, when all else has ended.
  door.adopt(api, (one) => one.close())
  records.attach(mesh)
  const say = (): Promise<boolean> => announce(host, records, mesh, peers, departure)
  await say()
  const renewal = new Renewal({ dir, host, records, store, peers, mesh, journal, log, entered: say })
  const entered = async (): Promise<void> => {
    await say()
    await renewal.resign()
  }
  const seat = await Seat.of({ dir, host, records, mesh, journal, warn: options.warn, log, entered })
  undo.defer(whenShutOut({ host, records, mesh, journal, warn: options.warn }))
  const tellTwin = (text: string): void => {
    journal.note('key-twice', null, text)
    options.warn(text)
  }
  const self = identity.host.publicKey
  undo.defer(whenRestored({ self, records, say, tell: tellTwin, log }))
  const refresh = setInterval(() => {
    reconciler.refresh()
    say().catch((error: unknown) => log('own record not published', { reason: errorData(error).message }))
    void seat.look(mesh.members().length === 0)
    void renewal.look()
    void images.sweep(Date.now())
    rereadSettings(refusing).catch((error: unknown) =>
      log('settings not read anew', { reason: errorData(error).message })
    )
    admission
      .look()
      .catch((error: unknown) => log('invites not looked at', { reason: errorData(error).message }))
  }, refreshEveryMs)
  undo.defer(() => clearInterval(refresh))
  reconciler.kick()
  void attachments.sweep()
  void images.sweep(Date.now())
  void pointers.putAll()
  const owned = undo.move()
  const entrance = door.move()
  return {
    identity,
    mesh,
    left: left.promise,
    async close() {
      await entrance.disposeAsync()
      await owned.disposeAsync()
    }
  }
}

async function announce(
  host: Host,
  records: Records,
  mesh: Mesh,
  peers: Peers,
  { draining, left }: Pick<Departure, 'draining' | 'left'>
): Promise<boolean> {
  const isNews = await publishHost(host, records, { addresses: mesh.addresses(), draining, left })
  const { publicKey } = host.identity.host
  const own = records.set.get('host', publicKey, '')
  if (own !== null) void peers.announce(own.bytes, publicKey)
  return isNews
}

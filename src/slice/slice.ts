/**
 * One VIOLIN's part on this host: entities, vLANs, trunks, and what the daemon may ask of them. All state
 * lives here and ends with the process; the daemon brings the wish again.
 */
import { createHash } from 'node:crypto'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { hostKeyOf, lanKeyOf, macOf } from '#core/derive.ts'
import { errorFrom, ViolinError } from '#core/errors.ts'
import type { HostId, HostKey, LanKey, Mac } from '#core/ids.ts'
import type { DriverName } from '#core/spec.ts'
import { close } from '#syscalls/libc.ts'
import { openUdp, type UdpSocket } from '#syscalls/udp.ts'
import { Agreements } from './agreements.ts'
import { Captures } from './captures.ts'
import { Control, type Handlers } from './control.ts'
import {
  contractVersion,
  sliceFiles,
  type SliceStart,
  type SliceStatus,
  type SliceWish,
  type SwitchStatus,
  type TrunkHalf,
  type TrunkStatus
} from './contract.ts'
import { Entities } from './entities.ts'
import type { LanReport } from './forwarder/contract.ts'
import type { StartMachine } from './machines/contract.ts'
import { portLink } from './port-link.ts'
import { type LanWish, Switching } from './switching.ts'
import { Taps } from './taps.ts'

const hash = { sha256: (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest() }
/** UDP addresses told to a peer at most. */
const maxCandidates = 16

export interface SliceParts {
  readonly start: SliceStart
  readonly machines: Partial<Record<DriverName, StartMachine>>
  /** Another forwarding worker than the real one, for tests. */
  readonly program?: URL
  readonly log: (message: string, fields: Record<string, unknown>) => void
  /** It ended, because it was asked to or because it cannot go on; called once. */
  readonly ended: (error: Error | null) => void
  /** No daemon is connected, or one is again. */
  readonly attended: (by: boolean) => void
}

export class Slice {
  readonly #parts: SliceParts
  readonly #self: HostKey
  readonly #socket: UdpSocket
  readonly #switching: Switching
  readonly #agreements: Agreements
  readonly #taps: Taps
  readonly #entities: Entities
  readonly #captures: Captures
  readonly #control: Control
  /** Hosts by the keys that the worker calls them by; grows with the peers ever wished for. */
  readonly #hosts = new Map<HostKey, HostId>()
  readonly #lanNames = new Map<LanKey, string>()
  #wish: SliceWish | null = null
  #stopping: Promise<void> | null = null

  /** Starts to serve the control socket. Throws SyscallError when no port of the range is free. */
  constructor(parts: SliceParts) {
    this.#parts = parts
    const { start } = parts
    this.#self = this.#keyOf(start.self)
    this.#socket = openUdp(start.ports.first, start.ports.last)
    this.#agreements = new Agreements({
      violin: start.violin,
      self: start.self,
      keyOf: (host) => this.#keyOf(host),
      candidates: () => localCandidates(this.#socket.port),
      wanted: (peer) => this.#control.tell({ kind: 'trunk-wanted', peer })
    })
    this.#taps = new Taps({
      violin: start.violin,
      folder: start.folder,
      daemon: start.daemon ?? null,
      tell: (event) => this.#control.tell(event)
    })
    this.#switching = this.#makeSwitching()
    this.#entities = this.#makeEntities()
    this.#captures = new Captures({
      source: this.#switching,
      lanKey: (lan) => this.#lanKey(lan),
      macOf: (entity, nic) => macOf(hash, start.violin, entity, nic),
      wish: () => this.#wish
    })
    this.#control = new Control(join(start.folder, sliceFiles.control), this.#handlers(), {
      greeted: () => this.#greeted(),
      deserted: () => this.#deserted()
    })
  }

  /** Resolves when a daemon can connect. */
  async listening(): Promise<void> {
    await this.#control.listening()
  }

  /** Stops all entities in good order, then everything else. */
  stop(error: Error | null = null): Promise<void> {
    this.#stopping ??= this.#stop(error)
    return this.#stopping
  }

  async #stop(error: Error | null): Promise<void> {
    this.#agreements.close()
    this.#captures.end()
    await this.#entities.stop()
    await this.#switching.stop()
    close(this.#socket.fd)
    this.#taps.close()
    await this.#control.close()
    this.#parts.ended(error)
  }

  #makeSwitching(): Switching {
    const { program } = this.#parts
    return new Switching({
      self: this.#self,
      udpFd: this.#socket.fd,
      ...(program === undefined ? {} : { program }),
      events: {
        lan: (report) => this.#control.tell({ kind: 'switch', status: this.#switchStatus(report) }),
        trunk: (key, up) => {
          const peer = this.#hosts.get(key)
          if (peer !== undefined) this.#control.tell({ kind: 'trunk', peer, up })
        },
        trunkWanted: (key) => {
          const peer = this.#hosts.get(key)
          if (peer !== undefined) this.#agreements.want(peer)
        },
        port: (port, up, reason) => this.#entities.port(port, up, reason),
        superseded: (port, claim, key) => {
          const by = this.#hosts.get(key)
          if (by !== undefined) this.#entities.superseded(port, { claim, by })
        },
        portLost: (port, reason) => this.#entities.portLost(port, reason),
        sessionsLost: () => {
          this.#parts.log('forwarding worker replaced', {})
          this.#agreements.wantAll()
        },
        broken: (error) => void this.stop(error)
      }
    })
  }

  #makeEntities(): Entities {
    const { start, machines, log } = this.#parts
    return new Entities({
      violin: start.violin,
      folder: join(start.folder, sliceFiles.entities),
      images: start.images,
      machines,
      log,
      macOf: (entity, nic): Mac => macOf(hash, start.violin, entity, nic),
      addPort: (lan, mac, source, link) =>
        this.#switching.addPort(this.#lanKey(lan), mac, source, null, portLink(link)),
      linkPort: (port, link) => this.#switching.linkPort(port, portLink(link)),
      claimPort: (port, claim) => this.#switching.claimPort(port, claim),
      removePort: (port) => this.#switching.removePort(port),
      tap: (entity, nic, mac, namespaceFd) => this.#taps.want(entity, nic, mac, namespaceFd),
      cancelTaps: (entity) => this.#taps.cancel(entity),
      changed: (entity) => this.#control.tell({ kind: 'entity', entity })
    })
  }

  #handlers(): Handlers {
    const none = {} as Record<string, never>
    return {
      hello: ({ violin }) => {
        if (violin !== this.#parts.start.violin)
          throw new ViolinError('refused', 'this is the slice of another VIOLIN', 'remove its folder')
        return this.#status()
      },
      status: () => this.#status(),
      configure: (wish) => {
        this.#configure(wish)
        return none
      },
      trunkOffer: ({ peer }) => this.#agreements.offer(peer),
      trunkJoin: ({ peer, ownIndex, half, authUntilMs }) => {
        this.#switching.setTrunk(this.#agreements.join(peer, ownIndex, half, authUntilMs))
        return none
      },
      trunkRenew: ({ peer, authForMs }) => {
        this.#switching.renewTrunk(this.#keyOf(peer), authForMs)
        return none
      },
      handoff: ({ lan, to }) => this.#handoff(lan, to),
      tapReady: ({ entity, nic }) => {
        this.#taps.ready(entity, nic)
        return none
      },
      tapRefused: ({ entity, nic, error }) => {
        this.#taps.refuse(entity, nic, errorFrom(error))
        return none
      },
      stop: () => {
        // The answer goes out before the connection ends with the slice.
        setImmediate(() => void this.stop())
        return none
      },
      session: (request) => {
        if (request.violin !== this.#parts.start.violin)
          throw new ViolinError('unknown-violin', 'the session is for another VIOLIN', 'try again')
        return 'capture' in request ? this.#captures.open(request) : this.#entities.session(request)
      }
    }
  }

  #configure(wish: SliceWish): void {
    if (this.#stopping !== null) throw new ViolinError('refused', 'the slice is stopping', 'start it again')
    this.#wish = wish
    this.#switching.setLans(wish.lans.map((lan) => this.#lanWish(wish, lan)))
    for (const peer of this.#agreements.setPeers(wish.peers)) this.#switching.removeTrunk(this.#keyOf(peer))
    this.#entities.configure(wish)
  }

  #lanWish(wish: SliceWish, lan: SliceWish['lans'][number]): LanWish {
    const members = new Set(lan.members ?? [...lan.hosts, ...wish.peers, this.#parts.start.self])
    return {
      lan: this.#lanKey(lan.name),
      candidates: lan.hosts.map((host) => this.#keyOf(host)),
      members: Array.from(members, (host) => this.#keyOf(host)),
      ...(lan.ports === undefined ? {} : { owners: this.#owners(lan.ports) })
    }
  }

  #owners(ports: NonNullable<SliceWish['lans'][number]['ports']>): NonNullable<LanWish['owners']> {
    const { violin } = this.#parts.start
    return ports.map(({ entity, nic, hosts, maxClaim }) => [
      macOf(hash, violin, entity, nic),
      { hosts: hosts.map((host) => this.#keyOf(host)), maxClaim: maxClaim ?? Infinity }
    ])
  }

  async #handoff(lan: string, to: HostId | null): Promise<{ active: HostId; term: number }> {
    const key = this.#lanKey(lan)
    const before = this.#switching.report(key)
    if (before === null || !this.#wish?.lans.some(({ name }) => name === lan))
      throw new ViolinError('unknown-lan', `no vLAN ${lan} here`, 'look it up: violin show')
    if (before.active !== this.#self)
      throw new ViolinError(
        'refused',
        `this host does not switch ${lan}`,
        'ask the host that does: violin show'
      )
    if (to !== null && this.#keyOf(to) === this.#self) return { active: to, term: before.term }
    const after = await this.#switching.handoff(key, to === null ? null : this.#keyOf(to))
    const active = after?.active == null ? undefined : this.#hosts.get(after.active)
    if (after === null || active === undefined)
      throw new ViolinError(
        'timeout',
        `nobody took ${lan} over`,
        'look whether another candidate is in reach: violin show'
      )
    return { active, term: after.term }
  }

  async #status(): Promise<SliceStatus> {
    const switches = (this.#wish?.lans ?? []).flatMap((lan) => {
      const report = this.#switching.report(this.#lanKey(lan.name))
      return report === null ? [] : [this.#switchStatus(report)]
    })
    const trunks = (await this.#switching.trunks()).flatMap((report): TrunkStatus[] => {
      const { peer: key, relay: relayKey, ...rest } = report
      const peer = this.#hosts.get(key)
      const relay = relayKey === null ? undefined : this.#hosts.get(relayKey)
      return peer === undefined ? [] : [{ peer, ...rest, ...(relay === undefined ? {} : { relay }) }]
    })
    return {
      contract: contractVersion,
      pid: process.pid,
      version: this.#wish?.version ?? 0,
      port: this.#socket.port,
      memoryBytes: process.memoryUsage.rss(),
      entities: this.#entities.statuses(),
      switches,
      trunks
    }
  }

  #switchStatus(report: LanReport): SwitchStatus {
    const hostOf = (key: HostKey | null): HostId | null =>
      key === null ? null : (this.#hosts.get(key) ?? null)
    return {
      lan: this.#lanNames.get(report.lan) ?? '',
      active: hostOf(report.active),
      standby: hostOf(report.standby),
      term: report.term
    }
  }

  #deserted(): void {
    this.#parts.attended(false)
    this.#entities.attend(false)
  }

  #greeted(): void {
    this.#parts.attended(true)
    this.#entities.attend(true)
    this.#taps.repeat()
    this.#agreements.repeat()
  }

  #keyOf(host: HostId): HostKey {
    const key = hostKeyOf(hash, host)
    this.#hosts.set(key, host)
    return key
  }

  #lanKey(lan: string): LanKey {
    const key = lanKeyOf(hash, lan)
    this.#lanNames.set(key, lan)
    return key
  }
}

/** Where this host's interfaces can be reached; its loopback only where there is nothing else. */
function localCandidates(port: number): TrunkHalf['candidates'] {
  const addresses = Object.values(networkInterfaces()).flatMap((interfaces) => interfaces ?? [])
  const usable = addresses.filter(
    ({ family, address }) => family === 'IPv4' && !address.startsWith('169.254.')
  )
  const outer = usable.filter(({ internal }) => !internal)
  const chosen = outer.length > 0 ? outer : usable
  return chosen.slice(0, maxCandidates).map(({ address }) => ({ ip: address, port }))
}

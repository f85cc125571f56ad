/**
 * Who is there: connections to members kept and found again, and what is said of each host. Addresses come
 * from records, from what answered before, and from the DHT, where every host puts its own record.
 */
import { hostIdOf, isHostId, publicKeyOf } from '#core/admission/host-id.ts'
import { ViolinError, errorData } from '#core/errors.ts'
import type { HostId, PublicKey } from '#core/ids.ts'
import { findHost } from '#core/placement.ts'
import { isRejected, openRecord } from '#core/records/record.ts'
import type { Mesh } from '#mesh/contract.ts'
import type { Store } from '#store/contract.ts'
import type { HostRow } from '#api/contract.ts'
import { crypto } from './crypto.ts'
import type { Journal } from './events.ts'
import { type Host, placeOf } from './host.ts'
import type { Records } from './records.ts'
import { addressList, peersSection } from './remembered.ts'
import { Watching } from './watching.ts'
import { encodeJson } from './wire.ts'

/** In a mesh of so many everyone is connected to everyone; a larger one hangs together by its ring. */
const maxSought = 64
/** Connections are looked through this often for who is no member any more. */
const lookEveryMs = 60_000
/** A lost host whose entities may be this one's to start is dialled again this often. */
const retryMs = 4_000
const dialTimeoutMs = 5_000
/** Names kept of hosts that were shut out. */
const maxNames = 1_024
const lookupTimeoutMs = 5_000

export class Peers {
  readonly #host: Host
  readonly #self: HostId
  readonly #records: Records
  readonly #store: Store
  readonly #mesh: Mesh
  readonly #journal: Journal
  readonly #log: (message: string, fields: Record<string, unknown>) => void
  readonly #dialling = new Map<HostId, Promise<void>>()
  readonly #watching: Watching
  readonly #triedAt = new Map<HostId, number>()
  /** Of hosts that were shut out since this daemon's start. */
  readonly #names = new Map<HostId, string>()
  readonly #look: NodeJS.Timeout

  constructor(options: {
    readonly host: Host
    readonly records: Records
    readonly store: Store
    readonly mesh: Mesh
    readonly journal: Journal
    readonly log: (message: string, fields: Record<string, unknown>) => void
  }) {
    const { identity } = options.host
    this.#host = options.host
    this.#self = identity.id
    this.#records = options.records
    this.#store = options.store
    this.#mesh = options.mesh
    this.#journal = options.journal
    this.#log = options.log
    this.#look = setInterval(() => this.#expel(), lookEveryMs)
    this.#watching = new Watching({
      ...options,
      self: identity.id,
      signer: identity.host,
      nameOf: (host) => this.nameOf(host),
      reach: (host) => this.reach(host)
    })
    options.mesh.on((event) => {
      if (event.kind === 'member-connected') void this.#remember(event.peer)
    })
    options.records.onChange((changed) => {
      const hosts = changed.filter((record) => record.kind === 'host')
      if (changed.some(({ kind }) => kind === 'revocation')) {
        for (const { body } of hosts) this.#rememberName(body.host, body.name)
        this.#expel()
      }
      for (const { body } of hosts) this.#seek(body.host)
    })
  }

  close(): void {
    clearInterval(this.#look)
    this.#watching.close()
  }

  /** Puts the own record into the DHT. */
  async announce(record: Uint8Array, self: PublicKey): Promise<void> {
    await this.#mesh
      .put(keyOf(self), record, AbortSignal.timeout(lookupTimeoutMs))
      .catch((error: unknown) => {
        this.#log('own record not put into the DHT', { reason: errorData(error).message })
      })
  }

  isConnected(host: HostId): boolean {
    return host === this.#self || this.#mesh.isMember(host)
  }

  /** Connects to a member if it is not. Throws ViolinError `nobody-reachable`, `revoked`. */
  async reach(host: HostId): Promise<void> {
    if (this.isConnected(host)) return
    if (placeOf(this.#host, this.#records) === 'revoked')
      throw new ViolinError(
        'revoked',
        `this host was shut out of the mesh: ${this.nameOf(host)} takes nothing of it`,
        'ask an admin of the mesh for a new invite, and join in a new folder'
      )
    const running = this.#dialling.get(host)
    if (running !== undefined) return running
    const dialling = this.#dial(host).finally(() => this.#dialling.delete(host))
    this.#dialling.set(host, dialling)
    return dialling
  }

  /** Name of a host for people, of one that is no member any more as it was; its id where none is known. */
  nameOf(host: HostId): string {
    const key = publicKeyOf(host)
    const record = key === null ? null : this.#records.set.get('host', key, '')
    return record?.body.name ?? this.#names.get(host) ?? host
  }

  isShutOut(host: HostId): boolean {
    return this.#records.seats.revoked([host]).size > 0
  }

  /** Left the mesh, or shut out of it: it hears of nothing any more. */
  isGone(host: HostId): boolean {
    return this.stateOf(host) === 'left' || this.isShutOut(host)
  }

  stateOf(host: HostId): HostRow['state'] {
    if (this.#records.view.members.get(host)?.body.left === true) return 'left'
    return this.#watching.stateOf(host)
  }

  /**
   * More than a third of what this host watches fell silent at once: it takes itself for the lost one, and
   * starts nothing of others.
   */
  get isolated(): boolean {
    return this.#watching.isolated
  }

  /**
   * For how long this host has not heard that one itself, by libp2p: own evidence, no hearsay; null: it hears
   * it, or others do, to whom it objects that it is lost. Of a host that was never connected the time runs from this
   * daemon's start. Asking makes this host dial one that is not connected.
   */
  lostForMs(host: HostId): number | null {
    const lostForMs = this.#watching.lostForMs(host)
    if (lostForMs === null) return null
    const now = performance.now()
    const isTried = this.isConnected(host) || now - (this.#triedAt.get(host) ?? -Infinity) < retryMs
    if (!isTried && this.#records.view.members.has(host)) {
      this.#triedAt.set(host, now)
      this.reach(host).catch((error: unknown) =>
        this.#log('host not reached', { host, reason: errorData(error).message })
      )
    }
    return this.#watching.stateOf(host) === 'dead' ? lostForMs : null
  }

  async #dial(host: HostId): Promise<void> {
    const told = this.#records.view.members.get(host)?.body.addresses ?? []
    const first = await this.#tryDial(host, told)
    if (first === null) return
    // It may have moved since its record came this way.
    const key = this.#records.view.members.get(host)?.key
    const found =
      key === undefined
        ? null
        : await this.#mesh.get(keyOf(key), AbortSignal.timeout(lookupTimeoutMs)).catch(() => null)
    if (key !== undefined && found !== null) {
      const record = hostRecordAt(keyOf(key), found, this.#records.set.root)
      if (record !== null && (await this.#tryDial(host, record.addresses)) === null) return
    }
    throw new ViolinError(
      'nobody-reachable',
      `${this.nameOf(host)} cannot be reached: ${errorData(first).message}`,
      'see that `violin daemon` runs there and that its port is reachable'
    )
  }

  async #tryDial(host: HostId, addresses: readonly string[]): Promise<unknown> {
    if (addresses.length === 0) return new Error('no address of it is known')
    const full = addresses.map((address) => (address.includes('/p2p/') ? address : `${address}/p2p/${host}`))
    return this.#mesh.dial(full, AbortSignal.timeout(dialTimeoutMs)).then(
      () => null,
      (error: unknown) => error
    )
  }

  /** Closes connections to hosts that were shut out, lapsed or lost their slot; they are not let in again. */
  #expel(): void {
    const members = this.#mesh.members()
    const { seats, view } = this.#records
    const revoked = seats.revoked(members)
    for (const peer of members) {
      const name = this.nameOf(peer)
      if (revoked.has(peer)) this.#journal.note('host-revoked', null, `${name} was shut out of the mesh`)
      else if (view.displaced.has(peer)) {
        const keeper = seats.keeperOfSlot(peer)
        const by = keeper === null ? 'another host' : this.nameOf(keeper)
        this.#journal.note('host-displaced', null, `${name} lost its slot of an invite: ${by} keeps it`)
      } else if (this.#hasLapsed(peer))
        this.#journal.note('host-lapsed', null, `the membership of ${name} ended`)
      else continue
      this.#mesh
        .hangUp(peer)
        .catch((error: unknown) => this.#log('not hung up', { peer, reason: errorData(error).message }))
    }
  }

  #hasLapsed(peer: HostId): boolean {
    const key = publicKeyOf(peer)
    const chain = key === null ? null : this.#records.seats.chainOf(key)
    return chain !== null && chain.endsAt <= this.#records.now
  }

  /** Connects to a member that was heard of, where the mesh is small. */
  #seek(host: HostId): void {
    const member = this.#records.view.members.get(host)
    if (member === undefined || member.body.left || this.isConnected(host)) return
    if (this.#records.view.members.size > maxSought) return
    this.reach(host).catch((error: unknown) =>
      this.#log('member not reached', { host, reason: errorData(error).message })
    )
  }

  /** What is shut out has no record any more, and is still spoken of. */
  #rememberName(host: HostId, name: string): void {
    this.#names.set(host, name)
    const [oldest] = this.#names.keys()
    if (this.#names.size > maxNames && oldest !== undefined) this.#names.delete(oldest)
  }

  async #remember(peer: HostId): Promise<void> {
    try {
      const told = addressList.safeParse((await this.#mesh.addressesOf(peer)).slice(0, 8))
      const addresses = told.success ? told.data : []
      if (addresses.length > 0)
        await this.#store.write([{ section: peersSection, key: peer, value: encodeJson(addresses) }])
    } catch (error: unknown) {
      this.#log('peer not remembered', { peer, reason: errorData(error).message })
    }
  }
}

/** A member by name or id. Throws ViolinError `unknown-host`, `ambiguous-name`. */
export function memberNamed(
  wanted: string,
  { view }: Records
): { readonly id: HostId; readonly name: string } {
  const members = [...view.members.values()]
  return findHost(
    wanted,
    members.map(({ host, body }) => ({ id: host, name: body.name, left: body.left }))
  )
}

/**
 * The owner's host in NAME@OWNER, by name or id; null where no member is named so. Throws ViolinError `ambiguous-name`:
 * one of several that are named alike may own another VIOLIN of that name, which is not here.
 */
export function ownerNamed(wanted: string, records: Records): HostId | null {
  if (isHostId(wanted)) return wanted
  const isNamed = [...records.view.members.values()].some(({ body }) => body.name === wanted)
  return isNamed ? memberNamed(wanted, records).id : null
}

function keyOf(host: PublicKey): string {
  return `host/${host}`
}

/** The host record that a DHT value holds, if it is the key's own. */
function hostRecordAt(
  key: string,
  value: Uint8Array,
  root: PublicKey
): { readonly version: number; readonly addresses: readonly string[] } | null {
  const record = openRecord(value, root, crypto)
  if (isRejected(record) || record.kind !== 'host' || key !== keyOf(record.author)) return null
  if (record.endsAt < Date.now() || record.body.host !== hostIdOf(record.author)) return null
  return { version: record.version, addresses: record.body.addresses }
}

/** Whether a key of the DHT is one of host records. */
export function isHostKey(key: string): boolean {
  return key.startsWith(keyOf('' as PublicKey))
}

/** Whether a value of the DHT is the host record of its key. */
export function judgeHostRecord(key: string, value: Uint8Array, records: Records): boolean {
  return hostRecordAt(key, value, records.set.root) !== null
}

/** The place of the newest of several. */
export function newestHostRecord(key: string, values: readonly Uint8Array[], records: Records): number {
  let best = 0
  let bestVersion = -1
  for (const [place, value] of values.entries()) {
    const version = hostRecordAt(key, value, records.set.root)?.version ?? -1
    if (version > bestVersion) {
      best = place
      bestVersion = version
    }
  }
  return best
}

/**
 * What a daemon does around its records: keeps and stores them, speaks for its host. Gossip, repair, joining
 * and what owners do have files of their own; records, budgets, admission and reconciliation are the product's.
 */
import { type Chain, slotOf } from '#core/admission/chain.ts'
import type { HostId, PublicKey, ViolinId, WallTime } from '#core/ids.ts'
import type { HostBody, OwnerHere } from '#core/records/bodies.ts'
import { holdersOf, wantsRecord } from '#core/records/holders.ts'
import { type Draft, type SignedRecord, maxLifeMs, sealRecord } from '#core/records/record.ts'
import type { RecordSet } from '#core/records/set.ts'
import { isAhead } from '#core/records/standing.ts'
import { type View, view } from '#core/records/view.ts'
import { Connections } from './connections.ts'
import { Disk } from './disk.ts'
import { Gossip } from './gossip.ts'
import type { Host } from './host.ts'
import { Joining } from './joining.ts'
import { type VirtualSigner, virtualCrypto } from './keys.ts'
import { Owner } from './owner.ts'
import { Repair } from './repair.ts'
import type { World } from './world.ts'

/** Replaced records that a world remembers, for liars. */
const keptPast = 64
const nobody: ReadonlySet<HostId> = new Set()

/** What a host says of itself. */
export function hostBody(
  host: HostId,
  place: number,
  owner: OwnerHere | null = null,
  draining = false
): HostBody {
  return {
    host,
    name: `host-${place}`,
    addresses: [`/ip4/192.0.2.${place % 250}/tcp/4780`],
    capacity: { memoryMiB: 4096, cpus: 2 },
    coordinate: [place % 100, place % 37, 1],
    software: '0.1.0',
    protocols: [{ name: 'trunk', versions: [1] }],
    draining,
    left: false,
    clockAheadMs: 0,
    owner
  }
}

export class Daemon {
  /** The membership; null: not let in yet. */
  chain: Chain | null = null
  set: RecordSet
  readonly disk: Disk = new Disk()
  readonly connections: Connections
  readonly gossip: Gossip
  readonly repair: Repair
  readonly joining: Joining
  readonly owner: Owner
  /** Takes nothing new, hands over what it has. */
  draining = false
  /** What it said of itself last. */
  published: SignedRecord | null = null
  readonly #world: World
  readonly #host: Host
  #revision = 0
  #seen: { readonly revision: number; readonly at: number; readonly view: View } | null = null
  /** Of the VIOLINs that it holds. */
  readonly #holders = new Map<ViolinId, ReadonlySet<HostId>>()

  constructor(world: World, host: Host) {
    this.#world = world
    this.#host = host
    this.set = world.emptySet()
    this.connections = new Connections(world, host)
    this.gossip = new Gossip(world, host)
    this.repair = new Repair(world, host)
    this.joining = new Joining(world, host)
    this.owner = new Owner(world, host)
  }

  get wallNow(): WallTime {
    return this.#host.wallNow
  }

  /** What the records mean here now. */
  get view(): View {
    if (
      this.#seen === null ||
      this.#seen.revision !== this.#revision ||
      this.#world.clock.now - this.#seen.at > 10_000
    ) {
      this.#seen = { revision: this.#revision, at: this.#world.clock.now, view: this.#look() }
    }
    return this.#seen.view
  }

  /** Hosts that know the same and hold no VIOLIN see the same. */
  #look(): View {
    const alone = this.set.violins().length > 0 || this.#host.clockAheadMs !== 0
    return alone
      ? view(this.set, this.wallNow)
      : this.#world.common.view(this.set, this.wallNow, () => view(this.set, this.wallNow))
  }

  /** Grows with every change of the records. */
  get revision(): number {
    return this.#revision
  }

  /** Who holds a VIOLIN, as far as this host knows; nobody where it knows none. */
  holdersOf(violin: ViolinId): ReadonlySet<HostId> {
    return this.#holders.get(violin) ?? nobody
  }

  /** Members as this host sees them, by invite: with a planted bug the slots are not settled. */
  membersBy(token: PublicKey): readonly PublicKey[] {
    const settled = [...this.view.members.values()].map((member) => member.record)
    const shown = this.#world.hasBug('slots-unsettled')
      ? [...this.set.entries('mesh')].filter((record) => record.kind === 'host')
      : settled
    return shown
      .filter((record) => record.chain !== null && slotOf(record.chain)?.token === token)
      .map((record) => record.author)
  }

  start(): void {
    this.connections.start()
    this.gossip.start()
    this.#load()
    this.repair.start()
  }

  // What it says.

  /** Takes its place as a member from the beginning; a record of its own is what it gives. */
  found(chain: Chain): SignedRecord {
    this.chain = chain
    const { id, place, signer } = this.#host
    const draft = {
      kind: 'host',
      version: 1,
      issuedAt: this.wallNow,
      expiresAt: (this.wallNow + maxLifeMs.host) as WallTime,
      chain,
      body: hostBody(id, place, this.owner.here)
    } as const
    this.published = sealRecord(draft, this.#world.root.publicKey, signer, virtualCrypto)
    return this.published
  }

  /** Knows from the beginning what another knows. */
  knowAll(other: Daemon): void {
    this.set = other.set.fork()
    this.#revision++
  }

  /** Says something new of itself. */
  publish(): void {
    const { chain } = this
    if (chain === null) return
    const { place, id, signer } = this.#host
    // With the planted bug versions are kept upside down.
    const upsideDown = this.#world.hasBug('lower-version-wins')
    const former = upsideDown ? 0 : (this.set.get('host', signer.publicKey, '')?.version ?? 0)
    this.published = this.speak(signer, {
      kind: 'host',
      version: Math.max(this.published?.version ?? 0, former) + 1,
      issuedAt: this.wallNow,
      expiresAt: (this.wallNow + maxLifeMs.host) as WallTime,
      chain,
      body: hostBody(id, place, this.owner.here, this.draining)
    })
  }

  /** Hands over what runs here, or takes part again. */
  drain(on: boolean): void {
    if (this.draining === on) return
    this.draining = on
    this.publish()
    this.#host.claims?.kick()
  }

  /** Holds a host for shut out: takes nothing of it, and has no way to it. */
  shuts(peer: Host): boolean {
    const { chain } = peer.records
    return chain !== null && this.set.isRevoked(chain)
  }

  /** Knows that it was shut out itself: it troubles nobody any more. */
  get isOut(): boolean {
    return this.set.isRevoked(this.chain)
  }

  /** Puts a host or an owner out. */
  revoke(target: Chain): void {
    const { chain } = this
    if (chain === null) return
    const { signer } = this.#host
    this.speak(signer, {
      kind: 'revocation',
      version: (this.set.get('revocation', signer.publicKey, target.subject)?.version ?? 0) + 1,
      issuedAt: this.wallNow,
      expiresAt: (target.endsAt + 24 * 3600_000) as WallTime,
      body: { key: target.subject, andBelow: false, target: target.links },
      chain
    })
  }

  /** Seals, keeps and spreads a record. */
  speak(signer: VirtualSigner, draft: Draft): SignedRecord {
    const record = sealRecord(draft, this.#world.root.publicKey, signer, virtualCrypto)
    // Its own publication does not take it for what another said in its name.
    if (draft.kind === 'host') this.published = record
    this.merge(record.bytes)
    // What could not be stored is not told: repair tells it all the same.
    if (!this.disk.isFull) this.gossip.spread(record.bytes, null)
    return record
  }

  // What it keeps.

  /** The record if it was news. */
  merge(bytes: Uint8Array): SignedRecord | null {
    const merged = this.set.merge(bytes, this.wallNow, (record) =>
      wantsRecord(this.set, this.#host.id, record)
    )
    if (merged.verdict !== 'accepted') return null
    this.noted([merged.record], merged.removed)
    return merged.record
  }

  /** Records came in, and took others out. */
  noted(records: readonly SignedRecord[], removed: readonly SignedRecord[]): void {
    this.#revision++
    this.disk.write(records, removed)
    const { past } = this.#world
    for (const record of removed) if (past.length < keptPast) past.push(record)
    for (const record of records) {
      this.#world.see({ kind: 'record', host: this.#host.place, record })
      this.joining.heard(record)
      this.#checkOwn(record)
      if (record.kind === 'violin') this.#settle(record.key as ViolinId)
    }
    for (const record of removed) if (record.kind === 'violin') this.#settle(record.key as ViolinId)
    if (records.some(({ kind }) => kind === 'revocation') && !this.#world.hasBug('shut-out-stays'))
      this.#shutOut()
    this.#host.claims?.kick()
  }

  /** Somebody was shut out: ways to it end here, and no vSwitch counts on it. */
  #shutOut(): void {
    const { connections } = this
    connections.reconsider()
    for (const trunk of this.#world.trunksOf(this.#host))
      if (this.shuts(trunk.other(this.#host))) trunk.shut(this.#host)
    const { slice, worker } = this.#host
    if (this.#host.running) worker.do('command', () => slice.reconfigure())
  }

  /** Who holds a VIOLIN now; one that this host holds no more is forgotten, as its reconciler does. */
  #settle(violin: ViolinId): void {
    const holders = holdersOf(this.set, violin, this.wallNow)
    if (holders.has(this.#host.id)) {
      this.#holders.set(violin, holders)
      this.connections.hold(violin, holders)
      return
    }
    this.#holders.delete(violin)
    this.connections.hold(violin, nobody)
    // The version that dropped it stays on disk, as the set keeps it aside.
    const forgotten = this.set.forget(violin).filter(({ kind }) => kind !== 'violin')
    if (forgotten.length > 0) this.disk.write([], forgotten)
  }

  /** Its own record in words that it did not speak (it was restored, or lost them): it speaks above them. */
  #checkOwn(record: SignedRecord): void {
    const { signer, claims } = this.#host
    if (record.author !== signer.publicKey) return
    if (record.kind === 'runs') claims?.heardOwn()
    if (record.kind !== 'host') return
    if (this.published !== null && record.hash !== this.published.hash) this.publish()
  }

  /** What a clock that was ahead has signed is taken by nobody yet: it is said anew. */
  checkClock(): void {
    if (this.published !== null && isAhead(this.published, this.wallNow)) this.publish()
    this.owner.resign()
  }

  // The disk.

  /** All that it has stored. */
  backup(): readonly Uint8Array[] {
    return Array.from(this.set.all(), ({ bytes }) => bytes)
  }

  /** Other contents are on the disk when the daemon starts next. */
  restore(saved: readonly Uint8Array[]): void {
    this.disk.replaced()
    this.#fill(saved)
  }

  /** A daemon that starts has what the store holds, and says who it is if that does not. */
  #load(): void {
    const stored = this.disk.read(() => [...this.set.all(), ...this.set.dropped])
    if (stored !== null) this.#fill(stored)
    const own = this.set.get('host', this.#host.signer.publicKey, '')
    // A host that was being drained still is.
    this.draining = own?.body.draining ?? false
    if (this.chain === null || own?.hash === this.published?.hash) return
    this.published = own
    if (own === null) this.publish()
  }

  #fill(stored: readonly Uint8Array[]): void {
    this.set = this.#world.emptySet()
    for (const bytes of stored) this.set.merge(bytes, this.wallNow)
    this.#revision++
    const known = new Set([...this.#holders.keys(), ...this.set.violins()])
    for (const violin of known) this.#settle(violin)
  }
}

/**
 * What a daemon does around its records: gossips what is news, repairs with a random neighbour every three
 * seconds, lets newcomers in, joins. Records, budgets, admission and repair are the product's own.
 */
import { type Chain, slotOf, verifyChain } from '#core/admission/chain.ts'
import {
  acceptGrant,
  countersign,
  decodeJoinAnswer,
  encodeJoinAnswer,
  firstSlot,
  joinRequest
} from '#core/admission/join.ts'
import type { Token } from '#core/admission/token.ts'
import { ViolinError } from '#core/errors.ts'
import type { HostId, PublicKey, WallTime } from '#core/ids.ts'
import type { HostBody } from '#core/records/bodies.ts'
import { AuthorBudget } from '#core/records/budget.ts'
import { type SignedRecord, maxLifeMs, sealRecord } from '#core/records/record.ts'
import { type RecordSet, clockToleranceMs } from '#core/records/set.ts'
import {
  type Synced,
  answerSync,
  applySync,
  maxSyncRounds,
  onlyScopes,
  syncRequest
} from '#core/records/sync.ts'
import { type View, settleSlots, view } from '#core/records/view.ts'
import { meetSome } from './beginning.ts'
import { Disk } from './disk.ts'
import type { Host } from './host.ts'
import { signerOf, virtualCrypto } from './keys.ts'
import type { World } from './world.ts'

/** As in daemon/records.ts. */
const repairEveryMs = 3_000
const repairTimeoutMs = 20_000
const passedOn = 16
/** Most neighbours to whom news is pushed: gossipsub's upper bound of a mesh. */
const maxPushed = 12
/** A lost neighbour is dialled again within this time. */
const redialMs = 1_500
/** A join that nobody answers is tried again, so often. */
const joinAgainMs = 2_000
const maxJoinTries = 40
/** Replaced records that a world remembers, for liars. */
const keptPast = 64
const access = onlyScopes(['mesh'])

/** What a host says of itself. */
export function hostBody(host: HostId, place: number): HostBody {
  return {
    host,
    name: `host-${place}`,
    addresses: [`/ip4/192.0.2.${place % 250}/tcp/4780`],
    capacity: { memoryMiB: 4096, cpus: 2 },
    coordinate: [place % 100, place % 37, 1],
    software: '0.1.0',
    protocols: [{ name: 'trunk', versions: [1] }],
    draining: false,
    left: false,
    clockAheadMs: 0
  }
}

export class Daemon {
  /** The membership; null: not let in yet. */
  chain: Chain | null = null
  set: RecordSet
  /** Members that this host knows how to reach. */
  readonly neighbours: Set<number> = new Set()
  readonly disk: Disk = new Disk()
  readonly #connected = new Set<number>()
  readonly #dialling = new Set<number>()
  readonly #world: World
  readonly #host: Host
  #budget = new AuthorBudget()
  readonly #repairing = new Set<number>()
  /** Slots given here whose host was not heard yet. */
  readonly #granted = new Map<PublicKey, Map<number, PublicKey>>()
  /** What it said of itself last. */
  published: SignedRecord | null = null
  #token: Token | null = null
  #revision = 0
  #seen: { readonly revision: number; readonly at: number; readonly view: View } | null = null

  constructor(world: World, host: Host) {
    this.#world = world
    this.#host = host
    this.set = world.emptySet()
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
      this.#seen = { revision: this.#revision, at: this.#world.clock.now, view: view(this.set, this.wallNow) }
    }
    return this.#seen.view
  }

  /** Grows with every change of the records. */
  get revision(): number {
    return this.#revision
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
    this.#budget = new AuthorBudget()
    this.#connected.clear()
    this.#dialling.clear()
    this.#repairing.clear()
    this.#load()
    const { life } = this.#host
    const { clock, random } = this.#world
    const turn = (): void => {
      if (life !== this.#host.life || !this.#host.running) return
      this.#host.daemon.do('command', () => this.#repairOne())
      clock.after(repairEveryMs, turn)
    }
    clock.after(random.mesh.next() * repairEveryMs, turn)
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
    const stored = this.disk.read(this.set.all())
    if (stored !== null) this.#fill(stored)
    const own = this.set.get('host', this.#host.signer.publicKey, '')
    if (this.chain === null || own?.hash === this.published?.hash) return
    this.published = own
    if (own === null) this.publish()
  }

  #fill(stored: readonly Uint8Array[]): void {
    this.set = this.#world.emptySet()
    for (const bytes of stored) this.set.merge(bytes, this.wallNow)
    this.#revision++
  }

  // What it says.

  /** Takes its place as a member from the beginning. */
  found(chain: Chain): void {
    this.chain = chain
    this.publish()
  }

  /** Says something new of itself. */
  publish(): void {
    const { chain } = this
    if (chain === null) return
    const { place, id, signer } = this.#host
    // With the planted bug versions are kept upside down.
    const upsideDown = this.#world.hasBug('lower-version-wins')
    const former = upsideDown ? 0 : (this.set.get('host', signer.publicKey, '')?.version ?? 0)
    const record = sealRecord(
      {
        kind: 'host',
        version: Math.max(this.published?.version ?? 0, former) + 1,
        issuedAt: this.wallNow,
        expiresAt: (this.wallNow + maxLifeMs.host) as WallTime,
        chain,
        body: hostBody(id, place)
      },
      this.#world.root.publicKey,
      signer,
      virtualCrypto
    )
    this.published = record
    this.#merge(record.bytes)
    // What could not be stored is not told: repair tells it all the same.
    if (!this.disk.isFull) this.spread(record.bytes, null)
  }

  /** Puts a host out, with all that it let in. */
  revoke(target: Chain): void {
    const { chain } = this
    if (chain === null) return
    const { signer } = this.#host
    const record = sealRecord(
      {
        kind: 'revocation',
        version: (this.set.get('revocation', signer.publicKey, target.subject)?.version ?? 0) + 1,
        issuedAt: this.wallNow,
        expiresAt: (target.endsAt + 24 * 3600_000) as WallTime,
        body: { key: target.subject, andBelow: false, target: target.links },
        chain
      },
      this.#world.root.publicKey,
      signer,
      virtualCrypto
    )
    this.#merge(record.bytes)
    this.spread(record.bytes, null)
  }

  // Neighbours.

  /** The ways to neighbours may have changed. */
  reconsider(): void {
    if (!this.#host.running || this.chain === null) return
    for (const place of this.neighbours) {
      if (!this.#reaches(place)) this.#connected.delete(place)
      else if (!this.#connected.has(place)) this.#dial(place)
    }
  }

  #reaches(place: number): boolean {
    const peer = this.#world.host(place)
    return (
      peer.running && peer.records.chain !== null && this.#world.network.connects(this.#host.place, place)
    )
  }

  /** Whoever dials first connects both; a host behind a NAT is waited for. */
  #dial(place: number): void {
    if (this.#dialling.has(place) || !this.#world.network.canBeDialled(place)) return
    this.#dialling.add(place)
    const { life } = this.#host
    this.#world.clock.after(this.#world.random.mesh.next() * redialMs, () => {
      if (life !== this.#host.life) return
      this.#dialling.delete(place)
      if (this.#connected.has(place) || !this.#reaches(place)) return
      const peer = this.#world.host(place)
      this.#call(peer, 'dial', (reply) => {
        if (this.#reaches(place)) peer.records.#met(this.#host.place)
        reply(() => this.#met(place))
      })
    })
  }

  #met(place: number): void {
    if (this.chain === null || this.#connected.has(place) || !this.#reaches(place)) return
    this.#connected.add(place)
    this.#repairWith(place)
  }

  // Gossip.

  /** Hands bytes to the neighbours, but not to whom they came from. */
  spread(bytes: Uint8Array, from: number | null): void {
    if (!this.#world.gossips) return
    let pushed = 0
    for (const place of this.#connected) {
      if (place === from || pushed === maxPushed) continue
      pushed++
      this.#host.sent.gossipBytes += bytes.length
      const peer = this.#world.host(place)
      this.#world.network.stream(this.#host.place, place, 'gossip', () => {
        peer.daemon.do('datagram', () => peer.records.#gossiped(bytes, this.#host.place))
      })
    }
  }

  #gossiped(bytes: Uint8Array, from: number): void {
    if (this.chain === null) return
    const record = this.#merge(bytes)
    if (record === null) return
    if (this.#budget.take(record.chain, this.#world.clock.now)) this.spread(bytes, from)
  }

  /** The record if it was news. */
  #merge(bytes: Uint8Array): SignedRecord | null {
    const merged = this.set.merge(bytes, this.wallNow)
    if (merged.verdict !== 'accepted') return null
    this.#noted([merged.record], merged.removed)
    return merged.record
  }

  #noted(records: readonly SignedRecord[], removed: readonly SignedRecord[]): void {
    this.#revision++
    this.disk.write(records, removed)
    for (const record of removed) if (this.#world.past.length < keptPast) this.#world.past.push(record)
    for (const record of records) {
      this.#world.see({ kind: 'record', host: this.#host.place, record })
      this.#checkSlot(record)
      this.#checkOwn(record)
    }
  }

  /** Its own record in words that it did not speak (it was restored, or lost them): it speaks above them. */
  #checkOwn(record: SignedRecord): void {
    const { signer } = this.#host
    if (record.kind !== 'host' || record.author !== signer.publicKey) return
    if (this.published !== null && record.hash !== this.published.hash) this.publish()
  }

  // Repair.

  #repairOne(): void {
    if (this.chain === null) return
    // What a clock that was ahead has signed is taken by nobody yet.
    const issuedAt = this.published?.issuedAt ?? 0
    if (issuedAt > this.wallNow + clockToleranceMs / 2) this.publish()
    if (this.#world.hasBug('repair-off')) return
    const peers = [...this.#connected].filter((place) => this.#reaches(place))
    if (peers.length > 0) this.#repairWith(this.#world.random.mesh.pick(peers))
  }

  #repairWith(place: number): void {
    if (this.#repairing.has(place) || this.chain === null || this.#world.hasBug('repair-off')) return
    this.#repairing.add(place)
    const { life } = this.#host
    const startedAt = this.#world.clock.now
    this.#world.clock.after(repairTimeoutMs, () => {
      if (life === this.#host.life) this.#repairing.delete(place)
    })
    const peer = this.#world.host(place)
    let rounds = 0
    const ask = (request: Uint8Array | null): void => {
      const over = this.#world.clock.now - startedAt > repairTimeoutMs
      if (request === null || over || ++rounds > maxSyncRounds) return void this.#repairing.delete(place)
      this.#host.sent.syncBytes += request.length
      this.#call(peer, 'exchange', (reply) => {
        const answer = peer.records.#answer(request)
        if (answer !== null) reply(() => ask(this.#apply(answer)))
      })
    }
    ask(syncRequest(this.set, ['mesh'], this.wallNow))
  }

  /** Runs `serve` at a peer's daemon and what it replies here, if both are there. */
  #call(peer: Host, what: string, serve: (reply: (run: () => void) => void) => void): void {
    const host = this.#host
    const { life } = host
    const { network } = this.#world
    network.stream(host.place, peer.place, what, () => {
      peer.daemon.do('datagram', () => {
        serve((run) => {
          network.stream(peer.place, host.place, 'answer', () => {
            if (life === host.life) host.daemon.do('datagram', run)
          })
        })
      })
    })
  }

  #answer(request: Uint8Array): Uint8Array | null {
    if (this.chain === null) return null
    const synced = answerSync(this.set, request, this.wallNow, access)
    this.#exchanged(synced)
    this.#host.sent.syncBytes += synced.answer.length
    return synced.answer
  }

  #apply(answer: Uint8Array): Uint8Array | null {
    const applied = applySync(this.set, answer, this.wallNow, access)
    this.#exchanged(applied)
    return applied.next
  }

  #exchanged(synced: Synced): void {
    if (synced.accepted.length === 0) return
    this.#noted(synced.accepted, synced.removed)
    if (synced.accepted.length <= passedOn)
      for (const record of synced.accepted) this.spread(record.bytes, null)
  }

  // Joining.

  /** Redeems an invite at a member; goes on until it is let in or refused. */
  join(token: Token, via: number): void {
    this.#token = token
    const { place } = this.#host
    const slot = firstSlot(token, this.#host.signer.publicKey, virtualCrypto)
    this.#ask(token, via, slot, maxJoinTries, () => this.#world.log('gave up joining', place))
  }

  #ask(token: Token, via: number, slot: number, tries: number, gaveUp: () => void): void {
    if (this.chain !== null || !this.#host.running) return
    if (tries === 0) return gaveUp()
    const { signer, place } = this.#host
    const { clock, random } = this.#world
    let answered = false
    clock.after(joinAgainMs * random.mesh.between(1, 1.5), () => {
      if (!answered) this.#ask(token, this.#otherThan(via), slot, tries - 1, gaveUp)
    })
    const request = joinRequest(token, signerOf(token.seed), signer.publicKey, slot, `host-${place}`)
    const member = this.#world.host(via)
    this.#call(member, 'join', (reply) => {
      const bytes = member.records.#letIn(request, this.#host)
      if (bytes === null) return
      reply(() => {
        if (answered || this.chain !== null) return
        answered = true
        const answer = decodeJoinAnswer(bytes)
        if (answer.kind === 'slot-taken') this.#ask(token, via, answer.free, tries - 1, gaveUp)
        else if (answer.kind === 'granted') this.#enter(token, answer.chain, via)
        else this.#world.log(`refused by ${via}: ${answer.error.code}`, place)
      })
    })
  }

  #otherThan(via: number): number {
    const members = this.#world.members.filter((host) => host.place !== via && host.running)
    return members.length === 0 ? via : this.#world.random.mesh.pick(members).place
  }

  #letIn(request: Uint8Array, from: Host): Uint8Array | null {
    const { chain } = this
    // It lost its own slot meanwhile: the newcomer asks another.
    if (chain === null) return null
    const answer = countersign(
      request,
      from.id,
      {
        chain,
        signer: this.#host.signer,
        chainOf: (host) => this.set.chainOf(host),
        usedSlots: (token) => new Map([...(this.#granted.get(token) ?? []), ...this.set.usedSlots(token)]),
        isRevoked: (target) => this.set.isRevoked(target)
      },
      this.wallNow,
      virtualCrypto
    )
    if (answer.kind === 'granted') {
      const granted = verifyChain(answer.chain, this.#world.root.publicKey, virtualCrypto)
      const claim = 'refused' in granted ? null : slotOf(granted)
      if (claim !== null) {
        const slots = this.#granted.get(claim.token) ?? new Map<number, PublicKey>()
        this.#granted.set(claim.token, slots.set(claim.slot, from.signer.publicKey))
      }
      this.#world.admitted.add(from.signer.publicKey)
    }
    return encodeJoinAnswer(answer)
  }

  #enter(token: Token, granted: Uint8Array, via: number): void {
    const chain = acceptGrant(token, this.#host.signer.publicKey, granted, virtualCrypto)
    if (chain instanceof ViolinError) throw chain
    this.chain = chain
    const { place } = this.#host
    this.#world.see({ kind: 'joined', host: place, at: via, slot: slotOf(chain)?.slot ?? -1 })
    meetSome(this.#world, this.#host, via)
    this.publish()
    this.reconsider()
  }

  /** Somebody else may hold this host's slot: then it takes the next. */
  #checkSlot(record: SignedRecord): void {
    const own = this.chain === null ? null : slotOf(this.chain)
    if (own === null || record.kind !== 'host' || record.chain === null) return
    const other = slotOf(record.chain)
    if (other?.token !== own.token || other.slot !== own.slot) return
    const winner = settleSlots(this.set).get(`${own.token} ${own.slot}`)
    if (winner === undefined || winner === this.#host.signer.publicKey || this.#token === null) return
    this.#world.see({ kind: 'displaced', host: this.#host.place })
    this.chain = null
    this.join(this.#token, this.#otherThan(-1))
  }
}

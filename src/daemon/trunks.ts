/**
 * Agreement on trunk sessions: the slices of two hosts make the keys, their daemons carry the halves over the
 * mesh and vouch for who is at the other end, and only for hosts that the VIOLIN's record names.
 * The lower host id offers first; the other one asks it to. Where two do not reach each other, a third host of the
 * VIOLIN carries what they sign (carried.ts), as its slice will pass on what theirs seal.
 */
import * as z from 'zod'
import { trunkAuthorityMs } from '#core/admission/renewal.ts'
import { lanMembers } from '#core/reconcile.ts'
import { ViolinError, errorData } from '#core/errors.ts'
import type { HostId, Signer, ViolinId } from '#core/ids.ts'
import type { TrunkHalf } from '#slice/contract.ts'
import type { Mesh } from '#mesh/contract.ts'
import { shuffled } from '#mesh/redial.ts'
import { type CarriedHalf, carriedHalf, carry, isOwnWord } from './carried.ts'
import type { Records } from './records.ts'
import { trunkHalf } from './slices/schema.ts'
import type { Slices } from './slices/slices.ts'
import { answer, ask } from './wire.ts'

/** A session lives this long after the daemons last agreed: slices whose daemon is down keep their trunks. */
const authorityMs: number = 24 * 3600 * 1000
/** Authority is renewed well before it ends. */
const renewEveryMs: number = 3600 * 1000
/** What failed is tried again this much later. */
const retryMs = 1_000
const agreeTimeoutMs = 8_000
/** Third hosts that are asked in turn to carry a half. */
const maxCarriers = 3

const question = z.strictObject({
  violin: z.string().regex(/^[0-9a-f]{64}$/),
  /** Null: please offer, for it is yours to. */
  half: trunkHalf.nullable()
})
const reply = z.strictObject({ half: trunkHalf.nullable() })

export class TrunkAgreement {
  readonly #self: HostId
  readonly #signer: Signer
  readonly #records: Records
  readonly #slices: Slices
  readonly #mesh: Mesh
  readonly #log: (message: string, fields: Record<string, unknown>) => void
  readonly #wanted = new Map<string, { readonly violin: ViolinId; readonly peer: HostId }>()
  readonly #agreeing = new Set<string>()
  readonly #timer: NodeJS.Timeout
  readonly #renewal: NodeJS.Timeout

  constructor(options: {
    readonly self: HostId
    /** The host's key. */
    readonly signer: Signer
    readonly records: Records
    readonly slices: Slices
    readonly mesh: Mesh
    readonly log: (message: string, fields: Record<string, unknown>) => void
  }) {
    this.#self = options.self
    this.#signer = options.signer
    this.#records = options.records
    this.#slices = options.slices
    this.#mesh = options.mesh
    this.#log = options.log
    answer(options.mesh, 'trunk', question, (asked, from) =>
      this.#asked(asked.violin as ViolinId, asked.half, from)
    )
    answer(options.mesh, 'trunk-by', carriedHalf, (word, from, signal) =>
      word.to === this.#self ? this.#askedBy(word) : this.#carry(word, from, signal)
    )
    options.mesh.on((event) => {
      if (event.kind === 'member-connected') this.#tryAll(event.peer)
    })
    this.#timer = setInterval(() => this.#tryAll(null), retryMs)
    this.#renewal = setInterval(() => this.#renewAll(), renewEveryMs)
  }

  /** A slice misses a session with a peer. */
  want(violin: ViolinId, peer: HostId): void {
    this.#wanted.set(`${violin} ${peer}`, { violin, peer })
    this.#try(violin, peer, true)
  }

  close(): void {
    clearInterval(this.#timer)
    clearInterval(this.#renewal)
  }

  /** Who is a connected member and named by the record may go on for another day; with others all is agreed anew. */
  #renewAll(): void {
    for (const slice of this.#slices.all()) {
      for (const peer of this.#coHosts(slice.violin)) {
        if (!this.#mesh.isMember(peer)) {
          this.#try(slice.violin, peer, true)
          continue
        }
        slice.call('trunkRenew', { peer, authForMs: this.#authorityMs(peer) }).catch((error: unknown) => {
          this.#log('trunk not renewed', { peer, reason: errorData(error).message })
        })
      }
    }
  }

  #tryAll(peer: HostId | null): void {
    for (const wish of this.#wanted.values())
      if (peer === null || wish.peer === peer) this.#try(wish.violin, wish.peer, false)
  }

  /** Agrees with a peer if it is connected; `byOthers`: by others, if not, at the pace at which the slice asks. */
  #try(violin: ViolinId, peer: HostId, byOthers: boolean): void {
    const key = `${violin} ${peer}`
    if (!this.#names(violin, peer) || this.#slices.get(violin) === null) {
      this.#wanted.delete(key)
      return
    }
    if (this.#agreeing.has(key) || !(byOthers || this.#mesh.isMember(peer))) return
    this.#agreeing.add(key)
    this.#agree(violin, peer)
      .then(
        () => this.#wanted.delete(key),
        (error: unknown) => this.#log('trunk not agreed', { violin, peer, reason: errorData(error).message })
      )
      .finally(() => this.#agreeing.delete(key))
  }

  async #agree(violin: ViolinId, peer: HostId): Promise<void> {
    const signal = AbortSignal.timeout(agreeTimeoutMs)
    if (peer < this.#self) {
      await this.#exchange(violin, peer, null, signal)
      return
    }
    const slice = this.#slices.get(violin)
    if (slice === null) return
    const own = await slice.call('trunkOffer', { peer })
    const half = await this.#exchange(violin, peer, own, signal)
    if (half === null)
      throw new ViolinError('refused', `${peer} gave no half of a trunk`, 'it is tried again')
    await slice.call('trunkJoin', {
      peer,
      ownIndex: own.index,
      half,
      authUntilMs: this.#authorityMs(peer)
    })
  }

  /** Puts a half to a peer; gives the one that it answers. Throws ViolinError. */
  async #exchange(
    violin: ViolinId,
    peer: HostId,
    half: TrunkHalf | null,
    signal: AbortSignal
  ): Promise<TrunkHalf | null> {
    if (this.#mesh.isMember(peer))
      return (await ask(this.#mesh, peer, 'trunk', { violin, half }, reply, signal)).half
    const coHosts = [...this.#coHosts(violin)].filter((host) => host !== peer && this.#mesh.isMember(host))
    const word = carry({ violin, from: this.#self, to: peer, half, answers: null }, this.#signer)
    for (const carrier of shuffled(coHosts).slice(0, maxCarriers)) {
      try {
        const said = await ask(this.#mesh, carrier, 'trunk-by', word, carriedHalf, signal)
        const fits = said.violin === violin && said.from === peer && said.to === this.#self
        if (fits && said.answers === (half?.publicKey ?? null) && isOwnWord(said)) return said.half
      } catch (error: unknown) {
        this.#log('trunk not agreed by another', { carrier, peer, reason: errorData(error).message })
      }
    }
    throw new ViolinError('nobody-reachable', `no host reaches ${peer} for this one`, 'it is tried again')
  }

  /** Carries a half from a member to another, both of which may have trunks with this host: one hop, no more. */
  #carry(word: CarriedHalf, from: HostId, signal: AbortSignal): Promise<CarriedHalf> {
    const { violin, to } = word
    const isTheirs = word.from === from && this.#names(violin, from) && this.#names(violin, to)
    if (!isTheirs || !this.#mesh.isMember(to))
      throw new ViolinError('refused', `${to} is not reached from here for ${from}`, 'it is tried again')
    return ask(this.#mesh, to, 'trunk-by', word, carriedHalf, signal)
  }

  async #askedBy(word: CarriedHalf): Promise<CarriedHalf> {
    const { violin, from, half: offered } = word
    // Who is connected speaks for itself: an old word of it, said again, must not undo what it agrees now.
    if (this.#mesh.isMember(from) || !isOwnWord(word))
      throw new ViolinError('refused', `${from} is connected, or did not sign this`, 'it is tried again')
    const { half } = await this.#asked(violin, offered, from)
    const content = { violin, from: this.#self, to: from, half, answers: offered?.publicKey ?? null }
    return carry(content, this.#signer)
  }

  async #asked(violin: ViolinId, offered: TrunkHalf | null, from: HostId): Promise<z.infer<typeof reply>> {
    const slice = this.#slices.get(violin)
    if (slice === null || !this.#names(violin, from)) {
      throw new ViolinError(
        'not-running-here',
        'nothing of that VIOLIN is shared with you here',
        'it is tried again'
      )
    }
    if (offered === null) {
      if (this.#self < from) this.want(violin, from)
      return { half: null }
    }
    const own = await slice.call('trunkOffer', { peer: from })
    await slice.call('trunkJoin', {
      peer: from,
      ownIndex: own.index,
      half: offered,
      authUntilMs: this.#authorityMs(from)
    })
    return { half: own }
  }

  /** A trunk ends with the shorter membership, and a day after the daemons last agreed. */
  #authorityMs(peer: HostId): number {
    const { members } = this.#records.view
    const ends = [peer, this.#self].flatMap((host) => members.get(host)?.membershipEndsAt ?? [])
    return trunkAuthorityMs(ends, authorityMs, this.#records.now)
  }

  /** Whether the record lets this peer have a trunk with this host: they share a vLAN. */
  #names(violin: ViolinId, peer: HostId): boolean {
    return this.#coHosts(violin).has(peer)
  }

  #coHosts(violin: ViolinId): ReadonlySet<HostId> {
    const spec = this.#records.view.violins.get(violin)?.spec ?? null
    const hosts = new Set<HostId>()
    for (const lan of spec?.lans ?? []) {
      const members = lanMembers(spec as NonNullable<typeof spec>, lan.name)
      if (members.includes(this.#self)) for (const host of members) hosts.add(host)
    }
    hosts.delete(this.#self)
    for (const out of this.#records.seats.revoked(hosts)) hosts.delete(out)
    return hosts
  }
}

/** How a host gets into the mesh by an invite, and lets others in. */
import { slotOf, verifyChain } from '#core/admission/chain.ts'
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
import type { PublicKey } from '#core/ids.ts'
import type { SignedRecord } from '#core/records/record.ts'
import { meetSome } from './beginning.ts'
import type { Host } from './host.ts'
import { signerOf, virtualCrypto } from './keys.ts'
import type { World } from './world.ts'

/** A join that nobody answers is tried again, so often. */
const joinAgainMs = 2_000
const maxJoinTries = 40

export class Joining {
  readonly #world: World
  readonly #host: Host
  /** Slots given here whose host was not heard yet. */
  readonly #granted = new Map<PublicKey, Map<number, PublicKey>>()
  #token: Token | null = null

  constructor(world: World, host: Host) {
    this.#world = world
    this.#host = host
  }

  /** Redeems an invite at a member; goes on until it is let in or refused. */
  join(token: Token, via: number): void {
    this.#token = token
    const { place } = this.#host
    const slot = firstSlot(token, this.#host.signer.publicKey, virtualCrypto)
    this.#ask(token, via, slot, maxJoinTries, () => this.#world.log('gave up joining', place))
  }

  #ask(token: Token, via: number, slot: number, tries: number, gaveUp: () => void): void {
    if (this.#host.records.chain !== null || !this.#host.running) return
    if (tries === 0) return gaveUp()
    const { signer, place } = this.#host
    const { clock, random } = this.#world
    let answered = false
    clock.after(joinAgainMs * random.mesh.between(1, 1.5), () => {
      if (!answered) this.#ask(token, this.#otherThan(via), slot, tries - 1, gaveUp)
    })
    const request = joinRequest(token, signerOf(token.seed), signer.publicKey, slot, `host-${place}`)
    const member = this.#world.host(via)
    this.#host.records.connections.call(member, 'join', (reply) => {
      const bytes = member.records.joining.#letIn(request, this.#host)
      if (bytes === null) return
      reply(() => {
        if (answered || this.#host.records.chain !== null) return
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
    const { chain, set } = this.#host.records
    // It lost its own slot meanwhile: the newcomer asks another.
    if (chain === null) return null
    const answer = countersign(
      request,
      from.id,
      {
        chain,
        signer: this.#host.signer,
        chainOf: (host) => set.chainOf(host),
        usedSlots: (token) => new Map([...(this.#granted.get(token) ?? []), ...set.usedSlots(token)]),
        isRevoked: (target) => set.isRevoked(target)
      },
      this.#host.wallNow,
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
    const { place, records } = this.#host
    records.chain = chain
    this.#world.see({ kind: 'joined', host: place, at: via, slot: slotOf(chain)?.slot ?? -1 })
    meetSome(this.#world, this.#host, via)
    records.publish()
    records.connections.reconsider()
  }

  /** Somebody else may hold this host's slot: then it takes the next. */
  heard(record: SignedRecord): void {
    const { records } = this.#host
    const own = records.chain === null ? null : slotOf(records.chain)
    if (own === null || record.kind !== 'host' || record.chain === null) return
    const other = slotOf(record.chain)
    if (other?.token !== own.token || other.slot !== own.slot) return
    const winner = records.set.claims.winners.get(`${own.token} ${own.slot}`)
    if (winner === undefined || winner === this.#host.signer.publicKey || this.#token === null) return
    this.#world.see({ kind: 'displaced', host: this.#host.place })
    records.chain = null
    records.connections.reconsider()
    this.join(this.#token, this.#otherThan(-1))
  }
}

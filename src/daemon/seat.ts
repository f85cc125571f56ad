/** Keeps this host's place in the mesh: whoever lost its slot to another takes a free one of the same invite. */
import { slotOf } from '#core/admission/chain.ts'
import { type SeatStep, seatStep } from '#core/admission/seat.ts'
import { type Token, parseToken } from '#core/admission/token.ts'
import { ViolinError, errorData } from '#core/errors.ts'
import type { Mesh } from '#mesh/contract.ts'
import { crypto, keyOfSeed } from './crypto.ts'
import type { Journal } from './events.ts'
import { type Host, placeOf } from './host.ts'
import { dropInvite, loadInvite } from './identity.ts'
import type { Records } from './records.ts'
import { redeem } from './stranger.ts'

/** Most members that are asked for a slot, one after another. */
const maxAsked = 16

export class Seat {
  readonly #parts: SeatParts
  #token: Token | null = null
  #asking: Promise<void> | null = null
  #told = false

  private constructor(parts: SeatParts) {
    this.#parts = parts
    parts.records.onChange((changed) => {
      if (changed.some(({ kind }) => kind === 'host' || kind === 'revocation')) void this.look(false)
    })
  }

  /** Takes up the invite that was kept at the join, if any. */
  static async of(parts: SeatParts): Promise<Seat> {
    const seat = new Seat(parts)
    const text = await loadInvite(parts.dir)
    const token = text === null ? null : parseToken(text, crypto, keyOfSeed)
    seat.#token = token instanceof ViolinError ? null : token
    return seat
  }

  /** Compares and does what is to be done, once at a time; `shunned`: no member takes this host for one. */
  look(shunned: boolean): Promise<void> {
    this.#asking ??= this.#look(shunned)
      .catch((error: unknown) => this.#parts.log('no other slot', { reason: errorData(error).message }))
      .finally(() => (this.#asking = null))
    return this.#asking
  }

  async #look(shunned: boolean): Promise<void> {
    const { records, dir } = this.#parts
    const token = this.#token
    if (this.#step(shunned) === 'ask') await this.#ask(token as Token)
    else if (token !== null && token.invite.redeemBy <= records.now) {
      this.#token = null
      await dropInvite(dir)
    }
    // It may have had no other.
    if (this.#step(shunned) === 'out') this.#tell()
    else this.#told = false
  }

  #step(shunned: boolean): SeatStep {
    const { records, host } = this.#parts
    const place = placeOf(host, records)
    const standing = { displaced: place === 'displaced', revoked: place === 'revoked', shunned }
    return seatStep(this.#token?.invite ?? null, standing, records.now)
  }

  /** Nobody takes this host for a member any more: it says so, and troubles nobody. */
  #tell(): void {
    if (this.#told) return
    this.#told = true
    const text =
      'another host took the same slot of the invite and keeps it: ask for a new invite and join in a new folder'
    this.#parts.journal.note('displaced', null, text)
    this.#parts.warn(text)
    this.#parts.mesh.rest()
  }

  async #ask(token: Token): Promise<void> {
    const { host, records, dir, journal, mesh, entered } = this.#parts
    const { identity } = host
    const known = [...records.view.members.values()]
      .filter((member) => member.host !== identity.id && !member.body.left)
      .flatMap((member) =>
        member.body.addresses.map((address) => `${address.replace(/\/p2p\/[^/]+$/, '')}/p2p/${member.host}`)
      )
    const seeker = {
      seed: identity.hostSeed,
      signer: identity.host,
      name: identity.name,
      networkKey: identity.networkKey
    }
    const addresses = [...new Set([...known, ...token.addresses])].slice(0, maxAsked)
    try {
      const { answer } = await redeem(token, seeker, addresses)
      // Who was asked takes this host for the one in its slot: nothing is gained.
      if (slotOf(answer)?.slot === slotOf(host.chain)?.slot) return
      await host.adopt(answer)
    } catch (error: unknown) {
      if (!(error instanceof ViolinError) || !/^(token-|revoked$)/.test(error.code)) throw error
      this.#token = null
      await dropInvite(dir)
      return
    }
    journal.note('another-slot', null, 'another host kept the slot of the invite: this one took the next')
    await entered()
    await mesh.present()
  }
}

interface SeatParts {
  readonly dir: string
  readonly host: Host
  readonly records: Records
  readonly mesh: Mesh
  readonly journal: Journal
  /** Says it where the daemon was started. */
  readonly warn: (text: string) => void
  readonly log: (message: string, fields: Record<string, unknown>) => void
  /** Called with the new chain adopted: what this host said is said anew under it. */
  readonly entered: () => Promise<unknown>
}

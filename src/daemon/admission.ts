/** Invites: made and taken back by an admin's daemon, redeemed by any member's. */
import {
  type Chain,
  invitedChain,
  isAncestor,
  isRefusal,
  slotOf,
  verifyChain
} from '#core/admission/chain.ts'
import { hostIdOf, publicKeyOf } from '#core/admission/host-id.ts'
import { maxTokenAddresses, mintToken, networkFingerprint, parseToken } from '#core/admission/token.ts'
import { type JoinAnswer, countersign, encodeJoinAnswer, maxJoinBytes } from '#core/admission/join.ts'
import {
  grantRenewal,
  isRenewRequest,
  noticeOf,
  renewalAsked,
  revocationEnd
} from '#core/admission/renewal.ts'
import { ViolinError } from '#core/errors.ts'
import type { HostId, PublicKey, Signer, WallTime } from '#core/ids.ts'
import { printable } from '#core/printable.ts'
import { type Draft, maxLifeMs, sealRecord, type SignedRecord } from '#core/records/record.ts'
import type { InviteRequest, Revoked } from '#api/contract.ts'
import type { Mesh } from '#mesh/contract.ts'
import type { Store } from '#store/contract.ts'
import * as z from 'zod'
import { crypto, freshSeed, keyOfSeed, signerOf } from './crypto.ts'
import type { Journal } from './events.ts'
import type { Host } from './host.ts'
import { loadRootSeed } from './identity.ts'
import { memberNamed } from './peers.ts'
import type { Records } from './records.ts'
import { type Asking, askAdmins } from './renewers.ts'
import { encodeJson, parseJson } from './wire.ts'

/** Of a host, as people are told it. */
const maxName = 64

/** An invite that nobody used up is told this long before its end. */
const inviteNoticeMs: number = 3600 * 1000
/** Section of the store with the invites made here, by their keys. */
const invitesSection = 'invites'
const keptInvite = z.strictObject({ slots: z.number(), redeemBy: z.number() })

/** A revocation to be published, and by whose key. */
interface Revocation {
  readonly draft: Draft
  readonly signer: Signer
}

export interface AdmissionOptions extends Asking {
  readonly dir: string
  readonly host: Host
  readonly journal: Journal
  readonly store: Store
}

export class Admission {
  readonly #options: AdmissionOptions
  readonly #dir: string
  readonly #host: Host
  readonly #records: Records
  readonly #mesh: Mesh
  readonly #journal: Journal
  readonly #store: Store
  readonly #toldInvites = new Set<string>()
  /** Slots granted here whose host has not published its record yet: not to be given to another. */
  readonly #granted = new Map<PublicKey, Map<number, Chain>>()

  constructor(options: AdmissionOptions) {
    this.#options = options
    const { dir, host, records, mesh, journal, store } = options
    this.#store = store
    this.#dir = dir
    this.#host = host
    this.#records = records
    this.#mesh = mesh
    this.#journal = journal
    mesh.serve('join', { strangers: true, maxRequestBytes: maxJoinBytes }, (body, from, signal) =>
      this.#answer(body, from, signal)
    )
    records.onChange((changed) => this.#lookForLate(changed))
  }

  /** Tells of hosts that came in by an invite which was taken back here, where that was not known yet. */
  #lookForLate(changed: readonly SignedRecord[]): void {
    const { set } = this.#records
    const own = this.#host.identity.host.publicKey
    for (const record of changed) {
      if (record.kind !== 'host' || set.get('host', record.author, '') !== record) continue
      const isNew = changed.every((one) => one === record || one.author !== record.author)
      const tookBack = record.chain?.path.some(
        ({ kind, subject }) => kind === 'token' && set.get('revocation', own, subject) !== null
      )
      if (!isNew || tookBack !== true) continue
      const name = printable(record.body.name, maxName)
      const text = `${name} used an invite that was taken back here, where that was not known yet`
      this.#journal.note('invite-used', null, `${text}: violin revoke ${name} shuts it out`)
    }
  }

  /** Makes an invite. Throws ViolinError `refused` when this host may not, or the wish is out of bounds. */
  async invite(request: InviteRequest): Promise<{ token: string; expiresAt: string }> {
    const { host, chain } = { host: this.#host.identity.host, chain: this.#host.chain }
    const seed = freshSeed()
    const { now } = this.#records
    const { text, token } = mintToken(
      chain,
      host,
      { seed, publicKey: signerOf(seed).publicKey },
      {
        role: request.role,
        redeemBy: (now + request.expiresMs) as WallTime,
        slots: request.uses,
        addresses: this.#addresses(),
        network: this.#network(request.withoutNetworkKey === true),
        ...(request.for === undefined ? {} : { for: request.for as HostId })
      },
      now,
      crypto
    )
    this.#journal.note(
      'invited',
      null,
      `an invite for ${request.uses} ${request.role}${request.uses === 1 ? '' : 's'} was made`
    )
    const { subject, slots, redeemBy } = token.invite
    await this.#store.write([
      { section: invitesSection, key: subject, value: encodeJson({ slots, redeemBy }) }
    ])
    return { token: text, expiresAt: new Date(token.invite.redeemBy).toISOString() }
  }

  /** Tells when an invite of this host ends with slots that nobody took. */
  async look(): Promise<void> {
    const { set, now } = this.#records
    for (const { key, value } of this.#store.entries(invitesSection)) {
      const kept = keptInvite.safeParse(parseJson(value))
      const invite = kept.success ? kept.data : { slots: 0, redeemBy: 0 }
      const free = invite.slots - set.usedSlots(key as PublicKey).size
      const cancelled = set.entries('mesh').some((one) => one.kind === 'revocation' && one.body.key === key)
      const notice = noticeOf(invite.redeemBy as WallTime, now)
      const isOver = free <= 0 || cancelled || notice === 0
      const text = `${free} of ${invite.slots} uses of an invite were not taken`
      if (isOver) {
        if (free > 0 && !cancelled) this.#journal.note('invite-ended', null, text)
        await this.#store.write([{ section: invitesSection, key, value: null }])
      } else if (notice !== null && notice <= inviteNoticeMs && !this.#toldInvites.has(key)) {
        this.#toldInvites.add(key)
        const ends = new Date(invite.redeemBy).toISOString()
        this.#journal.note('invite-ends', null, `${text} yet; it ends on ${ends}`)
      }
    }
  }

  /** What an invite says of a closed network. */
  #network(fingerprintOnly: boolean): Uint8Array | null {
    const { networkKey } = this.#host.identity
    return networkKey !== null && fingerprintOnly ? networkFingerprint(networkKey, crypto) : networkKey
  }

  /** Where a joiner asks: here, and at others while this host is away. Who answers there proves itself. */
  #addresses(): readonly string[] {
    const { members } = this.#records.view
    const others = this.#mesh.members().flatMap((peer) => members.get(peer)?.body.addresses.slice(0, 1) ?? [])
    return [
      ...this.#mesh.addresses().slice(0, maxTokenAddresses / 2),
      ...others.map((address) => address.replace(/\/p2p\/[^/]+$/, ''))
    ].slice(0, maxTokenAddresses)
  }

  /** Takes an invite back everywhere; hosts that came in by it stay. Throws ViolinError. */
  async cancel(text: string): Promise<void> {
    const token = parseToken(text, crypto, keyOfSeed)
    if (token instanceof ViolinError) throw token
    const { identity, chain } = this.#host
    if (token.root !== identity.mesh) {
      throw new ViolinError(
        'token-other-mesh',
        'the invite is for another mesh',
        'run this on a host of that mesh'
      )
    }
    const inviter = this.#chainOf(token.invite.issuer)
    const target = inviter === null ? null : invitedChain(inviter, token.invite, crypto)
    if (target === null || isRefusal(target)) {
      throw new ViolinError('unknown-host', 'the inviter is not known here', 'run this on the inviting host')
    }
    const signer = await this.#canceller(target, token.invite.issuer)
    const { now } = this.#records
    await this.#records.publish(
      {
        kind: 'revocation',
        version: this.#records.nextVersion('revocation', signer.publicKey, token.invite.subject),
        issuedAt: now,
        expiresAt: Math.min(target.endsAt, now + maxLifeMs.host) as WallTime,
        body: { key: token.invite.subject, andBelow: false, target: target.links },
        chain: signer === identity.host ? chain : null
      },
      signer
    )
    this.#journal.note('invite-cancelled', null, 'an invite was taken back')
  }

  /** Who takes an invite back: whoever made it, or stands above that one. Throws ViolinError `refused`. */
  async #canceller(target: Chain, issuer: PublicKey): Promise<Signer> {
    const { identity } = this.#host
    if (isAncestor(target, identity.host.publicKey)) return identity.host
    const seed = await loadRootSeed(this.#dir)
    if (seed !== null) return signerOf(seed)
    const id = hostIdOf(issuer)
    const inviter = this.#records.view.members.get(id)?.body.name ?? id
    throw new ViolinError(
      'refused',
      `that invite is not of this host: ${inviter} made it`,
      `run this on ${inviter}, or on a host that let it in`
    )
  }

  /**
   * Shuts a host out everywhere, for good. Signed by this host's key where it let the host in, directly or
   * through others, or renewed it; else by the root key if it still lies here. A peer id is its key: one that
   * nothing is known of here is cut in the chains that it comes to show (`isKnown` false), where the signer
   * stands above it. `andBelow`: with all that came in through it. `others`: members that go with it, below it or
   * countersigned by it. `dryRun`: tells that, and does nothing. Throws ViolinError.
   */
  async revoke(wanted: string, andBelow = false, dryRun = false): Promise<Revoked> {
    const { members } = this.#records.view
    const key = publicKeyOf(wanted)
    const isUnlisted = key !== null && !members.has(wanted as HostId)
    const { id, name } = isUnlisted
      ? { id: wanted as HostId, name: wanted }
      : memberNamed(wanted, this.#records)
    if (id === this.#host.identity.id)
      throw new ViolinError('refused', 'a host does not revoke itself', 'use violin leave')
    const host = publicKeyOf(id) as PublicKey
    const target = this.#records.seats.chainOf(host) ?? this.#grantedTo(host)
    const draft = await this.#revocation(host, target, andBelow, name)
    const others = this.#cutBy(draft).filter((one) => one.id !== id)
    const revoked = { id, name, isKnown: target !== null, others }
    if (dryRun) return revoked
    await this.#records.publish(draft.draft, draft.signer)
    const called = name === id ? id : `${name} (${id})`
    const whole = `${called} was shut out of the mesh${andBelow ? ', with all that it let in' : ''}`
    const when = ': nothing is known of it here, it is cut when it shows that this host let it in'
    const along =
      others.length === 0 ? '' : `; with it went ${others.map((one) => `${one.name} (${one.id})`).join(', ')}`
    this.#journal.note('revoked', null, (target === null ? whole + when : whole) + along)
    return revoked
  }

  /** The members whose records fall with a revocation. */
  #cutBy({ draft, signer }: Revocation): { readonly id: HostId; readonly name: string }[] {
    const { set, now } = this.#records
    const merged = set.fork().merge(sealRecord(draft, set.root, signer, crypto).bytes, now)
    const cut = merged.verdict === 'accepted' ? merged.removed : []
    return cut.flatMap((one) => (one.kind === 'host' ? [{ id: one.body.host, name: one.body.name }] : []))
  }

  /**
   * Shuts an owner key out everywhere, for good: whoever let its host in may, and the root key. Its chain is
   * taken from a VIOLIN of it that this host knows; where none is known (false) the key is cut in the chains that it
   * comes to show. `hosts`: on which it lies. Throws ViolinError.
   */
  async revokeOwner(owner: PublicKey, hosts: readonly HostId[], name: string): Promise<boolean> {
    const { set } = this.#records
    const target = set
      .violins()
      .map((violin) => set.get('violin', owner, violin)?.chain ?? null)
      .find((chain) => chain !== null)
    const above = hosts
      .map((host) => this.#records.seats.chainOf(publicKeyOf(host) as PublicKey))
      .find((chain) => chain !== null)
    if (target === undefined && above === undefined)
      throw new ViolinError(
        'unknown-violin',
        `neither a host nor a VIOLIN of ${owner} is known here`,
        'run this on a host that runs one of them, or shut out its host: violin revoke HOST'
      )
    const { draft, signer } = await this.#revocation(
      owner,
      target ?? null,
      false,
      `the host of ${name}`,
      above
    )
    await this.#records.publish(draft, signer)
    this.#journal.note('owner-revoked', null, `${name} was shut out of the mesh`)
    return target !== undefined
  }

  /** `above`: whose chain tells who may, where that of the key is not known. */
  async #revocation(
    key: PublicKey,
    target: Chain | null,
    andBelow: boolean,
    name: string,
    above: Chain | null = target
  ): Promise<Revocation> {
    const records = this.#records
    const { chain } = this.#host
    const signer = await this.#revoker(target ?? above, name)
    const { now } = records
    // What was revoked with all below it stays so.
    const former = records.set.get('revocation', signer.publicKey, key)
    const draft: Draft = {
      kind: 'revocation',
      version: records.nextVersion('revocation', signer.publicKey, key),
      issuedAt: now,
      expiresAt: revocationEnd(target, now),
      body: { key, andBelow: andBelow || former?.body.andBelow === true, target: target?.links ?? [] },
      chain: signer === this.#host.identity.host ? chain : null
    }
    return { draft, signer }
  }

  /** Whose word cuts the target: this host's, or the root's if it lies here; of an unknown one, the root's first. */
  async #revoker(target: Chain | null, name: string): Promise<Signer> {
    const { identity, chain } = this.#host
    if (target !== null)
      return isAncestor(target, identity.host.publicKey) ? identity.host : this.#rootSigner(name)
    return chain.role === 'admin' && (await loadRootSeed(this.#dir)) === null
      ? identity.host
      : this.#rootSigner(name)
  }

  async #rootSigner(name: string): Promise<Signer> {
    const seed = await loadRootSeed(this.#dir)
    if (seed !== null) return signerOf(seed)
    throw new ViolinError(
      'refused',
      `this host did not let ${name} in, and the root key is not here`,
      'run it on the host that invited it, or put the root key back for the moment'
    )
  }

  async #answer(body: Uint8Array, from: HostId, signal: AbortSignal): Promise<Uint8Array> {
    const records = this.#records
    if (isRenewRequest(body)) return encodeJoinAnswer(await this.#renewed(body, from, signal))
    const answer = countersign(
      body,
      from,
      {
        chain: this.#host.chain,
        signer: this.#host.identity.host,
        chainOf: (key) => this.#chainOf(key),
        usedSlots: (token) => new Map([...this.#pending(token), ...records.set.usedSlots(token)]),
        isRevoked: (chain) => records.set.isRevoked(chain)
      },
      records.now,
      crypto
    )
    if (answer.kind === 'granted') this.#noteGrant(answer.chain, from)
    return encodeJoinAnswer(answer)
  }

  /** A host that cannot renew it itself passes the request on, once: the link is an admin's, whoever carries it. */
  async #renewed(body: Uint8Array, from: HostId, signal: AbortSignal): Promise<JoinAnswer> {
    const records = this.#records
    const admin = {
      chain: this.#host.chain,
      signer: this.#host.identity.host,
      isRevoked: (chain: Chain) => records.set.isRevoked(chain),
      slots: records.view.slots,
      isMember: (peer: HostId) => this.#mesh.isMember(peer)
    }
    const member = renewalAsked(body, from, admin, records.now, crypto)
    if (!('path' in member)) return member
    const answer = grantRenewal(member, admin, records.now, crypto)
    if (answer.kind === 'granted')
      this.#journal.note('renewed', null, `the membership of ${hostIdOf(member.subject)} was renewed`)
    else if (member.host === from) {
      const passedOn = await askAdmins(this.#options, member, signal)
      if (passedOn !== null) return { kind: 'granted', chain: passedOn.bytes }
    }
    return answer
  }

  #chainOf(host: PublicKey): Chain | null {
    const { identity, chain } = this.#host
    return host === identity.host.publicKey ? chain : this.#records.set.chainOf(host)
  }

  #pending(token: PublicKey): ReadonlyMap<number, PublicKey> {
    return new Map(Array.from(this.#granted.get(token) ?? [], ([slot, { subject }]) => [slot, subject]))
  }

  #grantedTo(host: PublicKey): Chain | null {
    const all = [...this.#granted.values()].flatMap((slots) => [...slots.values()])
    return all.find(({ subject }) => subject === host) ?? null
  }

  #noteGrant(bytes: Uint8Array, host: HostId): void {
    const chain = verifyChain(bytes, this.#host.identity.mesh, crypto)
    if (isRefusal(chain)) return
    const claim = slotOf(chain)
    if (claim === null) return
    const slots = this.#granted.get(claim.token) ?? new Map<number, Chain>()
    this.#granted.set(claim.token, slots.set(claim.slot, chain))
    this.#journal.note('admitted', null, `${host} was let in by an invite`)
  }
}

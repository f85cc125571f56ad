/**
 * Sees to it in time that what ends goes on: this host's membership, by any admin that is reached; the
 * founding host's, by the root key where it lies here; VIOLINs of this owner. What does not is told.
 */
import { setTimeout } from 'node:timers/promises'
import { type Chain, foundChain, isAncestor } from '#core/admission/chain.ts'
import { hostIdOf } from '#core/admission/host-id.ts'
import {
  lapsedMs,
  noticeOf,
  renewBeforeMs,
  renewRequest,
  renewersOf,
  resignedUntil,
  revocationAnew,
  standingOf
} from '#core/admission/renewal.ts'
import { ViolinError, errorData } from '#core/errors.ts'
import type { ViolinId, WallTime } from '#core/ids.ts'
import { hostsOfOwner } from '#core/records/owners.ts'
import { maxLifeMs, maxVersion, type ViolinRecord } from '#core/records/record.ts'
import { recordsOf } from '#core/records/tree.ts'
import { upon } from '#core/records/upon.ts'
import { shuffled } from '#mesh/redial.ts'
import type { Store } from '#store/contract.ts'
import { crypto, signerOf } from './crypto.ts'
import type { Journal } from './events.ts'
import { foundingMs } from './founding.ts'
import { type Host, placeOf } from './host.ts'
import { loadRootSeed } from './identity.ts'
import type { Records } from './records.ts'
import { addressesToKeep, rememberedPeers } from './remembered.ts'
import { type Asking, askAdmins, renewalIn } from './renewers.ts'
import { askAsStranger } from './stranger.ts'

/** Most addresses at which a host whose membership ended asks at one look: one that is silent costs six seconds. */
const maxAsked = 16
/** So many members at most are asked first, for they are known to be admins. */
const maxAdmins = 8
/** At so many addresses of one member at most. */
const maxAddresses = 4
/** So much later each further host with an owner's key signs anew what none before it did. */
const resignTurnMs = 2_000

interface RenewalParts extends Asking {
  readonly dir: string
  readonly host: Host
  readonly store: Store
  readonly journal: Journal
  /** Called with the new chain adopted. */
  readonly entered: () => Promise<unknown>
}

export class Renewal {
  readonly #parts: RenewalParts
  /** What was told of each end: ms before it. */
  readonly #told = new Map<string, number>()
  #looking: Promise<void> | null = null

  constructor(parts: RenewalParts) {
    this.#parts = parts
    parts.records.onChange((changed) => {
      for (const record of changed) if (record.kind === 'violin') void this.#resignCut(record)
    })
  }

  /** Compares and does what is to be done, once at a time. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      .catch((error: unknown) => this.#parts.log('not renewed', { reason: errorData(error).message }))
      .finally(() => (this.#looking = null))
    return this.#looking
  }

  async #look(): Promise<void> {
    const { host, records, journal } = this.#parts
    if (placeOf(host, records) === 'revoked') return
    await this.#keepAddresses()
    if (standingOf(host.chain, records.now) !== 'good') await this.#renewMembership()
    const { ownerChain, chain } = host
    // The owner's link lasts a year from the start of the daemon, which may run for longer.
    if (ownerChain.endsAt < chain.endsAt && ownerChain.endsAt - records.now < renewBeforeMs)
      await host.adopt(chain)
    const ends = new Date(host.chain.endsAt).toISOString()
    this.#tell('', host.chain.endsAt, (over) =>
      journal.note(
        over ? 'membership-ended' : 'membership-ends',
        null,
        over
          ? `this host's membership ended on ${ends}; an admin can renew it for 90 days`
          : `this host's membership ends on ${ends}: ${host.chain.path.length === 1 ? 'put the root key back for a minute' : 'no admin that can renew it was reached'}`
      )
    )
    // Last: neither is written to a disk that is full, and who is told of the end must not wait for that.
    await this.resign()
    await this.#keepRevocations()
  }

  async #renewMembership(): Promise<void> {
    const { dir, host, records, mesh, journal, log, entered } = this.#parts
    const rooted = await renewedByRoot(dir, host.chain)
    const renewed = rooted ?? (await this.#askMembers())
    if (renewed === null) return
    await host.adopt(renewed)
    log('membership renewed', { links: renewed.path.length })
    journal.note(
      'renewed',
      null,
      `this host's membership was renewed until ${new Date(renewed.endsAt).toISOString()}`
    )
    await entered()
    if (mesh.members().length === 0 && records.view.members.size > 1) await mesh.present()
  }

  /** By an admin among the members; as a stranger where the membership ended and none is connected. */
  #askMembers(): Promise<Chain | null> {
    const { host, records, mesh, store } = this.#parts
    if (mesh.members().length > 0 || standingOf(host.chain, records.now) !== 'lapsed')
      return askAdmins(this.#parts, host.chain)
    return renewAsStranger(host, records, store)
  }

  /** So that a copy of the identity finds the mesh again, too. */
  async #keepAddresses(): Promise<void> {
    const { host, records } = this.#parts
    const addresses = addressesToKeep(host, records)
    if (addresses.join() !== host.addresses.join()) await host.keepAddresses(addresses)
  }

  /** Signs anew what is this owner's and ends soon, is dated ahead, or stands under a chain that counts no more. */
  async resign(): Promise<void> {
    const { host, records, journal } = this.#parts
    const { identity } = host
    for (const violin of records.set.violins()) {
      const record = records.set.get('violin', identity.owner.publicKey, violin)
      if (record === null) continue
      const { now } = records
      const clockIsRight = records.clockAheadMs !== null && !records.clockIsWrong
      const expiresAt = resignedUntil(record, host.ownerChain, records.view.slots, now, clockIsRight)
      const subject = { id: violin, name: record.body.spec?.name ?? violin }
      if (expiresAt !== null) {
        const next = records.nextVersion('violin', identity.owner.publicKey, violin)
        // An end beats every version, whatever its own.
        const version = record.body.ended === null ? next : Math.min(next, maxVersion)
        const body = { ...record.body, upon: upon(record) }
        const draft = { kind: 'violin', version, issuedAt: now, expiresAt, body } as const
        await records.publish({ ...draft, chain: host.ownerChain }, identity.owner)
        journal.note('signed-anew', subject, `its record lasts until ${new Date(expiresAt).toISOString()}`)
      } else if (record.body.ended === null) {
        this.#tell(violin, record.endsAt, (over) =>
          journal.note(
            over ? 'ended' : 'ends',
            subject,
            `its record ${over ? 'ended' : 'ends'} on ${new Date(record.endsAt).toISOString()}, as the owner's membership does`
          )
        )
      }
    }
  }

  /** Signs anew what this host shut out, and the root key where that lies here. */
  async #keepRevocations(): Promise<void> {
    const { dir, host, records, journal } = this.#parts
    const { identity, chain } = host
    for (const record of recordsOf(records.set.tree('revocations'))) {
      if (record.kind !== 'revocation' || records.clockIsWrong) continue
      const { author, body, endsAt } = record
      const expiresAt = revocationAnew(record, records.now)
      if (expiresAt === null || (author !== identity.host.publicKey && author !== records.set.root)) continue
      const seed = author === records.set.root ? await loadRootSeed(dir) : null
      const signer = seed === null ? identity.host : signerOf(seed)
      const what = record.target?.kind === 'owner' ? `the owner key ${body.key}` : hostIdOf(body.key)
      if (signer.publicKey === author) {
        const version = records.nextVersion('revocation', author, body.key)
        const draft = { kind: 'revocation', version, issuedAt: records.now, expiresAt, body } as const
        await records.publish({ ...draft, chain: seed === null ? chain : null }, signer)
        journal.note('signed-anew', null, `${what} stays shut out until ${new Date(expiresAt).toISOString()}`)
      } else if (chain.role === 'admin')
        this.#tell(`revocation ${body.key}`, endsAt, (over) =>
          journal.note(
            over ? 'ended' : 'ends',
            null,
            `that the root key shut ${what} out ${over ? 'ended' : 'ends'} on ${new Date(endsAt).toISOString()}; put it back for a minute`
          )
        )
    }
  }

  /**
   * What this owner's key signed on a host that was shut out since is signed anew here: the hosts that run it wait for
   * that. Of several hosts with the key the first does it; the others see to it that it was done.
   */
  async #resignCut(record: ViolinRecord): Promise<void> {
    const { host, records, journal, log } = this.#parts
    const { owner } = host.identity
    const violin = record.key as ViolinId
    const isCut = (): boolean =>
      records.set.isRevoked(record.chain) && records.set.get('violin', owner.publicKey, violin) === null
    if (record.author !== owner.publicKey || record.body.ended !== null || !isCut()) return
    const rank = hostsOfOwner(records.set.tree('hosts'), owner.publicKey).indexOf(host.identity.id)
    if (rank > 0) await setTimeout(rank * resignTurnMs, null, { ref: false })
    if (!isCut() || placeOf(host, records) === 'revoked') return
    const { now } = records
    const body = { ...record.body, upon: upon(record) }
    const draft = { kind: 'violin', version: record.version + 1, issuedAt: now, body } as const
    const expiresAt = Math.min(now + maxLifeMs.violin, host.ownerChain.endsAt) as WallTime
    try {
      await records.publish({ ...draft, expiresAt, chain: host.ownerChain }, owner)
      const name = record.body.spec?.name ?? violin
      const text = `version ${record.version} was signed on a host that is shut out: it is version ${draft.version} now`
      journal.note('signed-anew', { id: violin, name }, text)
    } catch (error: unknown) {
      log('not signed anew', { violin, reason: errorData(error).message })
    }
  }

  #tell(what: string, endsAt: WallTime, tell: (over: boolean) => void): void {
    const notice = noticeOf(endsAt, this.#parts.records.now)
    if (notice === null) this.#told.delete(what)
    else if (this.#told.get(what) !== notice) {
      this.#told.set(what, notice)
      tell(notice === 0)
    }
  }
}

/** The founding host's link anew, where the root key lies here; null otherwise. */
async function renewedByRoot(dir: string, own: Chain): Promise<Chain | null> {
  if (own.path.length > 1) return null
  const seed = await loadRootSeed(dir)
  const root = seed === null ? null : signerOf(seed)
  if (root === null || root.publicKey !== own.root || !isAncestor(own, root.publicKey)) return null
  return foundChain(root, own.subject, (Date.now() + foundingMs) as WallTime, crypto)
}

/**
 * A host whose membership ended goes on only when an admin renews it. Throws ViolinError `not-a-member` when
 * none does, and when it ended more than 90 days ago.
 */
export async function renewLapsed(dir: string, host: Host, records: Records, store: Store): Promise<void> {
  const standing = standingOf(host.chain, records.now)
  if (standing === 'good' || standing === 'due') return
  const ended = `the membership ended on ${new Date(host.chain.endsAt).toISOString()}`
  if (standing === 'over')
    throw new ViolinError('not-a-member', ended, 'ask an admin for a new invite and join in a new folder')
  try {
    const rooted = await renewedByRoot(dir, host.chain)
    await host.adopt(rooted ?? (await renewAsStranger(host, records, store)))
  } catch (error: unknown) {
    if (!(error instanceof ViolinError)) throw error
    const until = new Date(host.chain.endsAt + lapsedMs).toISOString()
    throw new ViolinError(
      'not-a-member',
      `${ended}, and no admin renewed it: ${error.message}`,
      `start it again when one is reachable, until ${until}`,
      { cause: error }
    )
  }
}

async function renewAsStranger(host: Host, records: Records, store: Store): Promise<Chain> {
  const { identity } = host
  const place = { meshId: identity.mesh, hostSeed: identity.hostSeed, networkKey: identity.networkKey }
  // Each admin judges by what it has to give: one's no is not the others'.
  const asked = await askAsStranger(
    place,
    whereToAsk(host, records, store),
    async (request) => renewalIn(host.chain, await request(renewRequest(host.chain))),
    () => false
  )
  return asked.answer
}

/**
 * Where to ask: at admins that can give something, as far as their records last, then at whoever is remembered, drawn
 * anew each time, for any member passes the request on. One address of each comes before the second of any.
 */
function whereToAsk(host: Host, records: Records, store: Store): readonly string[] {
  const chains = Array.from(records.view.members.values(), ({ record }) => record.chain as Chain)
  const admins = renewersOf(host.chain, chains).map(({ subject }) => hostIdOf(subject))
  const remembered = new Map(rememberedPeers(host, records, store).map((one) => [one.id, one.addresses]))
  const order = new Set([
    ...admins.slice(0, maxAdmins),
    ...shuffled([...remembered.keys()]).slice(0, maxAsked)
  ])
  const known = [...order].map((id) => remembered.get(id) ?? [])
  const places = Array.from({ length: maxAddresses }, (_, place) => known.flatMap((its) => its[place] ?? []))
  return places.flat().slice(0, maxAsked)
}

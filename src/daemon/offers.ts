/**
 * vLANs offered to other owners. What these put there stands in the record like all else, so its owner's host signs for
 * it: that host is asked, by a member whose word is its own since the mesh knows who it is.
 */
import * as z from 'zod'
import { withEntity, withOffer, withoutEntity, withoutOffer } from '#core/doors.ts'
import { ViolinError } from '#core/errors.ts'
import type { HostId, ViolinId } from '#core/ids.ts'
import { type ImageHash, isImageHash } from '#core/image.ts'
import { isName, maxNameLength } from '#core/records/name.ts'
import type { ViolinView } from '#core/records/view.ts'
import { attachedEntity } from '#core/resolve.ts'
import { drivers, type DriverName, type Spec, type SpecLan } from '#core/spec.ts'
import type { Progress } from '#api/contract.ts'
import type { Mesh } from '#mesh/contract.ts'
import type { Images } from './images.ts'
import { memberNamed, type Peers } from './peers.ts'
import type { Records } from './records.ts'
import type { Changes } from './changes.ts'
import type { Violins } from './violins.ts'
import { answer, ask } from './wire.ts'

/** Entities that one owner may have by offers of one VIOLIN: each is a part of the record, which has 64 KiB. */
const maxGuests = 64
/** To sign, and to tell all hosts. */
const askMs = 20_000

/** What is to be put on a vLAN. */
export interface Guest {
  readonly name: string
  readonly driver: DriverName
  readonly lan: string
  /** Absent: the next free one. */
  readonly ip?: string
  /** What its host calls `router`, where it is to begin with that. */
  readonly image?: string
}

const question = z.strictObject({
  violin: z.string().regex(/^[0-9a-f]{64}$/),
  put: z
    .strictObject({
      name: z.string().refine(isName, 'no name'),
      driver: z.enum(drivers),
      lan: z.string().max(64),
      ip: z.string().max(64).optional(),
      image: z.string().refine(isImageHash, 'no hash').optional()
    })
    .nullable(),
  /** Name of an entity. */
  take: z.string().max(64).nullable()
})
const done = z.strictObject({ version: z.number() })

export interface OffersParts {
  readonly self: HostId
  readonly violins: Violins
  readonly changes: Changes
  readonly records: Records
  readonly peers: Peers
  readonly mesh: Mesh
  readonly images: Pick<Images, 'named'>
}

export class Offers {
  readonly #parts: OffersParts

  constructor(parts: OffersParts) {
    this.#parts = parts
    answer(parts.mesh, 'offered', question, async ({ violin: id, put, take }, from) => {
      const violin = id as ViolinId
      if (put !== null) return { version: await this.#putHere(violin, put as Guest, from) }
      return { version: await this.#takeHere(violin, take ?? '', from) }
    })
  }

  /** Offers a vLAN to the owner of another host, or takes that back with all that came by it. Throws ViolinError. */
  async *offer(
    name: string,
    lan: string,
    whom: string,
    withdraw: boolean
  ): AsyncGenerator<Progress, void, void> {
    const { violins, changes, records, peers } = this.#parts
    const to = memberNamed(whom, records).id
    const before = violins.find(name)
    const violin = await changes.change(name, (spec) => {
      checkLan(spec, lan)
      return withdraw ? withoutOffer(spec, { lan, to }) : withOffer(spec, { lan, to })
    })
    yield* changes.tell(violin, before)
    const text = withdraw ? 'is no longer offered to' : 'is offered to'
    yield { kind: 'done', text: `${violin.name}/${lan} ${text} ${peers.nameOf(to)}` }
  }

  /** Throws ViolinError `unknown-lan`, or `not-owner` where a vLAN is neither this host's owner's nor offered to it. */
  check(violin: ViolinView, lan: string): void {
    const { self, violins, peers } = this.#parts
    checkLan(violin.spec as Spec, lan)
    if (violins.isMine(violin) || isOffered(violin.spec as Spec, lan, self)) return
    throw new ViolinError(
      'not-owner',
      `${violin.name} belongs to ${peers.nameOf(violin.ownerHost)}, and ${lan} is not offered to this host`,
      `let its owner offer it: violin offer ${violin.name}/${lan} --to ${peers.nameOf(self)}`
    )
  }

  /** Puts an entity on a vLAN that is this host's owner's, or offered to it; gives the version. Throws ViolinError. */
  async put(violin: ViolinView, guest: Guest): Promise<number> {
    const { self, violins } = this.#parts
    this.check(violin, guest.lan)
    if (!isName(guest.name))
      throw new ViolinError(
        'refused',
        `${JSON.stringify(guest.name)} is no name for a vHost`,
        `use letters a-z, digits and hyphens, at most ${maxNameLength}`
      )
    const image = await this.#routerImage()
    if (violins.isMine(violin)) return this.#change(violin.id, (spec) => joined(spec, guest, self, image))
    const { ipv6 } = (violin.spec as Spec).lans.find(({ name }) => name === guest.lan) as SpecLan
    const own = guest.driver === 'uml' && ipv6 !== undefined && image !== undefined ? { image } : {}
    return this.#ask(violin, { put: { ...guest, ...own }, take: null })
  }

  /** Takes such an entity out again. Throws ViolinError. */
  take(violin: ViolinView, entity: string): Promise<number> {
    if (this.#parts.violins.isMine(violin))
      return this.#change(violin.id, (spec) => withoutEntity(spec, entity))
    return this.#ask(violin, { put: null, take: entity })
  }

  async #putHere(violin: ViolinId, guest: Guest, from: HostId): Promise<number> {
    const image = (guest.image as ImageHash | undefined) ?? (await this.#routerImage())
    return this.#change(violin, (spec) => {
      checkLan(spec, guest.lan)
      const own = spec.entities.filter(({ by }) => by === from)
      if (!isOffered(spec, guest.lan, from))
        throw new ViolinError('not-owner', `${guest.lan} is not offered to this host`, 'ask its owner for it')
      if (own.length >= maxGuests)
        throw new ViolinError('refused', `${own.length} entities are here by offers`, 'take one off first')
      return joined(spec, guest, from, image, from)
    })
  }

  #takeHere(violin: ViolinId, name: string, from: HostId): Promise<number> {
    return this.#change(violin, (spec) => {
      const entity = spec.entities.find((one) => one.name === name)
      if (entity === undefined) return spec
      if (entity.by === from) return withoutEntity(spec, name)
      throw new ViolinError('not-owner', `${name} is another owner's`, 'ask that one')
    })
  }

  async #routerImage(): Promise<ImageHash | undefined> {
    return (await this.#parts.images.named(['router'])).get('router')
  }

  async #change(id: ViolinId, edit: (spec: Spec) => Spec): Promise<number> {
    const { changes, records } = this.#parts
    const before = records.view.violins.get(id)
    const violin = await changes.change(id, edit)
    // Who is not reached hears of it when it is back.
    for await (const _ of changes.tell(violin, before ?? null)) continue
    return violin.version
  }

  async #ask(
    violin: ViolinView,
    asked: Omit<z.infer<typeof question>, 'violin'> | { readonly put: Guest; readonly take: null }
  ): Promise<number> {
    const { mesh, peers } = this.#parts
    const { ownerHost: host, id } = violin
    await peers.reach(host)
    const signal = AbortSignal.timeout(askMs)
    return (await ask(mesh, host, 'offered', { violin: id, ...asked }, done, signal)).version
  }
}

function joined(
  spec: Spec,
  guest: Guest,
  host: HostId,
  routerImage: ImageHash | undefined,
  by?: HostId
): Spec {
  checkLan(spec, guest.lan)
  if ([...spec.entities, ...spec.lans].some(({ name }) => name === guest.name))
    throw new ViolinError('name-taken', `${spec.name} has a ${guest.name} already`, 'choose another name')
  const { name, driver, lan, ip } = guest
  const wish = { name, driver, lan, host, routerImage, ...(ip === undefined ? {} : { ip }) }
  return withEntity(spec, attachedEntity(spec, by === undefined ? wish : { ...wish, by }))
}

function isOffered(spec: Spec, lan: string, to: HostId): boolean {
  return spec.offers?.some((one) => one.lan === lan && one.to === to) === true
}

function checkLan(spec: Spec, lan: string): void {
  if (spec.lans.some(({ name }) => name === lan)) return
  throw new ViolinError(
    'unknown-lan',
    `${spec.name} has no vLAN ${lan}`,
    `it has ${spec.lans.map(({ name }) => name).join(', ')}`
  )
}

/** The VIOLINs that this host knows of: found by name, listed, shown. */
import { expectedEntities, isGuestHost } from '#core/doors.ts'
import { ViolinError } from '#core/errors.ts'
import type { HostId } from '#core/ids.ts'
import { namedHosts } from '#core/reconcile.ts'
import type { ViolinView } from '#core/records/view.ts'
import type { SpecEntity } from '#core/spec.ts'
import type { EntityConfig, ListRow, Show } from '#api/contract.ts'
import type { Host } from './host.ts'
import { ownerNamed, type Peers } from './peers.ts'
import type { Records } from './records.ts'
import {
  asSeenByGuest,
  configOf,
  entityState,
  type Gone,
  ownerOf,
  showOf,
  stateOf,
  type StatusMap
} from './show.ts'
import type { Statuses } from './statuses.ts'

export interface ViolinsParts {
  readonly host: Host
  readonly records: Records
  readonly peers: Peers
  readonly statuses: Statuses
}

export class Violins {
  readonly #host: Host
  readonly #records: Records
  readonly #peers: Peers
  readonly #statuses: Statuses

  constructor(parts: ViolinsParts) {
    this.#host = parts.host
    this.#records = parts.records
    this.#peers = parts.peers
    this.#statuses = parts.statuses
  }

  /** A VIOLIN by name, id or name@owner. Throws `unknown-violin`, `ambiguous-name`. */
  find(wanted: string, alsoEnded = false): ViolinView {
    const all = [...this.#records.view.violins.values()].filter(({ spec }) => alsoEnded || spec !== null)
    const [name, owner] = wanted.split('@', 2) as [string, string | undefined]
    const isOwned = owner === undefined ? () => true : this.#ownedBy(owner)
    const named = all.filter(
      (violin) =>
        violin.id === wanted ||
        (wanted.length >= 8 && violin.id.startsWith(wanted)) ||
        (violin.name === name && isOwned(violin))
    )
    const there = named.filter(({ spec }) => spec !== null)
    const candidates = there.length > 0 ? there : named
    const mine = candidates.filter((violin) => this.isMine(violin))
    const match = candidates.length === 1 ? candidates[0] : mine.length === 1 ? mine[0] : undefined
    if (match !== undefined) return match
    if (candidates.length > 1) {
      const owned = candidates.map(({ name: one, ownerHost }) => `${one}@${this.#peers.nameOf(ownerHost)}`)
      // Hosts may share a name, and those with one owner key own what each of them made.
      const byOwner = owner === undefined && new Set(owned).size === owned.length
      const ways = byOwner ? owned : candidates.map(({ id }) => id.slice(0, 12))
      throw new ViolinError(
        'ambiguous-name',
        `${candidates.length} VIOLINs are named ${wanted}`,
        `name it ${byOwner ? 'with its owner' : 'by its id'}: ${ways.join(', ')}`
      )
    }
    const living = all.flatMap((violin) => (violin.spec === null ? [] : [violin.name]))
    const known = [...new Set(living)].toSorted()
    throw new ViolinError(
      'unknown-violin',
      `this host knows no VIOLIN ${wanted}`,
      known.length === 0 ? 'make one: violin apply FILE' : `it knows ${known.join(', ')}`
    )
  }

  /** Whether a VIOLIN is an owner's: of a key, or of a host by name or id. Throws `ambiguous-name`. */
  #ownedBy(owner: string): (violin: ViolinView) => boolean {
    const host = ownerNamed(owner, this.#records)
    // Who was shut out is no member, and has its name still.
    const isMeant = (one: HostId): boolean =>
      host === null ? this.#peers.nameOf(one) === owner : one === host
    return (violin) => violin.owner === owner || violin.ownerHosts.some(isMeant)
  }

  /** The same, if this host's owner may change it. Throws `not-owner` as well. */
  findOwned(wanted: string): ViolinView {
    return this.owned(this.find(wanted))
  }

  /** The VIOLIN, if this host's owner may change it. Throws `not-owner`. */
  owned(violin: ViolinView): ViolinView {
    if (this.isMine(violin)) return violin
    const owner = this.#peers.nameOf(violin.ownerHost)
    const isGone = violin.ownerHosts.every((host) => this.#peers.stateOf(host) === 'left')
    throw new ViolinError(
      'not-owner',
      `${violin.name} belongs to ${owner}${isGone ? ', which left the mesh' : ''}; only its owner changes it`,
      isGone
        ? `stop what runs of it on this host: violin refuse ${violin.name}`
        : `run this on ${owner}, or choose another name`
    )
  }

  /** VIOLINs that this host's owner key alone can change, and the other hosts on which that key lies. */
  soleOwned(): { readonly name: string; readonly others: readonly HostId[] }[] {
    const self = this.#host.identity.id
    return [...this.#records.view.violins.values()]
      .filter((violin) => violin.spec !== null && this.isMine(violin) && violin.founding.owners.length === 1)
      .map(({ name, ownerHosts }) => ({ name, others: ownerHosts.filter((host) => host !== self) }))
  }

  async list(): Promise<ListRow[]> {
    const rows = await Promise.all(
      [...this.#records.view.violins.values()]
        .filter(({ spec }) => spec !== null)
        .map(async (violin): Promise<ListRow> => {
          const statuses = await this.statusesOf(violin)
          const entities = expectedEntities({ entities: this.#ownIn(violin) })
          const running = entities.filter(
            (entity) => entityState(violin, entity, statuses).state === 'running'
          )
          return {
            name: violin.name,
            id: violin.id,
            owner: ownerOf(violin, (host) => this.#peers.nameOf(host)),
            state: stateOf(violin, statuses),
            entities: entities.length,
            running: running.length,
            mine: this.isMine(violin)
          }
        })
    )
    return rows.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.id < b.id ? -1 : 1))
  }

  async show(name: string): Promise<Show> {
    const violin = this.find(name)
    const statuses = await this.statusesOf(violin)
    const gone = (host: HostId): Gone | null =>
      this.#peers.stateOf(host) === 'left' ? 'left' : this.#peers.isShutOut(host) ? 'shut out' : null
    const lost = this.#records.signings.lost(violin)
    const shown = showOf(violin, statuses, (host) => this.#peers.nameOf(host), gone, lost)
    return this.#isGuestHere(violin)
      ? asSeenByGuest(shown, this.#peers.nameOf(this.#host.identity.id))
      : shown
  }

  /** The host that runs an entity now, or should. Throws `not-running-here` when it has none. */
  async whereRuns(violin: ViolinView, entity: SpecEntity): Promise<HostId> {
    const [first, ...others] = entity.hosts
    // The only one that may run it is asked by whoever wants to know.
    if (first !== undefined && others.length === 0) return first
    const connected = entity.hosts.filter((host) => this.#peers.isConnected(host))
    const said = await this.#statuses.ofAll(connected, violin.id)
    const { host } = entityState(
      violin,
      entity,
      new Map(entity.hosts.map((one) => [one, said.get(one) ?? null]))
    )
    if (host !== null) return host
    throw new ViolinError(
      'not-running-here',
      `${entity.name} has no host yet`,
      `see \`violin show ${violin.name}\``
    )
  }

  /** What its hosts run of it right now. */
  statusesOf(violin: ViolinView): Promise<StatusMap> {
    return this.#statuses.ofAll(hostsOf(violin), violin.id)
  }

  /** By an own signature on it: whoever founds a VIOLIN may name others as its owners, and its name is theirs, too. */
  isMine(violin: ViolinView): boolean {
    const { publicKey } = this.#host.identity.owner
    return this.#records.set.get('violin', publicKey, violin.id) !== null
  }

  /** What the services of its entities are given, of a guest's those that are its own. Throws `unknown-violin`. */
  config(name: string): EntityConfig[] {
    const violin = this.find(name)
    const own = new Set(this.#ownIn(violin).map((entity) => entity.name))
    return configOf(violin).filter(({ entity }) => own.has(entity))
  }

  /** The entities that this host's owner is to see: all, but for one who is there by offers. */
  #ownIn(violin: ViolinView): readonly SpecEntity[] {
    const { id } = this.#host.identity
    const entities = violin.spec?.entities ?? []
    return this.#isGuestHere(violin) ? entities.filter(({ by }) => by === id) : entities
  }

  #isGuestHere(violin: ViolinView): boolean {
    return violin.spec !== null && !this.isMine(violin) && isGuestHost(violin.spec, this.#host.identity.id)
  }
}

/** Who runs any of a VIOLIN, or ran it when it ended. */
export function hostsOf(violin: ViolinView): readonly HostId[] {
  return violin.spec === null ? (violin.ended?.hosts ?? []) : namedHosts(violin.spec)
}

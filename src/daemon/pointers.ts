/**
 * VIOLINs found by id or by name@owner from any member: the owner's daemon puts signed pointers into the DHT,
 * who looks asks the hosts that they name, and those tell a stranger to the VIOLIN no more than where it is.
 */
import * as z from 'zod'
import { isHostId } from '#core/admission/host-id.ts'
import { ViolinError, errorData } from '#core/errors.ts'
import type { HostId, ViolinId, WallTime } from '#core/ids.ts'
import {
  type Pointer,
  idPointerKey,
  namePointerKey,
  pointerAt,
  pointerBeats,
  pointerLifeMs,
  sealPointer
} from '#core/records/pointer.ts'
import type { ViolinView } from '#core/records/view.ts'
import type { Show } from '#api/contract.ts'
import type { Mesh } from '#mesh/contract.ts'
import { crypto } from './crypto.ts'
import type { Host } from './host.ts'
import { type Peers, isHostKey, judgeHostRecord, newestHostRecord, ownerNamed } from './peers.ts'
import type { Records } from './records.ts'
import { stateOf } from './show.ts'
import type { Violins } from './violins.ts'
import { answer, ask } from './wire.ts'

/** Pointers are put anew this often: the DHT forgets, and its hosts come and go. */
const putEveryMs: number = 3600 * 1000
const putTimeoutMs = 10_000
const lookTimeoutMs = 5_000
/** Connected members asked where the DHT knows nothing: all of a mesh in which everyone is connected to everyone. */
const maxAsked = 64

const question = z.strictObject({ violin: z.string().regex(/^[0-9a-f]{64}$/) })
/** The pointers themselves are asked of owners' hosts where the DHT gives none. */
const keyAsked = z.strictObject({ key: z.string().max(256) })
const pointerTold = z.strictObject({ pointer: z.base64().max(8_192).nullable() })
/** What a host tells a member that does not hold the VIOLIN. */
const told = z.strictObject({
  version: z.int(),
  state: z.enum(['starting', 'running', 'degraded', 'stopping', 'gone']),
  expiresAt: z.string().max(40),
  hosts: z.array(z.string().max(128)).max(1_024)
})
type Told = z.infer<typeof told>

function isOver(said: Told): said is Told & { readonly state: 'stopping' | 'gone' } {
  return said.state === 'stopping' || said.state === 'gone'
}

interface Parts {
  readonly host: Host
  readonly records: Records
  readonly mesh: Mesh
  readonly peers: Peers
  readonly violins: Violins
  readonly log: (message: string, fields: Record<string, unknown>) => void
}

export class Pointers {
  readonly #parts: Parts
  readonly #timer: NodeJS.Timeout
  readonly #unlisten: () => void

  constructor(parts: Parts) {
    this.#parts = parts
    const { mesh, records } = parts
    mesh.setDhtValidator(
      (key, value) => (isHostKey(key) ? judgeHostRecord(key, value, records) : this.#at(key, value) !== null),
      (key, values) => (isHostKey(key) ? newestHostRecord(key, values, records) : this.#best(key, values))
    )
    answer(mesh, 'find', question, ({ violin }) => this.#tell(violin as ViolinId))
    answer(mesh, 'pointer', keyAsked, async ({ key }) => ({ pointer: this.#ownAt(key) }))
    this.#unlisten = records.onChange((changed) => {
      const own = parts.host.identity.owner.publicKey
      for (const record of changed)
        if (record.kind === 'violin' && record.author === own) void this.#put(record.key as ViolinId)
    })
    this.#timer = setInterval(() => void this.putAll(), putEveryMs)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#unlisten()
  }

  /** Puts the pointers of all VIOLINs of this owner, those that ended included. */
  async putAll(): Promise<void> {
    for (const violin of this.#parts.records.set.violins()) await this.#put(violin)
  }

  /**
   * A VIOLIN that this host does not hold, by id or name@owner. Null: nobody says where it is. Throws
   * `ambiguous-name`, and `nobody-reachable` when none of its hosts answers.
   */
  async look(wanted: string): Promise<Show | null> {
    const pointer = await this.#pointerTo(wanted)
    if (pointer === null || pointer.hosts === null) return null
    const { peers } = this.#parts
    const silent: string[] = []
    for (const host of pointer.hosts) {
      const said = await this.#askAt(host, pointer.violin)
      if (said !== null) return isOver(said) ? null : this.#shown(pointer, said, silent)
      silent.push(peers.nameOf(host))
    }
    throw new ViolinError(
      'nobody-reachable',
      `${pointer.name} is on ${silent.join(', ')}, and none of them answers`,
      'try again when one of them is up'
    )
  }

  /**
   * How far the end of a VIOLIN has come that this host does not hold, as its owner's host says: who else ran it no
   * stranger is told. Null: nobody tells of an end. Throws `ambiguous-name`, and `nobody-reachable` when that host does
   * not answer.
   */
  async endOf(wanted: string): Promise<'stopping' | 'gone' | null> {
    const pointer = await this.#pointerTo(wanted)
    if (pointer === null) return null
    const owner = pointer.chain.host as HostId
    // Asked whatever the pointer says: the DHT may have one of before the end.
    const said = await this.#askAt(owner, pointer.violin)
    if (said !== null) return isOver(said) ? said.state : null
    if (pointer.hosts !== null) return null
    throw new ViolinError(
      'nobody-reachable',
      `${wanted} was deleted, and ${this.#parts.peers.nameOf(owner)}, which knows whether it is gone, does not answer`,
      'try again when that is up'
    )
  }

  async #pointerTo(wanted: string): Promise<Pointer | null> {
    const key = this.#keyOf(wanted)
    if (key === null) return null
    const value = await this.#parts.mesh.get(key, AbortSignal.timeout(lookTimeoutMs)).catch(() => null)
    return (value === null ? null : this.#at(key, value)) ?? (await this.#askOwners(key, wanted))
  }

  /**
   * The DHT knows nothing: members whose ids lie near the key may keep it to themselves. So the owner's host is
   * asked, or, where only the id is known, whoever is connected. An answer counts by its signature alone.
   */
  async #askOwners(key: string, wanted: string): Promise<Pointer | null> {
    const { mesh, peers, log } = this.#parts
    const owner = this.#ownerIn(wanted)
    const hosts = owner === null ? mesh.members().slice(0, maxAsked) : [owner]
    const signal = AbortSignal.timeout(lookTimeoutMs)
    const told = await Promise.all(
      hosts.map(async (host) => {
        try {
          await peers.reach(host)
          const { pointer } = await ask(mesh, host, 'pointer', { key }, pointerTold, signal)
          return pointer === null ? [] : [Buffer.from(pointer, 'base64')]
        } catch (error: unknown) {
          log('not told of a pointer', { host, reason: errorData(error).message })
          return []
        }
      })
    )
    const values = told.flat().filter((value) => this.#at(key, value) !== null)
    const best = values[this.#best(key, values)]
    return best === undefined ? null : this.#at(key, best)
  }

  /** The pointer under a key, if it is this owner's to make. */
  #ownAt(key: string): string | null {
    const { records, host } = this.#parts
    for (const seen of records.view.violins.values()) {
      const keys = [namePointerKey(seen.name, host.identity.id), idPointerKey(seen.id)]
      if (!keys.includes(key) || seen.owner !== host.identity.owner.publicKey) continue
      const value = this.#sealed(seen, records.now)
      return value === null ? null : Buffer.from(value).toString('base64')
    }
    return null
  }

  async #askAt(host: HostId, violin: ViolinId): Promise<Told | null> {
    const { mesh, peers, log, host: own } = this.#parts
    if (host === own.identity.id) return null
    try {
      await peers.reach(host)
      return await ask(mesh, host, 'find', { violin }, told, AbortSignal.timeout(lookTimeoutMs))
    } catch (error: unknown) {
      log('not told where a VIOLIN is', { host, reason: errorData(error).message })
      return null
    }
  }

  #shown(pointer: Pointer, said: Told, silent: readonly string[]): Show {
    const { peers } = this.#parts
    return {
      name: pointer.name,
      id: pointer.violin,
      owner: peers.nameOf(pointer.chain.host as HostId),
      ownerKey: pointer.author,
      state: said.state,
      version: said.version,
      expiresAt: said.expiresAt,
      hosts: said.hosts.filter(isHostId).map((host) => peers.nameOf(host)),
      lans: [],
      entities: [],
      jetways: [],
      offers: [],
      lost: null,
      stale: silent
    }
  }

  async #tell(violin: ViolinId): Promise<Told> {
    const { records, violins } = this.#parts
    const seen = records.view.violins.get(violin)
    if (seen === undefined)
      throw new ViolinError('unknown-violin', 'nothing of that VIOLIN is here', 'ask another of its hosts')
    return {
      state: stateOf(seen, await violins.statusesOf(seen)),
      version: seen.version,
      expiresAt: new Date(seen.record.endsAt).toISOString(),
      hosts: seen.spec === null ? [] : [...seen.holders]
    }
  }

  async #put(violin: ViolinId): Promise<void> {
    const { records, host, mesh, log } = this.#parts
    const seen = records.view.violins.get(violin)
    if (seen === undefined || seen.owner !== host.identity.owner.publicKey) return
    const value = this.#sealed(seen, records.now)
    if (value === null) return log('a chain too long for a pointer', { violin })
    // Under the name first: who finds that finds the id in it.
    for (const key of [namePointerKey(seen.name, host.identity.id), idPointerKey(violin)]) {
      await mesh.put(key, value, AbortSignal.timeout(putTimeoutMs)).catch((error: unknown) => {
        log('pointer not put', { key, reason: errorData(error).message })
      })
    }
  }

  #sealed(seen: ViolinView, now: WallTime): Uint8Array | null {
    const { identity, ownerChain } = this.#parts.host
    const others = [...seen.holders].filter((holder) => holder !== identity.id)
    return sealPointer(
      {
        founding: seen.founding,
        name: seen.name,
        hosts: seen.spec === null ? null : [identity.id, ...others],
        version: seen.version,
        issuedAt: now,
        expiresAt: Math.min(now + pointerLifeMs, ownerChain.endsAt) as WallTime
      },
      ownerChain,
      identity.owner
    )
  }

  /** By its whole id, or by its name and the name or id of its owner's host. */
  #keyOf(wanted: string): string | null {
    if (/^[0-9a-f]{64}$/.test(wanted)) return idPointerKey(wanted as ViolinId)
    const [name = ''] = wanted.split('@', 1)
    const owner = this.#ownerIn(wanted)
    return owner === null || name === '' ? null : namePointerKey(name, owner)
  }

  /** The owner's host in name@owner; null where none is named, or no member is. Throws `ambiguous-name`. */
  #ownerIn(wanted: string): HostId | null {
    const [, owner] = wanted.split('@', 2)
    return owner === undefined ? null : ownerNamed(owner, this.#parts.records)
  }

  #at(key: string, value: Uint8Array): Pointer | null {
    const { set, now } = this.#parts.records
    const pointer = pointerAt(key, value, set.root, now, crypto)
    return pointer === null || set.isRevoked(pointer.chain) ? null : pointer
  }

  #best(key: string, values: readonly Uint8Array[]): number {
    let best = 0
    let standing: Pointer | null = null
    for (const [place, value] of values.entries()) {
      const pointer = this.#at(key, value)
      if (pointer === null || (standing !== null && !pointerBeats(pointer, standing))) continue
      best = place
      standing = pointer
    }
    return best
  }
}

/** What the owner of a VIOLIN does: signs versions of it and hands them to every host concerned. */
import { type Chain, ownerChain } from '#core/admission/chain.ts'
import { ownerProofBytes } from '#core/admission/link.ts'
import { resignedUntil } from '#core/admission/renewal.ts'
import { ascii } from '#core/derive.ts'
import { withMove, withPower } from '#core/edits.ts'
import { keeperIn } from '#core/claims.ts'
import type { HostId, ViolinId, WallTime } from '#core/ids.ts'
import { tinyImage } from '#core/image.ts'
import { type Founding, type OwnerHere, violinIdOf } from '#core/records/bodies.ts'
import { wrongClockMs } from '#core/records/clock.ts'
import { type ViolinRecord, maxLifeMs } from '#core/records/record.ts'
import { type Spec, type SpecEntity, hostsPerEntity } from '#core/spec.ts'
import type { Host } from './host.ts'
import { type VirtualSigner, signerFor, virtualCrypto } from './keys.ts'
import type { EntitiesPlan, ViolinPlan } from './scenario.ts'
import type { World } from './world.ts'

/** Candidates for the vSwitch of a VIOLIN's vLAN. */
const candidates = 3

export class Owner {
  readonly #world: World
  readonly #host: Host
  /** Its own owner key, or the one of another host of which it has a copy. */
  readonly #signer: VirtualSigner
  readonly #isCopied: boolean
  /** Versions signed of VIOLINs with entities that run. */
  #changes = 0
  /** The owner key on the host, by the host's chain. */
  #hung: { readonly on: Chain; readonly chain: Chain } | null = null

  constructor(world: World, host: Host) {
    this.#world = world
    this.#host = host
    const { violins } = world.scenario
    const source = violins.find(({ copies }) => copies?.includes(host.place) === true)
    this.#signer = signerFor(`owner ${source?.owner ?? host.place}`)
    this.#isCopied =
      source !== undefined ||
      violins.some(({ owner, copies }) => owner === host.place && copies !== undefined)
  }

  /** What the host says of an owner key that lies on several; of one that is nowhere else nobody asks. */
  get here(): OwnerHere | null {
    if (!this.#isCopied) return null
    const { publicKey } = this.#host.signer
    const proof = this.#signer.sign(ownerProofBytes(this.#world.root.publicKey, publicKey))
    return { key: this.#signer.publicKey, proof }
  }

  /** What shows that the owner key is on this host; null: the host is not in the mesh. */
  get chain(): Chain | null {
    const { chain } = this.#host.records
    return chain === null ? null : this.#chainOn(chain)
  }

  /** The id of a VIOLIN of this owner. */
  violinOf(index: number): ViolinId {
    return violinIdOf(this.#foundingOf(index), virtualCrypto)
  }

  #foundingOf(index: number): Founding {
    const nonce = new Uint8Array(16)
    nonce.set(ascii(`violin ${index}`).subarray(0, 16))
    return { nonce, owners: [this.#signer.publicKey] }
  }

  /** Signs the next version of a VIOLIN, which puts one machine on each of these hosts; none: its end. */
  change(index: number, hosts: readonly HostId[]): void {
    if (this.#host.records.chain === null) return
    const former = this.#former(index)
    // The end is for ever, and an end of nothing is none.
    if (former === null ? hosts.length === 0 : former.body.ended !== null) return
    const { entities } = this.#world.scenario.violins[index] as ViolinPlan
    const spec = hosts.length === 0 ? null : this.#specOf(`violin-${index}`, hosts, former, entities)
    this.#sign(index, spec, hosts)
  }

  /** Moves an entity to a host that answers and takes it, as daemon/moves.ts does. */
  migrate(index: number, entity: number, to: Host): void {
    const { connections } = this.#host.records
    const move = (): void => {
      const { records } = this.#host
      const isThere = records.view.members.get(to.id)?.body.draining === false && !records.shuts(to)
      if (!isThere) return
      const spec = this.#edit(index, entity, (former, name) => withMove(former, name, to.id))
      const moved = spec?.entities[entity]
      if (moved === undefined) return
      const { name, generation } = moved
      const violin = this.violinOf(index)
      this.#world.see({ kind: 'moved', violin, name, to: to.place, generation })
    }
    if (to === this.#host) move()
    else connections.dial(to.place, move)
  }

  /** Stops an entity or starts it again, as daemon/entity-changes.ts does. */
  power(index: number, entity: number, on: boolean): void {
    if (this.isStopped(index, entity) !== on) return
    const runs = this.#host.records.view.runs.get(this.violinOf(index)) ?? new Map()
    this.#edit(index, entity, (former, name, one) => withPower(former, name, on, keeperIn(runs, one)))
  }

  /** Whether an entity is stopped, as far as this owner knows. */
  isStopped(index: number, entity: number): boolean {
    return this.#former(index)?.body.spec?.entities[entity]?.stopped === true
  }

  /** Signs what becomes of the version that stands by a change of one entity; null: there is none to change. */
  #edit(
    index: number,
    entity: number,
    change: (former: Spec, name: string, one: SpecEntity) => Spec
  ): Spec | null {
    const former = this.#former(index)?.body.spec ?? null
    const one = former?.entities[entity]
    if (former === null || one === undefined || this.chain === null) return null
    const spec = change(former, one.name, one)
    this.#sign(
      index,
      spec,
      spec.entities.flatMap(({ hosts }) => hosts)
    )
    return spec
  }

  #former(index: number): ViolinRecord | null {
    return this.#host.records.set.get('violin', this.#signer.publicKey, this.violinOf(index))
  }

  /** The next version, handed to whom it names and to whom the last one named; no spec: the end. */
  #sign(index: number, spec: Spec | null, hosts: readonly HostId[]): void {
    const { records, wallNow } = this.#host
    if (records.chain === null) return
    const chain = this.#chainOn(records.chain)
    const founding = this.#foundingOf(index)
    const id = this.violinOf(index)
    const before = [...records.holdersOf(id)].filter((host) => host !== this.#host.id)
    records.speak(this.#signer, {
      kind: 'violin',
      version: (this.#former(index)?.version ?? 0) + 1,
      issuedAt: wallNow,
      expiresAt: Math.min(wallNow + maxLifeMs.violin, chain.endsAt) as WallTime,
      chain,
      body:
        spec === null
          ? { founding, spec, ended: { name: `violin-${index}`, hosts: before } }
          : { founding, spec, ended: null }
    })
    if (!records.disk.isFull) this.#handOver(id, new Set([...hosts, ...before]))
  }

  /** Signs anew what a clock that ran ahead has dated, as daemon/renewal.ts does. */
  resign(): void {
    const { records, wallNow, clockAheadMs } = this.#host
    const violins = records.set.violins()
    if (records.chain === null || violins.length === 0) return
    const chain = this.#chainOn(records.chain)
    const isRight = Math.abs(clockAheadMs) <= wrongClockMs
    for (const violin of violins) {
      const record = records.set.get('violin', this.#signer.publicKey, violin)
      if (record === null) continue
      const expiresAt = resignedUntil(record, chain, records.view.slots, wallNow, isRight)
      if (expiresAt === null) continue
      const { version, body } = record
      records.speak(this.#signer, {
        kind: 'violin',
        version: version + 1,
        issuedAt: wallNow,
        expiresAt,
        body,
        chain
      })
    }
  }

  /** Every second version moves entities that run; the others only list other hosts for them. */
  #specOf(
    name: string,
    hosts: readonly HostId[],
    former: ViolinRecord | null,
    plan: EntitiesPlan | undefined
  ): Spec {
    if (plan === undefined)
      return specOn(
        name,
        hosts.slice(0, candidates),
        hosts.map((host) => ({ hosts: [host], generation: 0, restart: 'failover' }))
      )
    const raise = this.#changes++ % 2
    const switches = this.#world.scenario.lans[plan.lan]?.candidates.map(
      (place) => this.#world.host(place).id
    )
    const { restarts = [] } = plan
    const entities = Array.from({ length: plan.count }, (_, turn) => ({
      hosts: Array.from(
        { length: Math.min(hostsPerEntity, hosts.length) },
        (_, place) => hosts[(turn + place) % hosts.length] as HostId
      ),
      generation: (former?.body.spec?.entities[turn]?.generation ?? 0) + raise,
      restart: restarts[turn % restarts.length] ?? 'failover'
    }))
    return specOn(name, switches ?? [], entities)
  }

  #chainOn(on: Chain): Chain {
    if (this.#hung?.on === on) return this.#hung.chain
    const { signer } = this.#host
    const chain = ownerChain(on, signer, this.#signer.publicKey, on.endsAt, virtualCrypto)
    this.#hung = { on, chain }
    return chain
  }

  /** Dials every host that is named, or was before, and exchanges with it. */
  #handOver(violin: ViolinId, hosts: ReadonlySet<HostId>): void {
    const { connections, repair } = this.#host.records
    for (const host of hosts) {
      const place = this.#world.byId(host)?.place
      if (place === undefined || place === this.#host.place) continue
      connections.dial(place, () => repair.with(place, [violin]))
    }
  }
}

/** One vLAN with these entities. */
function specOn(
  name: string,
  switches: readonly HostId[],
  entities: readonly Pick<SpecEntity, 'hosts' | 'generation' | 'restart'>[]
): Spec {
  return {
    name,
    lans: [{ name: 'lan', subnet: '10.0.0.0/16', hosts: switches }],
    entities: entities.map((one, turn) => ({
      name: `vhost${turn}`,
      kind: 'host',
      driver: 'uml',
      image: tinyImage,
      memoryMiB: 64,
      nics: [{ name: 'eth0', lan: 'lan', ips: [`10.0.${(turn + 1) >> 8}.${(turn + 1) & 255}/16`] }],
      routes: [],
      env: {},
      files: [],
      run: '',
      pinned: false,
      ...one
    }))
  }
}

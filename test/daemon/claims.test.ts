/** What a host remembers of the entities that it ran, from its own records or from others. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HostId, ViolinId, WallTime } from '#core/ids.ts'
import type { Founding, HostBody } from '#core/records/bodies.ts'
import type { Restart, Spec, SpecEntity } from '#core/spec.ts'
import { Claims } from '#daemon/claims.ts'
import type { Host } from '#daemon/host.ts'
import { Records } from '#daemon/records.ts'
import { memoryStore } from '#store/memory.ts'
import {
  type TestHost,
  dayMs,
  founder,
  invite,
  join,
  root,
  start,
  witnessOf
} from '../core/admission/keys.ts'
import { freshFounding, hostBody, specOn, violinId } from '../core/records/records.ts'
import { type PlayedMesh, PlayedNetwork } from './played-mesh.ts'

const owner = founder()
const { token } = invite(owner, 'token', { slots: 2 })
const runner = join(token, 'runner', witnessOf(owner), 0)
const third = join(token, 'third', witnessOf(owner), 1)
const idOf = ({ chain }: TestHost): HostId => chain.host as HostId
const times = { issuedAt: start, expiresAt: (start + dayMs) as WallTime }

/** One life of a host that begins with an empty store. */
class Life {
  readonly records: Records
  readonly claims: Claims
  readonly #host: TestHost

  constructor(host: TestHost, network: PlayedNetwork, vms = 9) {
    this.#host = host
    this.records = new Records({
      root: root.publicKey,
      self: idOf(host),
      store: memoryStore(),
      wallNow: () => start,
      tell: () => {},
      log: () => {}
    })
    this.records.attach(network.join(idOf(host)).asMesh)
    // The test decides when there is an exchange.
    this.records.close()
    this.claims = new Claims(
      { identity: { id: idOf(host) } } as Host,
      this.records,
      { lostForMs: () => null, isConnected: () => true, isolated: false },
      () => ({
        vms,
        memoryMiB: 4096,
        ownerMemoryMiB: 4096,
        cpus: 2,
        imagesMiB: 0,
        allow: null,
        refuse: [],
        jetways: []
      }),
      { mayRun: () => true }
    )
  }

  async say(body: HostBody): Promise<void> {
    const { chain, signer } = this.#host
    await this.records.publish({ kind: 'host', body, ...times, version: 1, chain }, signer)
  }

  async sign(founding: Founding, spec: Spec, version = 1): Promise<void> {
    const body = { founding, spec, ended: null }
    const { ownerChain: chain, owner: signer } = this.#host
    await this.records.publish({ kind: 'violin', body, ...times, version, chain }, signer)
  }

  /** As daemon/runs.ts does. */
  async tell(violin: ViolinId): Promise<void> {
    const version = this.records.nextVersion('runs', this.#host.signer.publicKey, violin)
    const body = { violin, entities: this.claims.tell(violin), switches: [] }
    this.claims.speaks(violin, version)
    const draft = { kind: 'runs', body, ...times, version, chain: this.#host.chain } as const
    await this.records.publish(draft, this.#host.signer)
  }

  meet(other: Life): Promise<void> {
    return this.records.exchange(idOf(other.#host), [], AbortSignal.timeout(10_000))
  }

  /** The claim under which the entity is to run here; absent: it is not. */
  claimOf(violin: ViolinId): number | undefined {
    return this.claims.decide().claims.get(violin)?.get('vhost1')
  }
}

function changed(spec: Spec, change: Partial<SpecEntity>): Spec {
  return { ...spec, entities: spec.entities.map((entity) => ({ ...entity, ...change })) }
}

/** A host ran an entity, comes back with its key and nothing else, and hears of the VIOLIN before its own word. */
async function comesBack(restart: Restart): Promise<{ readonly life: Life; readonly violin: ViolinId }> {
  const network = new PlayedNetwork()
  const other = new Life(owner, network)
  const first = new Life(runner, network)
  const unaware = new Life(third, network)
  const founding = freshFounding(owner.owner.publicKey)
  const violin = violinId(founding)
  const spec = changed(specOn([idOf(runner), idOf(owner), idOf(third)]), { restart })
  await other.say(hostBody(owner))
  await first.say(hostBody(runner))
  await unaware.say(hostBody(third))
  await first.meet(other)
  await unaware.meet(other)
  await other.sign(founding, spec)
  await other.meet(first)
  await other.meet(unaware)
  assert.equal(first.claimOf(violin), 1)
  await first.tell(violin)
  await first.meet(other)
  // Whoever begins alone exchanges with nobody by itself.
  const apart = new PlayedNetwork()
  const life = new Life(runner, apart)
  network.nodes.set(idOf(runner), apart.nodes.get(idOf(runner)) as PlayedMesh)
  for (const host of [owner, third]) apart.nodes.set(idOf(host), network.nodes.get(idOf(host)) as PlayedMesh)
  await life.say(hostBody(runner))
  await unaware.meet(life)
  assert.ok(life.records.view.violins.has(violin))
  assert.equal(life.claimOf(violin), undefined)
  await life.meet(other)
  return { life, violin }
}

test('what ran once, and never again, is not started by a host that hears from others that it ran it', async () => {
  const { life, violin } = await comesBack('never')
  assert.equal(life.claimOf(violin), undefined)
  assert.equal(life.claims.held(violin).get('vhost1')?.state, 'failed')
  await life.tell(violin)
  assert.equal(life.claimOf(violin), undefined)
})

test('what starts only where it ran is started there again, above the claim that others heard', async () => {
  const { life, violin } = await comesBack('on-failure')
  assert.equal(life.claimOf(violin), 2)
})

test('a machine that goes on under another claim keeps its place before what is new', async () => {
  const life = new Life(owner, new PlayedNetwork(), 1)
  const [early, late] = [freshFounding(owner.owner.publicKey), freshFounding(owner.owner.publicKey)].toSorted(
    (a, b) => (violinId(a) < violinId(b) ? -1 : 1)
  ) as [Founding, Founding]
  const spec = specOn([idOf(owner)])
  await life.say(hostBody(owner))
  await life.sign(late, spec)
  assert.equal(life.claimOf(violinId(late)), 1)
  await life.sign(late, changed(spec, { generation: 1 }), 2)
  await life.sign(early, specOn([idOf(owner)], 'new'))
  assert.equal(life.claimOf(violinId(late)), 0x1_0001)
  assert.equal(life.claims.held(violinId(early)).get('vhost1')?.state, 'refused')
})

/** Trunks between hosts whose daemons do not reach each other: a third host carries what they sign. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { hostIdOf } from '#core/admission/host-id.ts'
import type { HostId, Signer, ViolinId } from '#core/ids.ts'
import type { Mesh } from '#mesh/contract.ts'
import { type CarriedHalf, carry, isOwnWord } from '#daemon/carried.ts'
import { signerOf } from '#daemon/crypto.ts'
import type { Records } from '#daemon/records.ts'
import type { Slices } from '#daemon/slices/slices.ts'
import { TrunkAgreement } from '#daemon/trunks.ts'
import { encodeJson, parseJson } from '#daemon/wire.ts'
import { makeTrunkHalf } from '#slice/forwarder/derive.ts'
import type { TrunkHalf } from '#slice/contract.ts'

const violin = 'ab'.repeat(32) as ViolinId

interface Joined {
  readonly peer: HostId
  readonly half: TrunkHalf
}

/** A host with its agreement, and who is connected to it. */
class Host implements Disposable {
  readonly signer: Signer = signerOf(randomBytes(32))
  readonly id: HostId = hostIdOf(this.signer.publicKey)
  readonly near = new Set<Host>()
  readonly joined: Joined[] = []
  readonly offered: TrunkHalf[] = []
  /** What it makes of a word that it carries. */
  bend: (word: CarriedHalf) => CarriedHalf = (word) => word
  readonly asked: string[] = []
  readonly serves = new Map<string, Parameters<Mesh['serve']>[2]>()
  #agreement: TrunkAgreement | null = null

  start(all: readonly Host[]): void {
    const mesh: Pick<Mesh, 'isMember' | 'request' | 'serve' | 'on' | 'members'> = {
      isMember: (peer) => [...this.near].some(({ id }) => id === peer),
      members: () => [...this.near].map(({ id }) => id),
      serve: (protocol, _options, handler) => void this.serves.set(protocol, handler),
      on: () => () => undefined,
      request: async (peer, protocol, body, signal) => {
        const to = [...this.near].find(({ id }) => id === peer)
        const serve = to?.serves.get(protocol)
        if (to === undefined || serve === undefined) throw new Error('not connected')
        to.asked.push(protocol)
        const word = parseJson(body) as CarriedHalf
        const bent = protocol === 'trunk-by' && word.from !== this.id ? encodeJson(this.bend(word)) : body
        return serve(bent, this.id, signal)
      }
    }
    const slice = {
      violin,
      call: async (method: string, params: { peer: HostId; half: TrunkHalf }) => {
        if (method === 'trunkJoin') return void this.joined.push({ peer: params.peer, half: params.half })
        const { half } = makeTrunkHalf([{ ip: '10.0.0.1', port: 4790 }])
        this.offered.push(half)
        return half
      }
    }
    const spec = { lans: [{ name: 'lan', hosts: all.map(({ id }) => id) }], entities: [] }
    const view = { violins: new Map([[violin, { spec }]]), members: new Map() }
    this.#agreement = new TrunkAgreement({
      self: this.id,
      signer: this.signer,
      records: { view, seats: { revoked: () => [] }, now: Date.now() } as unknown as Records,
      slices: { get: () => slice, all: () => [slice] } as unknown as Slices,
      mesh: mesh as Mesh,
      log: () => undefined
    })
  }

  want(peer: Host): void {
    this.#agreement?.want(violin, peer.id)
  }

  [Symbol.dispose](): void {
    this.#agreement?.close()
  }
}

/** Two hosts, the one that offers first, and a third that both are connected to. */
function apart(stack: DisposableStack): { offers: Host; asks: Host; carrier: Host } {
  const all = [new Host(), new Host(), new Host()]
  const [carrier, ...others] = all as [Host, Host, Host]
  const [offers, asks] = others.toSorted((a, b) => (a.id < b.id ? -1 : 1)) as [Host, Host]
  for (const host of others) {
    host.near.add(carrier)
    carrier.near.add(host)
  }
  for (const host of all) stack.use(host).start(all)
  return { offers, asks, carrier }
}

async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setImmediate(resolve))
}

/** Long enough for whatever goes by promises alone. */
async function rest(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
}

for (const first of ['offers', 'asks'] as const) {
  test(`hosts that do not reach each other agree by a third, whichever asks: ${first}`, async () => {
    using stack = new DisposableStack()
    const hosts = apart(stack)
    const { offers, asks } = hosts
    hosts[first].want(first === 'offers' ? asks : offers)
    await until(() => offers.joined.length === 1)
    assert.deepEqual(offers.joined, [{ peer: asks.id, half: asks.offered[0] }])
    assert.deepEqual(asks.joined, [{ peer: offers.id, half: offers.offered[0] }])
  })
}

test('a third host that changes a half, or says an old one again, gets nothing agreed', async () => {
  using stack = new DisposableStack()
  const { offers, asks, carrier } = apart(stack)
  const { half } = makeTrunkHalf([])
  let first: CarriedHalf | null = null
  carrier.bend = (word) => {
    first ??= word
    return { ...word, half }
  }
  offers.want(asks)
  await rest()
  assert.deepEqual([offers.joined, asks.joined], [[], []])
  carrier.bend = () => ({ ...(first as unknown as CarriedHalf), from: carrier.id })
  offers.want(asks)
  await rest()
  assert.deepEqual([offers.joined, asks.joined], [[], []])
  // The answer to an old half is none to the new one.
  carrier.bend = () => first as CarriedHalf
  offers.want(asks)
  await rest()
  assert.deepEqual(offers.joined, [])
})

test('nobody has carried what a connected host can say itself, nor for hosts that are not in the VIOLIN', async () => {
  using stack = new DisposableStack()
  const { offers, asks, carrier } = apart(stack)
  const stranger = new Host()
  const content = { violin, from: offers.id, to: asks.id, half: makeTrunkHalf([]).half, answers: null }
  const word = carry(content, offers.signer)
  const { signal } = new AbortController()
  const put = (to: Host, from: Host, said: CarriedHalf): Promise<unknown> =>
    Promise.resolve(to.serves.get('trunk-by')?.(encodeJson(said), from.id, signal))
  offers.near.add(asks)
  asks.near.add(offers)
  await assert.rejects(put(asks, carrier, word), /is connected/)
  assert.deepEqual(asks.joined, [])
  // Only for who says it itself, and only for hosts that it has a part in a VIOLIN with.
  await assert.rejects(put(carrier, asks, word), /is not reached/)
  await assert.rejects(put(carrier, offers, { ...word, to: stranger.id }), /is not reached/)
  await assert.rejects(
    put(carrier, stranger, carry({ ...content, from: stranger.id }, stranger.signer)),
    /is not reached/
  )
  assert.deepEqual(asks.asked, [])
})

test('a word is its host’s to the last letter', () => {
  const [host, other] = [new Host(), new Host()]
  const { half } = makeTrunkHalf([{ ip: '10.0.0.1', port: 1 }])
  const word = carry({ violin, from: host.id, to: other.id, half, answers: null }, host.signer)
  assert.ok(isOwnWord(word))
  for (const change of [
    { violin: 'cd'.repeat(32) as ViolinId },
    { from: other.id },
    { to: host.id },
    { half: null },
    { half: { ...half, index: half.index ^ 1 } },
    { half: { ...half, candidates: [] } },
    { half: { ...half, publicKey: '0'.repeat(64) } },
    { answers: '0'.repeat(64) },
    { signature: '0'.repeat(128) }
  ])
    assert.equal(isOwnWord({ ...word, ...change }), false, JSON.stringify(change))
})

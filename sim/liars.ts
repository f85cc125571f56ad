/** What liars do: each has its own key and membership, and whatever bytes it can make up. */
import { foundChain } from '#core/admission/chain.ts'
import { hostIdOf } from '#core/admission/host-id.ts'
import { acceptGrant, countersign, joinRequest } from '#core/admission/join.ts'
import { mintToken } from '#core/admission/token.ts'
import { maxClaimOf } from '#core/claims.ts'
import { ViolinError } from '#core/errors.ts'
import type { WallTime } from '#core/ids.ts'
import { maxLifeMs, sealRecord } from '#core/records/record.ts'
import { hostBody } from './daemon.ts'
import type { Lie } from './faults.ts'
import type { Host } from './host.ts'
import { credulousCrypto, signerFor, signerOf, virtualCrypto } from './keys.ts'
import type { World } from './world.ts'

const dayMs = 24 * 3600_000
const yearMs = 365 * dayMs
/** Members that an admin makes up at once. */
const mintedAtOnce = 100

/** Lets a member lie. */
export function lie(world: World, liar: Host, what: Lie): void {
  if (!liar.running || liar.records.chain === null) return
  switch (what) {
    case 'forged-member':
      return forgeMember(world, liar)
    case 'foreign-claim':
      return claimEntities(world, liar)
    case 'foreign-ports':
      return liar.slice.claimAllPorts()
    case 'replay':
      for (const record of world.past) liar.records.gossip.spread(record.bytes, null)
      return
    case 'future':
      return speakOfTomorrow(world, liar)
    case 'minting':
      return mint(world, liar)
  }
}

/** A host that says the root let it in, with signatures that are none. */
function forgeMember(world: World, liar: Host): void {
  const stranger = signerFor(`stranger ${world.clock.count}`)
  const forged = { publicKey: world.root.publicKey, sign: () => new Uint8Array(64).fill(7) }
  const chain = foundChain(forged, stranger.publicKey, (world.wallNow + yearMs) as WallTime, credulousCrypto)
  const record = sealRecord(
    {
      kind: 'host',
      version: 1,
      issuedAt: world.wallNow,
      expiresAt: (world.wallNow + dayMs) as WallTime,
      chain,
      body: hostBody(chain.host as Host['id'], 0)
    },
    world.root.publicKey,
    stranger,
    credulousCrypto
  )
  liar.records.gossip.spread(record.bytes, null)
}

/** Says of every VIOLIN that all runs here for which it is not listed, under the highest claims, to its holders' face. */
function claimEntities(world: World, liar: Host): void {
  const { chain } = liar.records
  for (const index of world.scenario.violins.keys()) {
    const { id } = world.violin(index)
    const holders = world.members.filter((host) => host.running && host.records.set.violins().includes(id))
    const spec = holders
      .map((host) => host.records.view.violins.get(id)?.spec ?? null)
      .find((one) => one !== null)
    // What it is listed for it may claim.
    const foreign = spec?.entities.filter(({ hosts }) => !hosts.includes(liar.id)) ?? []
    if (foreign.length === 0) continue
    const former = liar.records.set.get('runs', liar.signer.publicKey, id)
    const record = sealRecord(
      {
        kind: 'runs',
        version: (former?.version ?? 0) + 1,
        issuedAt: liar.wallNow,
        expiresAt: (liar.wallNow + maxLifeMs.runs) as WallTime,
        chain,
        body: {
          violin: id,
          entities: foreign.map(({ name, generation }) => ({
            name,
            claim: maxClaimOf(generation),
            state: 'running',
            reason: ''
          })),
          switches: ['lan']
        }
      },
      world.root.publicKey,
      liar.signer,
      virtualCrypto
    )
    for (const host of holders) host.records.merge(record.bytes)
  }
}

/** The liar's own record, of a day that is to come, in a version above all others. */
function speakOfTomorrow(world: World, liar: Host): void {
  const record = sealRecord(
    {
      kind: 'host',
      version: (liar.records.published?.version ?? 0) + 1_000,
      issuedAt: (world.wallNow + dayMs) as WallTime,
      expiresAt: (world.wallNow + dayMs + maxLifeMs.host) as WallTime,
      chain: liar.records.chain,
      body: hostBody(liar.id, liar.place)
    },
    world.root.publicKey,
    liar.signer,
    virtualCrypto
  )
  liar.records.gossip.spread(record.bytes, null)
}

/** An admin lets in hosts that there are not, and speaks for all of them. */
function mint(world: World, admin: Host): void {
  const { chain } = admin.records
  if (chain?.role !== 'admin') return
  const name = `minted ${world.minted}`
  const wish = {
    role: 'member',
    redeemBy: (world.wallNow + dayMs) as WallTime,
    slots: mintedAtOnce,
    addresses: []
  } as const
  const { token } = mintToken(chain, admin.signer, signerFor(name), wish, world.wallNow, virtualCrypto)
  const witness = {
    chain,
    signer: admin.signer,
    chainOf: () => chain,
    usedSlots: () => new Map(),
    isRevoked: () => false
  }
  for (let slot = 0; slot < mintedAtOnce; slot++) {
    const signer = signerFor(`${name} ${slot}`)
    const request = joinRequest(token, signerOf(token.seed), signer.publicKey, slot, 'minted')
    const host = hostBody(hostIdOf(signer.publicKey), 0)
    const answer = countersign(request, host.host, witness, world.wallNow, virtualCrypto)
    if (answer.kind !== 'granted') throw new Error(`not minted: ${answer.kind}`)
    const own = acceptGrant(token, signer.publicKey, answer.chain, virtualCrypto)
    if (own instanceof ViolinError) throw own
    world.admitted.add(signer.publicKey)
    world.minted++
    const expiresAt = (world.wallNow + dayMs) as WallTime
    const draft = {
      kind: 'host',
      version: 1,
      issuedAt: world.wallNow,
      expiresAt,
      chain: own,
      body: host
    } as const
    const record = sealRecord(draft, world.root.publicKey, signer, virtualCrypto)
    admin.records.gossip.spread(record.bytes, null)
  }
}

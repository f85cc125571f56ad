/** How a world begins: trunks are laid, the founder lets the first members in, all know one another's records. */
import { type Chain, foundChain } from '#core/admission/chain.ts'
import { acceptGrant, countersign, joinRequest } from '#core/admission/join.ts'
import { maxSlots } from '#core/admission/link.ts'
import { type Token, mintToken } from '#core/admission/token.ts'
import { ViolinError } from '#core/errors.ts'
import type { WallTime } from '#core/ids.ts'
import { trunkPeers } from '#core/reconcile.ts'
import type { Host } from './host.ts'
import { signerFor, signerOf, virtualCrypto } from './keys.ts'
import type { World } from './world.ts'

const yearMs = 365 * 24 * 3600_000
const dayMs = 24 * 3600_000

/** Lays the trunks that the scenario's vLANs want. */
export function layTrunks(world: World): void {
  for (const { hosts, candidates } of world.scenario.lans) {
    const all = [...new Set([...candidates, ...hosts])]
    for (const place of all)
      for (const peer of trunkPeers(place, candidates, all)) world.layTrunk(place, peer)
  }
}

/** The founder lets the first members in, and makes the scenario's invites. */
export function admitFirst(world: World): void {
  const { hosts, invites } = world.scenario
  const founder = world.host(0)
  const end = (world.wallNow + yearMs) as WallTime
  const chain = foundChain(world.root, founder.signer.publicKey, end, virtualCrypto)
  const chains: Chain[] = [chain]
  let token: Token | null = null
  for (let place = 1; place < hosts; place++) {
    const slot = (place - 1) % maxSlots
    if (slot === 0) token = invite(world, chain, `members ${place}`, Math.min(maxSlots, hosts - place))
    chains.push(letIn(world, chain, token as Token, slot, world.host(place)))
  }
  for (const [index, slots] of invites.entries())
    world.tokens.push(invite(world, chain, `invite ${index}`, slots))
  for (const place of chains.keys()) world.admitted.add(world.host(place).signer.publicKey)
  if (!world.scenario.records) return
  meetAll(world)
  const speakAgain = world.silence()
  for (const [place, one] of chains.entries())
    founder.records.set.merge(world.host(place).records.found(one).bytes, world.wallNow)
  for (const host of world.hosts.slice(0, hosts)) host.records.knowAll(founder.records)
  for (const [index, { owner, hosts }] of world.scenario.violins.entries())
    if (hosts.length > 0) foundViolin(world, index, owner, hosts)
  speakAgain()
}

/** A VIOLIN whose first version all its hosts have. */
function foundViolin(world: World, index: number, owner: number, hosts: readonly number[]): void {
  const { records } = world.host(owner)
  records.owner.change(
    index,
    hosts.map((place) => world.host(place).id)
  )
  for (const record of records.set.entries(world.violin(index).id))
    for (const place of hosts) world.host(place).records.merge(record.bytes)
}

function invite(world: World, chain: Chain, label: string, slots: number): Token {
  const wish = {
    role: 'member',
    redeemBy: (world.wallNow + dayMs) as WallTime,
    slots,
    addresses: []
  } as const
  return mintToken(chain, world.host(0).signer, signerFor(label), wish, world.wallNow, virtualCrypto).token
}

function letIn(world: World, founder: Chain, token: Token, slot: number, host: Host): Chain {
  const proof = signerOf(token.seed)
  const request = joinRequest(token, proof, host.signer.publicKey, slot, `host-${host.place}`)
  const witness = {
    chain: founder,
    signer: world.host(0).signer,
    chainOf: () => founder,
    usedSlots: () => new Map(),
    isRevoked: () => false
  }
  const answer = countersign(request, host.id, witness, world.wallNow, virtualCrypto)
  if (answer.kind !== 'granted') throw new Error(`${host.place} is not let in: ${JSON.stringify(answer)}`)
  const chain = acceptGrant(token, host.signer.publicKey, answer.chain, virtualCrypto)
  if (chain instanceof ViolinError) throw chain
  return chain
}

/** A ring, so that all hang together, and random ones beside. */
function meetAll(world: World): void {
  const { degree, hosts } = world.scenario
  for (let place = 0; place < hosts; place++) {
    if (hosts - 1 <= degree) {
      for (let other = 0; other < place; other++) meet(world, place, other)
      continue
    }
    meet(world, place, (place + 1) % hosts)
    for (let i = 2; i < degree / 2 + 1; i++) meet(world, place, world.random.mesh.below(hosts))
  }
}

/** A newcomer gets to know some members. */
export function meetSome(world: World, host: Host, via: number): void {
  meet(world, host.place, via)
  const members = world.members.map((member) => member.place)
  for (const place of world.random.mesh.sample(members, world.scenario.degree / 2))
    meet(world, host.place, place)
}

function meet(world: World, a: number, b: number): void {
  if (a === b) return
  world.host(a).records.connections.neighbours.add(b)
  world.host(b).records.connections.neighbours.add(a)
  world.host(b).records.connections.reconsider()
}

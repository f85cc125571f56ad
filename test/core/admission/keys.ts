/** Real keys and a small mesh for tests: node:crypto stands behind the core's ports. */
import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import { type Chain, foundChain, invitedChain, ownerChain } from '#core/admission/chain.ts'
import { hostIdOf } from '#core/admission/host-id.ts'
import {
  type JoinAnswer,
  type Witness,
  acceptGrant,
  countersign,
  firstSlot,
  joinRequest
} from '#core/admission/join.ts'
import { type InviteWish, type Token, mintToken } from '#core/admission/token.ts'
import { rememberVerified } from '#core/admission/verified.ts'
import { hex } from '#core/derive.ts'
import type { Crypto, PublicKey, Signer, WallTime } from '#core/ids.ts'

const privatePrefix = Buffer.from('302e020100300506032b657004220420', 'hex')
const publicPrefix = Buffer.from('302a300506032b6570032100', 'hex')
const imported = new Map<PublicKey, KeyObject>()

const platform: Crypto = {
  sha256: (bytes) => createHash('sha256').update(bytes).digest(),
  verify(key, bytes, signature) {
    const known = imported.get(key)
    const der = Buffer.concat([publicPrefix, Buffer.from(key, 'hex')])
    const object = known ?? createPublicKey({ key: der, format: 'der', type: 'spki' })
    imported.set(key, object)
    return signature.length === 64 && verify(null, bytes, object, signature)
  }
}

/** Properties open the same records over and over: what verified once is not verified again. */
export const crypto: Crypto = rememberVerified(platform, 1 << 20)

export interface TestSigner extends Signer {
  readonly seed: Uint8Array
}

export function signerOf(seed: Uint8Array): TestSigner {
  const key = createPrivateKey({ key: Buffer.concat([privatePrefix, seed]), format: 'der', type: 'pkcs8' })
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
  return { seed, publicKey: hex(spki.subarray(-32)) as PublicKey, sign: (bytes) => sign(null, bytes, key) }
}

/** A key pair that is the same in every run. */
export function signerFor(label: string): TestSigner {
  return signerOf(new Uint8Array(createHash('sha256').update(`test key ${label}`).digest()))
}

export const start = 1_800_000_000_000 as WallTime
export const hourMs = 3_600_000
export const dayMs: number = 24 * hourMs
export const yearMs: number = 365 * dayMs

export function after(ms: number): WallTime {
  return (start + ms) as WallTime
}

/** One host of a test mesh with its keys and chains. */
export interface TestHost {
  readonly signer: TestSigner
  readonly owner: TestSigner
  readonly chain: Chain
  readonly ownerChain: Chain
}

export const root: TestSigner = signerFor('root')

/** What every member knows: the chains of those that were let in. */
const known = new Map<PublicKey, Chain>()

export function hostFrom(label: string, chain: Chain): TestHost {
  const signer = signerFor(label)
  const owner = signerFor(`${label} owner`)
  return {
    signer,
    owner,
    chain,
    ownerChain: ownerChain(chain, signer, owner.publicKey, after(yearMs), crypto)
  }
}

export function founder(label = 'founder'): TestHost {
  return knownAs(hostFrom(label, foundChain(root, signerFor(label).publicKey, after(yearMs), crypto)))
}

function knownAs(host: TestHost): TestHost {
  known.set(host.signer.publicKey, host.chain)
  return host
}

export function invite(
  host: TestHost,
  label: string,
  wish: Partial<InviteWish> = {}
): { readonly text: string; readonly token: Token; readonly chain: Chain } {
  const whole = { role: 'member', redeemBy: after(dayMs), slots: 1, addresses: [], ...wish } as const
  const made = mintToken(host.chain, host.signer, signerFor(label), whole, start, crypto)
  return { ...made, chain: invitedChain(host.chain, made.token.invite, crypto) as Chain }
}

export function witnessOf(host: TestHost, used: ReadonlyMap<number, PublicKey> = new Map()): Witness {
  return {
    chain: host.chain,
    signer: host.signer,
    chainOf: (key) => known.get(key) ?? null,
    usedSlots: () => used,
    isRevoked: () => false
  }
}

/** One request of `label` at a member. */
export function ask(
  token: Token,
  label: string,
  witness: Witness,
  slot?: number,
  now: WallTime = start
): JoinAnswer {
  const { publicKey } = signerFor(label)
  const at = slot ?? firstSlot(token, publicKey, crypto)
  const request = joinRequest(token, signerOf(token.seed), publicKey, at, 'name')
  return countersign(request, hostIdOf(publicKey), witness, now, crypto)
}

/** Lets `label` in; throws when it is refused. */
export function join(token: Token, label: string, witness: Witness, slot?: number): TestHost {
  const answer = ask(token, label, witness, slot)
  if (answer.kind !== 'granted') throw new Error(JSON.stringify(answer))
  const chain = acceptGrant(token, signerFor(label).publicKey, answer.chain, crypto)
  if (chain instanceof Error) throw chain
  return knownAs(hostFrom(label, chain))
}

/** What an admin's key can do that is hijacked: let members in by the hundred, and be them. */
import { setImmediate } from 'node:timers/promises'
import { type Chain, joinedChain, verifyChain } from '#core/admission/chain.ts'
import { type JoinedLink, slotProofBytes, wholeSeconds } from '#core/admission/link.ts'
import { mintToken } from '#core/admission/token.ts'
import type { HostId, PublicKey, WallTime } from '#core/ids.ts'
import { crypto, freshSeed, keyOfSeed, signerOf } from '#daemon/crypto.ts'
import type { Host } from '#daemon/host.ts'
import { type Rogue, type RogueOptions, rogueMember, sayInPlace } from './member.ts'
import { type Attack, ask, bringing, dayMs, hostBody, meshTopic, sealedAnyhow } from './records.ts'

/** How many members an admin mints, each with a record as large as it may be. */
const many = 300
/** Of them in one message of the exchange. */
const batch = 20

/** A key that an admin let in without anybody's asking. */
export interface Minted {
  readonly seed: Uint8Array
  readonly key: PublicKey
  readonly chain: Chain
}

/** An invite of this admin, redeemed by the admin itself: gives the member of a slot and a seed. */
export function mint(self: Host, slots: number): (slot: number, seed: Uint8Array) => Minted {
  const now = Date.now() as WallTime
  const { mesh: root, host: admin } = self.identity
  const tokenSeed = freshSeed()
  const wish = { role: 'member', redeemBy: (now + 3600_000) as WallTime, slots, addresses: [] } as const
  const tokenKey = { seed: tokenSeed, publicKey: keyOfSeed(tokenSeed) }
  const { token } = mintToken(self.chain, admin, tokenKey, wish, now, crypto)
  const tokenChain = verifyChain([...self.chain.links, token.invite], root, crypto) as Chain
  return (slot, seed) => {
    const { publicKey: subject } = signerOf(seed)
    const link = {
      kind: 'joined',
      issuer: tokenChain.subject,
      subject,
      slot,
      notAfter: wholeSeconds(tokenChain.endsAt),
      proof: signerOf(tokenSeed).sign(slotProofBytes(root, tokenChain.subject, slot, subject)),
      witness: self.chain.subject
    } as const satisfies Omit<JoinedLink, 'signature'>
    return { seed, key: subject, chain: joinedChain(tokenChain, self.chain, admin, link, crypto) }
  }
}

/** What a minted member says of itself. */
export function mintedRecord(
  self: Host,
  { seed, chain }: Minted,
  name: string,
  addresses: readonly string[] = []
): Uint8Array {
  const now = Date.now() as WallTime
  const body = hostBody(self, { host: chain.host as HostId, name, addresses })
  const times = { issuedAt: now, expiresAt: (now + dayMs) as WallTime }
  const draft = { kind: 'host', version: 1, ...times, chain, body } as const
  return sealedAnyhow(draft, signerOf(seed), self.identity.mesh)
}

/** An admin's key makes members by the hundred, and tells of each. */
export async function mintMembers({ self, rogue }: Attack): Promise<Record<string, number>> {
  const member = mint(self, many)
  const addresses = Array.from({ length: 16 }, () => `/dns4/${'a'.repeat(200)}/tcp/1`)
  const records: Uint8Array[] = []
  for (let slot = 0; slot < many; slot++) {
    records.push(mintedRecord(self, member(slot, freshSeed()), `minted${slot}`, addresses))
    // Else its own pings would starve, and the host would take it for lost.
    await setImmediate()
  }
  let refused = 0
  for (let at = 0; at < records.length; at += batch) {
    await ask(rogue, 'sync', bringing(records.slice(at, at + batch))).catch(() => refused++)
  }
  const sent = await rogue.gossip(
    records.map((data) => ({ subscriptions: [], messages: [{ topic: meshTopic, data }] }))
  )
  return { minted: records.length, refused, sent }
}

/** Connects as a minted member, and tells of itself. */
export async function appear(
  self: Host,
  minted: Minted,
  name: string,
  options: Pick<RogueOptions, 'address' | 'handlers'>
): Promise<Rogue> {
  const { seed, chain } = minted
  const rogue = await rogueMember({
    seed,
    meshId: self.identity.mesh,
    presentation: chain.bytes,
    ...options
  })
  await ask(rogue, 'sync', bringing([mintedRecord(self, minted, name)]))
  return rogue
}

const sitters = 3

/** Minted members are connected to two hosts until those cut them off, and come once more. */
export async function sit({
  self,
  words,
  until,
  target
}: Omit<Attack, 'rogue'>): Promise<Record<string, number>> {
  const addresses = [target.ip, ...words].map((ip) => `/ip4/${ip}/tcp/${target.port}`)
  const member = mint(self, sitters)
  const all = Array.from({ length: sitters }, (_, slot) => member(slot, freshSeed()))
  const come = all.flatMap((minted, slot) =>
    addresses.map(
      (address) => async (): Promise<Rogue> => appear(self, minted, `sitting${slot}`, { address })
    )
  )
  const rogues = await Promise.all(come.map((one) => one()))
  sayInPlace()
  const cut = await Promise.all(rogues.map(async (rogue) => isCut(rogue, until)))
  const again = await Promise.allSettled(come.map((one) => one()))
  return {
    sitting: rogues.length,
    cut: cut.filter((one) => one).length,
    again: again.filter(({ status }) => status === 'fulfilled').length
  }
}

/** Resolves when the other side has ended the connection, or when the time is over: false. */
async function isCut({ node, connection }: Rogue, until: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, until - performance.now())
  node.addEventListener('connection:close', () => resolve())
  if (connection.status === 'open') await promise
  clearTimeout(timer)
  return connection.status !== 'open'
}

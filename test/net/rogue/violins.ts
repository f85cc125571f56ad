/** What a member may say of a VIOLIN that is another's: a host that is named in it lies about all but its own part. */
import { randomBytes } from 'node:crypto'
import { ascii, hex } from '#core/derive.ts'
import type { HostId, PublicKey, Signer, ViolinId, WallTime } from '#core/ids.ts'
import type { ViolinBody } from '#core/records/bodies.ts'
import type { ViolinRecord } from '#core/records/record.ts'
import type { Spec } from '#core/spec.ts'
import { crypto } from '#daemon/crypto.ts'
import type { Host } from '#daemon/host.ts'
import { type Attack, allRecords, ask, bringing, dayMs, meshTopic, sealedAnyhow } from './records.ts'

/** The names under which it founds VIOLINs of its own: in its name alone, and in the victim's, too. */
export const foundedNames = ['unasked', 'shared'] as const

/** `words`: the VIOLIN's id. Tells what it said, and what of that a host had kept when it looked. */
export async function wrongViolins(attack: Attack): Promise<Record<string, number>> {
  const { self, rogue, words } = attack
  const violin = words[0] as ViolinId
  const known = await allRecords(attack, ['mesh', violin])
  const standing = known.find((record): record is ViolinRecord => record.kind === 'violin')
  if (standing === undefined || standing.body.spec === null) throw new Error('the VIOLIN is not told')
  const wrong = [...forgedVersions(self, standing), ...wrongRuns(self, standing)]
  const founded = foundedNames.map((name, place) => {
    const others = place === 0 ? [] : [standing.author]
    return foundedHere(self, name, standing.body.spec as Spec, others)
  })
  for (const bytes of [...wrong, ...founded])
    await ask(rogue, 'sync', bringing([bytes])).catch(() => undefined)
  const topics = [meshTopic, hex(crypto.sha256(ascii(`violin topic ${violin}`)).subarray(0, 16))]
  const sent = await rogue.gossip(
    topics.flatMap((topic) =>
      [...wrong, ...founded].map((data) => ({ subscriptions: [], messages: [{ topic, data }] }))
    )
  )
  const after = await allRecords(attack, [violin])
  const kept = after.filter(({ bytes }) => wrong.some((one) => Buffer.compare(one, bytes) === 0))
  return {
    wrong: wrong.length,
    sent,
    versions: kept.filter(({ kind }) => kind === 'violin').length,
    // Of its own runs it may say what it likes: who reads it asks whether it is listed.
    runs: kept.filter(({ kind }) => kind === 'runs').length
  }
}

/** Versions and ends that the owner never signed. */
function forgedVersions(self: Host, standing: ViolinRecord): Uint8Array[] {
  const { identity } = self
  const { founding, spec } = standing.body
  const fewer = { ...(spec as Spec), entities: (spec as Spec).entities.slice(1) }
  const bodies: readonly ViolinBody[] = [
    { founding, spec: fewer, ended: null },
    { founding, spec: null, ended: { name: standing.body.spec?.name ?? '', hosts: [identity.id] } },
    { founding: { ...founding, owners: [identity.owner.publicKey] }, spec: fewer, ended: null }
  ]
  const asOwner: Signer = { publicKey: standing.author, sign: (bytes) => identity.owner.sign(bytes) }
  const voices = [
    { signer: identity.owner, chain: self.ownerChain },
    { signer: identity.host, chain: self.chain },
    { signer: asOwner, chain: standing.chain },
    { signer: identity.owner, chain: standing.chain }
  ]
  return bodies.flatMap((body, place) =>
    voices.flatMap(({ signer, chain }) =>
      // The third is a VIOLIN of its own, with another id, where it signs for itself.
      place === 2 && signer === identity.owner && chain === self.ownerChain
        ? []
        : [sealed(self, { kind: 'violin', version: standing.version + 1, body, chain }, signer)]
    )
  )
}

/** Claims to entities that others are listed for, in its own name and in theirs. */
function wrongRuns(self: Host, { body, key, chain, version }: ViolinRecord): Uint8Array[] {
  const { identity } = self
  const spec = body.spec as Spec
  const theirs = spec.entities.filter(({ hosts }) => !hosts.includes(identity.id))
  const asTheirs: Signer = {
    publicKey: chain?.path.at(-2)?.subject as PublicKey,
    sign: (bytes) => identity.host.sign(bytes)
  }
  return [0xfff0, 0x7fff_ffff].flatMap((claim) =>
    [identity.host, asTheirs].map((signer) =>
      sealed(
        self,
        {
          kind: 'runs',
          version: version + 1_000 + (claim & 1),
          body: {
            violin: key as ViolinId,
            entities: theirs.map(({ name }) => ({ name, claim, state: 'running', reason: '' })),
            switches: spec.lans.map(({ name }) => name)
          },
          chain: self.chain
        },
        signer
      )
    )
  )
}

/** A VIOLIN of its own, on hosts that were never asked. */
function foundedHere(self: Host, name: string, like: Spec, others: readonly PublicKey[]): Uint8Array {
  const owners = [self.identity.owner.publicKey, ...others]
  const elsewhere = (hosts: readonly HostId[]): HostId[] => hosts.filter((host) => host !== self.identity.id)
  const spec = {
    ...like,
    name,
    lans: like.lans.map((lan) => ({ ...lan, hosts: elsewhere(lan.hosts) })),
    entities: like.entities.filter(({ hosts }) => elsewhere(hosts).length > 0)
  }
  const body = { founding: { nonce: randomBytes(16), owners }, spec, ended: null }
  return sealed(self, { kind: 'violin', version: 1, body, chain: self.ownerChain }, self.identity.owner)
}

type Said = Parameters<typeof sealedAnyhow>[0] extends infer D
  ? D extends unknown
    ? Omit<D, 'issuedAt' | 'expiresAt'>
    : never
  : never

function sealed(self: Host, said: Said, signer: Signer): Uint8Array {
  const issuedAt = Date.now() as WallTime
  const draft = { ...said, issuedAt, expiresAt: (issuedAt + dayMs) as WallTime }
  return sealedAnyhow(draft, signer, self.identity.mesh)
}

/** What attacks share: the exchange by which a liar asks and brings, and records as no host would seal them. */
import { lpStream } from '@libp2p/utils'
import { linksToWire } from '#core/admission/link.ts'
import { keyBytes } from '#core/admission/host-id.ts'
import { ascii } from '#core/derive.ts'
import type { PublicKey, Signer, WallTime } from '#core/ids.ts'
import { type HostBody, bodyToWire, recordKinds, violinIdOf } from '#core/records/bodies.ts'
import { concat, encodeCbor } from '#core/records/cbor.ts'
import type { Draft, Scope, SignedRecord } from '#core/records/record.ts'
import { RecordSet } from '#core/records/set.ts'
import { applySync, syncRequest } from '#core/records/sync.ts'
import { crypto } from '#daemon/crypto.ts'
import type { Host } from '#daemon/host.ts'
import { MAX_ANSWER_BYTES } from '#mesh/bounds.ts'
import type { Rogue } from './member.ts'

/** Who attacks, what it knows, and until when. */
export interface Attack {
  readonly self: Host
  readonly rogue: Rogue
  readonly target: { readonly ip: string; readonly port: number }
  readonly until: number
  /** What else the attack was told: hosts, ids, keys of the DHT. */
  readonly words: readonly string[]
}

export const dayMs: number = 24 * 3600 * 1000
/** Gossipsub's topic of hosts and revocations. */
export const meshTopic = 'mesh'

/** Everything that the target lets a member have, by its own exchange. */
export async function allRecords(
  { self, rogue }: Pick<Attack, 'self' | 'rogue'>,
  scopes: readonly Scope[] = ['mesh']
): Promise<SignedRecord[]> {
  const now = Date.now() as WallTime
  const set = new RecordSet({ root: self.identity.mesh, crypto })
  const access = { allows: () => true, wants: () => true, shows: () => true }
  let request: Uint8Array | null = syncRequest(set, scopes, now)
  for (let round = 0; request !== null && round < 64; round++) {
    request = applySync(set, await ask(rogue, 'sync', request), now, access).next
  }
  return [...set.all()]
}

/** One request; gives the answer, or its refusal as an error. */
export async function ask(rogue: Rogue, name: string, body: Uint8Array): Promise<Uint8Array> {
  const stream = await rogue.open(name)
  const signal = AbortSignal.timeout(10_000)
  const wire = lpStream(stream, { maxDataLength: MAX_ANSWER_BYTES + 1, maxBufferSize: 4 * MAX_ANSWER_BYTES })
  await wire.write(body, { signal })
  await stream.close({ signal })
  const answer = (await wire.read({ signal })).subarray()
  if (answer[0] !== 0) throw new Error(Buffer.from(answer.subarray(1)).toString())
  return answer.subarray(1)
}

/** A message of the exchange that brings records and asks for nothing. */
export function bringing(records: readonly Uint8Array[]): Uint8Array {
  return encodeCbor([2, Date.now(), [], records])
}

export function hostBody(self: Host, change: Partial<HostBody> = {}): HostBody {
  return {
    host: self.identity.id,
    name: self.identity.name,
    addresses: [],
    capacity: { memoryMiB: 1, cpus: 1 },
    coordinate: [],
    software: '0.1.0',
    protocols: [],
    draining: false,
    left: false,
    clockAheadMs: 0,
    owner: null,
    ...change
  }
}

export function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice()
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}

/** Signed rightly, whatever it says and whoever is named as its author. */
export function sealedAnyhow(draft: Draft, signer: Signer, root: PublicKey): Uint8Array {
  const fields = [
    1,
    recordKinds.indexOf(draft.kind),
    keyBytes(signer.publicKey),
    ascii(keyOf(draft)),
    draft.version,
    draft.issuedAt,
    draft.expiresAt,
    draft.chain === null ? [] : linksToWire(draft.chain.links),
    bodyToWire(draft.kind, draft.body)
  ]
  const signed = concat(ascii(`violin record ${draft.kind} 1\0`), keyBytes(root), encodeCbor(fields))
  return encodeCbor([...fields, signer.sign(signed)])
}

function keyOf({ kind, body }: Draft): string {
  if (kind === 'revocation') return body.key
  if (kind === 'violin') return violinIdOf(body.founding, crypto)
  return kind === 'runs' ? body.violin : ''
}

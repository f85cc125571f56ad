/**
 * The exchange in which two peers show each other their memberships, on a stream of its own:
 *
 * 1. asker → answerer: its presentation, empty when it has none
 * 2. answerer → asker: its verdict on that, and its own presentation when the verdict is `admitted`
 * 3. asker → answerer: its verdict
 *
 * Both are proven when both said `admitted`. Who shows nothing is shown nothing.
 */
import { lpStream } from '@libp2p/utils'
import { concat } from 'uint8arrays/concat'
import { MAX_PRESENTATION_BYTES } from './bounds.ts'
import type { Stream } from '@libp2p/interface'

/** `stranger`: one side shows nothing. `refused`: what one side showed makes it no member. */
export type Outcome = 'proven' | 'stranger' | 'refused'

export interface ProofParty {
  readonly presentation: Uint8Array | null
  readonly admit: (presented: Uint8Array) => boolean
}

const verdicts = { stranger: 0, admitted: 1, refused: 2 } as const
type VerdictByte = (typeof verdicts)[keyof typeof verdicts]

const limits = {
  maxDataLength: MAX_PRESENTATION_BYTES + 1,
  maxBufferSize: MAX_PRESENTATION_BYTES * 2
}
const nothing = new Uint8Array()

/** Runs the asker's side. Throws when the peer breaks off, or breaks the form. */
export async function askProof(stream: Stream, party: ProofParty, signal: AbortSignal): Promise<Outcome> {
  const wire = lpStream(stream, limits)
  await wire.write(party.presentation ?? nothing, { signal })
  const answer = (await wire.read({ signal })).subarray()
  const onUs = readVerdict(answer[0])
  const onThem = onUs === verdicts.admitted ? judge(party, answer.subarray(1)) : verdicts.stranger
  await wire.write(Uint8Array.of(onThem), { signal })
  await stream.close({ signal })
  return outcome(onUs, onThem)
}

/** Runs the answerer's side, on the stream as it came. Throws as {@link askProof} does. */
export async function answerProof(stream: Stream, party: ProofParty, signal: AbortSignal): Promise<Outcome> {
  const wire = lpStream(stream, limits)
  const onThem = judge(party, (await wire.read({ signal })).subarray())
  const shown = onThem === verdicts.admitted ? (party.presentation ?? nothing) : nothing
  await wire.write(concat([Uint8Array.of(onThem), shown]), { signal })
  const onUs = readVerdict((await wire.read({ signal })).subarray()[0])
  await stream.close({ signal })
  return outcome(onUs, onThem)
}

/** Without a membership of our own there is nobody to be a member with. */
function judge(party: ProofParty, presented: Uint8Array): VerdictByte {
  if (party.presentation === null || presented.byteLength === 0) return verdicts.stranger
  return party.admit(presented) ? verdicts.admitted : verdicts.refused
}

function outcome(onUs: VerdictByte, onThem: VerdictByte): Outcome {
  if (onUs === verdicts.refused || onThem === verdicts.refused) return 'refused'
  return onUs === verdicts.admitted && onThem === verdicts.admitted ? 'proven' : 'stranger'
}

function readVerdict(byte: number | undefined): VerdictByte {
  if (byte !== 0 && byte !== 1 && byte !== 2) throw new Error('the peer gave no verdict')
  return byte
}

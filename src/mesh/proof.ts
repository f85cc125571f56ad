/**
 * The exchange in which two peers show each other their memberships, on a stream of its own:
 *
 * 1. asker → answerer: its presentation, empty when it has none
 * 2. answerer → asker: its verdict on that, and its own presentation when the verdict is `admitted`
 * 3. asker → answerer: its verdict
 *
 * Both are proven when both said `admitted`. Who shows nothing is shown nothing. Behind `refused` stands why, where
 * there is something to say.
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
  /** What a peer is told that showed this and is refused; empty: nothing. */
  readonly why: (presented: Uint8Array) => Uint8Array
  /** The peer refused us and said why. */
  readonly refused: (why: Uint8Array) => void
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
  const onUs = heard(party, answer)
  const presented = answer.subarray(1)
  const onThem = onUs === verdicts.admitted ? judge(party, presented) : verdicts.stranger
  await wire.write(concat([Uint8Array.of(onThem), whyOf(party, onThem, presented)]), { signal })
  await stream.close({ signal })
  return outcome(onUs, onThem)
}

/** Runs the answerer's side, on the stream as it came. Throws as {@link askProof} does. */
export async function answerProof(stream: Stream, party: ProofParty, signal: AbortSignal): Promise<Outcome> {
  const wire = lpStream(stream, limits)
  const presented = (await wire.read({ signal })).subarray()
  const onThem = judge(party, presented)
  const shown = onThem === verdicts.admitted ? (party.presentation ?? nothing) : nothing
  const why = whyOf(party, onThem, presented)
  await wire.write(concat([Uint8Array.of(onThem), shown, why]), { signal })
  const onUs = heard(party, (await wire.read({ signal })).subarray())
  await stream.close({ signal })
  return outcome(onUs, onThem)
}

/** Without a membership of our own there is nobody to be a member with. */
function judge(party: ProofParty, presented: Uint8Array): VerdictByte {
  if (party.presentation === null || presented.byteLength === 0) return verdicts.stranger
  return party.admit(presented) ? verdicts.admitted : verdicts.refused
}

function whyOf(party: ProofParty, verdict: VerdictByte, presented: Uint8Array): Uint8Array {
  const why = verdict === verdicts.refused ? party.why(presented) : nothing
  return why.byteLength > MAX_PRESENTATION_BYTES ? nothing : why
}

/** The peer's verdict on us, and why. */
function heard(party: ProofParty, said: Uint8Array): VerdictByte {
  const verdict = readVerdict(said[0])
  if (verdict === verdicts.refused && said.byteLength > 1) party.refused(said.subarray(1))
  return verdict
}

function outcome(onUs: VerdictByte, onThem: VerdictByte): Outcome {
  if (onUs === verdicts.refused || onThem === verdicts.refused) return 'refused'
  return onUs === verdicts.admitted && onThem === verdicts.admitted ? 'proven' : 'stranger'
}

function readVerdict(byte: number | undefined): VerdictByte {
  if (byte !== 0 && byte !== 1 && byte !== 2) throw new Error('the peer gave no verdict')
  return byte
}
